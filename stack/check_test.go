package stack

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/proxy"
	"github.com/casit/berth/volume"
)

// parseStack makes a stack file of a text, beside the volumes that are there.
func parseStack(t *testing.T, text string, live ...string) *stackFile {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stack.yml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	p, err := Read(t.Context(), []string{file}, "shop")
	require.NoError(t, err)
	known := map[string]*volume.Info{}
	for _, name := range live {
		known[name] = &volume.Info{Name: name, Options: volume.Options{}}
	}
	return newFile(p, known, "shop")
}

// requireFindings compares the volumes and the beginnings of the problems.
func requireFindings(t *testing.T, got []Finding, want ...string) {
	t.Helper()
	var lines []string
	for _, f := range got {
		line := f.Volume + ": " + f.Problem
		for _, w := range want {
			if strings.HasPrefix(line, w) {
				line = w
			}
		}
		lines = append(lines, line)
	}
	require.Equal(t, want, lines)
}

func TestAVolumesDriver(t *testing.T) {
	for _, c := range []struct {
		volume string
		want   []string
	}{
		{"{ driver: berth }", nil},
		{"{ driver: 'example.edu/casit/berth:v1' }", nil},
		{"{ driver: local }", nil},
		{"{ driver: rexray }", nil},
		{"{ driver: berth-demo }", nil},
		{"{ driver: bert }", []string{`shop_vol: Docker knows no driver "bert"`}},
		{"{ driver: berht }", []string{`shop_vol: Docker knows no driver "berht"`}},
		{"{ driver: Berth }", []string{`shop_vol: Docker knows no driver "Berth"`}},
		{"{ driver: 'birth:latest' }", []string{`shop_vol: Docker knows no driver "birth:latest"`}},
		{"{ driver: convoy }", []string{"shop_vol: its driver is convoy, which berth replaces"}},
		{"{}", []string{"shop_vol: it has no driver"}},
		{"{ name: there }", []string{"there: the file makes it a local volume"}},
		{"{ name: there, driver: local }", []string{"there: the file makes it a local volume"}},
		{"{ name: there, driver: berth }", nil},
		{"{ external: true, name: there }", []string{"there: it is external: where berth does not answer"}},
		{"{ external: true, name: nowhere }", []string{"nowhere: it is external, and berth has none"}},
		{"{ driver: berth, name: There }", []string{"There: berth has there, which differs from it only in"}},
	} {
		f := parseStack(t, "services: {}\nvolumes:\n  vol: "+c.volume+"\n  beside: { driver: berth }\n", "there")
		requireFindings(t, f.check(), c.want...)
	}
}

func TestAFileThatHasNothingToDoWithBerth(t *testing.T) {
	require.Empty(t, parseStack(t, "services: { web: { image: nginx, volumes: ['vol:/x'] } }\nvolumes: { vol: {} }\n").check())
	f := parseStack(t, "services: { db: { image: nameless, volumes: ['vol:/var/lib/mysql'] } }\nvolumes: { vol: {} }\n")
	requireFindings(t, f.check(), "shop_vol: it has no driver")
}

func TestAHealthchecksPatience(t *testing.T) {
	for _, c := range []struct {
		check string
		want  string // how long it is, and what of; "" where it is long enough
	}{
		{"{ test: x, interval: 30s, retries: 6 }", ""},
		{"{ test: x, interval: 2s, retries: 90 }", ""},
		{"{ test: x, interval: 1m }", ""},
		{"{ disable: true }", ""},
		{"{ test: [NONE], interval: 1s }", ""},
		{"{ retries: 3 }", ""}, // the interval is the image's
		{"{ test: x }", "1m30s (3 × 30s)"},
		{"{ test: x, interval: 29s, retries: 6 }", "2m54s (6 × 29s)"},
		{"{ interval: 10s, retries: 2 }", "20s (2 × 10s)"},
		{"{ test: x, interval: 30s, retries: 3, start_period: 10m }", "1m30s (3 × 30s)"},
	} {
		of := func(driver string) []Finding {
			return parseStack(t, "services: { web: { image: web, volumes: ['vol:/x'], healthcheck: "+c.check+" } }\nvolumes: { vol: { driver: "+driver+" } }\n").check()
		}
		require.Empty(t, of("local"), c.check)
		if c.want == "" {
			require.Empty(t, of("berth"), c.check)
			continue
		}
		requireFindings(t, of("berth"), "shop_vol: the healthcheck of service web gives up after "+c.want+":")
	}
}

func TestWhoseFilesAreADatabases(t *testing.T) {
	for _, c := range []struct{ image, target, want string }{
		{"mariadb:11", "/var/lib/mysql", "mysql"},
		{"mariadb:11", "/data", "mariadb"},
		{"mariadb:11", "/etc/mysql/conf.d", ""},
		{"postgres:17", "/docker-entrypoint-initdb.d", ""},
		{"shop", "/var/lib/postgresql/data/", "postgres"},
		{"shop", "/var/lib/mysql-files", ""},
		{"nginx", "/usr/share/nginx/html", ""},
	} {
		require.Equal(t, c.want, database(c.image, c.target), "%s %s", c.image, c.target)
	}
}

// What the shipped files say to the proxy is what it understands.
func TestShippedFilesAreSites(t *testing.T) {
	for file, want := range map[string]proxy.Site{
		"wordpress": {Names: []string{"www.example.edu"}, Port: 8081, Cache: "wordpress"},
		"drupal":    {Names: []string{"news.example.edu"}, Port: 8082, Cache: "drupal"},
		"legacy":    {Names: []string{"old.example.edu"}, Port: 8083, Cache: "static"},
	} {
		p, err := Read(t.Context(), []string{"../deploy/stacks/" + file + ".yml"}, "shop")
		require.NoError(t, err)
		var services []proxy.Service
		for name, s := range p.Services {
			service := proxy.Service{Name: name, Labels: s.Deploy.Labels}
			for _, port := range s.Ports {
				published, err := strconv.ParseUint(port.Published, 10, 16)
				require.NoError(t, err)
				service.Ports = append(service.Ports, proxy.Port{Published: uint16(published), Target: uint16(port.Target)})
			}
			services = append(services, service)
		}
		sites, err := proxy.Sites(services)
		require.NoError(t, err)
		want.Service, want.Certificate, want.Access = "web", want.Names[0], "public"
		require.Equal(t, []proxy.Site{want}, sites)
	}
}

// The shipped files promise how many sites a node of 2 processors and 16 GB
// carries when two thirds of it are given away, so that two of three carry all.
func TestThirteenShippedSitesFitOnANode(t *testing.T) {
	for _, file := range []string{"wordpress", "drupal", "legacy"} {
		p, err := Read(t.Context(), []string{"../deploy/stacks/" + file + ".yml"}, "shop")
		require.NoError(t, err)
		cpus, bytes := 0.0, int64(0)
		for name, s := range p.Services {
			d := s.Deploy
			require.Equal(t, "stop-first", d.UpdateConfig.Order, "%s %s", file, name)
			require.Equal(t, "rollback", d.UpdateConfig.FailureAction, "%s %s", file, name)
			require.NotNil(t, s.HealthCheck, "%s %s", file, name)
			require.NotContains(t, s.Image, "/", "an official image, by its short name")
			cpus += float64(*d.Replicas) * float64(d.Resources.Reservations.NanoCPUs)
			bytes += int64(*d.Replicas) * int64(d.Resources.Reservations.MemoryBytes)
		}
		require.LessOrEqual(t, 13*cpus, 2*2.0/3, file)
		require.LessOrEqual(t, 13*bytes, int64(16<<30*2/3), file)
	}
}

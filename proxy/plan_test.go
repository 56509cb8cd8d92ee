package proxy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// planned renders services into dir, and returns what was wrong, as SERVICE LABEL.
func planned(t *testing.T, dir string, services ...Service) (wrong []string) {
	t.Helper()
	c, all, err := Plan(dir, services, nodes)
	require.NoError(t, err)
	require.NoError(t, c.Write())
	for _, e := range all {
		require.NotEmpty(t, e.Hint)
		wrong = append(wrong, e.Service+" "+e.Label)
	}
	again, _, err := Plan(dir, services, nodes)
	require.NoError(t, err)
	require.False(t, again.Any(), "the same services, the same bytes: %v", kinds(again))
	return wrong
}

// servers are the sites below dir: their canonical name, and whose they are.
func servers(t *testing.T, dir string) map[string]string {
	t.Helper()
	have, err := standing(dir)
	require.NoError(t, err)
	out := map[string]string{}
	for _, f := range have {
		out[f.names[0]] = f.service
	}
	return out
}

func TestOneServicesFaultIsItsOwn(t *testing.T) {
	good := func() []Service {
		return []Service{service("a", "site=a.example.edu"), service("b", "site=b.example.edu"), service("c", "site=c.example.edu")}
	}
	all := map[string]string{"a.example.edu": "a", "b.example.edu": "b", "c.example.edu": "c"}
	for name, fault := range map[string]Service{
		"a value":            service("b", "site=b.example.edu", "cache=wordpres"),
		"a name":             service("b", "site=B.example.edu"),
		"a misspelt label":   service("b", "site=b.example.edu", "acces=campus"),
		"no port":            {Name: "b", Labels: map[string]string{"berth.site": "b.example.edu"}},
		"another's name":     service("b", "site=b.example.edu a.example.edu"),
		"another's only":     service("b", "site=a.example.edu"),
		"a name of a file":   service("b", "site=b.example.edu own.example.edu"),
		"a file's own name":  service("b", "site=own.example.edu"),
		"the path of a link": service("b", "site=link.example.edu"),
		"a certificate":      service("b", "site=b.example.edu", "certificate=../x"),
		"no site any more":   service("b", "cache=none"),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "sites"), 0o755))
			own := filepath.Join(dir, "sites/own.example.edu.conf")
			require.NoError(t, os.WriteFile(own, []byte("server { listen 80; server_name own.example.edu; }\nserver {\n  server_name own.example.edu;\n}\n"), 0o644))
			link := filepath.Join(dir, "sites/link.example.edu.conf")
			require.NoError(t, os.Symlink("/dev/null", link))
			services := good()
			services[1] = fault
			// A new site that is wrong is left out, and the others are made.
			require.Contains(t, planned(t, dir, services...)[0], "b berth.")
			require.NoError(t, os.Remove(link))
			require.Equal(t, map[string]string{"a.example.edu": "a", "c.example.edu": "c", "own.example.edu": ""}, servers(t, dir))
			require.NoError(t, os.Symlink("/dev/null", link))

			// One that was right is served as it was, while the others change.
			require.Empty(t, planned(t, dir, good()...))
			was, err := os.ReadFile(filepath.Join(dir, "sites/b.example.edu.conf"))
			require.NoError(t, err)
			services[0].Labels["berth.cache"] = "static"
			require.Len(t, planned(t, dir, services[0], services[1]), 1)
			is, err := os.ReadFile(filepath.Join(dir, "sites/b.example.edu.conf"))
			require.NoError(t, err)
			require.Equal(t, string(was), string(is))
			a, err := os.ReadFile(filepath.Join(dir, "sites/a.example.edu.conf"))
			require.NoError(t, err)
			require.Contains(t, string(a), "cache-static.conf")
			require.NoFileExists(t, filepath.Join(dir, "sites/c.example.edu.conf"), "its service is gone")
			text, err := os.ReadFile(filepath.Join(dir, manifest))
			require.NoError(t, err)
			require.Contains(t, string(text), "sites/b.example.edu.conf", "apply.sh takes it")

			// And when it is right again, or gone, so is its file.
			require.Empty(t, planned(t, dir, good()...))
			require.NoError(t, os.Remove(link))
			all["own.example.edu"] = ""
			require.Equal(t, all, servers(t, dir))
			require.Empty(t, planned(t, dir, services[0]))
			require.NoFileExists(t, filepath.Join(dir, "sites/b.example.edu.conf"))
		})
	}
}

func TestANameStaysWithItsSite(t *testing.T) {
	old, new := time.Unix(1, 0), time.Unix(2, 0)
	made := func(s Service, at time.Time) Service {
		s.Created = at
		return s
	}
	dir := t.TempDir()
	site, thief := made(service("site", "site=www.example.edu"), old), made(service("a-thief", "site=www.example.edu"), new)
	require.Equal(t, []string{"a-thief berth.site"}, planned(t, dir, thief, site), "the older one has it")
	require.Equal(t, map[string]string{"www.example.edu": "site"}, servers(t, dir))

	// Deployed anew the site is the younger one, and still the one that is rendered.
	site, thief = made(site, new), made(thief, old)
	require.Equal(t, []string{"a-thief berth.site"}, planned(t, dir, thief, site))

	// Also while its own labels are wrong.
	wrong := made(service("site", "site=www.example.edu", "cache=x"), new)
	require.Equal(t, []string{"a-thief berth.site", "site berth.cache"}, planned(t, dir, thief, wrong))
	require.Equal(t, map[string]string{"www.example.edu": "site"}, servers(t, dir))

	// Names that two sites exchange are no fault, and a name that was given up is free.
	a, b := service("a", "site=a.example.edu"), service("b", "site=b.example.edu")
	require.Empty(t, planned(t, dir, a, b))
	a.Labels["berth.site"], b.Labels["berth.site"] = "b.example.edu", "a.example.edu"
	require.Empty(t, planned(t, dir, a, b))
	require.Equal(t, map[string]string{"a.example.edu": "b", "b.example.edu": "a"}, servers(t, dir))

	// Who is refused keeps the names of its file: the next one is refused them.
	a.Labels["berth.site"], b.Labels["berth.site"] = "c.example.edu x_y", "b.example.edu"
	require.Equal(t, []string{"a berth.site", "b berth.site"}, planned(t, dir, a, b))
	require.Equal(t, map[string]string{"a.example.edu": "b", "b.example.edu": "a"}, servers(t, dir))

	// The service's name may change.
	require.Empty(t, planned(t, dir, service("renamed", "site=a.example.edu b.example.edu")))
	require.Equal(t, map[string]string{"a.example.edu": "renamed"}, servers(t, dir))
	require.True(t, slices.Contains(mustNames(t, dir), "b.example.edu"))
}

func mustNames(t *testing.T, dir string) (names []string) {
	t.Helper()
	have, err := standing(dir)
	require.NoError(t, err)
	for _, f := range have {
		names = append(names, f.names...)
	}
	return names
}

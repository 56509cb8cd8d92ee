package dashboard

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/docker"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/tree/treetest"
)

var update = flag.Bool("update", false, "rewrite docs/dashboard.png")

// site is a plugin on a directory, a Docker that says what it is told to, and
// the dashboard over both. All questions to the plugin go through a proxy that
// writes them down.
type site struct {
	t      testing.TB
	export string
	socket string // the plugin's own
	docker *canned
	server *Server
	*httptest.Server

	mu    sync.Mutex
	asked map[string]int
	away  atomic.Bool // the dashboard answers nothing
}

// canned is a Docker that answers what it is told to.
type canned struct {
	mu      sync.Mutex
	cluster docker.Cluster
	err     error
	hang    chan struct{}
}

func (c *canned) Running(ctx context.Context) (docker.Cluster, error) {
	c.mu.Lock()
	cluster, err, hang := c.cluster, c.err, c.hang
	c.mu.Unlock()
	if hang != nil {
		select {
		case <-hang:
		case <-ctx.Done():
			return docker.Cluster{}, ctx.Err()
		}
	}
	return cluster, err
}

func (c *canned) set(fn func(*canned)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	fn(c)
}

// newSite starts everything on an export that fill has made. change alters the
// dashboard's configuration.
func newSite(t testing.TB, fill func(export string), change ...func(*Config)) *site {
	t.Helper()
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounting needs root")
	}
	base, err := os.MkdirTemp("", "dash") // short: a socket's path has 107 bytes at most
	require.NoError(t, err)
	// A plugin that was stopped may have a call of the filesystem under way.
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return os.RemoveAll(base) == nil }, time.Minute, time.Millisecond)
	})
	t.Cleanup(func() { detachBelow(t, base) })
	s := &site{t: t, export: filepath.Join(base, "export"), socket: filepath.Join(base, "s"), asked: map[string]int{}, docker: &canned{}}
	require.NoError(t, os.Mkdir(s.export, 0o755))
	fill(s.export)
	s.startPlugin(map[string]string{"BERTH_EXPORT": "file://" + s.export, "BERTH_NODE": "node1", "BERTH_MOUNT_ROOT": filepath.Join(base, "mounts")})
	through := s.proxy(filepath.Join(base, "p"))
	cfg := Config{Berth: NewClient(func() (string, error) { return through, nil }), Docker: s.docker, Listen: "127.0.0.1:0", Every: 100 * time.Millisecond, Zone: time.UTC, Version: "0.1.0"}
	for _, c := range change {
		c(&cfg)
	}
	s.server, err = New(cfg)
	require.NoError(t, err)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.away.Load() {
			panic(http.ErrAbortHandler)
		}
		s.server.handler().ServeHTTP(w, r)
	}))
	t.Cleanup(s.Server.Close)
	t.Cleanup(s.server.end)
	return s
}

func detachBelow(t testing.TB, dir string) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	require.NoError(t, err)
	for _, i := range infos {
		_ = unix.Unmount(i.Mountpoint, unix.MNT_DETACH)
	}
}

func (s *site) startPlugin(env map[string]string) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithCancel(context.Background())
	srv := plugin.New(plugin.Config{Log: log, Socket: s.socket, Version: "0.1.0", SettingsFile: s.socket + ".env", Getenv: func(k string) string { return env[k] }})
	done := make(chan error, 1)
	go func() { done <- srv.Run(ctx) }()
	s.t.Cleanup(func() {
		cancel()
		require.NoError(s.t, <-done)
	})
	require.Eventually(s.t, func() bool {
		c, err := net.Dial("unix", s.socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, time.Minute, 5*time.Millisecond)
}

// proxy writes down what is asked on its way to the plugin.
func (s *site) proxy(at string) string {
	l, err := net.Listen("unix", at)
	require.NoError(s.t, err)
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "berth"})
	forward.FlushInterval = -1
	forward.ErrorLog = nil
	forward.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	forward.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[strings.TrimPrefix(r.URL.Path, "/")]++
		s.mu.Unlock()
		forward.ServeHTTP(w, r)
	})}
	go func() { _ = srv.Serve(l) }()
	s.t.Cleanup(func() { srv.Close() })
	return at
}

// berth sends a request to the plugin itself, as Docker and the command line do.
func (s *site) berth(route string, req any) map[string]any {
	s.t.Helper()
	var out map[string]any
	require.NoError(s.t, plugin.NewClient(s.socket, "alice").Call(s.t.Context(), route, req, &out))
	return out
}

// answer is what a browser gets.
type answer struct {
	*http.Response
	text string
}

func (s *site) get(address string, change ...func(*http.Request)) answer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.URL+address, nil)
	require.NoError(s.t, err)
	for _, c := range change {
		c(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(s.t, err)
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	require.NoError(s.t, err)
	return answer{resp, string(data)}
}

func (s *site) routes() (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.asked {
		names = append(names, r)
	}
	slices.Sort(names)
	return names
}

// write makes files below dir; a name that ends in / is a directory.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		at := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			require.NoError(t, os.MkdirAll(at, 0o755))
			continue
		}
		require.NoError(t, os.MkdirAll(filepath.Dir(at), 0o755))
		require.NoError(t, os.WriteFile(at, []byte(content), 0o644))
	}
}

// smallCluster is an export of a few sites as they are found on such a
// cluster, with the snapshots of a filer's usual schedule.
func smallCluster(t testing.TB) *site {
	now := time.Now().UTC()
	var names []string
	s := newSite(t, func(export string) {
		for _, v := range []string{"shop_web", "shop_db", "blog_web", "blog_db", "journal_files", "wiki"} {
			names = append(names, v)
			write(t, export, map[string]string{
				v + "/index.php": "<?php // " + v, v + "/wp-config.php": "<?php define('DB_NAME', '" + v + "');\n",
				v + "/wp-content/uploads/2026/photo.jpg": strings.Repeat("x", 80_000), v + "/wp-content/plugins/akismet/akismet.php": "<?php\n",
				v + "/readme.html": "<h1>WordPress</h1>",
			})
		}
	})
	s.berth("VolumeDriver.Create", map[string]any{"Name": "depot_pg", "Opts": map[string]string{"access": "single", "mode": "0700"}})
	s.berth("Berth.SnapshotCreate", map[string]any{"name": "before-update", "comment": "ticket 4711"})
	var made []string
	for h := 1; h <= 12; h++ {
		made = append(made, "hourly."+now.Add(-time.Duration(h)*time.Hour).Format("2006-01-02_1505"))
	}
	for d := 1; d <= 14; d++ {
		made = append(made, dailySnapshot(d))
	}
	for w := 1; w <= 6; w++ {
		made = append(made, "weekly."+now.AddDate(0, 0, -7*w-2).Format("2006-01-02")+"_0015")
	}
	for _, snap := range made {
		for _, v := range names {
			write(t, filepath.Join(s.export, ".snapshot", snap), map[string]string{v + "/index.php": "<?php // old", v + "/wp-config.php": "<?php // old\n",
				v + "/wp-content/plugins/akismet/akismet.php": "<?php\n", v + "/wp-content/plugins/gone/gone.php": "<?php\n", v + "/license.txt": "GPL"})
		}
	}
	write(t, s.export, map[string]string{"shop_web/wp-content/uploads/x.php": "<?php system($_GET['c']);", ".berth/volumes/journal_files.json": "{"})
	for i, v := range []string{"shop_web", "shop_db", "blog_web", "blog_db"} {
		s.berth("VolumeDriver.Mount", map[string]any{"Name": v, "ID": fmt.Sprint("id", i)})
	}
	s.docker.cluster = docker.Cluster{Swarm: true,
		Nodes: []docker.Node{{Name: "node1", Role: "manager", State: "ready", Availability: "active", Engine: "27.3.1"}, {Name: "node2", Role: "worker", State: "ready", Availability: "active", Engine: "27.3.1"}, {Name: "node3", Role: "worker", State: "down", Availability: "active", Engine: "27.3.1"}},
		Tasks: []docker.Task{
			{ID: "1", Name: "shop_web.1", Node: "node1", Stack: "shop", Service: "shop_web", Image: "wordpress:6.8-php8.3", State: "running", Since: now.Add(-26 * time.Hour), Volumes: []string{"shop_web"}},
			{ID: "2", Name: "shop_db.1", Node: "node1", Stack: "shop", Service: "shop_db", Image: "mariadb:11.4", State: "running", Since: now.Add(-26 * time.Hour), Volumes: []string{"shop_db"}},
			{ID: "3", Name: "blog_web.1", Node: "node1", Stack: "blog", Service: "blog_web", Image: "wordpress:6.8-php8.3", State: "running", Since: now.Add(-90 * time.Hour), Volumes: []string{"blog_web", "cache"}},
			{ID: "4", Name: "blog_db.1", Node: "node1", Stack: "blog", Service: "blog_db", Image: "mariadb:11.4", State: "running", Since: now.Add(-90 * time.Hour), Volumes: []string{"blog_db"}},
			{ID: "5", Name: "proxy", Node: "node2", Stack: "proxy", Service: "proxy", Image: "nginx:1.27", State: "starting", Since: now.Add(-time.Minute)},
		}}
	return s
}

// manyVolumes is a cluster of as many as a faculty has, half of them used.
func manyVolumes(t testing.TB, n int, change ...func(*Config)) *site {
	name := func(i int) string { return fmt.Sprintf("s%03d_site-%02d-%04d", i/4, i%5, i) }
	s := newSite(t, func(export string) {
		for i := range n {
			require.NoError(t, os.Mkdir(filepath.Join(export, name(i)), 0o755))
		}
	}, change...)
	cluster := docker.Cluster{Swarm: true}
	for i := range 3 {
		cluster.Nodes = append(cluster.Nodes, docker.Node{Name: fmt.Sprint("node", i+1), Role: "manager", State: "ready", Availability: "active", Engine: "27.3.1"})
	}
	for i := range n / 2 {
		stack, _, _ := strings.Cut(name(i), "_")
		cluster.Tasks = append(cluster.Tasks, docker.Task{ID: fmt.Sprint(i), Name: name(i) + ".1", Node: fmt.Sprint("node", i%3+1), Stack: stack, Image: "wordpress:6.8", State: "running", Volumes: []string{name(i)}})
	}
	s.docker.cluster = cluster
	return s
}

// dailySnapshot is the name of the one that was made some days ago.
func dailySnapshot(days int) string {
	return "daily." + time.Now().UTC().AddDate(0, 0, -days).Format("2006-01-02") + "_0010"
}

// everything lists on the export but what a plugin writes by itself:
// heartbeats.
func (s *site) everything() string {
	s.t.Helper()
	var out bytes.Buffer
	require.NoError(s.t, filepath.WalkDir(s.export, func(p string, d os.DirEntry, err error) error {
		// What was read for a comparison is remembered there.
		if err != nil || strings.Contains(p, "/.berth/nodes") || strings.Contains(p, "/.berth/cache") {
			return err
		}
		i, err := d.Info()
		if err == nil && !d.IsDir() {
			fmt.Fprintln(&out, p, i.Size(), i.ModTime())
		}
		return err
	}))
	return out.String()
}

func dump(v any) string {
	data, _ := json.MarshalIndent(v, "", " ")
	return string(data)
}

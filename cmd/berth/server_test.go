package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/plugin"
)

// server is a plugin on an export of its own, and how to type to it.
type server struct {
	t      *testing.T
	dir    string // of its sockets and settings
	export string
	socket string // the plugin's
	asked  string // the one that commands ask: the plugin's, or a relay's before it
	stop   func()
}

// newServer makes the export and says nothing yet. Commands see neither this
// machine's Docker engine nor its time zone.
func newServer(t *testing.T) *server {
	dir := shortDir(t)
	s := &server{t: t, dir: dir, export: filepath.Join(dir, "export"), socket: filepath.Join(dir, "s")}
	s.asked = s.socket
	require.NoError(t, os.Mkdir(s.export, 0o755))
	t.Cleanup(func() { // a plugin that ends leaves its mounts to its containers
		mounts, err := filepath.Glob(filepath.Join(dir, "mounts/*"))
		require.NoError(t, err)
		for _, m := range mounts {
			_ = unix.Unmount(m, unix.MNT_DETACH)
		}
	})
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(dir, "no-engine"))
	t.Setenv("TZ", "UTC")
	t.Setenv("SUDO_USER", "alice")
	return s
}

// env is the plugin's environment.
func (s *server) env() map[string]string {
	return map[string]string{"BERTH_EXPORT": "file://" + s.export, "BERTH_NODE": "node1", "BERTH_MOUNT_ROOT": filepath.Join(s.dir, "mounts"),
		"BERTH_SOCKET": s.socket, "BERTH_SETTINGS": filepath.Join(s.dir, "berth.env")}
}

// serve starts a plugin in this process.
func serve(t *testing.T) *server {
	s := newServer(t)
	env := s.env()
	stop := runPlugin(t, s.socket, env["BERTH_SETTINGS"], env)
	s.stop = func() {
		stop()
		s.stop = func() {}
	}
	t.Cleanup(func() { s.stop() })
	s.answers()
	return s
}

// runPlugin runs a plugin in this process until stop is called.
func runPlugin(t *testing.T, socket, settings string, env map[string]string) (stop func()) {
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	srv := plugin.New(plugin.Config{Log: log, Socket: socket, Version: "test", SettingsFile: settings, Getenv: func(k string) string { return env[k] }})
	go func() { done <- srv.Run(ctx) }()
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// start starts a plugin in a process of its own; stop kills it.
func (s *server) start() {
	cmd := exec.Command("berth", "serve")
	cmd.Env = os.Environ()
	for k, v := range s.env() {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	require.NoError(s.t, cmd.Start())
	s.stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.Remove(s.socket)
		s.stop = func() {}
	}
	s.answers()
}

// answers waits until the plugin has its export.
func (s *server) answers() {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		var about plugin.About
		err := plugin.NewClient(s.socket, "test").Call(context.Background(), "Berth.Version", plugin.Empty{}, &about)
		return err == nil && about.Health == "ok"
	}, time.Minute, 5*time.Millisecond)
}

// said is what a command printed, and its exit code.
type said struct {
	code     int
	out, err string
}

// types runs a command line.
func (s *server) types(args ...string) said {
	s.t.Helper()
	var out, talk bytes.Buffer
	code := run(s.t.Context(), append([]string{"--socket", s.asked}, args...), nil, &out, &talk)
	return said{code, out.String(), talk.String()}
}

// must runs a command line that does what it says, and returns its data.
func (s *server) must(args ...string) string {
	s.t.Helper()
	got := s.types(args...)
	require.Equal(s.t, exitDone, got.code, "berth %s: %s%s", strings.Join(args, " "), got.out, got.err)
	return got.out
}

// docker sends a VolumeDriver verb as dockerd does.
func (s *server) docker(verb, body string) {
	s.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}}
	r, err := client.Post("http://x/VolumeDriver."+verb, "application/json", strings.NewReader(body))
	require.NoError(s.t, err)
	defer r.Body.Close()
	var out struct{ Err string }
	require.NoError(s.t, json.NewDecoder(r.Body).Decode(&out))
	require.Empty(s.t, out.Err, verb)
}

// write makes a file of the export, and its directories.
func (s *server) write(name, content string) {
	s.t.Helper()
	name = filepath.Join(s.export, name)
	require.NoError(s.t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(s.t, os.WriteFile(name, []byte(content), 0o644))
}

// read returns a file of the export, "" for one that is not there.
func (s *server) read(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.export, name))
	if !os.IsNotExist(err) {
		require.NoError(s.t, err)
	}
	return string(text)
}

// commandPaths are the words of every command below c that people may see.
func commandPaths(c *cobra.Command, words []string) (all [][]string) {
	all = append(all, words)
	for _, sub := range c.Commands() {
		if !sub.Hidden {
			all = append(all, commandPaths(sub, append(slices.Clone(words), sub.Name()))...)
		}
	}
	return all
}

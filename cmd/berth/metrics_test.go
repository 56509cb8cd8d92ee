package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/tree/treetest"
)

// TestTheMetricsDocument types what docs/metrics.md says, against a server
// whose settings and port are others.
func TestTheMetricsDocument(t *testing.T) {
	for _, tool := range []string{"promtool", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			treetest.Skip(t, tool+" is missing")
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	require.NoError(t, l.Close())
	dir := t.TempDir()
	settings, socket := filepath.Join(dir, "berth.env"), filepath.Join(dir, "s")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "export"), 0o755))
	require.NoError(t, os.WriteFile(settings, fmt.Appendf(nil, "BERTH_EXPORT=file://%s/export\nBERTH_MOUNT_ROOT=%s/mounts\nBERTH_NODE=n1\n", dir, dir), 0o600))
	t.Setenv("BERTH_SOCKET", socket)
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	srv := plugin.New(plugin.Config{Log: log, Socket: socket, Version: "test", SettingsFile: settings, Getenv: func(string) string { return "" }, Reload: 50 * time.Millisecond})
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-done)
	})

	text, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	blocks, err := docs.Blocks(string(text))
	require.NoError(t, err)
	here := strings.NewReplacer("/etc/berth/berth.env", settings, ":9624", ":"+port)
	for _, c := range docs.Commands(t, "docs/metrics.md", "TestTheMetricsDocument") {
		var want []string
		for _, b := range blocks {
			if _, after, ok := strings.Cut(b.Text, "$ "+c+"\n"); ok && b.Mark == "run" {
				shown, _, _ := strings.Cut(after, "$ ")
				want = strings.FieldsFunc(here.Replace(shown), func(r rune) bool { return r == '\n' })
			}
		}
		require.Eventually(t, func() bool {
			cmd := exec.Command("sh", "-c", here.Replace(c))
			cmd.Dir = "../.."
			out, err := cmd.CombinedOutput()
			ok := err == nil
			for _, line := range want {
				ok = ok && strings.Contains(string(out), line+"\n")
			}
			if !ok {
				t.Logf("%s: %v\n%s", c, err, out)
			}
			return ok
		}, 30*time.Second, 200*time.Millisecond, c)
	}
}

// TestAlertsNameCommandsThatExist: who is woken at night types what they say.
func TestAlertsNameCommandsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../deploy/prometheus/berth.rules.yml")
	require.NoError(t, err)
	text = regexp.MustCompile(`\s+`).ReplaceAll(text, []byte(" "))
	said := regexp.MustCompile(`'berth ([^']+)'`).FindAllSubmatch(text, -1)
	require.Greater(t, len(said), 15)
	for _, m := range said {
		line := regexp.MustCompile(`{{[^}]+}}`).ReplaceAllString(string(m[1]), "node1")
		c, args, err := commands(&app{}).Find(strings.Fields(line))
		require.NoError(t, err, line)
		require.NoError(t, c.ParseFlags(args), line)
		require.NoError(t, c.ValidateArgs(c.Flags().Args()), line)
	}
}

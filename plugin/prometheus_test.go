package plugin

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree/treetest"
)

// monitor is a real Prometheus that scrapes as deploy/prometheus/scrape.yml says,
// every second.
type monitor struct {
	t    *testing.T
	base string
}

func startPrometheus(t *testing.T, target string) monitor {
	t.Helper()
	if _, err := exec.LookPath("prometheus"); err != nil {
		treetest.Skip(t, "prometheus is missing: apt-get install prometheus")
	}
	dir, deploy := t.TempDir(), "../deploy/prometheus"
	config, err := os.ReadFile(filepath.Join(deploy, "scrape.yml"))
	require.NoError(t, err)
	text := strings.NewReplacer(": 30s", ": 1s", "- 10.0.0.11:9624", "- "+target, "          - 10.0.0.12:9624\n          - 10.0.0.13:9624\n", "").Replace(string(config))
	require.NotContains(t, text, "- 10.0.0.")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "scrape.yml"), []byte(text), 0o600))
	rules, err := os.ReadFile(filepath.Join(deploy, "berth.rules.yml"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "berth.rules.yml"), rules, 0o600))

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	require.NoError(t, l.Close())
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "prometheus", "--config.file="+filepath.Join(dir, "scrape.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	log := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	return monitor{t, "http://" + address}
}

// value waits until an expression has one value, and returns it.
func (p monitor) value(expr string) (value string) {
	p.t.Helper()
	require.Eventually(p.t, func() bool {
		r, err := http.Get(p.base + "/api/v1/query?query=" + url.QueryEscape(expr))
		if err != nil {
			return false
		}
		defer r.Body.Close()
		var answer struct {
			Data struct {
				Result []struct{ Value [2]any }
			}
		}
		if json.NewDecoder(r.Body).Decode(&answer) != nil || len(answer.Data.Result) != 1 {
			return false
		}
		value, _ = answer.Data.Result[0].Value[1].(string)
		return true
	}, time.Minute, 100*time.Millisecond, expr)
	return value
}

func TestPrometheusScrapesAndAlerts(t *testing.T) {
	s := serve(t, map[string]string{"BERTH_METRICS": "127.0.0.1:0"})
	target, err := url.Parse(s.metricsURL(""))
	require.NoError(t, err)
	s.ok("Create", map[string]any{"Name": "site1"})
	p := startPrometheus(t, target.Host)
	require.Equal(t, "1", p.value(`berth_requests_total{job="berth",verb="Create",outcome="ok"}`))
	require.Equal(t, "1", p.value(`up{job="berth"} == 1`))
	require.Equal(t, "1", p.value(`berth_export_reachable == 1`))
	require.Equal(t, "1", p.value(`ALERTS{alertname="BerthSnapshotTooOld",alertstate="pending"}`), "there is no snapshot")

	require.NoError(t, os.Rename(s.dir, s.dir+".away"))
	require.Equal(t, "1", p.value(`ALERTS{alertname="BerthExportUnreachable",alertstate="pending"}`))
	require.Equal(t, "1", p.value(`up{job="berth"}`), "scraped all the same")
}

package plugin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/job"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/ontap/simulator/simulatortest"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/tree/treetest"
)

// about asks the server about itself.
func (s *served) about() (a About) {
	s.t.Helper()
	require.NoError(s.t, json.Unmarshal([]byte(s.post("Berth.Version", "{}")), &a))
	return a
}

// metricsURL waits until metrics are served, elsewhere than at was.
func (s *served) metricsURL(was string) (url string) {
	s.t.Helper()
	require.Eventually(s.t, func() bool { url = s.about().Metrics; return url != "" && url != was }, 20*time.Second, 10*time.Millisecond)
	return url
}

// scraped is what one scrape answered.
type scraped struct {
	t        *testing.T
	text     string
	families map[string]*dto.MetricFamily
}

func scrape(t *testing.T, url string) scraped {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Get(url)
	require.NoError(t, err)
	defer r.Body.Close()
	require.Equal(t, http.StatusOK, r.StatusCode)
	text, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	require.NoError(t, err)
	return scraped{t, string(text), families}
}

// find returns the series with these labels, key=value; nil if there is none.
func (s scraped) find(name string, labels ...string) *dto.Metric {
	for _, m := range s.families[name].GetMetric() {
		have := map[string]string{}
		for _, l := range m.GetLabel() {
			have[l.GetName()] = l.GetValue()
		}
		all := true
		for _, want := range labels {
			k, v, _ := strings.Cut(want, "=")
			all = all && have[k] == v
		}
		if all {
			return m
		}
	}
	return nil
}

// value returns the value of a counter or gauge, of a histogram its count; -1
// if there is no such series.
func (s scraped) value(name string, labels ...string) float64 {
	m := s.find(name, labels...)
	switch {
	case m == nil:
		return -1
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Histogram != nil:
		return float64(m.Histogram.GetSampleCount())
	}
	return m.Gauge.GetValue()
}

func TestMetricsCountEveryVerb(t *testing.T) {
	s := serve(t, map[string]string{"BERTH_METRICS": "127.0.0.1:0"})
	url := s.metricsURL("")
	before := scrape(t, url)
	require.Zero(t, before.value("berth_requests_total", "verb=Mount", "outcome=failed"), "a first error is a change")

	s.ok("Create", map[string]any{"Name": "site1"})
	s.ok("Create", map[string]any{"Name": "site2"})
	require.Contains(t, s.fails("Create", map[string]any{"Name": "not/a/name"}), "name")
	for _, id := range []string{"a", "b", "c"} {
		s.ok("Mount", map[string]any{"Name": "site1", "ID": id})
	}
	s.fails("Mount", map[string]any{"Name": "nowhere", "ID": "a"})
	s.ok("Unmount", map[string]any{"Name": "site1", "ID": "a"})
	s.fails("Get", map[string]any{"Name": "nowhere"})
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, "site2/page"), make([]byte, 12345), 0o644))
	s.ok("Remove", map[string]any{"Name": "site2"})

	got := scrape(t, url)
	for _, want := range []struct {
		verb, outcome string
		n             float64
	}{
		{"Create", "ok", 2}, {"Create", "usage", 1}, {"Mount", "ok", 3}, {"Mount", "not-found", 1}, {"Unmount", "ok", 1},
		{"Get", "not-found", 1}, {"Remove", "ok", 1}, {"Remove", "failed", 0},
	} {
		require.Equal(t, want.n, got.value("berth_requests_total", "verb="+want.verb, "outcome="+want.outcome), "%s %s", want.verb, want.outcome)
	}
	require.Equal(t, 4.0, got.value("berth_request_duration_seconds", "verb=Mount"))
	require.Equal(t, 1.0, got.value("berth_build_info", "version=test"))
	require.NotContains(t, got.text, "site1", "no volume is a label")

	s.until(url, "the trash is counted and measured", func(m scraped) bool {
		return m.value("berth_trash_items", "kind=removed") == 1 && m.value("berth_trash_bytes", "kind=removed") == 12345 && m.value("berth_trash_unmeasured_items") == 0
	})
	got = scrape(t, url)
	require.Equal(t, 1.0, got.value("berth_export_reachable"))
	require.Positive(t, got.value("berth_export_size_bytes"))
	require.Positive(t, got.value("berth_export_available_bytes"))
	require.Equal(t, 1.0, got.value("berth_node_state", "node=n1", "state=live"))
	require.Zero(t, got.value("berth_node_state", "node=n1", "state=silent"))
	require.GreaterOrEqual(t, got.value("berth_heartbeat_age_seconds", "node=n1"), 0.0)
	require.Contains(t, got.text, "berth_snapshot_newest_age_seconds +Inf", "there is none")
	checkMetrics(t, got)
}

// until scrapes until ok.
func (s *served) until(url, what string, ok func(scraped) bool) {
	s.t.Helper()
	var last scraped
	require.Eventually(s.t, func() bool { last = scrape(s.t, url); return ok(last) }, 30*time.Second, 50*time.Millisecond, what)
}

// checkMetrics holds the types to the document's, and has promtool look for
// what is unusual in names, types and help.
func checkMetrics(t *testing.T, s scraped) {
	t.Helper()
	table := rows(t, "../docs/metrics.md")
	for name, family := range s.families {
		if strings.HasPrefix(name, "berth_") {
			require.Equal(t, table[name][0], strings.ToLower(family.GetType().String()), name)
		}
	}
	if _, err := exec.LookPath("promtool"); err != nil {
		treetest.Skip(t, "promtool is missing: apt-get install prometheus")
	}
	check := exec.Command("promtool", "check", "metrics")
	check.Stdin = strings.NewReader(s.text)
	out, err := check.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Empty(t, string(out))
}

func TestMetricsMoveWithTheSetting(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	s := serve(t, map[string]string{"BERTH_METRICS": ""})
	require.Empty(t, s.about().Metrics)
	s.ok("Create", map[string]any{"Name": "site1"})

	file := filepath.Join(s.base, "berth.env")
	set := func(address string) {
		require.NoError(t, os.WriteFile(file, []byte("BERTH_METRICS="+address+"\n"), 0o600))
	}
	set("127.0.0.1:0")
	first := s.metricsURL("")
	require.Equal(t, 1.0, scrape(t, first).value("berth_requests_total", "verb=Create", "outcome=ok"), "counted from the start, asked or not")

	set(taken.Addr().String())
	require.Eventually(t, func() bool { return strings.Contains(s.about().Health, "metrics are not served: listen tcp") }, 20*time.Second, 10*time.Millisecond)
	require.Empty(t, s.about().Metrics)
	s.ok("Mount", map[string]any{"Name": "site1", "ID": "a"})
	time.Sleep(300 * time.Millisecond) // several looks at the settings
	require.Equal(t, 1, strings.Count(s.log.String(), "metrics are not served"), "logged once")
	require.NoError(t, taken.Close())
	require.Equal(t, "http://"+taken.Addr().String()+"/metrics", s.metricsURL(""))
	require.Equal(t, "ok", s.about().Health)
	require.Equal(t, 1, strings.Count(s.log.String(), "settings in force"), "the session went on")

	set("127.0.0.1")
	require.Eventually(t, func() bool { return strings.Contains(s.about().Health, "BERTH_METRICS=127.0.0.1: write IP:PORT") }, 20*time.Second, 10*time.Millisecond)
	set("")
	require.Eventually(t, func() bool { return s.about().Metrics == "" }, 20*time.Second, 10*time.Millisecond)
}

// berth sends an operator's request that has to succeed.
func berth[Resp any](s *served, route string, req any) (resp Resp) {
	s.t.Helper()
	require.NoError(s.t, NewClient(s.socket, "test").Call(s.t.Context(), "Berth."+route, req, &resp))
	return resp
}

func TestMetricsCountJobs(t *testing.T) {
	s := serve(t, map[string]string{"BERTH_METRICS": "127.0.0.1:0"})
	url := s.metricsURL("")
	s.ok("Create", map[string]any{"Name": "site1"})
	page := filepath.Join(s.dir, "site1/page")
	require.NoError(t, os.WriteFile(page, make([]byte, 54321), 0o644))
	berth[snapshot.Created](s, "SnapshotCreate", snapshot.CreateRequest{Name: "s1", Volumes: []string{"site1"}})
	s.until(url, "the snapshot is seen", func(m scraped) bool {
		age := m.value("berth_snapshot_newest_age_seconds")
		return age >= 0 && age < 3600
	})
	require.Zero(t, scrape(t, url).value("berth_jobs_total", "op=restore", "outcome=done"))

	restore := func(spoil func()) error {
		require.NoError(t, os.WriteFile(page, []byte("newer"), 0o644))
		prepared := berth[job.Job](s, "RestorePrepare", PrepareRequest{Request: snapshot.RestoreRequest{Refs: []string{"site1@s1"}}})
		spoil()
		berth[Empty](s, "JobStart", JobRequest{ID: prepared.ID})
		var p job.Progress
		var err error
		require.Eventually(t, func() bool {
			err = NewClient(s.socket, "test").Call(t.Context(), "Berth.JobWait", JobRequest{ID: prepared.ID}, &p)
			return err != nil || p.Over
		}, 30*time.Second, 10*time.Millisecond)
		berth[Empty](s, "JobEnd", JobRequest{ID: prepared.ID})
		return err
	}
	require.NoError(t, restore(func() {}))
	got := scrape(t, url)
	require.Equal(t, 1.0, got.value("berth_jobs_total", "op=restore", "outcome=done"))
	require.Zero(t, got.value("berth_jobs_total", "op=restore", "outcome=failed"))
	require.Equal(t, 54321.0, got.value("berth_job_bytes_total", "op=restore"))
	require.Equal(t, 1.0, got.value("berth_job_duration_seconds", "op=restore"))
	require.Zero(t, got.value("berth_jobs_running", "op=restore"))

	require.Error(t, restore(func() { s.ok("Mount", map[string]any{"Name": "site1", "ID": "a"}) }), "it is in use")
	require.Equal(t, 1.0, scrape(t, url).value("berth_jobs_total", "op=restore", "outcome=failed"))
	s.until(url, "what was replaced is in the trash", func(m scraped) bool { return m.value("berth_trash_bytes", "kind=undo") == 5 })
}

// filer is an NFS server and its API, and the settings for both with a password
// that is in a file of its own.
func filer(t *testing.T, password string) (server *nfstest.Server, sim *simulator.Simulator, passwordFile string, env map[string]string) {
	server = nfstest.New(t)
	server.Mkdir("/docker_vols")
	dir := t.TempDir()
	right, ca := filepath.Join(dir, "right"), filepath.Join(dir, "ca.pem")
	passwordFile = filepath.Join(dir, "password")
	require.NoError(t, os.WriteFile(right, []byte("s3cret-Horse\n"), 0o600))
	require.NoError(t, os.WriteFile(passwordFile, []byte(password+"\n"), 0o600))
	sim, err := simulator.New(simulator.Config{Root: t.TempDir(), SVM: "svm1", Volume: "docker_vols", Junction: "/export/docker_vols", User: "berth", PasswordFile: right, Version: simulatortest.Release(t)})
	require.NoError(t, err)
	t.Cleanup(func() { sim.Close() })
	require.NoError(t, sim.Listen("127.0.0.1:0", ca))
	return server, sim, passwordFile, map[string]string{"BERTH_METRICS": "127.0.0.1:0", "BERTH_EXPORT": server.URL("/docker_vols"),
		"BERTH_ONTAP": sim.Address(), "BERTH_ONTAP_USER": "berth", "BERTH_ONTAP_PASSWORD_FILE": passwordFile, "BERTH_ONTAP_CA": ca}
}

// A wrong password that is tried every minute locks the account.
func TestTheSurveyTriesAPasswordOnce(t *testing.T) {
	_, _, password, env := filer(t, "not-the-Horse")
	s := serve(t, env)
	url := s.metricsURL("")
	s.until(url, "several looks fail", func(m scraped) bool { return m.value("berth_survey_errors_total") >= 5 })
	for range 3 { // clients of their own, that try the password no more
		s.post("Berth.Doctor", `{}`)
		require.Contains(t, s.post("Berth.ONTAPStatus", `{}`), "has another content")
		s.post("Berth.SnapshotList", `{}`)
	}
	got := scrape(t, url)
	require.Equal(t, 1.0, got.value("berth_ontap_requests_total", "method=GET", "code=401"))
	require.Positive(t, got.value("berth_export_size_bytes"), "the space is known all the same")
	require.NoError(t, os.WriteFile(password, []byte("s3cret-Horse\n"), 0o600))
	s.until(url, "it goes on with another", func(m scraped) bool { return m.value("berth_survey_timestamp_seconds") > 0 })
}

func TestMetricsOfNodes(t *testing.T) {
	s := serve(t, map[string]string{"BERTH_METRICS": "127.0.0.1:0"})
	url := s.metricsURL("")
	s.until(url, "the node itself", func(m scraped) bool { return m.value("berth_node_state", "node=n1", "state=live") == 1 })
	beat := func(node, state string) string {
		file := filepath.Join(s.dir, ".berth/nodes", node+".json")
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, `{"version":1,"node":%q,"incarnation":"i","boot":"b","ttl_seconds":3,"state":%q,"health":"ok"}`, node, state), 0o600))
		return file
	}
	beat("n2", "stopped")
	beat("n3", "unattended")
	gone := beat("n4", "up")
	beat("no node", "up")
	s.until(url, "the others are judged", func(m scraped) bool {
		return m.value("berth_node_state", "node=n2", "state=stopped") == 1 && m.value("berth_node_state", "node=n2", "state=expired") == 0 &&
			m.value("berth_node_state", "node=n3", "state=unattended") == 1 && m.value("berth_node_state", "node=n4", "state=expired") == 1
	})
	got := scrape(t, url)
	require.Greater(t, got.value("berth_heartbeat_age_seconds", "node=n4"), 1.0)
	require.Len(t, got.families["berth_heartbeat_age_seconds"].GetMetric(), 4, "a file that no node has made is no node")
	require.NoError(t, os.Remove(gone))
	s.until(url, "a node whose file was removed is forgotten", func(m scraped) bool { return m.value("berth_node_state", "node=n4") == -1 })
}

func TestMetricsOfAFiler(t *testing.T) {
	server, sim, _, env := filer(t, "s3cret-Horse")
	s := serve(t, env)
	url := s.metricsURL("")
	s.ok("Create", map[string]any{"Name": "site1"})
	s.until(url, "the filer was asked", func(m scraped) bool {
		return m.value("berth_survey_timestamp_seconds") > 0 && m.value("berth_ontap_requests_total", "method=GET", "code=200") > 0
	})
	got := scrape(t, url)
	require.Positive(t, got.value("berth_ontap_request_duration_seconds", "method=GET"))
	require.Positive(t, got.value("berth_nfs_round_trip_seconds", "procedure=mkdir"))
	require.Equal(t, 2.0, got.value("berth_nfs_connections_total", "outcome=ok"), "as many as a client has")
	require.Equal(t, 0.0, got.value("berth_survey_errors_total"))
	checkMetrics(t, got)

	require.NoError(t, sim.Close())
	s.until(url, "the API is gone, which is counted", func(m scraped) bool { return m.value("berth_ontap_requests_total", "code=none") > 0 })

	server.On(nfstest.Any, -1, nfstest.Fault{Lose: true})
	s.until(url, "a scrape is answered while the server is silent", func(m scraped) bool { return m.value("berth_nfs_calls_in_flight") > 0 })
	server.Reset()
}

func TestMetricsOfAnExportThatGoesAway(t *testing.T) {
	s := serve(t, map[string]string{"BERTH_METRICS": "127.0.0.1:0"})
	url := s.metricsURL("")
	s.until(url, "it is there", func(m scraped) bool { return m.value("berth_export_reachable") == 1 })
	require.NoError(t, os.Rename(s.dir, s.dir+".away"))
	s.until(url, "it is away", func(m scraped) bool {
		return m.value("berth_export_reachable") == 0 && m.value("berth_survey_errors_total") > 0
	})
	require.NoError(t, os.Rename(s.dir+".away", s.dir))
	s.until(url, "it is back", func(m scraped) bool { return m.value("berth_export_reachable") == 1 })

	require.NoError(t, os.WriteFile(filepath.Join(s.base, "berth.env"), []byte("BERTH_LOG_LEVEL=shout\n"), 0o600))
	require.Eventually(t, func() bool { return strings.Contains(s.about().Health, "BERTH_LOG_LEVEL=shout") }, time.Minute, 10*time.Millisecond)
	s.until(url, "wrong settings end nothing", func(m scraped) bool { return m.value("berth_export_reachable") == 1 })
	require.Equal(t, url, s.about().Metrics, "metrics are served all the same")
}

func TestMetricsAddresses(t *testing.T) {
	for text, want := range map[string]string{"": "", ":9624": ":9624", "[::1]:9624": "[::1]:9624", "localhost:9624": "127.0.0.1:9624", "10.0.0.11:0": "10.0.0.11:0"} {
		got, err := metricsAddress(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got)
	}
}

func TestMetricsAnswerNothingElse(t *testing.T) {
	s := serve(t, map[string]string{"BERTH_METRICS": "localhost:0"})
	url := s.metricsURL("")
	for _, ask := range []struct {
		method, url string
		status      int
	}{{"GET", url, 200}, {"HEAD", url, 200}, {"POST", url, 405}, {"GET", strings.TrimSuffix(url, "metrics"), 404}, {"POST", strings.Replace(url, "metrics", "VolumeDriver.List", 1), 404}} {
		r, err := http.NewRequest(ask.method, ask.url, nil)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		answer.Body.Close()
		require.Equal(t, ask.status, answer.StatusCode, "%s %s", ask.method, ask.url)
	}
}

package ontap_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
)

func TestWrongPassword(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.PasswordFile = filepath.Join(t.TempDir(), "wrong")
	require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte("not-"+password), 0o600))
	_, err := w.newClient(cfg).ClusterInfo(t.Context())
	require.ErrorIs(t, err, fs.ErrPermission)
	require.NotContains(t, err.Error(), password)
	require.Len(t, w.log.matching("GET /api/cluster"), 1, "a password that has not changed is tried once: accounts get locked")
}

func TestPasswordRotation(t *testing.T) {
	w := newWorld(t)
	_, err := w.client.ClusterInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.secret, []byte("another\n"), 0o600))
	_, err = w.client.ClusterInfo(t.Context())
	require.NoError(t, err, "the file is read again on 401")
	_, err = w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "s"})
	require.NoError(t, err)
	// A 401 means that nothing was done, so a change is sent again too.
	require.NoError(t, os.WriteFile(w.secret, []byte("third"), 0o600))
	_, err = w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "s2"})
	require.NoError(t, err)
}

func TestExpiredPassword(t *testing.T) {
	w := newWorld(t)
	w.inject(simulator.Fault{Status: 401, Code: ontap.CodeNotAuthorized, Message: "Password expired."})
	_, err := w.client.SvmList(t.Context())
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "Password expired.")
	_, known := ontap.NeedFor(err)
	require.False(t, known, "no privilege is missing")
}

func TestPasswordFile(t *testing.T) {
	w := newWorld(t)
	for name, content := range map[string]string{"empty": "", "two lines": "a\nb\n", "huge": strings.Repeat("x", 5000)} {
		t.Run(name, func(t *testing.T) {
			cfg := w.config()
			cfg.PasswordFile = filepath.Join(t.TempDir(), "pw")
			require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte(content), 0o600))
			_, err := w.newClient(cfg).ClusterInfo(t.Context())
			require.ErrorContains(t, err, "ontap password file")
		})
	}
	cfg := w.config()
	cfg.PasswordFile = filepath.Join(t.TempDir(), "absent")
	_, err := w.newClient(cfg).ClusterInfo(t.Context())
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestCertificates(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.CAFile = "" // the system's authorities do not know it
	_, err := w.newClient(cfg).ClusterInfo(t.Context())
	require.ErrorContains(t, err, "certificate")
	_, err = w.newClient(cfg).SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "s"})
	require.ErrorContains(t, err, "certificate")
	require.NotErrorIs(t, err, ontap.ErrOutcomeUnknown, "nothing was sent")
	require.Empty(t, w.waits.all(), "no second try helps")

	cfg.Insecure = true
	_, err = w.newClient(cfg).ClusterInfo(t.Context())
	require.NoError(t, err)
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	noPEM := filepath.Join(dir, "no.pem")
	require.NoError(t, os.WriteFile(noPEM, []byte("nothing"), 0o600))
	good := ontap.Config{Address: "filer.example.edu", User: "berth", PasswordFile: "pw"}
	for _, c := range []struct {
		change func(*ontap.Config)
		says   string
	}{
		{func(c *ontap.Config) { c.Address = "" }, "address is not set"},
		{func(c *ontap.Config) { c.Address = "http://filer" }, "must be https"},
		{func(c *ontap.Config) { c.Address = "https://admin:pa55@filer" }, "must not hold a user or password"},
		{func(c *ontap.Config) { c.Address = "https://filer/api/x" }, "more than a host"},
		{func(c *ontap.Config) { c.Address = "https://ad:pa55\x7f@filer" }, "not a host"},
		{func(c *ontap.Config) { c.User = "" }, "user must be set"},
		{func(c *ontap.Config) { c.User = "a:b" }, "no colon"},
		{func(c *ontap.Config) { c.PasswordFile = "" }, "password file is not set"},
		{func(c *ontap.Config) { c.CAFile = filepath.Join(dir, "absent") }, "no such file"},
		{func(c *ontap.Config) { c.CAFile = noPEM }, "no PEM certificate"},
		{func(c *ontap.Config) { c.CAFile, c.Insecure = noPEM, true }, "exclude each other"},
	} {
		cfg := good
		c.change(&cfg)
		_, err := ontap.New(cfg)
		require.ErrorContains(t, err, c.says)
		require.NotContains(t, err.Error(), "pa55")
	}
	c, err := ontap.New(good)
	require.NoError(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		require.Equal(t, "ontap filer.example.edu as berth", fmt.Sprintf(verb, c))
	}
}

func TestNothingSecretInErrors(t *testing.T) {
	w := newWorld(t)
	w.spoiled.Store(true)
	for _, f := range []simulator.Fault{{Drop: true}, {Status: 500}, {Status: 403}, {Body: "<html>" + password}, {Truncate: true}} {
		w.Heal()
		w.inject(f)
		_, err := w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "x", Comment: "private words"})
		for _, verb := range []string{"%v", "%+v", "%#v"} {
			text := fmt.Sprintf(verb, err) + fmt.Sprintf(verb, w.client)
			require.NotContains(t, text, password)
			require.NotContains(t, text, "private words")
			require.NotContains(t, text, "Authorization")
		}
	}
}

func TestTooManyRequests(t *testing.T) {
	w := newWorld(t)
	w.inject(simulator.Fault{Method: "POST", Status: 429, RetryAfter: "7", Times: 1},
		simulator.Fault{Method: "POST", Status: 429, RetryAfter: "Sun, 01 Mar 2026 12:00:30 GMT", Times: 1},
		simulator.Fault{Method: "POST", Status: 429, RetryAfter: "86400", Times: 1})
	w.snapshot("s")
	require.Equal(t, []time.Duration{7 * time.Second, 23 * time.Second, time.Minute}, w.waits.all(),
		"seconds, a date, and no more than a minute")
	w.inject(simulator.Fault{Status: 429})
	_, err := w.client.SvmList(t.Context())
	var e *ontap.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, http.StatusTooManyRequests, e.HTTP, "patience ends")
}

func TestEveryExchangeIsObserved(t *testing.T) {
	w := newWorld(t)
	var seen []string
	cfg := w.config()
	cfg.Observe = func(method string, status int, took time.Duration) {
		require.GreaterOrEqual(t, took, time.Duration(0))
		seen = append(seen, fmt.Sprint(method, " ", status))
	}
	client := w.newClient(cfg)
	w.inject(simulator.Fault{Status: 503, Times: 1})
	_, err := client.ClusterInfo(t.Context())
	require.NoError(t, err)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.ClusterInfo(gone)
	require.Error(t, err)
	require.Equal(t, []string{"GET 503", "GET 200", "GET 0"}, seen)
}

func TestOnlyWhatIsSafeIsRepeated(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   simulator.Fault
		unknown bool
	}{
		{"500", simulator.Fault{Status: 500, Code: "65541"}, false},
		{"503", simulator.Fault{Status: 503, Code: "8"}, false},
		{"502 of a proxy", simulator.Fault{Status: 502}, true},
		{"504 of a proxy", simulator.Fault{Status: 504}, true},
		{"dropped", simulator.Fault{Drop: true}, true},
		{"answer dropped", simulator.Fault{DropAnswer: true}, true},
		{"truncated", simulator.Fault{Truncate: true}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.spoiled.Store(true)
			get, post := c.fault, c.fault
			get.Method, get.Times, get.Path = "GET", 2, "/svm/svms"
			post.Method = "POST"
			w.inject(get, post)
			_, err := w.client.SvmList(t.Context())
			require.NoError(t, err)
			require.Len(t, w.log.matching("GET /api/svm/svms"), 3)
			_, err = w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "s"})
			require.Error(t, err)
			require.Equal(t, c.unknown, errors.Is(err, ontap.ErrOutcomeUnknown))
			require.Len(t, w.log.matching("POST /"), 1)
		})
	}
}

func TestAnswersThatMakeNoSense(t *testing.T) {
	for _, c := range []struct{ body, says string }{
		{"<html>welcome</html>", "not JSON at byte 1"},
		{`[1,2]`, "a JSON array where an object belongs"},
		{`{"records":"none"}`, "is a JSON string"},
		{`{"records":[{"name":7}]}`, "is a JSON number"},
		{`{"records":[{"name":"x"}],"num_records":2}`, "says 2 records and has 1"},
		{`{"records":[{"name":"x"`, "not JSON"},
		{`{"records":[],"_links":{"next":{"href":"https://evil.example.edu/api/svm/svms"}}}`, "leads to another place"},
		{`{"records":[],"_links":{"next":{"href":"//evil.example.edu/api/svm/svms"}}}`, "leads to another place"},
		{`{"records":[],"_links":{"next":{"href":"/api/storage/volumes"}}}`, "leads to another place"},
		{`{"records":[{"name":"x"}],"_links":{"next":{"href":"/api/svm/svms?start.uuid=1"}}}`, "circles"},
	} {
		w := newWorld(t)
		w.spoiled.Store(true)
		w.inject(simulator.Fault{Path: "/svm/svms", Body: c.body})
		_, err := w.client.SvmList(t.Context())
		require.ErrorContains(t, err, c.says, c.body)
	}
	w := newWorld(t)
	w.spoiled.Store(true)
	w.inject(simulator.Fault{Method: "POST", Body: "<html>"})
	_, err := w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "s"})
	require.ErrorIs(t, err, ontap.ErrOutcomeUnknown, "a change whose answer makes no sense may have happened")
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	for i := range 7 {
		w.snapshot(fmt.Sprintf("s%d", i))
	}
	all, err := w.client.SnapshotList(t.Context(), w.volume)
	require.NoError(t, err)
	require.Len(t, all, 7)

	// Pages without a record, then with all.
	w.inject(simulator.Fault{Method: "GET", Path: "/storage/volumes/*/snapshots", EmptyPage: true, Times: 3})
	again, err := w.client.SnapshotList(t.Context(), w.volume)
	require.NoError(t, err)
	require.Equal(t, all, again)

	// Small pages, by offset and by start.
	w.SetPageSize(2)
	again, err = w.client.SnapshotList(t.Context(), w.volume)
	require.NoError(t, err)
	require.Equal(t, all, again)
	require.NotEmpty(t, w.log.matching("offset=4"))
	volumes, err := w.client.ExportGet(t.Context(), "", nil, "/docker_vols")
	require.NoError(t, err)
	require.Equal(t, "docker_vols", volumes.Volume.Name)
}

func TestContext(t *testing.T) {
	w := newWorld(t)
	w.inject(simulator.Fault{Latency: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel) // before, while or after it is sent: all the same
	_, err := w.client.SvmList(ctx)
	require.ErrorIs(t, err, context.Canceled)

	w.Heal()
	w.inject(simulator.Fault{Status: 429})
	ctx, cancel = context.WithCancel(t.Context())
	w.waits.hook = func(int) { cancel() }
	_, err = w.client.SvmList(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestUnreachable(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.Address = "127.0.0.1:1" // nobody listens there
	_, err := w.newClient(cfg).SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "s"})
	require.ErrorContains(t, err, "connection refused")
	require.NotErrorIs(t, err, ontap.ErrOutcomeUnknown, "it was never sent")
	require.NotErrorIs(t, err, fs.ErrNotExist)
}

func TestErrorText(t *testing.T) {
	w := newWorld(t)
	_, err := w.client.VolumeGet(t.Context(), "no-such-uuid")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "ontap: GET /storage/volumes/no-such-uuid: entry doesn't exist (field uuid) [code 4] [http 404]")
}

func TestRedirectIsNotFollowed(t *testing.T) {
	w := newWorld(t)
	other := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the password went elsewhere") }))
	defer other.Close()
	server := httptest.NewTLSServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer server.Close()
	cfg := w.config()
	cfg.Address, cfg.CAFile, cfg.Insecure = server.URL, "", true
	_, err := w.newClient(cfg).ClusterInfo(t.Context())
	require.ErrorContains(t, err, "http status 302 without an ONTAP error")
}

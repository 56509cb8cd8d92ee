package damage

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/plugin"
)

// served is the plugin on an export, and its socket.
type served struct {
	t    *testing.T
	http http.Client
	log  buffer
	stop func()
}

// buffer is a log that is read while it is written.
type buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if *verbose {
		os.Stdout.Write(p)
	}
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func serve(t *testing.T, dir, name, boot string) *served {
	t.Helper()
	base := filepath.Join(filepath.Dir(dir), name)
	require.NoError(t, os.MkdirAll(base, 0o755))
	s := &served{t: t}
	socket := filepath.Join(base, "s")
	env := map[string]string{"BERTH_EXPORT": "file://" + dir, "BERTH_NODE": name, "BERTH_LEASE_TTL": "3s", "BERTH_MOUNT_ROOT": filepath.Join(base, "m")}
	log := logrus.New()
	log.SetOutput(&s.log)
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan error, 1)
	srv := plugin.New(plugin.Config{Socket: socket, Version: "damage", SettingsFile: filepath.Join(base, "berth.env"), Boot: boot, Getenv: func(k string) string { return env[k] }, Log: log})
	go func() { over <- srv.Run(ctx) }()
	s.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	s.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-over:
			require.NoError(t, err)
		case <-time.After(time.Minute):
			t.Fatal("the plugin does not stop")
		}
		s.http.CloseIdleConnections()
		infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(base))
		require.NoError(t, err)
		for _, i := range infos {
			_ = unix.Unmount(i.Mountpoint, unix.MNT_DETACH)
		}
	})
	t.Cleanup(s.stop)
	require.Eventually(t, func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	}, time.Minute, time.Millisecond)
	return s
}

// answerIn bounds the wait for any answer.
const answerIn = 60 * time.Second

// ask sends a request and returns the answer, which is JSON.
func (s *served) ask(route, body string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), answerIn)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://x/"+route, strings.NewReader(body))
	require.NoError(s.t, err)
	a, err := s.http.Do(r)
	require.NoError(s.t, err, "%s %s", route, body)
	defer a.Body.Close()
	data, err := io.ReadAll(a.Body)
	require.NoError(s.t, err, "%s %s", route, body)
	require.Contains(s.t, []int{http.StatusOK, http.StatusInternalServerError}, a.StatusCode, "%s %s: %s", route, body, data)
	for lines := json.NewDecoder(bytes.NewReader(data)); ; {
		var one any
		err := lines.Decode(&one)
		if err == io.EOF {
			break
		}
		require.NoError(s.t, err, "%s %s: %.500s", route, body, data)
	}
	return string(data)
}

func (s *served) must(route, body string) string {
	s.t.Helper()
	a := s.ask(route, body)
	require.NotContains(s.t, a, `"Err":"`+"", "%s %s", route, body)
	return a
}

// restore carries a restore out, to its end.
func (s *served) restore(request string) {
	s.t.Helper()
	id := s.prepare(request)
	require.NotEmpty(s.t, id)
	s.finish(id)
}

func (s *served) prepare(request string) string {
	var j struct{ ID string }
	_ = json.Unmarshal([]byte(s.ask("Berth.RestorePrepare", request)), &j)
	return j.ID
}

func (s *served) finish(id string) {
	body := fmt.Sprintf(`{"id":%q}`, id)
	s.ask("Berth.JobStart", body)
	for range 100 {
		var p struct {
			Over bool
			Err  string
		}
		_ = json.Unmarshal([]byte(s.ask("Berth.JobWait", body)), &p)
		if p.Over || p.Err != "" {
			break
		}
	}
	s.ask("Berth.JobEnd", body)
}

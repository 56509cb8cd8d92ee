package simulator

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func config(t *testing.T) Config {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "vol"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "pw"), []byte("pw"), 0o600))
	return Config{Root: filepath.Join(dir, "vol"), SVM: "svm1", Volume: "v", Junction: "/v", User: "u",
		PasswordFile: filepath.Join(dir, "pw"), StateFile: filepath.Join(dir, "state.json")}
}

func ask(s *Simulator, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.SetBasicAuth("u", "pw")
	s.ServeHTTP(w, r)
	return w
}

func TestStateIsUnchangedByARestart(t *testing.T) {
	cfg := config(t)
	s, err := New(cfg)
	require.NoError(t, err)
	volume, _ := s.UUIDs()
	for _, name := range []string{"s1", "s2"} {
		w := ask(s, "POST", "/api/storage/volumes/"+volume+"/snapshots?return_timeout=60", `{"name":"`+name+`","comment":"c","expiry_time":"2030-01-01T00:00:00Z"}`)
		require.Equal(t, http.StatusCreated, w.Code, w.Body)
	}
	s.Own("s1", "app")
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "twice is once")
	saved, err := os.ReadFile(cfg.StateFile)
	require.NoError(t, err)
	again, err := New(cfg)
	require.NoError(t, err)
	defer again.Close()
	now, err := os.ReadFile(cfg.StateFile)
	require.NoError(t, err)
	require.Equal(t, string(saved), string(now))
	info, err := os.Stat(cfg.StateFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestBadState(t *testing.T) {
	cfg := config(t)
	for content, says := range map[string]string{"{": "state file", `{"format":2}`: "format 2"} {
		require.NoError(t, os.WriteFile(cfg.StateFile, []byte(content), 0o600))
		_, err := New(cfg)
		require.ErrorContains(t, err, says)
	}
}

func TestManyAtOnce(t *testing.T) {
	s, err := New(config(t))
	require.NoError(t, err)
	defer s.Close()
	volume, _ := s.UUIDs()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := string(rune('a' + i/2)) // each name twice: one of them loses
			ask(s, "POST", "/api/storage/volumes/"+volume+"/snapshots?return_timeout=60", `{"name":"`+name+`"}`)
			ask(s, "GET", "/api/storage/volumes/"+volume+"/snapshots?fields=**", "")
			ask(s, "GET", "/api/cluster/jobs?fields=**", "")
		})
	}
	all.Wait()
	w := ask(s, "GET", "/api/storage/volumes/"+volume+"/snapshots?return_records=false", "")
	require.Contains(t, w.Body.String(), `"num_records": 4`)
}

func TestFaultsAreChecked(t *testing.T) {
	s, err := New(config(t))
	require.NoError(t, err)
	defer s.Close()
	for _, f := range []Fault{{Path: "["}, {Job: "explode"}, {Status: 200}, {Times: -1}} {
		require.Error(t, s.Inject(f))
	}
	require.NoError(t, s.Inject(Fault{Path: "/cluster", Status: 500, Skip: 1, Times: 2}))
	var got []int
	for range 4 {
		got = append(got, ask(s, "GET", "/api/cluster", "").Code)
	}
	require.Equal(t, []int{200, 500, 500, 200}, got)
	require.Equal(t, http.StatusNotFound, ask(s, "PUT", "/simulator/other", "").Code)
	require.Equal(t, http.StatusOK, ask(s, "POST", "/simulator/locks", `{"path":"/v/x"}`).Code)
	require.Equal(t, http.StatusBadRequest, ask(s, "POST", "/simulator/locks", `{"path":"x"}`).Code)
	require.Contains(t, ask(s, "GET", "/api/protocols/locks", "").Body.String(), `"path": "/v/x"`)
}

func TestWhoMayAsk(t *testing.T) {
	s, err := New(config(t))
	require.NoError(t, err)
	defer s.Close()
	for _, path := range []string{"/api/cluster", "/simulator/faults", "/api/nonsense"} {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		require.Equal(t, http.StatusUnauthorized, w.Code)
		require.Contains(t, w.Body.String(), "6691623")
		require.NotEmpty(t, w.Header().Get("WWW-Authenticate"))
	}
}

package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
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

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree/treetest"
)

// served is a running server with its export, as dockerd sees it.
type served struct {
	t      *testing.T
	base   string
	dir    string // the export
	env    map[string]string
	socket string
	http   http.Client
	stop   func()
	cancel func()        // begins to stop
	over   chan struct{} // closed when it has stopped
	hangs  bool          // it may stop with an error
	turns  *turns        // instead of the usual ones
	log    *lockedBuffer
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// serve starts a server on a fresh export, with settings changed by env.
func serve(t *testing.T, env map[string]string) *served {
	t.Helper()
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounting needs root")
	}
	base := t.TempDir()
	s := &served{t: t, base: base, dir: filepath.Join(base, "export"), socket: filepath.Join(base, "s.sock"), log: &lockedBuffer{}}
	require.NoError(t, os.Mkdir(s.dir, 0o755))
	s.env = map[string]string{
		"BERTH_EXPORT": "file://" + s.dir, "BERTH_NODE": "n1", "BERTH_LEASE_TTL": "3s",
		"BERTH_MOUNT_ROOT": filepath.Join(base, "mounts"),
	}
	for k, v := range env {
		s.env[k] = v
	}
	t.Cleanup(func() { detachBelow(t, base) })
	s.start()
	return s
}

// detachBelow frees the mounts that a test left under dir.
func detachBelow(t testing.TB, dir string) {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	require.NoError(t, err)
	for _, i := range infos {
		_ = unix.Unmount(i.Mountpoint, unix.MNT_DETACH)
	}
}

func (s *served) start() {
	log := logrus.New()
	log.SetOutput(s.log)
	ctx, cancel := context.WithCancel(context.Background())
	var err error
	s.cancel, s.over = cancel, make(chan struct{})
	over := s.over
	srv := New(Config{Socket: s.socket, Version: "test", SettingsFile: filepath.Join(s.base, "berth.env"),
		Getenv: func(k string) string { return s.env[k] }, Reload: 50 * time.Millisecond, Survey: 50 * time.Millisecond, Log: log})
	if s.turns != nil {
		srv.turns = *s.turns
	}
	go func() {
		defer close(over)
		err = srv.Run(ctx)
	}()
	s.http.Transport = &http.Transport{DisableKeepAlives: true, DialContext: dialUnix(s.socket)}
	s.stop = sync.OnceFunc(func() {
		cancel()
		<-over
		if !s.hangs {
			require.NoError(s.t, err)
		}
	})
	s.t.Cleanup(func() { s.stop() })
	require.Eventually(s.t, func() bool { return knock(s.socket) }, time.Minute, time.Millisecond)
}

// knock tells whether somebody listens.
func knock(socket string) bool {
	c, err := dialUnix(socket)(context.Background(), "", "")
	if err == nil {
		c.Close()
	}
	return err == nil
}

// post sends a body as it is and returns the answer as it is.
func (s *served) post(route, body string) string {
	s.t.Helper()
	r, err := s.http.Post("http://x/"+route, contentType, strings.NewReader(body))
	require.NoError(s.t, err)
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, contentType, r.Header.Get("Content-Type"))
	return string(data)
}

// ok sends a verb that has to succeed and returns its answer.
func (s *served) ok(verb string, req map[string]any) map[string]any {
	s.t.Helper()
	var out map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(s.verb(verb, req)), &out))
	require.NotContains(s.t, out, "Err", "%s %v", verb, req)
	return out
}

// fails sends a verb that has to fail and returns its words.
func (s *served) fails(verb string, req map[string]any) string {
	s.t.Helper()
	var out struct{ Err string }
	require.NoError(s.t, json.Unmarshal([]byte(s.verb(verb, req)), &out))
	require.NotEmpty(s.t, out.Err, "%s %v", verb, req)
	return out.Err
}

func (s *served) verb(verb string, req map[string]any) string {
	s.t.Helper()
	body, err := json.Marshal(req)
	require.NoError(s.t, err)
	return s.post("VolumeDriver."+verb, string(body))
}

// ours lists the mounts below the server's mount root.
func (s *served) ours() []string {
	infos, err := mountinfo.GetMounts(mountinfo.PrefixFilter(filepath.Join(s.base, "mounts")))
	require.NoError(s.t, err)
	var out []string
	for _, i := range infos {
		out = append(out, filepath.Base(i.Mountpoint))
	}
	return out
}

func TestEveryVerbOverTheSocket(t *testing.T) {
	s := serve(t, nil)
	require.JSONEq(t, `{"Implements":["VolumeDriver"]}`, s.post("Plugin.Activate", ""))
	require.JSONEq(t, `{"Capabilities":{"Scope":"global"}}`, s.post("VolumeDriver.Capabilities", "{}"))
	require.JSONEq(t, `{"Volumes":[]}`, s.post("VolumeDriver.List", ""))
	require.Contains(t, s.fails("Get", map[string]any{"Name": "site1"}), `no volume "site1"`)
	for range 2 {
		s.ok("Create", map[string]any{"Name": "site1", "Opts": map[string]string{"mode": "0750"}})
	}
	require.Empty(t, s.ours(), "nothing is mounted before the first Mount")
	require.Equal(t, map[string]any{"Mountpoint": ""}, s.ok("Path", map[string]any{"Name": "site1"}))

	at := s.ok("Mount", map[string]any{"Name": "site1", "ID": "a"})["Mountpoint"].(string)
	require.Equal(t, filepath.Join(s.base, "mounts/export.1/site1"), at)
	require.NoError(t, os.WriteFile(filepath.Join(at, "page"), []byte("hello"), 0o644))
	require.FileExists(t, filepath.Join(s.dir, "site1/page"))
	s.ok("Create", map[string]any{"Name": "site2"})
	for i := range 20 {
		s.ok("Mount", map[string]any{"Name": "site2", "ID": fmt.Sprint(i)})
	}
	require.Equal(t, []string{"export.1"}, s.ours(), "one mount for all")
	require.Equal(t, map[string]any{"Mountpoint": at}, s.ok("Path", map[string]any{"Name": "site1"}))

	vol := s.ok("Get", map[string]any{"Name": "site1"})["Volume"].(map[string]any)
	require.Equal(t, at, vol["Mountpoint"])
	require.NotEmpty(t, vol["CreatedAt"])
	status := vol["Status"].(map[string]any)
	require.Equal(t, "ok", status["health"])
	used := status["used_by"].([]any)
	require.Len(t, used, 1)
	require.Equal(t, "n1", used[0].(map[string]any)["node"])
	require.Equal(t, "0750", status["options"].(map[string]any)["mode"])
	require.Len(t, s.ok("List", nil)["Volumes"], 2)

	for range 2 {
		s.ok("Unmount", map[string]any{"Name": "site1", "ID": "a"})
	}
	for range 2 {
		s.ok("Remove", map[string]any{"Name": "site1"})
	}
	require.Contains(t, s.log.String(), "op=Mount")
	require.Contains(t, s.log.String(), "id=a")
}

func TestBadRequestsGetAClearErrorAndChangeNothing(t *testing.T) {
	s := serve(t, nil)
	s.ok("Create", map[string]any{"Name": "site1"})
	before := tree1(t, s.dir)
	for _, verb := range []string{"Create", "Get", "Remove", "Mount", "Unmount", "Path"} {
		for body, want := range map[string]string{"": "no body", "{": "not JSON", "[]": "not JSON", `{"Name":7}`: "not JSON", "{}": "no name", strings.Repeat(" ", maxBody+1): "too large"} {
			require.Contains(t, s.post("VolumeDriver."+verb, body), want, "%s %.20q", verb, body)
		}
		for _, name := range []string{"..", ".", "a/b", "a\x00b", ".berth", ".snapshot", strings.Repeat("a", 201), ""} {
			require.Contains(t, s.fails(verb, map[string]any{"Name": name, "ID": "x"}), "a name is 1 to 200 letters", "%s %q", verb, name)
		}
	}
	for option, want := range map[string]string{"uid=-1": "valid: uid=", "uid=abc": "valid: uid=", "mode=999": "valid: mode=", "modus=1": "did you mean mode?", "from=none": `no volume "none"`, "help=": "options of a berth volume"} {
		k, v, _ := strings.Cut(option, "=")
		require.Contains(t, s.fails("Create", map[string]any{"Name": "new", "Opts": map[string]string{k: v}}), want)
	}
	require.Equal(t, before, tree1(t, s.dir))
}

// tree1 lists the volumes and their metadata.
func tree1(t *testing.T, dir string) (names []string) {
	for _, d := range []string{dir, filepath.Join(dir, ".berth/volumes"), filepath.Join(dir, ".berth/leases"), filepath.Join(dir, ".berth/trash")} {
		list, err := os.ReadDir(d)
		require.NoError(t, err)
		for _, e := range list {
			names = append(names, filepath.Join(d, e.Name()))
		}
	}
	return names
}

func FuzzRequest(f *testing.F) {
	for _, b := range []string{``, `{}`, `{"Name":"site1","ID":"x"}`, `{"Name":"a/b"}`, `{"Opts":{"uid":"x"}}`, `[`, `{"Name":"site1@x"}`} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, req := range []any{new(createRequest), new(mountRequest), new(getRequest), new(SetRequest)} {
			r, err := http.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
			require.NoError(t, err)
			data, err := io.ReadAll(r.Body)
			if err := unmarshal(data, err, req); err != nil {
				require.Equal(t, problem.Invalid, problem.KindOf(err))
			}
		}
	})
}

func TestViewsCannotBeWrittenAnywhere(t *testing.T) {
	s := serve(t, nil)
	require.NoError(t, os.MkdirAll(filepath.Join(s.dir, ".snapshot/nightly/site1"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, ".snapshot/nightly/site1/page"), []byte("old"), 0o644))
	for range 2 {
		at := s.ok("Mount", map[string]any{"Name": "site1@nightly", "ID": "a"})["Mountpoint"].(string)
		data, err := os.ReadFile(filepath.Join(at, "page"))
		require.NoError(t, err)
		require.Equal(t, "old", string(data))
		require.ErrorIs(t, os.WriteFile(filepath.Join(at, "page"), nil, 0o644), unix.EROFS)
	}
	require.Equal(t, []string{"export.1", "readonly.1"}, s.ours())
	require.Contains(t, s.fails("Mount", map[string]any{"Name": "site1@nightl", "ID": "b"}), "site1@nightly")
}

// dockerd's error for what it cannot copy into an empty view names the path.
func TestThePathOfAnEmptyViewSaysNocopy(t *testing.T) {
	s := serve(t, nil)
	for _, d := range []string{"empty", "full"} {
		require.NoError(t, os.MkdirAll(filepath.Join(s.dir, ".snapshot", d, "site1"), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, ".snapshot/full/site1/page"), []byte("old"), 0o644))
	mount := func(id, version string) string {
		return s.ok("Mount", map[string]any{"Name": "site1@" + version, "ID": id})["Mountpoint"].(string)
	}
	for range 2 {
		at := mount("a", "empty")
		require.Contains(t, at, "/this-version-is-empty--add-:nocopy--1/")
		require.Empty(t, entries(t, at))
		require.ErrorIs(t, os.WriteFile(filepath.Join(at, "page"), nil, 0o644), unix.EROFS)
		require.NotContains(t, mount("b", "full"), "nocopy")
		s.stop()
		s.start()
	}
	require.Equal(t, []string{"export.1", "readonly.1"}, s.ours())
	for _, id := range []string{"a", "a"} {
		s.ok("Unmount", map[string]any{"Name": "site1@empty", "ID": id})
		s.ok("Unmount", map[string]any{"Name": "site1@full", "ID": "b"})
	}
	s.stop()
	require.Empty(t, s.ours())
	for _, left := range entries(t, s.base, "mounts") {
		require.NotContains(t, left, "nocopy")
	}
}

func entries(t *testing.T, parts ...string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(parts...))
	require.NoError(t, err)
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestARestartFindsItsMountAndItsUsers(t *testing.T) {
	s := serve(t, nil)
	s.ok("Create", map[string]any{"Name": "site1"})
	s.ok("Mount", map[string]any{"Name": "site1", "ID": "a"})
	s.stop()
	require.Equal(t, []string{"export.1"}, s.ours(), "in use: the mount stays")
	s.start()
	require.Equal(t, filepath.Join(s.base, "mounts/export.1/site1"), s.ok("Path", map[string]any{"Name": "site1"})["Mountpoint"])
	s.ok("Mount", map[string]any{"Name": "site1", "ID": "b"})
	require.Equal(t, []string{"export.1"}, s.ours(), "no mount on top of another")
	s.ok("Unmount", map[string]any{"Name": "site1", "ID": "a"})
	s.ok("Unmount", map[string]any{"Name": "site1", "ID": "b"})
	s.stop()
	require.Empty(t, s.ours(), "not in use: nothing is left")
}

func TestAnotherExportInItsPlaceIsAnotherGeneration(t *testing.T) {
	s := serve(t, nil)
	s.ok("Create", map[string]any{"Name": "site1"})
	old := s.ok("Mount", map[string]any{"Name": "site1", "ID": "a"})["Mountpoint"].(string)
	// The host mounts the same content again elsewhere: another directory.
	require.NoError(t, os.Rename(s.dir, s.dir+".old"))
	require.NoError(t, os.CopyFS(s.dir, os.DirFS(s.dir+".old")))
	var at string
	require.Eventually(t, func() bool {
		var out struct{ Mountpoint string }
		require.NoError(t, json.Unmarshal([]byte(s.verb("Mount", map[string]any{"Name": "site1", "ID": "b"})), &out))
		at = out.Mountpoint
		return at != ""
	}, 10*time.Second, 100*time.Millisecond)
	require.Equal(t, filepath.Join(s.base, "mounts/export.2/site1"), at)
	require.DirExists(t, old, "a container of the old one goes on")
	// Back again: the first generation is the current one once more.
	require.NoError(t, os.Rename(s.dir, s.dir+".new"))
	require.NoError(t, os.Rename(s.dir+".old", s.dir))
	require.Eventually(t, func() bool {
		return strings.Contains(s.verb("Mount", map[string]any{"Name": "site1", "ID": "c"}), "export.1/site1")
	}, 10*time.Second, 100*time.Millisecond)
	require.Equal(t, old, s.ok("Path", map[string]any{"Name": "site1"})["Mountpoint"])
	s.ok("Unmount", map[string]any{"Name": "site1", "ID": "b"})
	require.Eventually(t, func() bool { return len(s.ours()) == 1 }, 10*time.Second, 20*time.Millisecond, "then it is detached")
}

func TestWithoutAnExportEveryVerbSaysSo(t *testing.T) {
	s := serve(t, map[string]string{"BERTH_EXPORT": ""})
	for _, verb := range []string{"Create", "Get", "List", "Remove", "Mount", "Unmount", "Path"} {
		require.Equal(t, "BERTH_EXPORT is not set; put it in /etc/berth/berth.env", s.fails(verb, map[string]any{"Name": "site1", "ID": "a"}))
	}
	// The file is read again while the server runs.
	require.NoError(t, os.WriteFile(filepath.Join(s.base, "berth.env"), []byte("# settings\nBERTH_EXPORT=\"file://"+s.dir+"\"\n"), 0o600))
	require.Eventually(t, func() bool { return strings.Contains(s.verb("List", nil), `"Volumes":[]`) }, 10*time.Second, 20*time.Millisecond)
	s.ok("Create", map[string]any{"Name": "site1"})
}

func TestSettingsThatAreWrongAreNamed(t *testing.T) {
	for env, want := range map[string]string{
		"BERTH_EXPORT=nfs://filer":         "no path",
		"BERTH_EXPORT=nfs://filer:2049/v":  "?port=2049",
		"BERTH_EXPORT=nfs://filer/v?x=1":   "only port and mountport may be given",
		"BERTH_EXPORT=/srv":                "write nfs://HOST/PATH or file:///DIR",
		"BERTH_EXPORT=file://host/srv":     "write nfs://HOST/PATH or file:///DIR",
		"BERTH_ONTAP_INSECURE=yes":         "write 1, or leave it out",
		"BERTH_EXPORT=file:///":            "is the whole host",
		"BERTH_EXPORT=file:///srv?x=1":     "only id is known",
		"BERTH_LEASE_TTL=ninety":           "such as 90s",
		"BERTH_LEASE_TTL=1s":               "at least 3s",
		"BERTH_LOG_LEVEL=loud":             "write debug, info, warning or error",
		"BERTH_NODE=a/b":                   "a node's name is letters",
		"BERTH_METRICS=9624":               "write IP:PORT, such as 127.0.0.1:9624",
		"BERTH_METRICS=filer:9624":         "write IP:PORT",
		"BERTH_METRICS=127.0.0.1:96240":    "write IP:PORT",
		"BERTH_METRICS=::1:9624":           "write IP:PORT",
		"BERTH_TZ=Local":                   "BERTH_TZ=Local: write a time zone",
		"BERTH_TZ=Mars/Base":               "BERTH_TZ=Mars/Base: write a time zone",
		"BERTH_TZ=CET-1CEST":               "write a time zone",
		"file:BERTH_EXPROT=file:///srv":    "unknown setting BERTH_EXPROT",
		"file:BERTH_EXPORT file:///srv":    "line 1: want NAME=VALUE",
		"file:OTHER=1\nexport BERTH_NODE=": "BERTH_EXPORT is not set",
	} {
		file := filepath.Join(t.TempDir(), "berth.env")
		vars := map[string]string{}
		if text, ok := strings.CutPrefix(env, "file:"); ok {
			require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		} else {
			k, v, _ := strings.Cut(env, "=")
			vars["BERTH_EXPORT"] = "file:///srv"
			vars[k] = v
		}
		_, err := LoadSettings(file, func(k string) string { return vars[k] })
		require.ErrorContains(t, err, want, env)
	}
}

func TestMountOptionsThatWouldHurtAreRefused(t *testing.T) {
	for options, want := range map[string]string{
		"vers=4.1": "only vers=3", "soft,timeo=10": "loses writes", "proto=udp": "only proto=tcp", "addr=1.2.3.4": "the export's URL decides this option", "hard,bg": "for mount.nfs",
	} {
		_, err := LoadSettings(filepath.Join(t.TempDir(), "none"), func(k string) string {
			return map[string]string{"BERTH_EXPORT": "nfs://filer/vol?id=new", "BERTH_MOUNT_OPTIONS": options}[k]
		})
		require.ErrorContains(t, err, want)
	}
	s, err := LoadSettings(filepath.Join(t.TempDir(), "none"), func(k string) string {
		return map[string]string{"BERTH_EXPORT": "nfs://filer/vol/sub?port=2050&id=abc"}[k]
	})
	require.NoError(t, err)
	require.Equal(t, nfs.Target{Host: "filer", Path: "/vol/sub", Port: 2050}, s.NFS)
	require.Equal(t, "abc", s.ExportID)
	m, err := nfs.Target{Host: "127.0.0.1", Path: "/vol", MountPort: 20048}.Kernel(t.Context(), s.MountOptions+",noatime,lock", true)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:/vol", m.Source)
	require.Equal(t, "vers=3,hard,proto=tcp,nolock,mountproto=tcp,mountport=20048,mountaddr=127.0.0.1,addr=127.0.0.1", m.Data)
}

func FuzzSettings(f *testing.F) {
	f.Add("BERTH_EXPORT=file:///srv\n# x\nA=b")
	f.Fuzz(func(t *testing.T, text string) {
		values := map[string]string{"BERTH_EXPORT": "", "BERTH_LEASE_TTL": "90s"}
		_ = parseEnv(text, values)
		require.Len(t, values, 2, "a file cannot invent settings")
	})
}

func TestAnUnknownNameGetsNoAnswerWhileTheExportIsAway(t *testing.T) {
	s := serve(t, nil)
	s.ok("Create", map[string]any{"Name": "known"})
	require.NoError(t, os.Rename(s.dir, s.dir+".away"))
	ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	require.Eventually(t, func() bool {
		return strings.Contains(s.fails("Create", map[string]any{"Name": "x"}), "export")
	}, 5*time.Second, 50*time.Millisecond)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://x/VolumeDriver.Get", strings.NewReader(`{"Name":"unknown"}`))
	require.NoError(t, err)
	_, err = s.http.Do(r)
	require.ErrorIs(t, err, context.DeadlineExceeded, "an error would mean: it does not exist")
	known := s.ok("Get", map[string]any{"Name": "known"})["Volume"].(map[string]any)
	require.Contains(t, known["Status"].(map[string]any)["health"], "unverified")
	require.NoError(t, os.Rename(s.dir+".away", s.dir))
	require.Contains(t, s.fails("Get", map[string]any{"Name": "unknown"}), "no volume")
}

func TestASocketThatIsInUseIsNotTaken(t *testing.T) {
	s := serve(t, nil)
	err := New(Config{Socket: s.socket, Getenv: func(string) string { return "" }}).Run(t.Context())
	require.ErrorContains(t, err, "another berth serve answers there")
	s.ok("List", nil)
}

// TestARefusalIsAnErrorForEveryClient: dockerd reads Err in an answer of status
// 200; podman takes every answer of that status for a success.
func TestARefusalIsAnErrorForEveryClient(t *testing.T) {
	s := serve(t, nil)
	s.ok("Create", map[string]any{"Name": "site"})
	answer := func(route, body, accept string) (int, string) {
		r, err := http.NewRequest(http.MethodPost, "http://x/"+route, strings.NewReader(body))
		require.NoError(t, err)
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
		got, err := s.http.Do(r)
		require.NoError(t, err)
		defer got.Body.Close()
		var failure Failure
		require.NoError(t, json.NewDecoder(got.Body).Decode(&failure))
		return got.StatusCode, failure.Err
	}
	for _, c := range []struct{ route, body string }{
		{"VolumeDriver.Create", `{"Name":"bad","Opts":{"bogus":"1"}}`},
		{"VolumeDriver.Create", `{"Name":"../bad"}`},
		{"VolumeDriver.Create", `{`},
		{"VolumeDriver.Mount", `{"Name":"nosuch","ID":"1"}`},
		{"VolumeDriver.Path", `{"Name":"nosuch"}`},
		{"VolumeDriver.Get", `{"Name":"nosuch"}`},
		{"VolumeDriver.Unmount", `{"Name":"../x","ID":"1"}`},
		{"Berth.TrashRestore", `{"Item":"nosuch"}`},
	} {
		for accept, want := range map[string]int{
			contentType:                      http.StatusOK,
			"text/plain, " + contentType:     http.StatusOK,
			"":                               http.StatusInternalServerError,
			"*/*":                            http.StatusInternalServerError,
			"application/json;charset=utf-8": http.StatusInternalServerError,
		} {
			status, text := answer(c.route, c.body, accept)
			require.Equal(t, want, status, "%s %s, Accept %q", c.route, c.body, accept)
			require.NotEmpty(t, text, "%s %s", c.route, c.body)
		}
	}
	status, text := answer("VolumeDriver.Get", `{"Name":"site"}`, "")
	require.Equal(t, http.StatusOK, status)
	require.Empty(t, text)
}

// TestOneIDIsOneUseUnlessDockerdCounts: dockerd gives one id twice, for docker cp;
// podman has one id for all and counts by itself.
func TestOneIDIsOneUseUnlessDockerdCounts(t *testing.T) {
	s := serve(t, nil)
	s.ok("Create", map[string]any{"Name": "site"})
	ask := func(verb, accept string) {
		r, err := http.NewRequest(http.MethodPost, "http://x/VolumeDriver."+verb, strings.NewReader(`{"Name":"site","ID":"1"}`))
		require.NoError(t, err)
		r.Header.Set("Accept", accept)
		got, err := s.http.Do(r)
		require.NoError(t, err)
		defer got.Body.Close()
		var failure Failure
		require.NoError(t, json.NewDecoder(got.Body).Decode(&failure))
		require.Empty(t, failure.Err)
	}
	used := func() bool {
		var out struct{ Users []cluster.User }
		require.NoError(t, json.Unmarshal([]byte(s.post("Berth.VolumeUsers", `{"name":"site"}`)), &out))
		return len(out.Users) > 0
	}
	for accept, want := range map[string]bool{contentType: true, "*/*": false} {
		ask("Mount", accept)
		ask("Mount", accept)
		ask("Unmount", accept)
		require.Equal(t, want, used(), "Accept: %s", accept)
		ask("Unmount", accept)
		require.False(t, used(), "Accept: %s", accept)
	}
}

package dashboard

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/snapshot/reference"
)

var href = regexp.MustCompile(`href="(/[^"]*)"`)

// follow goes to every address that a page links to, from start on.
func follow(t *testing.T, s *site, start string) map[string]answer {
	seen := map[string]answer{}
	for todo := []string{start}; len(todo) > 0; {
		address := todo[0]
		todo = todo[1:]
		if _, done := seen[address]; done {
			continue
		}
		got := s.get(address)
		require.Equal(t, http.StatusOK, got.StatusCode, "%s: %s", address, got.text)
		seen[address] = got
		if strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
			for _, m := range href.FindAllStringSubmatch(got.text, -1) {
				todo = append(todo, strings.ReplaceAll(m[1], "&amp;", "&"))
			}
		}
	}
	return seen
}

func TestEveryLinkLeadsSomewhereAndNothingIsChanged(t *testing.T) {
	s := smallCluster(t)
	for _, snap := range snapshotDirs(t, s)[3:] { // the same again and again
		require.NoError(t, os.RemoveAll(filepath.Join(s.export, ".snapshot", snap)))
	}
	before, audit := s.everything(), s.berth("Berth.Audit", map[string]any{})
	pages := follow(t, s, "/")
	require.Contains(t, pages, "/volumes/shop_web")
	require.Contains(t, pages, "/volumes/shop_web?measure=1")
	require.Contains(t, pages, "/nodes/node1")
	require.Contains(t, pages, "/?attention=1")
	kinds := map[string]int{}
	for address, got := range pages {
		kinds[strings.TrimPrefix(filepath.Ext(got.Request.URL.Path), ".")]++
		require.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"), address)
		require.Equal(t, "no-referrer", got.Header.Get("Referrer-Policy"))
		csp := got.Header.Get("Content-Security-Policy")
		require.Contains(t, csp, "default-src 'none'")
		require.Contains(t, csp, "frame-ancestors 'none'")
		require.NotContains(t, csp, "unsafe")
		if strings.Contains(address, "/download") {
			require.Contains(t, csp, "sandbox")
			require.Equal(t, "application/octet-stream", got.Header.Get("Content-Type"))
			require.Contains(t, got.Header.Get("Content-Disposition"), "attachment")
			kinds["download"]++
			continue
		}
		if !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
			continue
		}
		for _, m := range regexp.MustCompile(`(?i)<script|<style|\son[a-z]+=|\sstyle=|javascript:|https?://`).FindAllString(got.text, -1) {
			if m != "<script" || strings.Count(got.text, "<script") != 1 || !strings.Contains(got.text, `defer></script>`) {
				require.Fail(t, "a page holds "+m, address)
			}
		}
	}
	require.NotZero(t, kinds["download"])
	require.Subset(t, routes, s.routes(), "what was asked")
	require.ElementsMatch(t, routes, s.routes(), "and all of it is needed")
	require.Equal(t, before, s.everything(), "the export is as it was")
	require.Equal(t, audit, s.berth("Berth.Audit", map[string]any{}))
	t.Logf("%d pages", len(pages))
}

func snapshotDirs(t *testing.T, s *site) (names []string) {
	entries, err := os.ReadDir(filepath.Join(s.export, ".snapshot"))
	require.NoError(t, err)
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != "before-update" {
			names = append(names, e.Name())
		}
	}
	return names
}

func TestNothingButGetIsAnswered(t *testing.T) {
	s := oneVolume(t)
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PURGE"} {
		for _, address := range []string{"/", "/volumes/shop_web", "/events", "/nowhere", "/volumes/shop_web/snapshots/before-update/download?path=index.php"} {
			got := s.get(address, func(r *http.Request) { r.Method = method })
			require.Equal(t, http.StatusMethodNotAllowed, got.StatusCode, "%s %s", method, address)
			require.Equal(t, "GET, HEAD", got.Header.Get("Allow"))
		}
	}
	require.Empty(t, s.routes(), "and nobody was asked")
	head := s.get("/", func(r *http.Request) { r.Method = "HEAD" })
	require.Equal(t, http.StatusOK, head.StatusCode)
	require.Empty(t, head.text)
}

// TestTheSourceNamesNoRouteThatChanges reads this package: the one way to the
// plugin is Client.to, which knows Routes, and the interfaces have no more
// methods than those that read.
func TestTheSourceNamesNoRouteThatChanges(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if text, _ := strconv.Unquote(n.Value); strings.HasPrefix(text, "Berth.") || strings.HasPrefix(text, "VolumeDriver.") {
					require.Contains(t, routes, text, name)
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "plugin" && n.Sel.Name == "NewClient" {
					require.Equal(t, "client.go", name, "only Client speaks to the plugin")
				}
			}
			return true
		})
	}
	var methods []string
	for _, i := range []reflect.Type{reflect.TypeFor[Berth](), reflect.TypeFor[Docker]()} {
		for n := range i.NumMethod() {
			methods = append(methods, i.Method(n).Name)
		}
	}
	require.Equal(t, []string{"About", "Browse", "Cat", "Diff", "Newest", "Snapshots", "Usage", "Users", "Volumes", "Running"}, methods)
	_, err = NewClient(func() (string, error) { return "/nowhere", nil }).to("Berth.TrashPurge")
	require.ErrorContains(t, err, "only reads")
}

func TestOnlyItsOwnNamesAreAnswered(t *testing.T) {
	listen := func(listen string, hosts ...string) func(*Config) {
		return func(c *Config) { c.Listen, c.Hosts, c.BehindProxy = listen, hosts, true }
	}
	for _, c := range []struct {
		listen string
		hosts  []string
		host   string
		ok     bool
	}{
		{"127.0.0.1:8080", nil, "127.0.0.1:8080", true},
		{"127.0.0.1:8080", nil, "localhost:9999", true}, // through ssh -L 9999
		{"127.0.0.1:8080", nil, "[::1]:8080", true},
		{"127.0.0.1:8080", nil, "LOCALHOST", true},
		{"127.0.0.1:8080", nil, "evil.example:8080", false},
		{"127.0.0.1:8080", nil, "127.0.0.1.evil.example", false},
		{"127.0.0.1:8080", nil, "localhost.evil.example", false},
		{"127.0.0.1:8080", nil, "10.1.2.3", false},
		{"10.1.2.3:8080", nil, "10.1.2.3:8080", true},
		{":8080", nil, "10.1.2.3:8080", false},
		{":8080", nil, "", false},
		{":8080", []string{"berth.example.edu"}, "berth.example.edu", true},
		{":8080", []string{"berth.example.edu"}, "Berth.example.edu.:443", true},
		{":8080", []string{"berth.example.edu"}, "other.example.edu", false},
	} {
		cfg := Config{Berth: NewClient(nil), Docker: &canned{}}
		listen(c.listen, c.hosts...)(&cfg)
		s, err := New(cfg)
		require.NoError(t, err)
		require.Equal(t, c.ok, s.mayBeCalled(c.host), "%+v", c)
	}
	s := oneVolume(t)
	got := s.get("/", func(r *http.Request) { r.Host = "evil.example" })
	require.Equal(t, http.StatusMisdirectedRequest, got.StatusCode)
	require.Contains(t, got.text, "--host NAME")
	require.NotContains(t, got.text, "blog")
}

// TestAnOpenStreamDoesNotKeepItRunning ends the server while somebody watches.
func TestAnOpenStreamDoesNotKeepItRunning(t *testing.T) {
	s := oneVolume(t)
	server, err := New(s.server.cfg)
	require.NoError(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	resp, err := http.Get(server.URL(l.Addr()) + "/events")
	require.NoError(t, err)
	defer resp.Body.Close()
	_, err = resp.Body.Read(make([]byte, 1))
	require.NoError(t, err)
	stop()
	require.NoError(t, <-served)
	_, err = io.Copy(io.Discard, resp.Body)
	require.NoError(t, err, "the stream came to an end")
}

func oneVolume(t *testing.T) *site {
	return newSite(t, func(export string) { write(t, export, map[string]string{"blog/index.php": "<?php"}) })
}

func TestListeningBeyondLoopbackTakesTLS(t *testing.T) {
	cert, key := filepath.Join(t.TempDir(), "c.pem"), filepath.Join(t.TempDir(), "k.pem")
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Listen: "127.0.0.1:0"}, ""},
		{Config{Listen: "[::1]:0"}, ""},
		{Config{Listen: "localhost:0"}, ""},
		{Config{Listen: ":8080", BehindProxy: true}, ""},
		{Config{Listen: ":8080"}, "unencrypted"},
		{Config{Listen: "0.0.0.0:8080"}, "unencrypted"},
		{Config{Listen: "node1:8080"}, "unencrypted"},
		{Config{Listen: "8080"}, "no address"},
		{Config{Listen: "127.0.0.1:0", Every: -time.Second}, "too short"},
		{Config{Listen: ":8080", Cert: cert}, "belong together"},
		{Config{Listen: ":8080", Cert: cert, Key: key, BehindProxy: true}, "exclude"},
		{Config{Listen: ":8080", Cert: cert, Key: key}, "read the certificate"},
	} {
		c.cfg.Berth, c.cfg.Docker = NewClient(nil), &canned{}
		_, err := New(c.cfg)
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		u := (*UsageError)(nil)
		require.ErrorAs(t, err, &u)
		require.Contains(t, u.Reason, c.want)
		require.NotEmpty(t, u.Hint)
	}
}

// TestWhatASiteHasInItCannotHarm browses a snapshot with names and contents
// that somebody has made to do harm.
func TestWhatASiteHasInItCannotHarm(t *testing.T) {
	evil := map[string]string{
		`<img src=x onerror=alert(1)>.html`: "<script>alert(1)</script>", "a\nb": "newline", "caf\xe9.txt": "latin-1", "\u202egnp.exe": "turned round",
		"it's $(reboot).txt": "quoted", "-rf": "dash", "100%": "percent", "a?b#c&d=e": "address", "ok.svg": "<svg onload='alert(1)'/>",
	}
	s := newSite(t, func(export string) {
		write(t, export, map[string]string{"blog/index.php": "", "../secret": "outside"})
		write(t, filepath.Join(export, "blog"), evil)
		require.NoError(t, os.Symlink("/etc", filepath.Join(export, "blog/etc")))
		require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(export, "blog/passwd")))
		require.NoError(t, os.MkdirAll(filepath.Join(export, "blog/d\xff/e"), 0o755))
	})
	s.berth("Berth.SnapshotCreate", map[string]any{"name": "nightly"})
	top := "/volumes/blog/snapshots/nightly"
	list := s.get(top)
	require.Equal(t, http.StatusOK, list.StatusCode)
	require.NotContains(t, list.text, "<img src=x")
	require.NotContains(t, list.text, "\u202e", "nothing turns the line round")
	require.Contains(t, list.text, `caf\xe9.txt`)
	require.Contains(t, list.text, "(symlink)")
	for name, content := range evil {
		got := s.get(top + "/download?path=" + url.QueryEscape(name))
		require.Equal(t, http.StatusOK, got.StatusCode, "%q", name)
		require.Equal(t, content, got.text)
		require.Equal(t, "application/octet-stream", got.Header.Get("Content-Type"))
		require.NotContains(t, got.Header.Get("Content-Disposition"), "\n")
		require.Contains(t, list.text, `download?path=`+strings.ReplaceAll(url.QueryEscape(name), "+", "&#43;"))
		view := s.get(top + "?path=" + url.QueryEscape(name))
		require.Equal(t, http.StatusOK, view.StatusCode, "%q", name)
		require.NotContains(t, view.text, "<img src=x")
		require.Regexp(t, `berth snapshot restore (&#39;)?blog@nightly`, view.text)
	}
	require.Contains(t, s.get(top+"?path="+url.QueryEscape("d\xff")).text, "<h1><bdi>&#34;d\\xff&#34;</bdi>")
	require.Contains(t, s.get(top+"?path="+url.QueryEscape("it's $(reboot).txt")).text, `&#39;blog@nightly:it&#39;\&#39;&#39;s $(reboot).txt&#39;</code>`)

	for _, path := range []string{"../secret", "../../../../etc/passwd", "/etc/passwd", "etc/passwd", "passwd/x", "wp/../../secret", "a\x00b", strings.Repeat("x/", 3000), strings.Repeat("x", 300)} {
		for _, what := range []string{"", "/diff", "/download"} {
			got := s.get(top + what + "?path=" + url.QueryEscape(path))
			require.GreaterOrEqual(t, got.StatusCode, 400, "%q", path)
			require.NotContains(t, got.text, "root:")
			require.NotContains(t, got.text, "outside")
		}
	}
	require.Equal(t, http.StatusBadRequest, s.get(top+"/download?path=passwd").StatusCode, "a symlink is not followed")
	for _, snap := range []string{"latest", "-1", "night", "..%2f..", "night%00ly", "nightly:index.php", "a%2Fb"} {
		got := s.get("/volumes/blog/snapshots/" + snap)
		require.Equal(t, http.StatusNotFound, got.StatusCode, "%s: a word is not an address", snap)
	}
	for _, name := range []string{"..", ".berth", ".snapshot", "no", "%3Cb%3E"} {
		require.Contains(t, []int{301, 307, 404}, s.get("/volumes/"+name).StatusCode, name)
	}
	require.Contains(t, []int{400, 404}, s.get("/volumes/.berth/snapshots/nightly").StatusCode)
	require.NotContains(t, s.get("/?name=%22%3E%3Cscript%3E").text, "><script>")
}

// TestAnAddressIsOneSnapshot: its name is taken as it is, also where it reads
// as a word or as a path.
func TestAnAddressIsOneSnapshot(t *testing.T) {
	names := []string{"before:update", "before", "2026-11-12", "2026-11-13", "latest", "@GMT-2026.11.26-10.00.00", "two words", "autosnap_2026-11-27_00:00:01_daily"}
	s := newSite(t, func(export string) {
		write(t, filepath.Join(export, "blog"), map[string]string{"i": "live", "caf\xe9": "live"})
		for _, name := range names {
			write(t, filepath.Join(export, ".snapshot", name, "blog"), map[string]string{"i": name, "caf\xe9": "old"})
		}
	})
	for _, name := range names {
		address := snapshotAddress("blog", name)
		for _, page := range []string{address, address + "/diff?path=caf%E9", address + "?path=i"} {
			require.Equal(t, http.StatusOK, s.get(page).StatusCode, page)
		}
		require.Equal(t, name, s.get(address+"/download?path=i").text)
	}
	require.Equal(t, http.StatusNotFound, s.get(snapshotAddress("blog", "before:updat")).StatusCode)
	soon := time.Now().Add(time.Hour)
	require.True(t, ahead(soon, time.Now()))
	require.False(t, ahead(time.Now(), time.Now()))
	require.Equal(t, `"trail "`, shown("trail "))
	require.Equal(t, `"a\u3164b"`, shown("a\u3164b"))
}

func TestLongDirectoriesComeInPages(t *testing.T) {
	s := newSite(t, func(export string) {
		for i := range entriesAPage*2 + 7 {
			write(t, export, map[string]string{fmt.Sprintf("blog/cache/%05d", i): ""})
		}
	})
	s.berth("Berth.SnapshotCreate", map[string]any{"name": "nightly"})
	address := "/volumes/blog/snapshots/nightly?path=cache"
	var names []string
	for address != "" {
		got := s.get(address)
		for _, m := range regexp.MustCompile(`aria-label="Download (\d{5})"`).FindAllStringSubmatch(got.text, -1) {
			names = append(names, m[1])
		}
		next := regexp.MustCompile(`rel="next" href="([^"]+)"`).FindStringSubmatch(got.text)
		if address = ""; next != nil {
			address = strings.ReplaceAll(next[1], "&amp;", "&")
		}
	}
	require.Len(t, names, entriesAPage*2+7)
	require.True(t, slices.IsSorted(names))
}

func TestLongDiffsAreCountedToTheEnd(t *testing.T) {
	s := newSite(t, func(export string) { write(t, export, map[string]string{"blog/a/x": "1", "blog/b/": ""}) })
	s.berth("Berth.SnapshotCreate", map[string]any{"name": "nightly"})
	require.NoError(t, os.RemoveAll(filepath.Join(s.export, "blog/a")))
	for i := range changesAPage + 20 {
		write(t, s.export, map[string]string{fmt.Sprintf("blog/b/%05d", i): "new", fmt.Sprintf("blog/new/%05d", i): "new"})
	}
	got := s.get("/volumes/blog/snapshots/nightly/diff")
	require.Contains(t, got.text, "directory, 1 name below, 1 B")
	require.Contains(t, got.text, "1,041</b> added")
	require.Regexp(t, `\d+ more are not listed here`, got.text)
	require.Equal(t, changesAPage, strings.Count(got.text, `<td class="what`))
	below := s.get("/volumes/blog/snapshots/nightly/diff?path=b")
	require.Contains(t, below.text, "berth snapshot diff blog@nightly:b</code>")
	require.Contains(t, below.text, "520</b> added")
}

func TestFilesMayBeKeptFromBeingRead(t *testing.T) {
	s := newSite(t, func(export string) { write(t, export, map[string]string{"blog/secret": "password"}) }, func(c *Config) { c.NoDownload = true })
	s.berth("Berth.SnapshotCreate", map[string]any{"name": "nightly"})
	require.NotContains(t, s.get("/volumes/blog/snapshots/nightly").text, "Download")
	require.Equal(t, http.StatusNotFound, s.get("/volumes/blog/snapshots/nightly/download?path=secret").StatusCode)
}

func TestTheFilterIsTheServers(t *testing.T) {
	s := smallCluster(t)
	for query, want := range map[string][]string{
		"?stack=shop": {"shop_db", "shop_web"}, "?stack=sho": {"shop_db", "shop_web"}, "?name=WEB": {"blog_web", "shop_web"}, "?name=blog_db.1": {"blog_db"},
		"?attention=1": {"journal_files"}, "?name=nothing": nil, "?name=web&stack=blog": {"blog_web"}, "?page=99&stack=blog": {"blog_db", "blog_web"}, "?page=-1&name=wiki": {"wiki"},
	} {
		text := s.get("/" + query).text
		var got []string
		for _, m := range regexp.MustCompile(`<th scope="row"><a href="/volumes/([^"]+)"`).FindAllStringSubmatch(text, -1) {
			got = append(got, m[1])
		}
		require.Equal(t, want, got, query)
	}
}

// TestWhatDoesNotAnswerIsNamed hangs the sources: the page comes all the same.
func TestWhatDoesNotAnswerIsNamed(t *testing.T) {
	s := smallCluster(t)
	require.NotContains(t, s.get("/").text, "What does not answer")

	hang := make(chan struct{})
	defer close(hang)
	t.Run("Docker hangs", func(t *testing.T) {
		s.docker.set(func(c *canned) { c.hang = hang })
		require.Eventually(t, func() bool {
			return strings.Contains(s.get("/").text, "<b>the Docker engine</b></span> has not answered")
		}, time.Minute, 100*time.Millisecond)
		require.Contains(t, s.get("/").text, "shop_web.1", "what it said last is shown")
	})
	t.Run("all hangs from the beginning", func(t *testing.T) {
		cfg := s.server.cfg
		cfg.Docker = &canned{hang: hang}
		cfg.Berth = NewClient(func() (string, error) { <-hang; return "", context.Canceled })
		server, err := New(cfg)
		require.NoError(t, err)
		t.Cleanup(server.end)
		w := respond(server, "/")
		require.Contains(t, w, "Nothing is known of it yet")
		require.Contains(t, w, "the berth plugin")
		require.Contains(t, w, "the Docker engine")
	})
	t.Run("no Docker, no plugin", func(t *testing.T) {
		cfg := s.server.cfg
		cfg.Docker = &canned{err: fmt.Errorf("ask Docker: no such file")}
		cfg.Berth = NewClient(func() (string, error) { return "", notThere(version{}) })
		server, err := New(cfg)
		require.NoError(t, err)
		t.Cleanup(server.end)
		w := respond(server, "/")
		require.Contains(t, w, "ask Docker: no such file")
		require.Contains(t, w, "the page of the volume lists its snapshots", "the hint is shown")
		require.Equal(t, 1, strings.Count(w, "no snapshot is named"), "once, not once for each question")
	})
}

// TestOnlyWhileSomebodyWatchesIsAsked opens the stream and closes it.
func TestOnlyWhileSomebodyWatchesIsAsked(t *testing.T) {
	s := smallCluster(t)
	times := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.asked["Berth.VolumeUsers"]
	}
	require.Zero(t, times())
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/events", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	event := func() string {
		buf := make([]byte, 1000)
		n, err := resp.Body.Read(buf)
		require.NoError(t, err)
		return string(buf[:n])
	}
	first := event()
	require.True(t, strings.HasPrefix(first, "event: state\ndata: "), first)
	require.Eventually(t, func() bool { return times() > 3 }, time.Minute, 10*time.Millisecond)
	require.Eventually(t, func() bool { return s.server.world.usage.get().At.After(time.Time{}) }, time.Minute, 10*time.Millisecond)
	for sum := ""; sum != s.server.hub.current(); time.Sleep(300 * time.Millisecond) { // until nothing is new
		sum = s.server.hub.current()
	}
	quiet := s.server.hub.current()
	asked := times()
	require.Eventually(t, func() bool { return times() > asked+5 }, time.Minute, 10*time.Millisecond)
	require.Equal(t, quiet, s.server.hub.current(), "asked, and nothing was new")
	s.docker.set(func(c *canned) { c.cluster.Tasks = nil })
	for got := ""; !strings.Contains(got, "state"); {
		got = event()
	}
	require.Eventually(t, func() bool { return s.server.hub.current() != quiet }, time.Minute, 10*time.Millisecond)

	leave()
	require.Eventually(t, func() bool {
		n := times()
		time.Sleep(400 * time.Millisecond)
		return n == times()
	}, time.Minute, time.Millisecond, "nobody watches, nobody is asked")
}

func respond(s *Server, address string) string {
	w := &recorder{header: http.Header{}}
	r, _ := http.NewRequest(http.MethodGet, "http://localhost"+address, nil)
	s.handler().ServeHTTP(w, r)
	return w.text.String()
}

type recorder struct {
	header http.Header
	text   strings.Builder
}

func (r *recorder) Header() http.Header               { return r.header }
func (r *recorder) WriteHeader(int)                   {}
func (r *recorder) Write(p []byte) (int, error)       { return r.text.Write(p) }
func (r *recorder) WriteString(s string) (int, error) { return io.WriteString(&r.text, s) }

func TestCommandsAreTypedAsTheyAreMeant(t *testing.T) {
	for _, c := range []struct {
		ref              reference.Ref
		kind             string
		command, instead string
	}{
		{reference.Ref{Volume: "site", Snapshot: "nightly"}, "directory", "berth snapshot restore site@nightly --stop", ""},
		{reference.Ref{Volume: "site", Snapshot: "nightly", Path: "wp-config.php"}, "file", "berth snapshot restore site@nightly:wp-config.php", ""},
		{reference.Ref{Volume: "site", Snapshot: "nightly", Path: "wp-content"}, "directory", "berth snapshot restore site@nightly:wp-content --stop", ""},
		{reference.Ref{Volume: "site", Snapshot: "my snap", Path: "a'b"}, "file", `berth snapshot restore 'site@my snap:a'\''b'`, ""},
		{reference.Ref{Volume: "site", Snapshot: "s", Path: "dir/a\nb"}, "file", "berth snapshot restore site@s:dir --stop", "dir"},
		{reference.Ref{Volume: "site", Snapshot: "s", Path: "\xff/b"}, "file", "berth snapshot restore site@s --stop", "the whole volume"},
		{reference.Ref{Volume: "site", Snapshot: "2026-11-20T03", Path: "00"}, "file", "berth snapshot restore site@2026-11-20T03:/00", ""},
		{reference.Ref{Volume: "site", Snapshot: "s", Path: "größe *"}, "file", "berth snapshot restore 'site@s:größe *'", ""},
	} {
		command, instead := restoreCommand(c.ref, c.kind)
		require.Equal(t, c.command, command)
		require.Equal(t, c.instead, instead)
	}
	require.Equal(t, `attachment; filename=index.php`, attachment("index.php"))
	require.Equal(t, `attachment; filename="a_b c.txt"`, attachment("a\"b c.txt"))
	require.Equal(t, `attachment; filename=_.._.._x`, attachment("/../../x"))
	require.Equal(t, "attachment; filename=gr__e.txt; filename*=utf-8''gr%C3%B6%C3%9Fe.txt", attachment("größe.txt"))
	require.Equal(t, "attachment; filename=caf_.txt", attachment("caf\xe9.txt"))
}

func TestASourceIsAskedForATenthOfTheTime(t *testing.T) {
	quick := &feed[int]{every: 3 * time.Second}
	require.Equal(t, 3*time.Second, quick.pause(time.Millisecond, nil))
	require.Equal(t, 20*time.Second, quick.pause(2*time.Second, nil))
	require.Equal(t, 3*time.Second, quick.pause(45*time.Second, io.EOF))
	slow := &feed[int]{every: walkEvery}
	require.Equal(t, failedEvery, slow.pause(time.Millisecond, io.EOF))

	asked := 0
	f := &feed[int]{every: time.Hour, limit: time.Minute, ask: func(context.Context) (int, error) { asked++; return 0, nil }}
	for range 40 {
		<-f.refresh(t.Context())
	}
	require.Equal(t, 1, asked, "40 viewers do not ask 40 times")
}

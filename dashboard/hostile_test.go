package dashboard

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/docker"
	"github.com/casit/berth/text"
)

// evil is what a tenant may name; HEBREW is read from the right, and harmless else.
const (
	evil   = "EVIL\x1b[31m\u009b2J\u0085\u2028\u202egnp\u2066\u200b\u00ad\U000e0041\ufeff\r\x7f\n<b>&\"'`$(id)"
	hebrew = "HEBREWשלום"
)

// Whatever is named how, a page has it as text: nothing that a browser obeys or hides,
// nothing raw in what "Copy" copies, and each name isolated from what is beside it.
func TestNamesAreOnlyTextOnEveryPage(t *testing.T) {
	odd := strings.ReplaceAll(evil, "/", "")
	s := newSite(t, func(export string) {
		write(t, export, map[string]string{"blog/index.php": "", "blog/" + odd: "x", "blog/" + hebrew: "x", "blog/" + odd + ".d/" + hebrew: "x", "blog/\xff\xfe" + hebrew: "x", "gone/x": ""})
	})
	s.berth("Berth.SnapshotCreate", map[string]any{"name": "first", "comment": evil + hebrew})
	for _, name := range []string{odd, hebrew} {
		require.NoError(t, exec.Command("cp", "-a", filepath.Join(s.export, ".snapshot/first"), filepath.Join(s.export, ".snapshot", name)).Run())
	}
	require.NoError(t, os.RemoveAll(filepath.Join(s.export, "blog", odd+".d")))
	write(t, s.export, map[string]string{"blog/new" + odd: "", "blog/new" + hebrew: ""})
	s.docker.set(func(c *canned) {
		c.cluster = docker.Cluster{Swarm: true}
		for _, n := range []string{evil, hebrew, "node1"} {
			c.cluster.Nodes = append(c.cluster.Nodes, docker.Node{Name: n, Role: "worker", State: "ready", Availability: "active", Engine: n})
			c.cluster.Tasks = append(c.cluster.Tasks, docker.Task{ID: n, Name: n, Node: n, Stack: n, Service: n, Image: n, State: "running", Since: time.Now(), Volumes: []string{"blog", n}})
		}
	})
	var all strings.Builder
	seen := map[string]bool{}
	for todo := []string{"/", "/?name=" + url.QueryEscape(hebrew), "/?stack=" + url.QueryEscape(evil), "/volumes/" + url.PathEscape(hebrew), "/nodes/" + url.PathEscape(evil), "/volumes/gone", "/nowhere/" + url.PathEscape(evil)}; len(todo) > 0; {
		address := todo[0]
		todo = todo[1:]
		if seen[address] || strings.HasPrefix(address, "/assets") {
			continue
		}
		seen[address] = true
		got := s.get(address)
		if strings.Contains(address, "/download") {
			requirePlain(t, got.Header.Get("Content-Disposition"), address)
			continue
		}
		requirePlain(t, got.text, address)
		all.WriteString(got.text)
		for _, m := range regexp.MustCompile(`>([^<>]*(?:EVIL|HEBREW)[^<>]*)<`).FindAllStringSubmatchIndex(got.text, -1) {
			before := got.text[max(0, m[0]-200) : m[0]+1]
			tag := before[strings.LastIndexByte(before, '<'):]
			require.Regexp(t, `^<(bdi|title|option|code|a href="/volumes/)`, tag, "%s: a name is not isolated: %s%s", address, before, got.text[m[2]:m[3]])
		}
		for _, m := range href.FindAllStringSubmatch(got.text, -1) {
			todo = append(todo, strings.ReplaceAll(m[1], "&amp;", "&"))
		}
	}
	require.Greater(t, len(seen), 20)
	require.Greater(t, strings.Count(all.String(), "EVIL"), 50)
	require.Greater(t, strings.Count(all.String(), hebrew), 50)
	require.Contains(t, all.String(), `data-copy="berth snapshot`)
}

// requirePlain fails where a text has what is obeyed or hidden.
func requirePlain(t *testing.T, said, where string) {
	t.Helper()
	for part := range strings.SplitSeq(said, "\t") {
		require.Equal(t, text.Visible(part), part, where)
	}
}

// What a download is called comes from the one header, whatever the name is.
func TestADownloadsNameCannotMislead(t *testing.T) {
	for _, name := range []string{evil, hebrew, "a\"; filename=\"b.exe", "a%22b", "..", ".", "größe\u202e.exe", "a\r\nSet-Cookie: x", "\xff", "a;b", "'", "*", strings.Repeat("ü", 300)} {
		said := attachment(name)
		requirePlain(t, said, name)
		require.NotContains(t, said, "\n", name)
		require.Regexp(t, `^attachment; filename=("[^"\\]*"|[^ ;"]+)(; filename\*=utf-8''[A-Za-z0-9%._!#$&+^`+"`"+`|~-]+)?$`, said, "%q", name)
	}
}

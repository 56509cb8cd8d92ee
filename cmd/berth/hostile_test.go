package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/text"
)

// hostileText is what a tenant, a node or a filer may name: a terminal would obey, hide
// or turn around each of its parts, and it looks like a line of berth's.
const hostileText = "a\x1b]52;c;cm0=\x07\x1b[2J\u009b31m\u0085\u2028\u202egnp\u2066\u200b\u00ad\U000e0041\ufeff\r\b\x7f\nberth: hint: EVIL\nEVIL \n"

// requireText fails if out has what a terminal does not show, or a line that
// somebody else began.
func requireText(t *testing.T, out, line string) {
	t.Helper()
	for part := range strings.SplitSeq(out, "\t") {
		require.Equal(t, text.Visible(part), part, "berth %s", line)
	}
	for said := range strings.Lines(out) {
		require.NotRegexp(t, `^(berth: hint: )?EVIL`, said, "berth %s: a name began a line: %.1000s", line, out)
	}
}

// spoil puts hostile texts into all texts of an answer, but for those that are no
// text: times and what is encoded.
func spoil(key string, value any) any {
	switch v := value.(type) {
	case map[string]any:
		for k := range v {
			v[k] = spoil(k, v[k])
		}
	case []any:
		for i := range v {
			v[i] = spoil(key, v[i])
		}
	case string:
		if _, err := time.Parse(time.RFC3339, v); err != nil && !strings.HasSuffix(key, "b64") && key != "Kind" {
			return v + hostileText
		}
	}
	return value
}

// spoiled makes the commands ask a plugin whose every answer is hostile.
func (s *server) spoiled() {
	s.asked = filepath.Join(s.dir, "spoiled")
	l, err := net.Listen("unix", s.asked)
	require.NoError(s.t, err)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "berth"})
	proxy.Transport = &http.Transport{DisableKeepAlives: true, DialContext: s.dial}
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.URL.Path == "/Berth.SnapshotCat" {
			return nil
		}
		defer r.Body.Close()
		var out bytes.Buffer
		for lines := json.NewDecoder(r.Body); ; {
			lines.UseNumber()
			var answer any
			if err := lines.Decode(&answer); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			if err := json.NewEncoder(&out).Encode(spoil("", answer)); err != nil {
				return err
			}
		}
		r.Body, r.ContentLength = io.NopCloser(&out), int64(out.Len())
		r.Header.Set("Content-Length", fmt.Sprint(out.Len()))
		return nil
	}
	srv := &http.Server{Handler: proxy}
	go srv.Serve(l) //nolint:errcheck // ends with the listener
	s.t.Cleanup(func() { srv.Close() })
}

// walked are command lines that come to every route that people read of.
var walked = []string{
	"ls", "ls --size", "ls -q", "volume inspect blog", "volume ps", "ps -q", "volume ps blog", "volume set blog on-remove=retain", "volume repair blog --dry-run", "volume takeover blog --from node1 --yes",
	"volume release blog --yes", "snapshot ls blog", "snapshot ls blog -q", "snapshot ls blog --changes", "snapshot ls", "snapshot ls --stack shop", "snapshot create blog --name fourth", "snapshot rm first --dry-run",
	"snapshot rm first", "snapshot rm blog@first --yes", "check --max-age 1h", "check --max-age 1ns", "snapshot diff blog@first", "snapshot diff blog@first blog@second --name-only --all", "snapshot diff blog@first --content evil",
	"snapshot diff blog@first --content odd", "snapshot diff blog@nope", "versions blog:index.php", "versions blog:index.php -q", "versions --deleted blog", "versions blog:nothing", "versions blog:EVIL", "snapshot cat blog@first:nothing",
	"snapshot restore blog@first --dry-run", "snapshot restore blog@first", "snapshot restore blog@first:EVIL --dry-run", "snapshot restore blog@first --as x --dry-run", "snapshot restore blog@first --yes",
	"undo blog --dry-run", "undo blog --yes", "trash ls", "trash ls -q", "trash restore nope", "trash purge --older 0s --dry-run", "trash purge EVIL --yes", "audit", "audit blog -q", "version", "df", "doctor", "ontap status",
	"import convoy --dry-run", "stack check STACK", "snapshot ls EVIL", "volume inspect EVIL", "volume set blog EVIL", "EVIL", "ls --EVIL", "snapshot create --name EVIL", "snapshot restore blog@EVIL", "check --max-age EVIL", "audit --since EVIL",
	"__complete volume inspect b", "__complete snapshot cat blog@", "proxy render --out DIR --nodes EVIL", "dashboard --listen EVIL", "volume release EVIL", "volume takeover blog --from EVIL", "snapshot diff EVIL EVIL",
}

// hostileShop is a shop whose tenants name as they like.
func hostileShop(t *testing.T) *server {
	s := shop(t)
	name := strings.ReplaceAll(hostileText, "/", "")
	for _, n := range []string{name, "\xff\xfe" + name, " blanks ", "d\u202egnp.exe", "a\u009b31mX", "evil\nberth: hint: EVIL"} {
		s.write("blog/"+n, "x")
		s.write("blog/"+n+".dir/"+n, "x")
		require.NoError(t, os.MkdirAll(filepath.Join(s.export, n), 0o755)) // no volume's name
	}
	s.write("blog/evil", "one\x1b[31m\u009b2J\ttab\u202e\r\n")
	s.must("snapshot", "create", "--name", "third", "--comment", name, "-q")
	s.write("blog/evil", "two\x1b[31m\u009b2J\ttab\u202e\r\n")
	for _, n := range []string{name, "snap\u202e", " snap ", "\xffsnap"} {
		require.NoError(t, exec.Command("cp", "-a", filepath.Join(s.export, ".snapshot/first"), filepath.Join(s.export, ".snapshot", n)).Run())
	}
	s.write("stack.yml", "services:\n  x:\n    image: \"x\\e[31m\\u202e\"\n    volumes: [\"v\\e[2J\\nEVIL:/x\", \"blog:/y\"]\nvolumes:\n  blog: {driver: \"berth\\u202e\", driver_opts: {\"EVIL\\n\\e[1m\": \"x\\e\\nEVIL\"}}\n")
	return s
}

// walk types every command in every form, and returns how much was said.
func (s *server) walk() (lines int) {
	for _, line := range walked {
		for _, form := range []string{"", " --json"} {
			var args []string
			for _, word := range strings.Fields(line + form) {
				word = strings.ReplaceAll(word, "EVIL", hostileText+"\nEVIL")
				word = strings.ReplaceAll(word, "STACK", filepath.Join(s.export, "stack.yml"))
				args = append(args, strings.ReplaceAll(word, "DIR", s.dir))
			}
			got := s.types(args...)
			requireText(s.t, got.out, line+form)
			requireText(s.t, got.err, line+form)
			lines += strings.Count(got.out+got.err, "\n")
			if form == " --json" && !strings.HasPrefix(line, "__") && !strings.HasPrefix(line, "check") && !strings.Contains(line, "--name-only") && !strings.Contains(line, "--content") { // check speaks to Nagios
				for d := json.NewDecoder(strings.NewReader(got.out)); ; {
					var v any
					if err := d.Decode(&v); errors.Is(err, io.EOF) {
						break
					} else {
						require.NoError(s.t, err, "berth %s: %s", line+form, got.out)
					}
				}
			}
		}
	}
	return lines
}

// What a tenant names reaches the terminal as text, in whichever command.
func TestWhatATenantNamesIsOnlyTextOnTheTerminal(t *testing.T) {
	s := hostileShop(t)
	got := s.types("snapshot", "diff", "blog@third", "--content", "evil")
	require.Contains(t, got.out, `-one\x1b[31m\xc2\x9b2J`+"\ttab"+`\xe2\x80\xae\r`)
	got = s.types("snapshot", "cat", "blog:evil")
	require.Equal(t, "two\x1b[31m\u009b2J\ttab\u202e\r\n", got.out, "what goes into a file is the file")
	require.Greater(t, s.walk(), 400)
}

// The same where every text of every answer is hostile: names of nodes, of policies
// and of containers, comments, errors.
func TestWhatThePluginAnswersIsOnlyTextOnTheTerminal(t *testing.T) {
	s := hostileShop(t)
	s.spoiled()
	require.Greater(t, s.walk(), 200)
}

// What is printed names what is there: a name of any bytes goes to the plugin and back.
func TestNamesOfAnyBytesComeBack(t *testing.T) {
	s := shop(t)
	for _, n := range []string{"\xffsnap", "\xfesnap", "s\u202e\x1b"} {
		require.NoError(t, exec.Command("cp", "-a", filepath.Join(s.export, ".snapshot/first"), filepath.Join(s.export, ".snapshot", n)).Run())
		s.write("blog/"+n, n)
		require.Equal(t, "one\n", s.must("snapshot", "cat", "blog@"+n+":index.php"))
		require.Contains(t, s.must("snapshot", "ls", "blog"), text.Quote(n))
		require.Contains(t, s.must("snapshot", "ls", "blog", "-q"), text.Quote("blog@"+n)+"\n")
		require.Contains(t, s.must("snapshot", "diff", "blog@"+n), text.Quote(n))
		require.Equal(t, n, s.must("snapshot", "cat", "blog:"+n))
	}
	for _, line := range strings.Fields(s.must("snapshot", "ls", "blog", "-q")) {
		typed, err := exec.Command("bash", "-c", "printf %s "+line).Output()
		require.NoError(t, err)
		require.Equal(t, "one\n", strings.ReplaceAll(s.must("snapshot", "cat", string(typed)+":index.php"), "two", "one"), line)
	}
	var list []struct {
		Versions []struct {
			Name    string `json:"name"`
			NameB64 []byte `json:"name_b64"`
		} `json:"versions"`
	}
	require.NoError(t, json.Unmarshal([]byte(s.must("snapshot", "ls", "blog", "--json")), &list))
	names := map[string]bool{}
	for _, v := range list[0].Versions {
		if v.NameB64 != nil {
			v.Name = string(v.NameB64)
		}
		names[v.Name] = true
	}
	require.Subset(t, names, map[string]bool{"\xffsnap": true, "\xfesnap": true, "s\u202e\x1b": true, "first": true})
}

// The log is read on a terminal, too.
func TestTheLogHasOnlyText(t *testing.T) {
	s := newServer(t)
	for k, v := range s.env() {
		t.Setenv(k, v)
	}
	ctx, stop := context.WithCancel(t.Context())
	var out, log locked
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"serve"}, nil, &out, &log) }()
	s.answers()
	for _, verb := range []string{"Create", "Mount", "Get", "Remove", "Unmount"} {
		body, err := json.Marshal(map[string]any{"Name": hostileText, "ID": hostileText, "Opts": map[string]string{hostileText: hostileText, "from": "blog@" + hostileText}})
		require.NoError(t, err)
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: s.dial}}
		for _, route := range []string{"VolumeDriver." + verb, "Berth.TrashRestore", "Berth.SnapshotCreate", "Berth." + url.PathEscape(hostileText)} {
			got, err := client.Post("http://x/"+route, "application/json", bytes.NewReader(body))
			require.NoError(t, err)
			answer, err := io.ReadAll(got.Body)
			require.NoError(t, err)
			got.Body.Close()
			var said struct{ Err string }
			if json.Unmarshal(answer, &said) == nil { // which dockerd prints
				requireText(t, said.Err, route)
			}
		}
	}
	stop()
	require.Equal(t, exitDone, <-ended)
	require.Contains(t, log.String(), "op=Create")
	requireText(t, log.String(), "serve")
	require.Empty(t, out.String())
}

// dial connects to the server, whatever the address is.
func (s *server) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", s.socket)
}

// locked is a buffer of a program that still runs.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *locked) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

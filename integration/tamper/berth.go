package tamper

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/snapshot/compare"
)

// binaryVar has the path of the binary in the environment of a test that runs
// in another process.
const binaryVar = "BERTH_TAMPER_BINARY"

// Binary is the real berth, built once for the tests of a process and of those
// that it starts. Clean removes it.
func Binary(t testing.TB) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	if os.Getenv(binaryVar) == "" {
		root, err := lab.Root()
		require.NoError(t, err)
		dir, err := os.MkdirTemp("", "berth-tamper")
		require.NoError(t, err)
		built = dir
		cmd := exec.Command("go", "build", "-o", dir+"/berth", "./cmd/berth")
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.NoError(t, os.Setenv(binaryVar, dir+"/berth"))
	}
	return os.Getenv(binaryVar)
}

var (
	building sync.Mutex // held while the binary is built
	built    string     // its directory, if this process has built it
)

// Clean removes what Binary has built. It is for TestMain.
func Clean() {
	if built != "" {
		_ = os.RemoveAll(built)
	}
}

// Berth is a running `berth serve` and the command line that asks it.
type Berth struct {
	Dir string   // the export, as this machine sees it
	Env []string // of the command line

	tb     testing.TB
	binary string
	socket string
	stop   func()
}

// Serve starts the plugin for an export until the test ends. url is
// BERTH_EXPORT, "" for the directory itself.
func Serve(t testing.TB, dir, url string, env ...string) *Berth {
	t.Helper()
	return ServeUnder(t, nil, dir, url, env...)
}

// ServeUnder is Serve, the plugin started by another program such as setpriv.
func ServeUnder(t testing.TB, program []string, dir, url string, env ...string) *Berth {
	t.Helper()
	work, err := os.MkdirTemp("", "berth") // a socket's path is short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(work) })
	if url == "" {
		url = "file://" + dir
	}
	b := &Berth{Dir: dir, tb: t, binary: Binary(t), socket: work + "/s"}
	b.Env = append(os.Environ(), "BERTH_SOCKET="+b.socket, "TZ=UTC", "LC_ALL=C")
	log, err := os.Create(work + "/log")
	require.NoError(t, err)
	args := slices.Concat(program, []string{b.binary, "serve", "--socket", b.socket})
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "BERTH_EXPORT="+url, "BERTH_NODE=n1", "BERTH_MOUNT_ROOT="+work+"/m", "BERTH_SETTINGS="+work+"/berth.env", "TZ=UTC")
	cmd.Env = append(cmd.Env, env...)
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	b.stop = func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	}
	t.Cleanup(func() {
		b.stop()
		if text, err := os.ReadFile(work + "/log"); err == nil && t.Failed() {
			t.Logf("the plugin: %s", text[max(0, len(text)-3000):])
		}
		log.Close()
	})
	require.Eventually(t, func() bool { return b.verb("List", "{}") == nil }, time.Minute, 20*time.Millisecond, "the plugin answers")
	return b
}

// Verb sends a verb as dockerd does.
func (b *Berth) Verb(verb, body string) {
	b.tb.Helper()
	require.NoError(b.tb, b.verb(verb, body), "%s %s", verb, body)
}

func (b *Berth) verb(verb, body string) error {
	var out struct{ Err string }
	err := b.Ask("VolumeDriver."+verb, body, &out)
	if err == nil && out.Err != "" {
		err = errors.New(out.Err)
	}
	return err
}

// Ask posts a request to the plugin's socket, and decodes the answer.
func (b *Berth) Ask(route, body string, answer any) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.socket)
	}}}
	r, err := client.Post("http://x/"+route, "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	return json.NewDecoder(r.Body).Decode(answer)
}

// Create makes a volume, and returns its directory.
func (b *Berth) Create(name string) string {
	b.tb.Helper()
	b.Verb("Create", fmt.Sprintf(`{"Name":%q}`, name))
	return filepath.Join(b.Dir, name)
}

// Answer is what a command printed, and its exit code.
type Answer struct {
	Stdout, Stderr string
	Code           int
}

// Try runs the command line.
func (b *Berth) Try(args ...string) Answer {
	b.tb.Helper()
	cmd := exec.Command(b.binary, args...)
	var stdout, stderr bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = b.Env, &stdout, &stderr
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		require.NoError(b.tb, err)
	}
	return Answer{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// Run is Try where a failure fails the test. It returns stdout.
func (b *Berth) Run(args ...string) string {
	b.tb.Helper()
	a := b.Try(args...)
	require.Zero(b.tb, a.Code, "berth %q: %s%s", args, a.Stdout, a.Stderr)
	return a.Stdout
}

// Diff is what `berth snapshot diff --json` says: the paths that differ, and
// the counts.
func (b *Berth) Diff(refs ...string) (changes []compare.Change, total compare.Changes) {
	b.tb.Helper()
	out := b.Run(append([]string{"snapshot", "diff", "--json"}, refs...)...)
	lines := json.NewDecoder(strings.NewReader(out))
	for {
		var line struct {
			compare.Change
			Changes *compare.Changes `json:"changes"`
		}
		err := lines.Decode(&line)
		if err == io.EOF {
			return changes, total
		}
		require.NoError(b.tb, err, out)
		if line.Changes != nil {
			total = *line.Changes
		} else {
			changes = append(changes, line.Change)
		}
	}
}

package storm

import (
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
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/job"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot"
)

// needRoot skips a test that mounts.
func needRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		lab.Skip(t, "mounting needs root")
	}
}

// binary builds berth once.
var binary = sync.OnceValues(func() (string, error) {
	root, err := lab.Root()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "berth-storm-")
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, "berth")
	cmd := exec.Command("go", "build", "-o", file, "./cmd/berth")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build berth: %w\n%s", err, out)
	}
	return file, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if file, err := binary(); err == nil {
		os.RemoveAll(filepath.Dir(file))
	}
	os.Exit(code)
}

// node is one node's plugin: a process, with directories of its own on an export
// that nodes share.
type node struct {
	name, dir, export string
	before            []string // the command in front of berth, such as prlimit
	process           *exec.Cmd
	held              []net.Conn // connections that ask nothing
	*plugin.Client
}

// nodeOn is a node that does not run yet. dir is short: it has the socket's name.
func nodeOn(dir, name, export string) *node {
	n := &node{name: name, dir: filepath.Join(dir, name), export: export}
	n.Client = plugin.NewClient(filepath.Join(n.dir, "s"), "tester")
	return n
}

// start runs the plugin until it answers.
func (n *node) start() error {
	file, err := binary()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(n.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append(append([]string{}, n.before...), file, "serve", "--socket", n.Socket)
	n.process = exec.Command(args[0], args[1:]...)
	n.process.Env = append(os.Environ(), "BERTH_EXPORT=file://"+n.export, "BERTH_NODE="+n.name, "BERTH_LEASE_TTL=3s",
		"BERTH_MOUNT_ROOT="+filepath.Join(n.dir, "m"), "BERTH_SETTINGS="+filepath.Join(n.dir, "env"), "BERTH_SOCKET="+n.Socket)
	n.process.Stderr = log
	if err := n.process.Start(); err != nil {
		return err
	}
	// Generous: a plugin that never answers ends here.
	return waitFor(time.Minute, func() error { return n.docker("List", map[string]any{}) })
}

// kill ends the process at once.
func (n *node) kill() {
	if n.process != nil {
		_ = n.process.Process.Kill()
		_ = n.process.Wait()
		n.process = nil
	}
}

// close ends the process and detaches what it has mounted.
func (n *node) close() {
	n.kill()
	mounts, _ := filepath.Glob(filepath.Join(n.dir, "m/*"))
	more, _ := filepath.Glob(filepath.Join(n.dir, "m/.*"))
	for _, m := range append(mounts, more...) {
		_ = unix.Unmount(m, unix.MNT_DETACH)
	}
}

// logged is what it has said.
func (n *node) logged() string {
	text, _ := os.ReadFile(filepath.Join(n.dir, "log"))
	return string(text)
}

// post sends a request as dockerd does and returns the answer as it is.
func (n *node) post(ctx context.Context, route, body string) (string, error) {
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", n.Socket)
	}}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://x/"+route, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	r.Header.Set("Accept", "application/vnd.docker.plugins.v1.2+json, application/vnd.docker.plugins.v1.1+json")
	answer, err := c.Do(r)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	return string(data), err
}

// docker is one of dockerd's verbs.
func (n *node) docker(verb string, req any) error {
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	answer, err := n.post(ctx, "VolumeDriver."+verb, string(body))
	if err != nil {
		return err
	}
	f := &plugin.Failure{}
	if err := json.Unmarshal([]byte(answer), f); err != nil {
		return err
	}
	if f.Err != "" {
		return f
	}
	return nil
}

// ask is one of the command line's calls.
func (n *node) ask(route string, req, resp any) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return n.Call(ctx, "Berth."+route, req, resp)
}

// restore plans a restore or an undo and carries it out.
func (n *node) restore(r snapshot.RestoreRequest) error {
	var plan snapshot.Plan
	if err := n.ask("RestorePlan", r, &plan); err != nil || !plan.Any() {
		return err
	}
	var j job.Job
	if err := n.ask("RestorePrepare", plugin.PrepareRequest{Plan: &plan, Request: r}, &j); err != nil {
		return err
	}
	return n.complete(&j)
}

// complete carries a job out to its end.
func (n *node) complete(j *job.Job) error {
	if err := n.ask("JobStart", plugin.JobRequest{ID: j.ID}, &plugin.Empty{}); err != nil {
		return err
	}
	for {
		var p plugin.JobProgress
		if err := n.ask("JobWait", plugin.JobRequest{ID: j.ID}, &p); err != nil {
			return err
		}
		if p.Over {
			return n.ask("JobEnd", plugin.JobRequest{ID: j.ID}, &plugin.Empty{})
		}
	}
}

// notInUse tries until nothing else is under way: the plugin itself may be looking
// at what was left.
func notInUse(try func() error) error {
	var last error
	_ = waitFor(time.Minute, func() error {
		last = try()
		if kindOf(last) == problem.InUse {
			return last
		}
		return nil
	})
	return last
}

// kindOf is what the plugin says of which kind an error is, "" for other errors.
func kindOf(err error) problem.Kind {
	if f := (*plugin.Failure)(nil); errors.As(err, &f) {
		return f.Kind
	}
	return ""
}

// waitFor tries until there is no error, or returns the last one.
func waitFor(most time.Duration, try func() error) error {
	for end := time.Now().Add(most); ; time.Sleep(10 * time.Millisecond) {
		err := try()
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// run starts a node and closes it at the test's end.
func run(t *testing.T, n *node) *node {
	t.Helper()
	t.Cleanup(n.close)
	require.NoError(t, n.start())
	return n
}

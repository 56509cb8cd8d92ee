package lab

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// initVar carries an initSpec to the first process of a namespace.
const initVar = "BERTH_LAB_INIT"

// An initSpec tells the test binary, started again as the first process of a
// node or of the lab's network, what to be.
type initSpec struct {
	Stage       string // "switch", "node" or "engine", in which "node" ends
	Dir         string // the node's directory, as the machine sees it
	Cgroup      string
	Hostname    string
	Export      string // directory to show at /srv/berth; empty: none there
	LiveRestore bool
}

// Main runs the tests of a package that uses labs, and removes what they had
// on the machine. It is also where the first processes of nodes begin.
func Main(m *testing.M) {
	if spec := os.Getenv(initVar); spec != "" {
		if err := runInit(spec); err != nil {
			fmt.Printf("error: %v\n", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	code := m.Run()
	for _, f := range atExit {
		f()
	}
	if err := closeRun(); err != nil {
		fmt.Fprintln(os.Stderr, "lab: remove this run:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// atExit is called when the tests have ended; see AtExit.
var atExit []func()

// AtExit registers what has to end after the tests and before what this run
// has on the machine is removed. It must not be called concurrently.
func AtExit(f func()) { atExit = append(atExit, f) }

func runInit(text string) error {
	var spec initSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	switch spec.Stage {
	case "switch":
		// Holds its network namespace until the test process is gone.
		fmt.Println("ok")
		_, err := io.Copy(io.Discard, os.Stdin)
		return err
	case "node":
		return enterNode(spec)
	case "engine":
		return runNode(spec)
	}
	return fmt.Errorf("unknown stage %q", spec.Stage)
}

// enterNode moves into the node's control group, makes it the root of a
// control group namespace and goes on as runNode. The namespace belongs to one
// thread, so the way there is to execute anew from that very thread.
func enterNode(spec initSpec) error {
	runtime.LockOSThread()
	if err := enterCgroup(spec.Cgroup); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare control groups: %w", err)
	}
	spec.Stage = "engine"
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return unix.Exec(self, os.Args, append(nodeEnv(), initVar+"="+spec.encode()))
}

func (s initSpec) encode() string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and booleans only
	}
	return string(text)
}

// runNode is the node's pid 1: it builds the node's view of the machine, then
// takes one command per line, answers each with one line, and reaps orphans.
// The end of its input is the end of the node.
func runNode(spec initSpec) error {
	if err := buildView(spec); err != nil {
		return err
	}
	engine := newEngine(spec)
	fmt.Println("ok")

	commands := bufio.NewScanner(os.Stdin)
	for commands.Scan() {
		var err error
		switch commands.Text() {
		case "start":
			err = engine.start()
		case "check":
			err = engine.check()
		case "stop":
			err = engine.end(unix.SIGTERM)
		case "kill":
			err = engine.end(unix.SIGKILL)
		default:
			err = fmt.Errorf("unknown command %q", commands.Text())
		}
		if err != nil {
			fmt.Println("error:", strings.ReplaceAll(err.Error(), "\n", " "))
			continue
		}
		fmt.Println("ok")
	}
	return commands.Err()
}

// An engine is the node's dockerd. As pid 1 inherits every orphan, children
// are waited for in one place and never through os/exec.
type engine struct {
	spec initSpec

	mu    sync.Mutex // guards pid and ended
	pid   int        // 0: none runs
	ended chan struct{}
}

func newEngine(spec initSpec) *engine {
	e := &engine{spec: spec}
	deaths := make(chan os.Signal, 1)
	signal.Notify(deaths, unix.SIGCHLD)
	go func() {
		for range deaths {
			e.reap()
		}
	}()
	return e
}

func (e *engine) reap() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		if pid == e.pid {
			e.pid = 0
			close(e.ended)
		}
	}
}

func (e *engine) start() error {
	program, err := exec.LookPath("dockerd")
	if err != nil {
		return err
	}
	log, err := os.OpenFile(e.spec.Dir+"/dockerd.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()

	e.mu.Lock() // no reaping between the start and the note of its pid
	defer e.mu.Unlock()
	if e.pid != 0 {
		return fmt.Errorf("dockerd runs already")
	}
	p, err := os.StartProcess(program, []string{program,
		"--config-file", "/etc/docker/daemon.json",
		"--data-root", e.spec.Dir + "/data",
		"--host", "unix:///run/docker.sock",
		"--pidfile", "/run/docker.pid",
	}, &os.ProcAttr{Env: nodeEnv(), Files: []*os.File{nil, log, log}})
	if err != nil {
		return err
	}
	e.pid, e.ended = p.Pid, make(chan struct{})
	return p.Release()
}

// check says whether dockerd runs.
func (e *engine) check() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pid == 0 {
		return fmt.Errorf("dockerd does not run")
	}
	return nil
}

// end signals dockerd and waits until it has ended.
func (e *engine) end(sig unix.Signal) error {
	if err := e.check(); err != nil {
		return err
	}
	e.mu.Lock()
	pid, ended := e.pid, e.ended
	e.mu.Unlock()
	if err := unix.Kill(pid, sig); err != nil {
		return err
	}
	<-ended
	return nil
}

// nodeEnv is the environment of all that runs in a node.
func nodeEnv() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"}
}

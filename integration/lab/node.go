package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A Node is one machine of the lab, as far as a Docker engine can tell.
type Node struct {
	Name    string // host name: n1, n2, …
	Address string // on the lab's network

	lab    *Lab
	dir    string
	cgroup string

	init     *child // nil: the power is off
	noExport bool
}

func (l *Lab) newNode(number int, cgroup string) (*Node, error) {
	name := fmt.Sprintf("n%d", number)
	n := &Node{Name: name, Address: address(number), lab: l,
		dir: filepath.Join(l.dir, name), cgroup: cgroup}
	return n, os.MkdirAll(n.dir+"/data", 0o755)
}

// Boot switches the node on and waits until its engine answers.
func (n *Node) Boot() error {
	if n.init != nil {
		return fmt.Errorf("is on already")
	}
	spec := initSpec{Stage: "node", Dir: n.dir, Cgroup: n.cgroup, Hostname: n.Name, LiveRestore: n.lab.options.LiveRestore}
	if !n.noExport {
		spec.Export = n.lab.Export
	}
	var err error
	n.init, err = n.lab.spawn(spec, unix.CLONE_NEWNS|unix.CLONE_NEWUTS|unix.CLONE_NEWPID|unix.CLONE_NEWNET|unix.CLONE_NEWIPC)
	if err != nil {
		return err
	}
	if err := n.lab.connect(n); err != nil {
		return err
	}
	return n.startEngine()
}

// Kill9 is a power failure: everything on the node is gone at once. Its kernel,
// which is the machine's, still tells the peers that connections have ended.
func (n *Node) Kill9() error {
	if n.init == nil {
		return nil
	}
	n.init.kill()
	n.init = nil
	return n.lab.disconnect(n)
}

// RestartEngine ends dockerd alone, politely (SIGTERM) or not (SIGKILL), and
// starts it again. Everything else on the node stays.
func (n *Node) RestartEngine(sig unix.Signal) error {
	if err := n.StopEngine(sig); err != nil {
		return err
	}
	return n.startEngine()
}

// StopEngine ends dockerd alone.
func (n *Node) StopEngine(sig unix.Signal) error {
	command := "stop"
	if sig == unix.SIGKILL {
		command = "kill"
	}
	return n.init.do(command)
}

func (n *Node) startEngine() error {
	if err := n.init.do("start"); err != nil {
		return err
	}
	var exited error
	err := waitFor("the engine to answer", func() error {
		if exited = n.init.do("check"); exited != nil {
			return nil // it never will
		}
		return n.ping()
	})
	if err = errors.Join(err, exited); err != nil {
		return fmt.Errorf("%w\n%s", err, n.engineLog())
	}
	return nil
}

// StartEngine starts a stopped dockerd and waits until it answers.
func (n *Node) StartEngine() error { return n.startEngine() }

func (n *Node) socket() string { return filepath.Join(n.dir, "run", "docker.sock") }

func (n *Node) ping() error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", n.socket())
		},
	}}
	answer, err := client.Get("http://engine/_ping")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the engine answers %s", answer.Status)
	}
	return nil
}

// Docker runs the docker command line against the node's engine and returns
// what it printed, without the last newline. It fails the test if docker does.
func (n *Node) Docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := n.TryDocker(args...)
	if err != nil {
		t.Fatalf("%s: %v", n.Name, err)
	}
	return out
}

// TryDocker is Docker where a failure is part of the story. The error holds
// what docker printed on its error output.
func (n *Node) TryDocker(args ...string) (string, error) {
	return output(n.dockerCommand(args...))
}

func (n *Node) dockerCommand(args ...string) *exec.Cmd {
	cmd := exec.Command("docker", args...)
	// The legacy builder is the one that an engine of every age has built in.
	cmd.Env = append(nodeEnv(), "DOCKER_HOST=unix://"+n.socket(), "DOCKER_CONFIG="+n.lab.dir, "DOCKER_BUILDKIT=0")
	return cmd
}

// Run runs a program of the machine inside the node.
func (n *Node) Run(args ...string) (string, error) { return output(n.Command(args...)) }

// Command is a program of the machine that will run inside the node, where the
// engine's socket is at its usual place.
func (n *Node) Command(args ...string) *exec.Cmd {
	enter := []string{"-t", fmt.Sprint(n.init.pid()), "-m", "-n", "-u", "-p", "--"}
	cmd := exec.Command("nsenter", append(enter, args...)...)
	cmd.Env = append(nodeEnv(), "DOCKER_CONFIG="+n.lab.dir)
	return cmd
}

func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), err
}

// engineLog is the end of what dockerd wrote.
func (n *Node) engineLog() string {
	text, _ := os.ReadFile(n.dir + "/dockerd.log")
	return string(text[max(0, len(text)-8000):])
}

func (l *Lab) logEngines(t testing.TB) {
	for _, n := range l.Nodes {
		t.Logf("end of dockerd's log on %s:\n%s", n.Name, n.engineLog())
	}
}

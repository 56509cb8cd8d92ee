package uml

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// An Agent runs programs where the test itself cannot: on a host, or in the
// room. Its methods are called by net/rpc.
type Agent struct {
	mu      sync.Mutex // guards running
	running map[int]*exec.Cmd
}

func newAgent() *Agent { return &Agent{running: map[int]*exec.Cmd{}} }

// A Command is a program to run.
type Command struct {
	Args  []string
	Stdin string
	Log   string // of Start: file for what the program prints
	// PIDNamespace makes the program the first process of a namespace, so that
	// nothing that it started outlives it.
	PIDNamespace bool
}

// A Result is what a program that has ended left.
type Result struct {
	Stdout, Stderr string
	Code           int
}

// error says how the program failed, if it did.
func (r Result) error(args []string) error {
	if r.Code == 0 {
		return nil
	}
	return &ExitError{Args: args, Result: r}
}

// An ExitError is the failure of a program on a host.
type ExitError struct {
	Args []string
	Result
}

func (e *ExitError) Error() string {
	return fmt.Sprintf("%s: exit code %d: %s%s", strings.Join(e.Args, " "), e.Code,
		strings.TrimSpace(e.Stdout), strings.TrimSpace(e.Stderr))
}

func (c Command) cmd() *exec.Cmd {
	cmd := exec.Command(c.Args[0], c.Args[1:]...)
	cmd.Env = systemEnv()
	if c.Stdin != "" {
		cmd.Stdin = strings.NewReader(c.Stdin)
	}
	return cmd
}

// Run runs a program to its end.
func (a *Agent) Run(c Command, r *Result) error {
	cmd := c.cmd()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = time.Second // what it left in the background must not hold the answer
	err := cmd.Run()
	r.Stdout, r.Stderr = strings.TrimSuffix(stdout.String(), "\n"), stderr.String()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.Code = exit.ExitCode()
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		return err
	}
	return nil
}

// Start starts a program that goes on running.
func (a *Agent) Start(c Command, pid *int) error {
	cmd := c.cmd()
	cmd.Env = append(cmd.Env, "TMPDIR=/dev/shm") // see runRoom
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if c.PIDNamespace {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
	}
	if c.Log != "" {
		log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	*pid = cmd.Process.Pid
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running[*pid] = cmd
	return nil
}

// A Signal is for a program that Start started.
type Signal struct {
	PID    int
	Signal syscall.Signal
	Wait   bool // until the program has ended
}

// Send sends a signal.
func (a *Agent) Send(s Signal, _ *struct{}) error {
	a.mu.Lock()
	cmd := a.running[s.PID]
	a.mu.Unlock()
	if cmd == nil {
		return fmt.Errorf("no program %d runs", s.PID)
	}
	err := cmd.Process.Signal(s.Signal)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	if err == nil && s.Wait {
		_ = cmd.Wait()
		a.mu.Lock()
		delete(a.running, s.PID)
		a.mu.Unlock()
	}
	return err
}

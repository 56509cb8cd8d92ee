package lab

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// A child is the first process of a namespace, seen from the test: lines in,
// one answer each. Closing its input ends it.
type child struct {
	cmd     *exec.Cmd
	input   io.WriteCloser
	answers *bufio.Reader
}

// spawn starts the test binary as the first process of new namespaces and
// waits until it is ready.
func (l *Lab) spawn(spec initSpec, namespaces uintptr) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(spec.Dir+"/init.log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(self)
	cmd.Args = []string{"berth-lab-" + spec.Hostname}
	cmd.Env = append(nodeEnv(), initVar+"="+spec.encode())
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Hostname, err)
	}
	c := &child{cmd: cmd, input: input, answers: bufio.NewReader(output)}
	p, err := identify(c.pid())
	if err == nil {
		err = l.run.record(p)
	}
	if err == nil {
		err = c.answer()
	}
	if err != nil {
		c.kill()
		return nil, fmt.Errorf("start %s: %w", spec.Hostname, err)
	}
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// do sends a command and waits for its answer.
func (c *child) do(command string) error {
	if _, err := fmt.Fprintln(c.input, command); err != nil {
		return err
	}
	return c.answer()
}

func (c *child) answer() error {
	line, err := c.answers.ReadString('\n')
	if err != nil {
		return fmt.Errorf("no answer: %w", err)
	}
	if line = strings.TrimSpace(line); line != "ok" {
		return fmt.Errorf("%s", strings.TrimPrefix(line, "error: "))
	}
	return nil
}

// kill ends the process and with it its pid namespace, and waits until the
// kernel has ended everything in there.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

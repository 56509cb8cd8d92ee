package lab

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A process is a pid and when it started: a pid alone may by now belong to
// somebody else.
type process struct {
	pid   int
	start string // clock ticks since boot, field 22 of /proc/PID/stat
}

// identify reads the start time of a running process.
func identify(pid int) (process, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	// The second field is the program's name in parentheses and may hold
	// anything, so fields are counted from its end.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return process{}, fmt.Errorf("/proc/%d/stat: %d fields after the name", pid, len(fields))
	}
	return process{pid: pid, start: string(fields[19])}, nil
}

func (p process) String() string { return fmt.Sprintf("%d.%s", p.pid, p.start) }

// parseProcess is the reverse of String.
func parseProcess(s string) (process, bool) {
	pid, start, ok := strings.Cut(strings.TrimSpace(s), ".")
	n, err := strconv.Atoi(pid)
	return process{pid: n, start: start}, ok && err == nil && n > 1
}

func (p process) alive() bool {
	now, err := identify(p.pid)
	return err == nil && now == p
}

// kill ends the process if it is still the same one, and waits until it is
// gone or a zombie that only its parent can reap.
func (p process) kill() {
	if !p.alive() {
		return
	}
	_ = unix.Kill(p.pid, unix.SIGKILL)
	_ = waitFor("the end of process "+p.String(), func() error {
		if p.alive() && !p.zombie() {
			return fmt.Errorf("still there")
		}
		return nil
	})
}

func (p process) zombie() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	if err != nil {
		return false
	}
	state := bytes.TrimSpace(stat[bytes.LastIndexByte(stat, ')')+1:])
	return len(state) > 0 && state[0] == 'Z'
}

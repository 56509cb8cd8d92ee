package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// base holds one directory per test process, named PID.START. It is on a real
// filesystem, as engines keep their layers below it, and short, because the
// path of a unix socket holds 107 bytes.
const base = "/var/tmp/berth-lab"

// A run is what this test process has on the machine: the directory, and the
// control group berth-lab.PID.START.
type run struct {
	dir    string
	cgroup string

	mu    sync.Mutex // guards labs and the file pids
	labs  int
	procs []process
}

// thisRun makes the run of this process, once, after removing what earlier
// runs that are no longer alive left.
var thisRun = sync.OnceValues(func() (*run, error) {
	if err := RemoveLeftovers(); err != nil {
		return nil, err
	}
	self, err := identify(os.Getpid())
	if err != nil {
		return nil, err
	}
	r := &run{dir: filepath.Join(base, self.String()), cgroup: "berth-lab." + self.String()}
	begun.Store(r)
	return r, os.MkdirAll(r.dir, 0o755)
})

// begun is what thisRun made, if it was ever asked to.
var begun atomic.Pointer[run]

// closeRun removes everything that this process has on the machine.
func closeRun() error {
	r := begun.Load()
	if r == nil {
		return nil
	}
	return removeRun(r.dir)
}

// newLab numbers a lab and makes its directory.
func (r *run) newLab() (dir, cgroup string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.labs++
	dir = filepath.Join(r.dir, fmt.Sprint(r.labs))
	return dir, fmt.Sprintf("%s/%d", r.cgroup, r.labs), os.Mkdir(dir, 0o755)
}

// record notes a process of ours, so that a later run can end it.
func (r *run) record(p process) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.procs = append(r.procs, p)
	var lines strings.Builder
	for _, p := range r.procs {
		fmt.Fprintln(&lines, p)
	}
	return os.WriteFile(filepath.Join(r.dir, "pids"), []byte(lines.String()), 0o644)
}

// RemoveLeftovers removes the runs whose test process is gone. Each run does so
// when it begins.
func RemoveLeftovers() error {
	entries, err := os.ReadDir(base)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	var failed []error
	for _, e := range entries {
		owner, ok := parseProcess(e.Name())
		if !ok || owner.alive() {
			continue
		}
		failed = append(failed, removeRun(filepath.Join(base, e.Name())))
	}
	return errors.Join(failed...)
}

// removeRun ends what a run recorded and is still the same process, then
// removes its control groups and its directory. No mount of a node reaches the
// machine's own mount namespace, so nothing has to be unmounted.
func removeRun(dir string) error {
	recorded, _ := os.ReadFile(filepath.Join(dir, "pids"))
	for line := range strings.Lines(string(recorded)) {
		if p, ok := parseProcess(line); ok {
			p.kill()
		}
	}
	err := removeCgroup("berth-lab." + filepath.Base(dir))
	return errors.Join(err, os.RemoveAll(dir))
}

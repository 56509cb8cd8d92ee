package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Options of a lab; the zero value is one node with an export.
type Options struct {
	Nodes       int  // how many; 0 means 1
	LiveRestore bool // containers outlive their engine; not for a swarm
}

// A Lab is some nodes on one network with one export.
type Lab struct {
	Export string // the shared export, as the machine sees it
	Nodes  []*Node

	run     *run
	dir     string
	options Options
	network *child
}

// New starts a lab that ends with the test, or skips the test where no lab can
// run.
func New(t testing.TB, o Options) *Lab {
	t.Helper()
	Require(t)
	l, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			l.logEngines(t)
		}
		if err := l.Close(); err != nil {
			t.Errorf("close the lab: %v", err)
		}
	})
	return l
}

// Start starts a lab that lives until Close, or until Main ends.
func Start(o Options) (*Lab, error) {
	r, err := thisRun()
	if err != nil {
		return nil, err
	}
	dir, cgroup, err := r.newLab()
	if err != nil {
		return nil, err
	}
	l := &Lab{run: r, dir: dir, options: o, Export: filepath.Join(dir, "export")}
	if err := os.Mkdir(l.Export, 0o700); err != nil {
		return nil, err
	}
	if err := l.startNetwork(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	for i := range max(1, o.Nodes) {
		n, err := l.newNode(i+1, fmt.Sprintf("%s/n%d", cgroup, i+1))
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
		l.Nodes = append(l.Nodes, n)
	}
	if err := l.EachNode((*Node).Boot); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Node is the node of that name, nil for none.
func (l *Lab) Node(name string) *Node {
	for _, n := range l.Nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// EachNode does the same on all nodes at once and joins their errors.
func (l *Lab) EachNode(do func(*Node) error) error {
	var all sync.WaitGroup
	failed := make([]error, len(l.Nodes))
	for i, n := range l.Nodes {
		all.Go(func() {
			if err := do(n); err != nil {
				failed[i] = fmt.Errorf("node %s: %w", n.Name, err)
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// Swarm joins all nodes as managers of one swarm.
func (l *Lab) Swarm(t testing.TB) {
	t.Helper()
	first := l.Nodes[0]
	first.Docker(t, "swarm", "init", "--advertise-addr", first.Address, "--dispatcher-heartbeat", "2s")
	token := first.Docker(t, "swarm", "join-token", "--quiet", "manager")
	for _, n := range l.Nodes[1:] {
		n.Docker(t, "swarm", "join", "--advertise-addr", n.Address, "--token", token, first.Address+":2377")
	}
}

// Close ends all nodes and frees what they had.
func (l *Lab) Close() error {
	var failed []error
	for _, n := range l.Nodes {
		failed = append(failed, n.Kill9(), removeCgroup(n.cgroup))
	}
	if l.network != nil {
		l.network.kill()
	}
	return errors.Join(append(failed, os.RemoveAll(l.dir))...)
}

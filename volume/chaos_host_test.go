package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// What the chaos happens to: hosts, their kernels, plugins and containers.

// simNode is a host: a kernel, a plugin, and perhaps a container.
type simNode struct {
	c    *chaos
	name string
	link *simLink

	state struct {
		sync.Mutex // guards the fields below
		boots      int
		proc       *simProcess // nil: no plugin runs
		want       bool        // a container is to run here
		inside     *simContainer
	}

	docker sync.Mutex // held while its dockerd removes the volume or creates a container
	dirty  int        // writes that the kernel has not finished; guarded by c.mu
	sync   chan struct{}
}

// simProcess is one life of a plugin.
type simProcess struct {
	store  *Store
	began  time.Time
	cancel context.CancelFunc
	ended  chan struct{}
	dead   bool // guarded by the link's mu
}

// simContainer writes to the tree that it was given.
type simContainer struct {
	id   string
	n    *simNode
	tree *simInode
	stop chan struct{}
	gone chan struct{}
}

// proc is the running plugin, nil for none.
func (n *simNode) proc() *simProcess {
	n.state.Lock()
	defer n.state.Unlock()
	return n.state.proc
}

// inside is the container that runs here, nil for none.
func (n *simNode) inside() *simContainer {
	n.state.Lock()
	defer n.state.Unlock()
	return n.state.inside
}

// put puts a container there, unless there is one or the plugin is another.
func (n *simNode) put(k *simContainer, p *simProcess) bool {
	n.state.Lock()
	defer n.state.Unlock()
	if n.state.proc != p || n.state.inside != nil {
		return false
	}
	n.state.inside = k
	return true
}

// take takes the container away, nil for none.
func (n *simNode) take() *simContainer {
	n.state.Lock()
	defer n.state.Unlock()
	k := n.state.inside
	n.state.inside = nil
	return k
}

func (n *simNode) setWant(want bool) {
	n.state.Lock()
	defer n.state.Unlock()
	n.state.want = want
}

// sound tells whether nothing was wrong with the node for so long that its
// heartbeat is heard: whatever stalls, nobody may give it up.
func (n *simNode) sound() bool {
	since, ok := n.link.sound()
	p := n.proc()
	return ok && p != nil && time.Since(since) > 3*chaosTTL && time.Since(p.began) > 3*chaosTTL
}

func (n *simNode) wants() bool {
	n.state.Lock()
	defer n.state.Unlock()
	return n.state.want
}

func (n *simNode) boots() int {
	n.state.Lock()
	defer n.state.Unlock()
	return n.state.boots
}

func (n *simNode) setProc(p *simProcess) (was *simProcess) {
	n.state.Lock()
	defer n.state.Unlock()
	was, n.state.proc = n.state.proc, p
	return was
}

func (n *simNode) boot() {
	n.state.Lock()
	n.state.boots++
	n.state.Unlock()
	n.link.set(func() { n.link.off = false })
	n.start()
}

// start begins a life of the plugin.
func (n *simNode) start() {
	p := &simProcess{began: time.Now(), ended: make(chan struct{})}
	life := fmt.Sprintf("%s/%d/%d", n.name, n.boots(), n.link.roll("life"))
	p.store = New(Config{URL: "nfs://filer/export", Node: n.name, Boot: fmt.Sprintf("boot-%s-%d", n.name, n.boots()), LeaseTTL: chaosTTL,
		Rand:     rand.NewChaCha8([32]byte(bytes.Repeat([]byte(fmt.Sprintf("%08x", n.link.roll("rand "+life)&0xffffffff)), 4))),
		Open:     func(context.Context) (tree.FS, error) { return simFS{n.c.server, n.link, &p.dead}, nil },
		Flush:    n.flush,
		TakeOver: func(_ context.Context, _, from string) error { return n.takeOver(p.store, from) },
		Report: func(event string, fields map[string]any) {
			n.c.note("%s says: %s %v", n.name, event, fields)
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	n.setProc(p)
	go func() {
		defer close(p.ended)
		p.store.Run(ctx)
	}()
}

// end ends the plugin: killed it says nothing more.
func (n *simNode) end(killed bool) {
	p := n.setProc(nil)
	if p == nil {
		return
	}
	if killed {
		n.link.set(func() { p.dead = true })
	}
	p.cancel()
	go func() {
		<-p.ended
		n.link.set(func() { p.dead = true })
		p.store.Close()
	}()
}

// powerOff ends everything here at once.
func (n *simNode) powerOff() {
	n.link.set(func() { n.link.off = true })
	n.end(true)
	if k := n.take(); k != nil {
		n.c.mu.Lock()
		delete(n.c.open, k)
		n.c.mu.Unlock()
		close(k.stop)
	}
}

// flush is syncfs(2).
func (n *simNode) flush(ctx context.Context) error {
	for {
		n.c.mu.Lock()
		clean, changed := n.dirty == 0, n.sync
		n.c.mu.Unlock()
		if clean {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (n *simNode) writes(delta int) {
	n.c.mu.Lock()
	defer n.c.mu.Unlock()
	n.dirty += delta
	close(n.sync)
	n.sync = make(chan struct{})
}

// write has the kernel write a record, however long that takes: a hard mount.
// done is closed when the server has said so.
func (k *simContainer) write(record string) (done chan struct{}) {
	n, c := k.n, k.n.c
	done = make(chan struct{})
	n.writes(1)
	boots := n.boots()
	go func() {
		defer n.writes(-1)
		err := n.link.call(context.Background(), "data "+k.id, func() error {
			c.server.mu.Lock()
			defer c.server.mu.Unlock()
			file := k.tree.names["log"]
			if file == nil {
				file = c.server.inode(tree.Regular, 0o644)
				k.tree.names["log"] = file
			}
			file.data = append(file.data, record+"\n"...)
			c.server.touch(file)
			c.mu.Lock()
			owner := c.owner[k.tree.id]
			c.mu.Unlock()
			if owner != n {
				c.breaks("%s writes %s into tree %d, which is %s's", n.name, record, k.tree.id, owner.name)
			}
			return nil
		})
		if err == nil && boots == n.boots() {
			c.mu.Lock()
			c.acked[record] = true
			c.mu.Unlock()
			close(done)
		}
	}()
	return done
}

// run is the container's life.
func (k *simContainer) run() {
	defer close(k.gone)
	for seq := 1; ; seq++ {
		pause := time.NewTimer(time.Second + time.Duration(k.n.link.roll("pause "+k.id)%uint64(3*time.Second)))
		select {
		case <-pause.C:
		case <-k.stop:
			pause.Stop()
			return
		}
		select {
		case <-k.write(fmt.Sprintf("%s.%d", k.id, seq)):
		case <-k.stop:
			return
		}
	}
}

// tryStart is a task of the swarm's on this node.
func (n *simNode) tryStart() {
	p := n.proc()
	if p == nil || n.inside() != nil || !n.docker.TryLock() {
		return
	}
	defer n.docker.Unlock()
	id := fmt.Sprintf("%s-%d", n.name, n.link.roll("container")%100000)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Second)
	defer cancel()
	m, err := p.store.Mount(ctx, "db", id, 1)
	if err != nil {
		n.c.note("%s: no mount: %v", n.name, err)
		n.c.count(string(problem.KindOf(err)))
		return
	}
	k := &simContainer{id: id, n: n, stop: make(chan struct{}), gone: make(chan struct{})}
	found := false
	err = n.link.call(ctx, "kernel lookup", func() error {
		n.c.server.mu.Lock()
		defer n.c.server.mu.Unlock()
		if n.proc() != p {
			return treetest.ErrKilled
		}
		i := n.c.server.root.names["db"]
		if i == nil || i.id != m.FileID {
			return errors.New("another directory than the plugin said")
		}
		k.tree, found = i, true
		n.c.opened(k)
		return nil
	})
	if err != nil || !n.put(k, p) {
		n.c.note("%s: mounted in vain: %v", n.name, err)
		if found {
			n.c.closed(k)
		}
		_ = p.store.Unmount(ctx, "db", id)
		return
	}
	n.c.note("%s: container %s in tree %d", n.name, id, k.tree.id)
	n.c.count("mount")
	go k.run()
}

// stopContainer kills the container; its kernel keeps what it has to write.
func (n *simNode) stopContainer() {
	k := n.take()
	if k == nil {
		return
	}
	close(k.stop)
	<-k.gone
	n.c.closed(k)
	p := n.proc()
	for p == nil { // dockerd waits for its plugin
		time.Sleep(time.Second)
		if n.link.isOff() {
			return
		}
		p = n.proc()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 45*time.Second)
	defer cancel()
	err := p.store.Unmount(ctx, "db", k.id)
	n.c.note("%s: container %s stopped: %v", n.name, k.id, err)
}

func (l *simLink) isOff() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.off
}

// orchestrate starts and stops the container of a node as it is wanted.
func (n *simNode) orchestrate(stop chan struct{}) {
	for {
		pause := time.NewTimer(2*time.Second + time.Duration(n.link.roll("task")%uint64(3*time.Second)))
		select {
		case <-pause.C:
		case <-stop:
			pause.Stop()
			return
		}
		switch {
		case n.wants() && n.inside() == nil:
			n.tryStart()
		case !n.wants() && n.inside() != nil:
			n.stopContainer()
		}
	}
}

package volume

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// The chaos: containers that write to an access=single volume are started and
// stopped on three nodes by somebody who knows nothing (as a swarm that lost
// its nodes), while nodes lose their power, plugins crash or are stopped, the
// ways to the server break in one direction or both, the server is full, and
// an operator restores, removes and brings back. Whatever happens:
//
//   - a tree is written by one node at a time: by the one that mounted it last;
//   - what a container was told is written is in the volume, or in the trash;
//   - a takeover has everything that was written when it began;
//   - when all is mended, the volume can be mounted, and no lock, job or
//     private file is left.
//
// A seed makes one story, the same every time.

var (
	chaosSeeds = flag.Int("seeds", 100, "how many stories the chaos tells")
	chaosFirst = flag.Uint64("seed", 1, "the first of them")
)

const chaosTTL = 9 * time.Second

// chaos is one story.
type chaos struct {
	seed   uint64
	random *rand.Rand // of the story teller only
	server *simServer
	nodes  []*simNode

	mu     sync.Mutex // guards all below
	log    []string
	told   bool                // the story is over; what nodes say as they end is not in it
	acked  map[string]bool     // records
	owner  map[uint64]*simNode // of trees: who mounted it last
	open   map[*simContainer]uint64
	broken []string // rules
	snaps  int
	met    map[string]int // what happened, and how often
}

func (c *chaos) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.told {
		return
	}
	c.log = append(c.log, fmt.Sprintf("%8.3f ", float64(time.Since(simStart).Milliseconds())/1000)+fmt.Sprintf(format, args...))
}

func (c *chaos) count(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.met[what]++
}

// breaks says that a rule is broken.
func (c *chaos) breaks(format string, args ...any) {
	c.note("BROKEN: "+format, args...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broken = append(c.broken, fmt.Sprintf(format, args...))
}

// simStart is when every bubble begins.
var simStart = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

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
	p := &simProcess{ended: make(chan struct{})}
	life := fmt.Sprintf("%s/%d/%d", n.name, n.boots(), n.link.roll("life"))
	p.store = New(Config{URL: "nfs://filer/export", Node: n.name, Boot: fmt.Sprintf("boot-%s-%d", n.name, n.boots()), LeaseTTL: chaosTTL,
		Rand:  rand.NewChaCha8([32]byte(bytes.Repeat([]byte(fmt.Sprintf("%08x", n.link.roll("rand "+life)&0xffffffff)), 4))),
		Open:  func(context.Context) (tree.FS, error) { return simFS{n.c.server, n.link, &p.dead}, nil },
		Flush: n.flush,
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
	if silent := (*SilentHolder)(nil); errors.As(err, &silent) {
		if err = n.takeOver(p.store, silent); err == nil {
			m, err = p.store.Mount(ctx, "db", id, 1)
		}
	}
	if err != nil {
		n.c.note("%s: no mount: %v", n.name, err)
		n.c.count(string(KindOf(err)))
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

// opened checks the first rule at the moment that a container has its tree.
func (c *chaos) opened(k *simContainer) {
	c.mu.Lock()
	var other *simContainer
	for o, id := range c.open {
		if id == k.tree.id && o.n != k.n {
			other = o
		}
	}
	c.open[k] = k.tree.id
	c.owner[k.tree.id] = k.n
	c.mu.Unlock()
	if other != nil {
		c.breaks("%s mounts tree %d, which container %s has open on %s", k.n.name, k.tree.id, other.id, other.n.name)
	}
}

func (c *chaos) closed(k *simContainer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, k)
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

// takeOver is what package snapshot does.
func (n *simNode) takeOver(s *Store, from *SilentHolder) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	jobs, err := s.Jobs(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.Op == OpTakeover && (j.Interrupted || j.State == JobFailed || j.State == JobSwapped || j.State == JobPrepared && s.cfg.Now().Sub(j.Since) > time.Minute) {
			if err := s.EndJob(ctx, j.ID); err != nil {
				return err
			}
		}
	}
	j, err := s.PrepareTakeover(ctx, "db", from.Node, "copy", false)
	if err != nil {
		return err
	}
	var had []byte
	j, err = s.RunJob(ctx, j.ID, func(ctx context.Context, fsys tree.FS, j *Job) error {
		snap, err := n.snapshot(ctx)
		if err != nil {
			return err
		}
		had, err = tree.ReadFile(ctx, fsys, path.Join(".snapshot", snap, "db", "log"), 1<<20)
		if absent(err) != nil {
			return err
		}
		j.Items[0].From = path.Join(j.Dir(), "db")
		_, err = tree.Copy(ctx, fsys, path.Join(".snapshot", snap, "db"), j.Items[0].From, tree.CopyOptions{}, nil)
		return err
	})
	n.c.note("%s: takeover from %s: %v", n.name, from.Node, err)
	if err == nil && j.State == JobSwapped {
		n.c.count("takeover")
		n.c.server.mu.Lock()
		if i := n.c.server.root.names["db"]; i != nil && i.id == j.Items[0].New && (i.names["log"] == nil && len(had) > 0 || i.names["log"] != nil && !bytes.HasPrefix(i.names["log"].data, had)) {
			n.c.breaks("the takeover from %s does not have what was written", from.Node)
		}
		n.c.server.mu.Unlock()
	}
	if endErr := s.EndJob(ctx, j.ID); err == nil {
		err = endErr
	}
	return err
}

// snapshot is the filer's: an instant of the volume.
func (n *simNode) snapshot(ctx context.Context) (string, error) {
	n.c.mu.Lock()
	n.c.snaps++
	name := fmt.Sprintf("snap%d", n.c.snaps)
	n.c.mu.Unlock()
	return name, n.link.call(ctx, "snapshot", func() error {
		s := n.c.server
		s.mu.Lock()
		defer s.mu.Unlock()
		at := s.inode(tree.Directory, 0o755)
		if db := s.root.names["db"]; db != nil {
			at.names["db"] = s.copyOf(db)
		}
		s.root.names[".snapshot"].names[name] = at
		return nil
	})
}

// operate is an operator at a node: restores, removes, brings back.
func (n *simNode) operate(what string) {
	p := n.proc()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var err error
	switch what {
	case "snapshot":
		_, err = n.snapshot(ctx)
	case "restore":
		err = n.restore(ctx, p.store)
	case "remove":
		// dockerd refuses it by itself for a container, and creates none meanwhile.
		if n.inside() == nil && n.docker.TryLock() {
			defer n.docker.Unlock()
			err = p.store.Remove(ctx, "db")
		}
	case "undelete":
		_, _, err = p.store.TrashRestore(ctx, "db", "")
	case "resume", "abort":
		err = n.endJobs(ctx, p.store, what == "resume")
	}
	if err == nil {
		n.c.count(what)
	}
	n.c.note("%s: %s: %v", n.name, what, err)
}

func copyOver(snap string) func(ctx context.Context, fsys tree.FS, j *Job) error {
	return func(ctx context.Context, fsys tree.FS, j *Job) error {
		it := &j.Items[0]
		it.From = path.Join(j.Dir(), "db."+snap)
		if err := tree.Delete(ctx, fsys, it.From, nil); absent(err) != nil {
			return err
		}
		_, err := tree.Copy(ctx, fsys, path.Join(".snapshot", snap, "db"), it.From, tree.CopyOptions{}, nil)
		return err
	}
}

func (n *simNode) restore(ctx context.Context, s *Store) error {
	n.c.server.mu.Lock()
	var snap string
	for name, at := range n.c.server.root.names[".snapshot"].names {
		if at.names["db"] != nil && name > snap {
			snap = name
		}
	}
	n.c.server.mu.Unlock()
	if snap == "" {
		return errors.New("no snapshot")
	}
	j := &Job{Op: OpRestore, Engine: "copy", Items: []JobItem{{Volume: "db", Ref: "db@" + snap, Dest: "db", Trash: s.NewTrashID(),
		Meta: s.newMeta("db", Options{"access": "single"})}}} // as the snapshot has it
	if err := s.PrepareJob(ctx, j); err != nil {
		return err
	}
	j, err := s.RunJob(ctx, j.ID, copyOver(snap))
	if j != nil && j.State == JobSwapping {
		return err
	}
	if j == nil {
		return err
	}
	return errors.Join(err, s.EndJob(ctx, j.ID))
}

// endJobs resumes or aborts what was interrupted.
func (n *simNode) endJobs(ctx context.Context, s *Store, resume bool) error {
	jobs, err := s.Jobs(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.Op == OpTakeover && !j.Interrupted && j.State == JobCopying {
			continue
		}
		if resume && j.Op == OpRestore && j.State != JobSwapped {
			_, snap, _ := strings.Cut(j.Items[0].Ref, "@")
			if _, err := s.RunJob(ctx, j.ID, copyOver(snap)); err != nil {
				return err
			}
		}
		if err := s.EndJob(ctx, j.ID); err != nil {
			return err
		}
	}
	return nil
}

// happen lets one thing happen.
func (c *chaos) happen() {
	n := c.nodes[c.random.IntN(len(c.nodes))]
	events := []struct {
		weight int
		what   string
		do     func()
	}{
		{10, "want", func() { n.setWant(true) }},
		{4, "unwant", func() { n.setWant(false) }},
		{6, "cut both", func() { n.link.set(func() { n.link.in, n.link.out = true, true }) }},
		{3, "cut answers", func() { n.link.set(func() { n.link.in = true }) }},
		{3, "cut requests", func() { n.link.set(func() { n.link.out = true }) }},
		{12, "heal", func() { n.link.set(func() { n.link.in, n.link.out = false, false }) }},
		{3, "power off", n.powerOff},
		{5, "boot", func() {
			if n.link.isOff() {
				n.boot()
			}
		}},
		{3, "plugin crash", func() {
			if n.proc() != nil {
				n.end(true)
				n.start()
			}
		}},
		{1, "plugin stop", func() { n.end(false) }},
		{4, "plugin start", func() {
			if n.proc() == nil && !n.link.isOff() {
				n.start()
			}
		}},
		{1, "full", func() { c.setFull(true) }},
		{8, "freed", func() { c.setFull(false) }},
		{4, "snapshot", func() { go n.operate("snapshot") }},
		{6, "restore", func() { go n.operate("restore") }},
		{2, "remove", func() { go n.operate("remove") }},
		{6, "undelete", func() { go n.operate("undelete") }},
		{2, "resume", func() { go n.operate("resume") }},
		{1, "abort", func() { go n.operate("abort") }},
	}
	total := 0
	for _, e := range events {
		total += e.weight
	}
	roll := c.random.IntN(total)
	for _, e := range events {
		if roll -= e.weight; roll < 0 {
			c.note("-- %s: %s", n.name, e.what)
			e.do()
			return
		}
	}
}

func (c *chaos) setFull(full bool) {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	c.server.full = full
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

// tell runs one story and returns it.
func tell(seed uint64, events int) *chaos {
	c := &chaos{seed: seed, random: rand.New(rand.NewPCG(seed, 1)), server: newSimServer(),
		acked: map[string]bool{}, owner: map[uint64]*simNode{}, open: map[*simContainer]uint64{}, met: map[string]int{}}
	c.server.root.names[".snapshot"] = c.server.inode(tree.Directory, 0o755)
	for i := range 3 {
		name := fmt.Sprintf("n%d", i+1)
		n := &simNode{c: c, name: name, link: newSimLink(seed, name), sync: make(chan struct{})}
		c.nodes = append(c.nodes, n)
		n.boot()
	}
	for c.nodes[0].proc().store.Create(context.Background(), "db", map[string]string{"access": "single"}) != nil {
		time.Sleep(time.Second)
	}
	stop := make(chan struct{})
	var tasks sync.WaitGroup
	for _, n := range c.nodes {
		n.setWant(true)
		tasks.Go(func() { n.orchestrate(stop) })
	}
	for range events {
		time.Sleep(time.Duration(c.random.Int64N(int64(6 * time.Second))))
		c.happen()
	}
	c.mend()
	close(stop)
	tasks.Wait()
	c.judge()
	return c
}

// mend takes all faults away, and waits until things are in order.
func (c *chaos) mend() {
	c.note("-- all is mended")
	c.setFull(false)
	for _, n := range c.nodes {
		n.setWant(false)
		n.link.set(func() { n.link.in, n.link.out = false, false })
		if n.link.isOff() {
			n.boot()
		} else if n.proc() == nil {
			n.start()
		}
	}
	time.Sleep(4 * time.Minute) // operations end or give up, kernels have flushed, leases have expired
	ctx := context.Background()
	for _, n := range c.nodes {
		n.forgetLost(ctx)
	}
	n := c.nodes[0]
	if err := n.endJobs(ctx, n.proc().store, true); err != nil {
		c.breaks("an interrupted job cannot be ended: %v", err)
	}
	if _, err := n.proc().store.Get(ctx, "db"); KindOf(err) == NotFound {
		if _, _, err := n.proc().store.TrashRestore(ctx, "db", ""); err != nil {
			c.breaks("the volume is gone: %v", err)
		}
	}
	n.setWant(true)
	time.Sleep(time.Minute)
	if n.inside() == nil {
		c.breaks("the volume cannot be mounted when all is mended")
		c.noteControl()
	}
	n.setWant(false)
	time.Sleep(2 * time.Minute)
}

// noteControl puts what is in the control files into the story.
func (c *chaos) noteControl() {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	var walk func(name string, i *simInode)
	walk = func(name string, i *simInode) {
		if i.names == nil {
			c.note("%s: %s", name, i.data)
		}
		for _, base := range slices.Sorted(maps.Keys(i.names)) {
			walk(path.Join(name, base), i.names[base])
		}
	}
	for _, dir := range []string{"leases", "locks", "nodes", "staging"} {
		walk(dir, c.server.root.names[".berth"].names[dir])
	}
	for _, n := range c.nodes {
		if n.proc() != nil {
			for _, name := range n.proc().store.leases.names() {
				l, _ := n.proc().store.leases.copy(name)
				c.note("in %s's memory: %+v", n.name, l)
			}
		}
	}
}

// forgetLost takes back uses whose Mount was answered by nobody, or counted
// twice, because the plugin ended meanwhile: an operator does that, who sees
// that no container has them.
func (n *simNode) forgetLost(ctx context.Context) {
	s := n.proc().store
	for l, ok := s.leases.copy("db"); n.inside() == nil && ok && len(l.Mounts) > 0; l, ok = s.leases.copy("db") {
		for id := range l.Mounts {
			n.c.count("lost")
			_ = s.Unmount(ctx, "db", id)
		}
	}
}

// judge looks at what is left on the server.
func (c *chaos) judge() {
	s := c.server
	s.mu.Lock()
	defer s.mu.Unlock()
	there := map[string]bool{}
	var walk func(i *simInode)
	walk = func(i *simInode) {
		for _, line := range strings.Fields(string(i.data)) {
			there[line] = true
		}
		for _, below := range i.names {
			walk(below)
		}
	}
	control := s.root.names[".berth"]
	for name, i := range s.root.names {
		if !strings.HasPrefix(name, ".") {
			walk(i)
		}
	}
	walk(control.names["trash"])
	lost := 0
	for record := range c.acked {
		if !there[record] {
			lost++
		}
	}
	if lost > 0 {
		c.breaks("%d of %d acknowledged records are nowhere", lost, len(c.acked))
	}
	for _, dir := range []string{"locks", "staging"} {
		for name := range control.names[dir].names {
			if !strings.HasPrefix(name, tmpPrefix) { // swept after an hour
				c.breaks("%s/%s is left", dir, name)
			}
		}
	}
	c.mu.Lock()
	c.told = true
	c.mu.Unlock()
	for _, n := range c.nodes {
		n.end(true)
	}
}

// story is what happened, for a person.
func (c *chaos) story() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprintf("seed %d:\n%s\n", c.seed, strings.Join(c.log, "\n"))
}

func TestChaos(t *testing.T) {
	met := map[string]int{}
	var mu sync.Mutex
	seeds := make(chan uint64)
	began := time.Now()
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for seed := range seeds {
				var c *chaos
				synctest.Test(t, func(*testing.T) { c = tell(seed, 60) })
				mu.Lock()
				for what, n := range c.met {
					met[what] += n
				}
				mu.Unlock()
				if len(c.broken) > 0 {
					t.Errorf("broken with 'go test ./volume -run TestChaos -seed %d -seeds 1':\n%s", seed, strings.Join(c.broken, "\n"))
					if *chaosSeeds == 1 || os.Getenv("BERTH_STORY") != "" {
						t.Log(c.story())
					}
				}
			}
		})
	}
	for i := range uint64(*chaosSeeds) {
		seeds <- *chaosFirst + i
	}
	close(seeds)
	all.Wait()
	t.Logf("%d seeds in %s: %v", *chaosSeeds, time.Since(began).Round(time.Second), met)
	if *chaosSeeds >= 100 {
		for _, what := range []string{"mount", "takeover", "restore", "remove", "undelete", string(InUse), string(Unreachable)} {
			require.NotZero(t, met[what], "no story has a %s", what)
		}
	}
}

func TestASeedTellsItsStoryAgain(t *testing.T) {
	var told []string
	for range 2 {
		synctest.Test(t, func(*testing.T) { told = append(told, tell(7, 40).story()) })
	}
	require.Equal(t, told[0], told[1])
	require.True(t, slices.ContainsFunc(strings.Split(told[0], "\n"), func(l string) bool { return strings.Contains(l, "container") }))
}

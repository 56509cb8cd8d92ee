package volume

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// A simulated export and the network to it, for nodes in one process: every
// request and every answer takes time, a cut keeps them back, and a request
// whose caller gave up may be carried out much later. Time is a bubble's, so
// an hour takes milliseconds, and nothing depends on the machine.

// simInode is a file or directory on the server.
type simInode struct {
	id           uint64
	kind         tree.Kind
	mode         uint32
	data         []byte
	names        map[string]*simInode
	nlink        uint32
	mtime, ctime time.Time
}

// simServer is the server: what it does, it does at once and one at a time.
type simServer struct {
	mu   sync.Mutex // guards all below
	root *simInode
	next uint64
	full bool
	// skew is how wrong the server's clock is, beside an hour.
	skew time.Duration
	// stalled is until when the server answers nobody. It loses nothing: who is
	// still waiting then is answered.
	stalled time.Time
}

// stall has the server answer nobody for a while.
func (s *simServer) stall(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = time.Now().Add(d)
}

// answers waits until the server answers.
func (s *simServer) answers(ctx context.Context) error {
	for {
		s.mu.Lock()
		left := time.Until(s.stalled)
		s.mu.Unlock()
		if left <= 0 {
			return nil
		}
		if err := nap(ctx, left); err != nil {
			return err
		}
	}
}

func newSimServer() *simServer {
	s := &simServer{}
	s.root = s.inode(tree.Directory, 0o755)
	return s
}

// now is the server's time: it is an hour wrong, and never the same twice.
func (s *simServer) now() time.Time {
	s.next++
	return time.Now().Add(time.Hour + s.skew + time.Duration(s.next%1000)).UTC()
}

func (s *simServer) inode(kind tree.Kind, mode uint32) *simInode {
	at := s.now()
	i := &simInode{id: s.next, kind: kind, mode: mode, nlink: 1, mtime: at, ctime: at}
	if kind == tree.Directory {
		i.names = map[string]*simInode{}
	}
	return i
}

func (i *simInode) attr() tree.Attr {
	return tree.Attr{Kind: i.kind, Mode: i.mode, Nlink: i.nlink, Size: int64(len(i.data)), Used: int64(len(i.data)),
		Device: 1, FileID: i.id, Atime: i.mtime, Mtime: i.mtime, Ctime: i.ctime}
}

func (s *simServer) touch(i *simInode) { i.mtime = s.now(); i.ctime = i.mtime }

// find looks a path up.
func (s *simServer) find(op, name string) (*simInode, error) {
	at := s.root
	if name != "." {
		for _, c := range strings.Split(name, "/") {
			if at = at.names[c]; at == nil {
				return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
			}
		}
	}
	return at, nil
}

// parent returns the directory of a path, and its last component.
func (s *simServer) parent(op, name string) (*simInode, string, error) {
	dir, err := s.find(op, path.Dir(name))
	if err == nil && dir.names == nil {
		err = &fs.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
	}
	return dir, path.Base(name), err
}

// add makes a new name.
func (s *simServer) add(op, name string, kind tree.Kind, mode uint32) (*simInode, error) {
	dir, base, err := s.parent(op, name)
	if err != nil {
		return nil, err
	}
	if dir.names[base] != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrExist}
	}
	if s.full {
		return nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOSPC}
	}
	i := s.inode(kind, mode)
	dir.names[base] = i
	s.touch(dir)
	return i, nil
}

func (s *simServer) rename(from, to string) error {
	d1, b1, err := s.parent("rename", from)
	if err != nil {
		return err
	}
	d2, b2, err := s.parent("rename", to)
	if err != nil {
		return err
	}
	i, there := d1.names[b1], d2.names[b2]
	switch {
	case i == nil:
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	case i == there:
		return nil
	case there != nil && i.names != nil && there.names == nil:
		return &fs.PathError{Op: "rename", Path: to, Err: syscall.ENOTDIR}
	case there != nil && there.names != nil && (i.names == nil || len(there.names) > 0):
		return &fs.PathError{Op: "rename", Path: to, Err: syscall.ENOTEMPTY}
	}
	delete(d1.names, b1)
	d2.names[b2] = i
	s.touch(d1)
	s.touch(d2)
	i.ctime = s.now()
	return nil
}

func (s *simServer) remove(name string, dir bool) error {
	d, b, err := s.parent("remove", name)
	if err != nil {
		return err
	}
	i := d.names[b]
	switch {
	case i == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	case dir && i.names == nil:
		return &fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTDIR}
	case !dir && i.names != nil:
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.EISDIR}
	case len(i.names) > 0:
		return &fs.PathError{Op: "rmdir", Path: name, Err: syscall.ENOTEMPTY}
	}
	delete(d.names, b)
	i.nlink--
	s.touch(d)
	return nil
}

// copyOf is a tree as it is now, under new inodes.
func (s *simServer) copyOf(i *simInode) *simInode {
	c := s.inode(i.kind, i.mode)
	c.data, c.mtime, c.ctime = slices.Clone(i.data), i.mtime, i.ctime
	for name, below := range i.names {
		c.names[name] = s.copyOf(below)
	}
	return c
}

// simLink is a node's way to the server.
type simLink struct {
	seed   uint64
	node   string
	server *simServer

	// steady is how long each request takes, 0 for a while by chance that depends on
	// the seed; hangs tells which are never answered, nil for none; calls counts all.
	steady time.Duration
	hangs  func(what string) bool
	calls  atomic.Int64

	mu      sync.Mutex // guards all below
	out, in bool       // requests, or answers, do not come through
	off     bool       // the node has no power
	changed chan struct{}
	mended  time.Time // since when the node can reach the server, if it can
	// stalls: for how long the server stalls in the middle of one of this node's
	// next looks at the others' heartbeats, 0 for not; after so many that it reads.
	stalls time.Duration
	after  int
	count  map[string]uint64
}

func newSimLink(server *simServer, seed uint64, node string) *simLink {
	return &simLink{server: server, seed: seed, node: node, changed: make(chan struct{}), count: map[string]uint64{}}
}

func (l *simLink) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.out || l.in || l.off
	change()
	if was && !l.out && !l.in && !l.off {
		l.mended = time.Now()
	}
	close(l.changed)
	l.changed = make(chan struct{})
}

// sound is since when the node can reach the server, false if it cannot. While
// the server stalls, nobody can.
func (l *simLink) sound() (since time.Time, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mended, !l.out && !l.in && !l.off
}

// drawn are the random parts of names, which depend on who drew first.
var drawn = regexp.MustCompile(`[0-9a-f]{16}|-[0-9a-f]{6}\b`)

// roll is a number that depends on the seed, and on how often this node has
// asked the same before: not on which goroutine comes first.
func (l *simLink) roll(what string) uint64 {
	what = drawn.ReplaceAllString(what, "*")
	l.mu.Lock()
	l.count[what]++
	n := l.count[what]
	l.mu.Unlock()
	h := fnv.New64a()
	fmt.Fprintf(h, "%d/%s/%s/%d", l.seed, l.node, what, n)
	x := h.Sum64()
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	return x ^ x>>33
}

// state tells whether a direction is open, and a channel that is closed when
// that may have changed.
func (l *simLink) state(answer bool) (open, off bool, changed chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if answer {
		return !l.in, l.off, l.changed
	}
	return !l.out, l.off, l.changed
}

// changing are the requests whose late arrival matters.
var changing = []string{"mkdir", "link", "rename", "remove", "rmdir", "setattr", "write"}

var errPowerOff = errors.New("the power is off")

// pass waits until something comes through in one direction.
func (l *simLink) pass(ctx context.Context, answer bool) error {
	for {
		open, off, changed := l.state(answer)
		switch {
		case off:
			return errPowerOff
		case open:
			return ctx.Err()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// call carries one request out on the server.
func (l *simLink) call(ctx context.Context, what string, do func() error) error {
	if l.steady > 0 {
		return l.steadily(ctx, what, do)
	}
	x := l.roll(what)
	travel := func(n uint64) time.Duration { return 200*time.Microsecond + time.Duration(n%2_000_000) }
	if err := nap(ctx, travel(x)); err != nil {
		return err
	}
	if err := l.arrive(ctx); err != nil {
		op, _, _ := strings.Cut(what, " ")
		if x>>40&1 == 0 && !errors.Is(err, errPowerOff) && slices.Contains(changing, op) {
			// It was on its way already, and arrives when the network is back.
			go func() {
				if l.arrive(context.Background()) == nil {
					_ = do()
				}
			}()
		}
		return err
	}
	err := do()
	l.stallInLook(what)
	if napErr := nap(ctx, travel(x>>21)); napErr != nil {
		return napErr
	}
	if passErr := l.pass(ctx, true); passErr != nil {
		return passErr
	}
	return err
}

// steadily is call on a network that only takes its time.
func (l *simLink) steadily(ctx context.Context, what string, do func() error) error {
	l.calls.Add(1)
	if l.hangs != nil && l.hangs(what) {
		<-ctx.Done()
	}
	if err := nap(ctx, l.steady); err != nil {
		return err
	}
	return do()
}

// arrive waits until a request has come through and the server answers.
func (l *simLink) arrive(ctx context.Context) error {
	if err := l.pass(ctx, false); err != nil {
		return err
	}
	return l.server.answers(ctx)
}

// stallInLook stalls the server when this node has just read a heartbeat.
func (l *simLink) stallInLook(what string) {
	if !strings.HasPrefix(what, "stat "+export.NodeDir+"/") || what == "stat "+export.NodePath(l.node) {
		return
	}
	l.mu.Lock()
	d := l.stalls
	if l.after > 0 {
		l.after--
		d = 0
	} else {
		l.stalls = 0
	}
	l.mu.Unlock()
	if d > 0 {
		l.server.stall(d)
	}
}

func nap(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// simFS is the server as one process on one node sees it.
type simFS struct {
	s    *simServer
	l    *simLink
	dead *bool // the process has ended; guarded by l.mu
}

func (f simFS) do(ctx context.Context, op, name string, act func() error) error {
	f.l.mu.Lock()
	dead := *f.dead
	f.l.mu.Unlock()
	if dead {
		return treetest.ErrKilled
	}
	return f.l.call(ctx, op+" "+name, func() error {
		f.s.mu.Lock()
		defer f.s.mu.Unlock()
		return act()
	})
}

func (f simFS) Stat(ctx context.Context, name string) (a tree.Attr, err error) {
	err = f.do(ctx, "stat", name, func() error {
		i, err := f.s.find("stat", name)
		if err == nil {
			a = i.attr()
		}
		return err
	})
	return a, err
}

func (f simFS) ReadDir(ctx context.Context, name string, fn func(tree.Entry) error) error {
	return f.ReadDirPlus(ctx, name, func(e tree.EntryPlus) error { return fn(tree.Entry{Name: e.Name, Kind: e.Attr.Kind}) })
}

func (f simFS) ReadDirPlus(ctx context.Context, name string, fn func(tree.EntryPlus) error) error {
	var all []tree.EntryPlus
	err := f.do(ctx, "readdir", name, func() error {
		i, err := f.s.find("readdir", name)
		if err != nil {
			return err
		}
		for _, n := range slices.Sorted(maps.Keys(i.names)) {
			all = append(all, tree.EntryPlus{Name: n, Attr: i.names[n].attr()})
		}
		return nil
	})
	for _, e := range all {
		if err == nil {
			err = fn(e)
		}
	}
	return err
}

func (f simFS) Readlink(context.Context, string) (string, error) { return "", syscall.EINVAL }
func (f simFS) Symlink(context.Context, string, string, tree.SetAttr) error {
	return syscall.ENOTSUP
}
func (f simFS) Mknod(context.Context, string, tree.Kind, uint32, uint32, tree.SetAttr) error {
	return syscall.ENOTSUP
}

func (f simFS) Open(ctx context.Context, name string) (tree.File, error) {
	file := &simFile{f: f, name: name}
	return file, f.do(ctx, "open", name, func() (err error) {
		if file.i, err = f.s.find("open", name); err == nil && file.i.names != nil {
			err = &fs.PathError{Op: "open", Path: name, Err: syscall.EISDIR}
		}
		return err
	})
}

func (f simFS) OpenWrite(ctx context.Context, name string) (tree.File, error) {
	return f.Open(ctx, name)
}

func (f simFS) Create(ctx context.Context, name string, set tree.SetAttr) (tree.File, error) {
	file := &simFile{f: f, name: name}
	return file, f.do(ctx, "create", name, func() (err error) {
		file.i, err = f.s.add("create", name, tree.Regular, modeOf(set))
		return err
	})
}

func modeOf(set tree.SetAttr) uint32 {
	if set.Mode != nil {
		return *set.Mode
	}
	return 0o755
}

func (f simFS) Mkdir(ctx context.Context, name string, set tree.SetAttr) error {
	return f.do(ctx, "mkdir", name, func() error {
		_, err := f.s.add("mkdir", name, tree.Directory, modeOf(set))
		return err
	})
}

func (f simFS) Link(ctx context.Context, oldName, newName string) error {
	return f.do(ctx, "link", newName, func() error {
		i, err := f.s.find("link", oldName)
		if err != nil {
			return err
		}
		dir, base, err := f.s.parent("link", newName)
		if err != nil {
			return err
		}
		if dir.names[base] != nil {
			return &fs.PathError{Op: "link", Path: newName, Err: fs.ErrExist}
		}
		dir.names[base] = i
		i.nlink++
		f.s.touch(dir)
		return nil
	})
}

func (f simFS) Rename(ctx context.Context, oldName, newName string) error {
	return f.do(ctx, "rename", oldName+" "+newName, func() error { return f.s.rename(oldName, newName) })
}

func (f simFS) Remove(ctx context.Context, name string) error {
	return f.do(ctx, "remove", name, func() error { return f.s.remove(name, false) })
}

func (f simFS) Rmdir(ctx context.Context, name string) error {
	return f.do(ctx, "rmdir", name, func() error { return f.s.remove(name, true) })
}

func (f simFS) SetAttr(ctx context.Context, name string, set tree.SetAttr) error {
	return f.do(ctx, "setattr", name, func() error {
		i, err := f.s.find("setattr", name)
		if err == nil {
			f.s.setAttr(i, set)
		}
		return err
	})
}

func (s *simServer) setAttr(i *simInode, set tree.SetAttr) {
	if set.Mode != nil {
		i.mode = *set.Mode
	}
	if set.Size != nil {
		i.data = append(i.data, make([]byte, max(0, *set.Size-int64(len(i.data))))...)[:*set.Size]
	}
	i.ctime = s.now()
	if set.Mtime != nil {
		i.mtime = *set.Mtime
	}
}

func (f simFS) Statfs(ctx context.Context) (sp tree.Space, err error) {
	return tree.Space{Total: 1 << 40, Free: 1 << 39, Avail: 1 << 39}, f.do(ctx, "statfs", ".", func() error { return nil })
}

func (f simFS) Close() error { return nil }

// simFile is an open file: a handle, which outlives its names.
type simFile struct {
	f    simFS
	name string
	i    *simInode
}

func (o *simFile) do(ctx context.Context, op string, act func() error) error {
	return o.f.do(ctx, op, o.name, func() error {
		if o.i.nlink == 0 {
			return &fs.PathError{Op: op, Path: o.name, Err: syscall.ESTALE}
		}
		return act()
	})
}

func (o *simFile) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	err = o.do(ctx, "read", func() error {
		if off < int64(len(o.i.data)) {
			n = copy(p, o.i.data[off:])
		}
		if n < len(p) {
			return io.EOF
		}
		return nil
	})
	return n, err
}

func (o *simFile) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	data := slices.Clone(p)
	return len(p), o.do(ctx, "write", func() error {
		if o.f.s.full {
			return &fs.PathError{Op: "write", Path: o.name, Err: syscall.ENOSPC}
		}
		if grow := off + int64(len(data)) - int64(len(o.i.data)); grow > 0 {
			o.i.data = append(o.i.data, make([]byte, grow)...)
		}
		copy(o.i.data[off:], data)
		o.f.s.touch(o.i)
		return nil
	})
}

func (o *simFile) Stat(ctx context.Context) (a tree.Attr, err error) {
	err = o.do(ctx, "getattr", func() error { a = o.i.attr(); return nil })
	return a, err
}

func (o *simFile) SetAttr(ctx context.Context, set tree.SetAttr) error {
	return o.do(ctx, "setattr", func() error { o.f.s.setAttr(o.i, set); return nil })
}

func (o *simFile) Sync(ctx context.Context) error { return nil }
func (o *simFile) Close() error                   { return nil }

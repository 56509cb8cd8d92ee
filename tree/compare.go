package tree

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/several"
)

// Compare compares the directory trees a and b and calls fn for each difference,
// one at a time. A difference says what has to be done to a to make it b. They
// come in the order of names, byte by byte, directory by directory. Last come
// names that differ only in which other names their files have. An error of fn
// ends the comparison and is returned.
//
// See Equality for what is equal. Two things are left out: the export's .snapshot
// in a and b themselves, and the files .nfs and 24 digits, which an NFS client
// keeps of removed files. A mount in one of the trees is an error: the files in
// the mount are not the tree's, and the files below it cannot be compared.
//
// Directories are listed ahead, in parallel. The memory in use is bounded by the
// number of names that share a file, and not by the size of the trees or of a
// directory: one of more than namesAtOnce names is listed several times.
func Compare(ctx context.Context, fsys FS, a, b string, q Equality, fn func(Difference) error) (Stats, error) {
	c := newComparing(fsys, q)
	c.stats.Dirs = 1
	var sides [2]*entryAt
	for i, name := range []string{a, b} {
		at, attr, err := c.e.find(ctx, name)
		if err == nil && attr.Kind != Directory {
			err = &fs.PathError{Op: "compare", Path: name, Err: errors.New("not a directory")}
		}
		if err == nil {
			err = stay(ctx, c.e, name)
		}
		if err != nil {
			return c.stats, err
		}
		sides[i] = &entryAt{at, attr}
	}
	ctx, stop := context.WithCancel(ctx)
	defer c.wait.Wait()
	defer stop()
	root := &pair{path: ".", a: sides[0], b: sides[1]}
	d := c.attributes(root.path, sides[0], sides[1])
	var err error
	if c.open(sides[0].attr, sides[1].attr, d) {
		d, err = c.close(ctx, root.path, sides[0], sides[1], d)
	}
	if err == nil && d != nil {
		err = fn(*d)
	}
	if err == nil {
		err = c.walk(ctx, root, fn)
	}
	if err == nil {
		err = c.links(fn)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats, err
}

func newComparing(fsys FS, q Equality) *comparing {
	e := engineOf(fsys)
	_, local := e.(cloning)
	return &comparing{e: e, opts: q, attributed: local, slots: make(chan struct{}, min(e.workers(), maxListings)), large: make(chan struct{}, 1)}
}

type comparing struct {
	e    engine
	opts Equality
	// attributed says that the filesystem may have extended attributes.
	attributed bool
	// shared are names whose files have other names; only walk uses them.
	shared []sharedName

	large   chan struct{} // one token for each pair of large directories that is being listed
	slots   chan struct{} // one token for each pair of directories, or file, that is being read
	ahead   atomic.Int64  // directories that were listed before their turn
	waiting atomic.Int64  // findings that were not handed out yet
	wait    sync.WaitGroup

	mu    sync.Mutex // guards stats
	stats Stats
}

// How many directories are listed before their turn: the next siblings, and the
// directories below them; and how many findings may wait altogether.
const (
	maxSiblings = 64
	maxAhead    = 1024
	maxHeld     = 16 << 10
)

// entryAt is a name on one side.
type entryAt struct {
	at   location
	attr Attr
}

// pair is a directory, on both sides or one.
type pair struct {
	path  string
	a, b  *entryAt // nil where the name is no directory
	once  sync.Once
	ready chan struct{} // closed when the fields below are set
	found []finding     // in the order of names
	after string        // found is of names behind it
	more  bool          // there are names behind those of found
	err   error
}

// finding is a difference, or a directory to go into, or first a difference and
// then a directory; or a name whose file has other names.
type finding struct {
	diff   *Difference
	dir    *pair
	shared *sharedName
}

// start lists a pair in a goroutine of its own, once.
func (c *comparing) start(ctx context.Context, p *pair) {
	p.once.Do(func() {
		p.ready = make(chan struct{})
		c.ahead.Add(1)
		c.wait.Go(func() {
			defer close(p.ready)
			p.err = guard.Run(func() error { return c.pair(ctx, p) })
			c.waiting.Add(int64(len(p.found)))
			for _, f := range p.found {
				if f.dir != nil && c.ahead.Load() < maxAhead && c.waiting.Load() < maxHeld && ctx.Err() == nil {
					c.start(ctx, f.dir)
				}
			}
		})
	})
}

// walk calls fn with the differences in a directory and below it.
func (c *comparing) walk(ctx context.Context, p *pair, fn func(Difference) error) error {
	c.start(ctx, p)
	select {
	case <-p.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	c.ahead.Add(-1)
	if p.err != nil {
		return p.err
	}
	for err := error(nil); err == nil; err = c.again(ctx, p) {
		if err := c.handOut(ctx, p, fn); err != nil || !p.more {
			return err
		}
	}
	return p.err
}

// again finds the differences in the next names of a large directory.
func (c *comparing) again(ctx context.Context, p *pair) error {
	p.found = nil
	p.err = guard.Run(func() error { return c.pair(ctx, p) })
	c.waiting.Add(int64(len(p.found)))
	return p.err
}

// handOut calls fn with what was found in a directory, and walks the ones in it.
func (c *comparing) handOut(ctx context.Context, p *pair, fn func(Difference) error) error {
	next, started := 0, 0
	for i, f := range p.found {
		for ; next < len(p.found) && (started < maxSiblings && c.waiting.Load() < maxHeld || next <= i); next++ {
			if p.found[next].dir != nil {
				c.start(ctx, p.found[next].dir)
				started++
			}
		}
		p.found[i] = finding{}
		c.waiting.Add(-1)
		if f.shared != nil && c.share(f) {
			continue
		}
		if f.diff != nil {
			if err := fn(*f.diff); err != nil {
				return err
			}
		}
		if f.dir != nil {
			if err := c.walk(ctx, f.dir, fn); err != nil {
				return err
			}
			started--
		}
	}
	return ctx.Err()
}

// pair lists a directory on both sides and finds the differences in it.
func (c *comparing) pair(ctx context.Context, p *pair) error {
	ask, err := c.lists(ctx, p)
	if err != nil {
		return err
	}
	var reading sync.WaitGroup
	failed := make([]error, len(ask))
	var next atomic.Int64
	for range min(8, len(ask)) {
		reading.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(ask) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				q := ask[i]
				failed[i] = guard.Run(func() error { return c.read(ctx, path.Join(p.path, q.a.base()), &q.a, &q.b, &p.found[q.index]) })
			}
		})
	}
	reading.Wait()
	p.found = slices.DeleteFunc(p.found, func(f finding) bool { return f == (finding{}) })
	return several.Of(append(failed, ctx.Err())...)
}

// asked is a name on both sides that has to be read, since attributes do not decide.
type asked struct {
	index int
	a, b  entryAt
}

// lists compares a directory by its listings, and returns the names that have to
// be read as well. A span of both listings is in memory at once. The slots bound how
// many listings there are altogether.
func (c *comparing) lists(ctx context.Context, p *pair) (ask []asked, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	lists := [2]span{{after: p.after}, {after: p.after}}
	var errs [2]error
	var both sync.WaitGroup
	// Few large directories are listed at once.
	held := false
	alone := sync.OnceFunc(func() {
		select {
		case c.large <- struct{}{}:
			held = true
		case <-ctx.Done():
		}
	})
	defer func() {
		if held {
			<-c.large
		}
	}()
	large := func() error { alone(); return ctx.Err() }
	for i, side := range []*entryAt{p.a, p.b} {
		if side != nil {
			both.Go(func() {
				errs[i] = guard.Run(func() error {
					return c.list(ctx, side.at, p.path == ".", &lists[i], large)
				})
			})
		}
	}
	both.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	p.after, p.more = align(&lists[0], &lists[1])
	err = merge(lists[0].entries, lists[1].entries, func(_ string, x, y *entryAt) error {
		f := c.one(p, x, y)
		if x != nil && y != nil && c.open(x.attr, y.attr, f.diff) {
			ask = append(ask, asked{len(p.found), *x, *y})
			p.found = append(p.found, f)
		} else if f != (finding{}) {
			p.found = append(p.found, f)
		}
		return ctx.Err()
	})
	return ask, err
}

// list lists a part of a directory's names, sorted. A directory that has vanished is
// empty; for the root of a tree that is an error. large is called for a large one.
func (c *comparing) list(ctx context.Context, dir location, root bool, names *span, large func() error) error {
	var busy int64
	err := c.e.list(ctx, dir, func(e EntryPlus, at location) error {
		own, err := isSnapshots(ctx, c.e, dir, e.Name, e.Attr.Kind, root)
		switch {
		case err != nil || own:
			return err
		case isBusy(c.e, e.Name, e.Attr.Kind):
			busy++
		case e.Attr.Mount:
			return mounted(at.name)
		case names.wants(e.Name):
			if names.add(entryAt{at, e.Attr}); len(names.entries) == maxNames {
				return large()
			}
		}
		return nil
	})
	c.mu.Lock()
	if names.after == "" { // else they were counted
		c.stats.Busy += busy
	}
	if errors.Is(err, fs.ErrNotExist) && !root {
		c.stats.Vanished.add(dir.name)
		err = nil
	}
	c.mu.Unlock()
	names.sort()
	return err
}

// byName orders the entries of one directory.
func byName(x, y entryAt) int { return strings.Compare(x.at.name, y.at.name) }

// one compares the attributes of a name on both sides.
func (c *comparing) one(p *pair, x, y *entryAt) (f finding) {
	some := x
	if x == nil {
		some = y
	}
	name := path.Join(p.path, some.base())
	f.diff = c.attributes(name, x, y)
	below := &pair{path: name}
	// Copies: a pointer would keep the whole list.
	if x != nil && x.attr.Kind == Directory {
		below.a = &entryAt{x.at, x.attr}
	}
	if y != nil && y.attr.Kind == Directory {
		below.b = &entryAt{y.at, y.attr}
	}
	if below.a != nil || below.b != nil {
		f.dir = below
	}
	f.shared = c.sharedOf(name, x, y)
	c.mu.Lock()
	defer c.mu.Unlock()
	if some.attr.Kind == Directory {
		c.stats.Dirs++
	} else {
		c.stats.Files++
	}
	return f
}

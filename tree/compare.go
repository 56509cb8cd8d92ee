package tree

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// CompareOptions choose how trees are compared. The zero value is good.
type CompareOptions struct {
	Checksum bool // read files of equal size on both sides instead of trusting equal times
}

// Compare compares the directory trees a and b and calls fn for each
// difference, what has to be done to a to make it b: in the order of names,
// byte by byte, directory by directory, one at a time. An error of fn ends it
// and is returned.
//
// By attributes, files are equal that have the same size and mtime; nothing but
// listings is asked for, and the targets of symlinks whose times differ. With
// Checksum the content decides. Times of directories and symlinks are not
// compared: each entry changes those, and not every server sets these. Nor are
// the names that a file has besides. .snapshot in a and b themselves is left out,
// and so is what an NFS client has kept of removed files (.nfs and 24 digits).
//
// Directories are listed ahead, in parallel; what is held in memory is bounded
// by the largest directories, not by the trees.
func Compare(ctx context.Context, fsys FS, a, b string, opts CompareOptions, fn func(Difference) error) (Stats, error) {
	c := &comparing{e: engineOf(fsys), opts: opts}
	c.slots, c.stats.Dirs = make(chan struct{}, min(c.e.workers(), maxListings)), 1
	var sides [2]*entryAt
	for i, name := range []string{a, b} {
		at, attr, err := c.e.find(ctx, name)
		if err == nil && attr.Kind != Directory {
			err = &fs.PathError{Op: "compare", Path: name, Err: errors.New("not a directory")}
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
	if d := c.attributes(root.path, sides[0], sides[1]); d != nil {
		if err := fn(*d); err != nil {
			return c.stats, err
		}
	}
	err := c.walk(ctx, root, fn)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats, err
}

type comparing struct {
	e     engine
	opts  CompareOptions
	slots chan struct{} // one token for each directory, on both sides, or file at work
	ahead atomic.Int64  // directories that were listed before their turn
	held  atomic.Int64  // findings that wait for theirs
	wait  sync.WaitGroup

	mu    sync.Mutex // guards stats
	stats Stats
}

// Directories that are listed before their turn: next siblings, and those below
// them, as long as there are not too many altogether, nor too many findings.
const (
	maxSiblings = 64
	maxAhead    = 1024
	maxHeld     = 16 << 10
)

// entryAt is a name on one side.
type entryAt struct {
	at   place
	attr Attr
}

// pair is a directory, on both sides or one.
type pair struct {
	path  string
	a, b  *entryAt // nil where it is no directory
	once  sync.Once
	ready chan struct{} // closed when the fields below are set
	found []finding     // in the order of names
	err   error
}

// finding is a difference, a directory to go into, or first one and then the
// other.
type finding struct {
	diff *Difference
	dir  *pair
}

// start lists a pair apart, once.
func (c *comparing) start(ctx context.Context, p *pair) {
	p.once.Do(func() {
		p.ready = make(chan struct{})
		c.ahead.Add(1)
		c.wait.Go(func() {
			defer close(p.ready)
			p.err = c.pair(ctx, p)
			c.held.Add(int64(len(p.found)))
			for _, f := range p.found {
				if f.dir != nil && c.ahead.Load() < maxAhead && c.held.Load() < maxHeld && ctx.Err() == nil {
					c.start(ctx, f.dir)
				}
			}
		})
	})
}

// walk hands out what is different in a directory and below.
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
	next, started := 0, 0
	for i, f := range p.found {
		for ; next < len(p.found) && (started < maxSiblings && c.held.Load() < maxHeld || next <= i); next++ {
			if p.found[next].dir != nil {
				c.start(ctx, p.found[next].dir)
				started++
			}
		}
		p.found[i] = finding{}
		c.held.Add(-1)
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

// pair lists a directory on both sides and finds what is different in it.
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
				failed[i] = c.read(ctx, path.Join(p.path, q.a.base()), &q.a, &q.b, &p.found[q.index])
			}
		})
	}
	reading.Wait()
	p.found = slices.DeleteFunc(p.found, func(f finding) bool { return f.diff == nil && f.dir == nil })
	return errors.Join(append(failed, ctx.Err())...)
}

// asked is what attributes do not decide, and where its finding is.
type asked struct {
	index int
	a, b  entryAt
}

// lists compares a directory by what listings tell, and returns what else is to
// be read. Both lists are in memory at once, and no others than those of the
// directories that have a slot.
func (c *comparing) lists(ctx context.Context, p *pair) (ask []asked, err error) {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var lists [2][]entryAt
	var errs [2]error
	var both sync.WaitGroup
	for i, side := range []*entryAt{p.a, p.b} {
		if side != nil {
			both.Go(func() { lists[i], errs[i] = c.list(ctx, side.at, p.path == ".") })
		}
	}
	both.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, err
	}
	err = merge(lists[0], lists[1], func(_ string, x, y *entryAt) error {
		f := c.one(p, x, y)
		if x != nil && y != nil && c.mustRead(x.attr, y.attr) {
			ask = append(ask, asked{len(p.found), *x, *y})
			p.found = append(p.found, f)
		} else if f.diff != nil || f.dir != nil {
			p.found = append(p.found, f)
		}
		return nil
	})
	return ask, err
}

// base is the entry's name in its directory.
func (e *entryAt) base() string { return path.Base(e.at.name) }

// list lists a directory, sorted. One that vanished is empty, but for the root.
func (c *comparing) list(ctx context.Context, dir place, root bool) ([]entryAt, error) {
	var entries []entryAt
	var busy int64
	err := c.e.list(ctx, dir, func(e EntryPlus, at place) error {
		switch {
		case isBusy(e.Name, e.Attr.Kind):
			busy++
		case isSnapshots(e.Name, e.Attr.Kind, root):
		default:
			entries = append(entries, entryAt{at, e.Attr})
		}
		return nil
	})
	c.mu.Lock()
	c.stats.Busy += busy
	if errors.Is(err, fs.ErrNotExist) && !root {
		c.stats.Vanished.add(dir.name)
		err = nil
	}
	c.mu.Unlock()
	slices.SortFunc(entries, func(x, y entryAt) int { return strings.Compare(x.base(), y.base()) })
	return entries, err
}

// one compares what a name is on both sides, by attributes.
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if some.attr.Kind == Directory {
		c.stats.Dirs++
	} else {
		c.stats.Files++
	}
	return f
}

// mustRead tells whether attributes do not decide what is in a file or symlink.
func (c *comparing) mustRead(a, b Attr) bool {
	if a.Kind != b.Kind || a.Size != b.Size {
		return false
	}
	return a.Kind == Symlink && !a.Mtime.Equal(b.Mtime) || a.Kind == Regular && c.opts.Checksum && a.Size > 0
}

// read compares what is in a file or symlink, and completes what was found by
// attributes.
func (c *comparing) read(ctx context.Context, name string, a, b *entryAt, f *finding) error {
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	same, n, err := c.same(ctx, a, b)
	if errors.Is(err, fs.ErrNotExist) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.stats.Vanished.add(name)
		return nil
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.stats.Bytes += n
	c.mu.Unlock()
	if !same {
		if f.diff == nil {
			f.diff = &Difference{Path: name, A: a.attr, B: b.attr}
		}
		f.diff.Kind, f.diff.Fields = Modified, f.diff.Fields|ChangedContent
	}
	return nil
}

// same tells whether both have the same content, and how much was read.
func (c *comparing) same(ctx context.Context, a, b *entryAt) (bool, int64, error) {
	if a.attr.Kind == Symlink {
		x, err := c.e.readlink(ctx, a.at)
		if err != nil {
			return false, 0, err
		}
		y, err := c.e.readlink(ctx, b.at)
		return x == y, 0, err
	}
	var sums [2][]byte
	var total int64
	buf := make([]byte, min(holeBlock*4, a.attr.Size+1))
	for i, side := range []*entryAt{a, b} {
		f, err := c.e.open(ctx, side.at)
		if err != nil {
			return false, total, err
		}
		sum := sha256.New()
		for off := int64(0); ; {
			n, err := f.ReadAt(ctx, buf, off)
			sum.Write(buf[:n])
			off, total = off+int64(n), total+int64(n)
			if err == io.EOF {
				break
			}
			if err != nil {
				f.Close()
				return false, total, fmt.Errorf("compare: %w", err)
			}
		}
		f.Close()
		sums[i] = sum.Sum(nil)
	}
	return bytes.Equal(sums[0], sums[1]), total, nil
}

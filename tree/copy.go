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
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// CopyOptions choose how a tree is copied. The zero value is good.
type CopyOptions struct {
	Parallel int  // files at work at once; default 16
	Checksum bool // read every copied file again and compare its content
}

// Stats are what a copy did. Lists hold the first maxListed paths each.
type Stats struct {
	Progress
	Links    int64    // of Files: further names of a file copied once
	Busy     int64    // .nfs* files, which are no part of the tree
	Vanished []string // were listed, and gone when read
	Changed  []string // changed while they were read: the copy may be torn
	Missing  []string // could not be recreated here, with the reason
}

const maxListed = 1000

// chunk is how much is read and written at once, in bytes; holes are found in
// its blocks.
const (
	chunk     = 1 << 20
	holeBlock = 64 << 10
)

// Copy makes dst, which must not exist, a copy of the tree src: content, holes,
// hard links within it, symlinks, special files, owners, modes with setuid,
// setgid and sticky bits, and times to the nanosecond. Every copied file's size
// and mtime are compared afterwards. .snapshot and .nfs* are left out.
//
// When it returns without an error, dst is on stable storage. On error or
// cancellation dst is partial: copy into a place that nobody sees. progress
// may be nil; it is called from several goroutines, one at a time.
func Copy(ctx context.Context, fsys FS, src, dst string, opts CopyOptions, progress func(Progress)) (Stats, error) {
	if opts.Parallel <= 0 {
		opts.Parallel = 16
	}
	c := &copying{fsys: fsys, opts: opts, report: progress, links: map[inode]*firstName{}}
	if d, ok := fsys.(interface{ Deferred() FS }); ok {
		c.fsys = d.Deferred()
	}
	a, err := c.fsys.Stat(ctx, src)
	if err != nil {
		return c.stats, err
	}
	if a.Kind != Directory {
		return c.stats, &fs.PathError{Op: "copy", Path: src, Err: errors.New("not a directory")}
	}
	c.group, ctx = errgroup.WithContext(ctx)
	c.group.SetLimit(opts.Parallel)
	walkErr := c.dir(ctx, &dirNode{src: src, dst: dst, attr: a})
	if err := c.group.Wait(); err != nil {
		return c.stats, err
	}
	if walkErr != nil {
		return c.stats, walkErr
	}
	if s, ok := fsys.(interface{ SyncAll(context.Context) error }); ok {
		return c.stats, s.SyncAll(context.WithoutCancel(ctx))
	}
	return c.stats, nil
}

type copying struct {
	fsys   FS
	opts   CopyOptions
	report func(Progress)
	group  *errgroup.Group

	mu    sync.Mutex // guards the fields below
	stats Stats
	links map[inode]*firstName
}

type inode struct{ device, id uint64 }

// firstName is where a file with several names was copied first.
type firstName struct {
	name string
	made chan struct{} // closed when it exists, or never will
	ok   bool
}

// dirNode is a directory at work. Its attributes are set when nothing below it
// is at work any more, since every new entry changes its times.
type dirNode struct {
	parent   *dirNode
	src, dst string
	attr     Attr
	pending  atomic.Int64
}

// dir lists a directory: files go to the workers, directories follow.
func (c *copying) dir(ctx context.Context, n *dirNode) error {
	private := uint32(0o700)
	if err := c.fsys.Mkdir(ctx, n.dst, SetAttr{Mode: &private}); err != nil {
		return err
	}
	n.pending.Store(1) // this listing
	var below []*dirNode
	err := c.fsys.ReadDirPlus(ctx, n.src, func(e EntryPlus) error {
		src, dst := path.Join(n.src, e.Name), path.Join(n.dst, e.Name)
		switch {
		case isBusy(e.Name):
			c.count(func(s *Stats) { s.Busy++ })
		case e.Attr.Kind == Directory && e.Name == snapshotDir:
		case e.Attr.Kind == Directory:
			n.pending.Add(1)
			below = append(below, &dirNode{parent: n, src: src, dst: dst, attr: e.Attr})
		default:
			n.pending.Add(1)
			first := c.firstOf(dst, e.Attr)
			c.group.Go(func() error {
				if err := c.entry(ctx, src, dst, e.Attr, first); err != nil {
					return err
				}
				return c.finish(ctx, n)
			})
		}
		return ctx.Err()
	})
	if errors.Is(err, fs.ErrNotExist) && n.parent != nil {
		c.list(func(s *Stats) *[]string { return &s.Vanished }, n.src)
		err = nil
	}
	if err != nil {
		return err
	}
	for _, b := range below {
		if err := c.dir(ctx, b); err != nil {
			return err
		}
	}
	return c.finish(ctx, n)
}

// finish counts one thing below a directory as done; the last one sets the
// directory's attributes, and is one thing done for its parent.
func (c *copying) finish(ctx context.Context, n *dirNode) error {
	for ; n != nil && n.pending.Add(-1) == 0; n = n.parent {
		if err := c.fsys.SetAttr(ctx, n.dst, allOf(n.attr)); err != nil {
			return err
		}
		c.count(func(s *Stats) { s.Dirs++ })
	}
	return nil
}

// allOf is every attribute that a copy keeps.
func allOf(a Attr) SetAttr {
	return SetAttr{Mode: &a.Mode, UID: &a.UID, GID: &a.GID, Atime: &a.Atime, Mtime: &a.Mtime}
}

// firstOf returns where this file was copied first, or nil if it is the first
// or only name. It is called by the walk alone, so the first name's worker is
// at work before any other's.
func (c *copying) firstOf(dst string, a Attr) *firstName {
	if a.Nlink < 2 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id := inode{a.Device, a.FileID}
	if f := c.links[id]; f != nil {
		return f
	}
	c.links[id] = &firstName{name: dst, made: make(chan struct{})}
	return nil
}

// entry copies what is not a directory.
func (c *copying) entry(ctx context.Context, src, dst string, a Attr, first *firstName) error {
	if first != nil {
		if linked, err := c.link(ctx, dst, first); linked || err != nil {
			return err
		}
	}
	err := c.make(ctx, src, dst, a)
	c.made(dst, a, err == nil)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		// Gone from the source? Anything else is ours.
		if _, statErr := c.fsys.Stat(ctx, src); errors.Is(statErr, fs.ErrNotExist) {
			c.list(func(s *Stats) *[]string { return &s.Vanished }, src)
			return nil
		}
	case err != nil && a.Kind != Regular && ctx.Err() == nil:
		c.list(func(s *Stats) *[]string { return &s.Missing }, fmt.Sprintf("%s: %v", src, err))
		return nil
	}
	if err == nil {
		c.count(func(s *Stats) { s.Files++ })
	}
	return err
}

// link makes dst another name of the file that was copied first.
func (c *copying) link(ctx context.Context, dst string, first *firstName) (bool, error) {
	select {
	case <-first.made:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if !first.ok {
		return false, nil // it vanished; this name may still be there
	}
	if err := c.fsys.Link(ctx, first.name, dst); err != nil {
		return false, err
	}
	c.count(func(s *Stats) { s.Files++; s.Links++ })
	return true, nil
}

// made lets further names of a file be linked.
func (c *copying) made(dst string, a Attr, ok bool) {
	c.mu.Lock()
	f := c.links[inode{a.Device, a.FileID}]
	c.mu.Unlock()
	if a.Nlink > 1 && f != nil && f.name == dst {
		f.ok = ok
		close(f.made)
	}
}

func (c *copying) make(ctx context.Context, src, dst string, a Attr) error {
	switch a.Kind {
	case Regular:
		return c.file(ctx, src, dst, a)
	case Symlink:
		target, err := c.fsys.Readlink(ctx, src)
		if err != nil {
			return err
		}
		return c.fsys.Symlink(ctx, target, dst, allOf(a))
	default:
		return c.fsys.Mknod(ctx, dst, a.Kind, a.Major, a.Minor, allOf(a))
	}
}

// file copies one regular file and compares the copy.
func (c *copying) file(ctx context.Context, src, dst string, a Attr) (err error) {
	in, err := c.fsys.Open(ctx, src)
	if err != nil {
		return err
	}
	defer in.Close()
	private := uint32(0o600)
	out, err := c.fsys.Create(ctx, dst, SetAttr{Mode: &private})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	sum := sha256.New()
	see := sum.Write
	if !c.opts.Checksum {
		see = func(b []byte) (int, error) { return len(b), nil }
	}
	size, err := c.content(ctx, in, out, a, see)
	if err != nil {
		return err
	}
	now, err := in.Stat(ctx)
	if err != nil {
		return err
	}
	if now.Size != size || !now.Mtime.Equal(a.Mtime) {
		c.list(func(s *Stats) *[]string { return &s.Changed }, src)
	}
	set := allOf(a)
	set.Size = &size // a hole at the end was not written
	if err := out.SetAttr(ctx, set); err != nil {
		return err
	}
	if got, err := out.Stat(ctx); err != nil || got.Size != size || !got.Mtime.Equal(a.Mtime) {
		return errors.Join(err, &fs.PathError{Op: "verify", Path: dst, Err: fmt.Errorf("%d bytes of %s instead of %d of %s", got.Size, got.Mtime, size, a.Mtime)})
	}
	if !c.opts.Checksum {
		return nil
	}
	again := sha256.New()
	if _, err := c.content(ctx, out, nil, Attr{Size: size, Used: size}, again.Write); err != nil {
		return err
	}
	if string(sum.Sum(nil)) != string(again.Sum(nil)) {
		return &fs.PathError{Op: "verify", Path: dst, Err: errors.New("the copy's content differs")}
	}
	return nil
}

// content reads in to its end, shows it to see, writes what is no hole to out, if there is one,
// and returns the size. A filesystem cannot be asked for holes over NFSv3, so
// where there are some, blocks of zeros are taken for them.
func (c *copying) content(ctx context.Context, in, out File, a Attr, see func([]byte) (int, error)) (int64, error) {
	buf := make([]byte, min(chunk, max(holeBlock, a.Size+1)))
	holes := a.Used < a.Size
	for off := int64(0); ; {
		n, err := in.ReadAt(ctx, buf, off)
		if err != nil && err != io.EOF {
			return off, err
		}
		if _, seeErr := see(buf[:n]); seeErr != nil {
			return off, seeErr
		}
		if out != nil {
			if err := write(ctx, out, buf[:n], off, holes); err != nil {
				return off, err
			}
			c.count(func(s *Stats) { s.Bytes += int64(n) })
		}
		off += int64(n)
		if err == io.EOF {
			return off, nil
		}
	}
}

// write writes data at off, but for its blocks of zeros if holes is set.
func write(ctx context.Context, out File, data []byte, off int64, holes bool) error {
	if !holes {
		_, err := out.WriteAt(ctx, data, off)
		return err
	}
	for len(data) > 0 {
		block := data[:min(len(data), holeBlock)]
		if !allZero(block) {
			if _, err := out.WriteAt(ctx, block, off); err != nil {
				return err
			}
		}
		data, off = data[len(block):], off+int64(len(block))
	}
	return nil
}

var zeros [holeBlock]byte

func allZero(block []byte) bool { return bytes.Equal(block, zeros[:len(block)]) }

func (c *copying) count(f func(*Stats)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.stats)
	if c.report != nil {
		c.report(c.stats.Progress)
	}
}

// list adds to one of the lists of Stats, up to its limit.
func (c *copying) list(which func(*Stats) *[]string, line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := which(&c.stats); len(*l) < maxListed {
		*l = append(*l, line)
	}
}

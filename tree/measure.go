package tree

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"time"
)

// Measured is what Measure counts.
type Measured struct {
	Progress // Files counts names; the bytes of a file with several names count once
	// Used are the bytes that the regular files take on the disk, without holes.
	Used int64
	// Newest is the time of the last change of anything but a directory.
	Newest time.Time
	// Busy are the removed files that an NFS client keeps open, and the mounts:
	// what Delete leaves. Files counts the former, too.
	Busy int64
}

// Measure counts a tree: its directories, its other names, and the bytes of its
// regular files by their sizes. The bytes of a file with several names count once.
// Three things do not count: names that vanish meanwhile, .snapshot in name
// itself, and mounts below name.
func Measure(ctx context.Context, fsys FS, name string) (Measured, error) {
	return MeasureSince(ctx, fsys, name, time.Time{})
}

// MeasureSince is Measure of the files that were made or changed after a time, by
// the clock of the server, which sets ctimes. All directories count.
func MeasureSince(ctx context.Context, fsys FS, name string, since time.Time) (Measured, error) {
	m := &measuring{e: engineOf(fsys), since: since, linked: map[inode]uint32{}}
	at, a, err := m.e.find(ctx, name)
	if err == nil && a.Kind != Directory {
		err = &fs.PathError{Op: "measure", Path: name, Err: errors.New("not a directory")}
	}
	if err == nil {
		err = stay(ctx, m.e, name)
	}
	if err == nil {
		err = runPool(ctx, m.e.workers(), func(ctx context.Context, w *pool) error {
			m.pool = w
			return m.dir(ctx, at, true)
		})
	}
	if err == nil {
		err = ctx.Err()
	}
	return m.sum, err
}

type measuring struct {
	e     engine
	since time.Time
	pool  *pool

	mu  sync.Mutex // guards the fields below
	sum Measured
	// linked has the files with several names that were counted, and how many of
	// their names were not met yet.
	linked map[inode]uint32
}

// dir counts a directory, and makes a task of each directory in it.
func (m *measuring) dir(ctx context.Context, at location, root bool) error {
	p := Measured{Progress: Progress{Dirs: 1}}
	err := m.e.list(ctx, at, func(e EntryPlus, below location) error {
		own, err := isSnapshots(ctx, m.e, at, e.Name, e.Attr.Kind, root)
		switch {
		case err != nil || own:
			return err
		case e.Attr.Mount:
			p.Busy++
		case e.Attr.Kind != Directory && !e.Attr.Ctime.After(m.since):
		case e.Attr.Kind != Directory:
			p.Files++
			if isBusy(m.e, e.Name, e.Attr.Kind) {
				p.Busy++
			}
			if e.Attr.Ctime.After(p.Newest) {
				p.Newest = e.Attr.Ctime
			}
			if e.Attr.Kind == Regular && m.first(e.Attr) {
				p.Bytes += e.Attr.Size
				p.Used += min(e.Attr.Size, e.Attr.Used)
			}
		default:
			return m.pool.dir(ctx, func(ctx context.Context) error { return m.dir(ctx, below, false) })
		}
		return nil
	})
	if isGone(err) && !root {
		p.Dirs--
		err = nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum.Files += p.Files
	m.sum.Dirs += p.Dirs
	m.sum.Bytes += p.Bytes
	m.sum.Used += p.Used
	m.sum.Busy += p.Busy
	if p.Newest.After(m.sum.Newest) {
		m.sum.Newest = p.Newest
	}
	return err
}

// first tells whether a file is met for the first time. It keeps a file in linked
// until all names of the file are met.
func (m *measuring) first(a Attr) bool {
	if a.Nlink < 2 {
		return true
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	id := inodeOf(a)
	left, met := m.linked[id]
	if !met {
		left = a.Nlink
	}
	if left--; left == 0 {
		delete(m.linked, id)
	} else {
		m.linked[id] = left
	}
	return !met
}

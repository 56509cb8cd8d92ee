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
	Progress
	// Used are the bytes that the regular files take, holes left out.
	Used int64
	// Newest is the last change of anything but a directory.
	Newest time.Time
}

// Measure counts a tree: its directories, everything else, and the bytes of
// regular files as their sizes say. What vanishes meanwhile does not count, nor
// does .snapshot in name itself.
func Measure(ctx context.Context, fsys FS, name string) (Measured, error) {
	return MeasureSince(ctx, fsys, name, time.Time{})
}

// MeasureSince is Measure of what was made or changed after a time, by the
// clock of the server, which sets the times of changes itself. Directories
// count all.
func MeasureSince(ctx context.Context, fsys FS, name string, since time.Time) (Measured, error) {
	m := &measuring{e: engineOf(fsys), since: since}
	at, a, err := m.e.find(ctx, name)
	if err == nil && a.Kind != Directory {
		err = &fs.PathError{Op: "measure", Path: name, Err: errors.New("not a directory")}
	}
	if err == nil {
		err = carryOut(ctx, m.e.workers(), func(ctx context.Context, w *work) error {
			m.work = w
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
	work  *work

	mu  sync.Mutex // guards sum
	sum Measured
}

// dir counts a directory, and makes tasks of those in it.
func (m *measuring) dir(ctx context.Context, at place, root bool) error {
	p := Measured{Progress: Progress{Dirs: 1}}
	err := m.e.list(ctx, at, func(e EntryPlus, below place) error {
		switch {
		case e.Attr.Kind != Directory && !e.Attr.Ctime.After(m.since):
		case e.Attr.Kind != Directory:
			p.Files++
			if e.Attr.Ctime.After(p.Newest) {
				p.Newest = e.Attr.Ctime
			}
			if e.Attr.Kind == Regular {
				p.Bytes += e.Attr.Size
				p.Used += min(e.Attr.Size, e.Attr.Used)
			}
		case !isSnapshots(e.Name, e.Attr.Kind, root):
			return m.work.dir(ctx, func(ctx context.Context) error { return m.dir(ctx, below, false) })
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) && !root {
		p.Dirs--
		err = nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sum.Files += p.Files
	m.sum.Dirs += p.Dirs
	m.sum.Bytes += p.Bytes
	m.sum.Used += p.Used
	if p.Newest.After(m.sum.Newest) {
		m.sum.Newest = p.Newest
	}
	return err
}

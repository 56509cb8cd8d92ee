package tree

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/casit/berth/guard"
)

// syncDir is a directory that is made equal. It gets its attributes when all of its
// entries are done.
type syncDir struct {
	syncName          // the directory itself, in its parent
	above    bool     // the parent of the target, and no part of it
	hidden   bool     // the target does not have the directory: it is made in run
	gone     bool     // the target has lost it meanwhile
	dst      location // where its entries are made: in the target or in run
	staged   string   // its name in run, if it is hidden and its parent is not hidden
	pending  atomic.Int64
	touched  atomic.Bool // names in it were changed

	mu     sync.Mutex // guards the fields below; held while binOf makes them
	bin    location   // its counterpart in the trash
	binned bool       // bin is set
	binNew bool       // bin was made by this run
}

// name decides what is done about a name, and makes a task of it.
func (s *syncing) name(ctx context.Context, m *syncName) error {
	m.in.pending.Add(1)
	switch {
	case m.x == nil:
		return s.pool.file(ctx, func(ctx context.Context) error {
			if err := s.discard(ctx, m.in, m.base, m.y.attr); err != nil {
				return err
			}
			return s.finish(ctx, m.in)
		})
	case m.x.attr.Kind == Directory:
		d := &syncDir{syncName: *m, hidden: true}
		if m.y != nil && m.y.attr.Kind == Directory {
			d.hidden, d.dst = false, m.y.at
		}
		if m.in.above && !d.hidden {
			d.bin, d.binned = m.in.bin, true // Trash stands for the target itself
		}
		return s.pool.dir(ctx, func(ctx context.Context) error { return s.dir(ctx, d) })
	case m.x.attr.Nlink > 1 || m.y != nil && m.y.attr.Kind != Directory && m.y.attr.Nlink > 1:
		s.c.mu.Lock()
		defer s.c.mu.Unlock()
		s.linked = append(s.linked, m)
		return nil
	default:
		return s.pool.file(ctx, func(ctx context.Context) error {
			if err := s.file(ctx, m); err != nil {
				return err
			}
			return s.finish(ctx, m.in)
		})
	}
}

// dir lists a directory on both sides and calls name for each name. A name that
// another list of names comes to later was not changed by the work on earlier ones.
func (s *syncing) dir(ctx context.Context, n *syncDir) error {
	n.pending.Store(1) // for the listing itself
	if n.hidden {
		if err := s.hide(ctx, n); err != nil {
			return err
		}
	}
	for after, more := "", true; more; {
		theirs, ours := span{after: after}, span{after: after}
		var ourErr error
		var both sync.WaitGroup
		if !n.hidden {
			both.Go(func() {
				ourErr = guard.Run(func() error { return s.list(ctx, n.dst, n.in.above, &ours) })
			})
		}
		err := s.list(ctx, n.x.at, n.in.above, &theirs)
		both.Wait()
		if err != nil {
			return fmt.Errorf("sync: the source cannot be read: %w", err)
		}
		if isGone(ourErr) {
			s.vanished(n.path())
			n.gone = true
			break
		}
		if ourErr != nil {
			return ourErr
		}
		after, more = align(&theirs, &ours)
		err = merge(theirs.entries, ours.entries, func(base string, x, y *entryAt) error {
			return s.name(ctx, &syncName{n, base, x, y})
		})
		if err != nil {
			return err
		}
	}
	return s.finish(ctx, n)
}

// list lists a part of a directory's names, sorted.
func (s *syncing) list(ctx context.Context, dir location, root bool, names *span) error {
	err := s.e.list(ctx, dir, func(e EntryPlus, at location) error {
		own, err := isSnapshots(ctx, s.e, dir, e.Name, e.Attr.Kind, root)
		switch {
		case err != nil || own:
			return err
		case isBusy(s.e, e.Name, e.Attr.Kind):
			if names.after == "" { // else it was counted
				s.c.count(func(s *Stats) { s.Busy++ })
			}
		case e.Attr.Mount:
			return mounted(at.name)
		case names.wants(e.Name):
			names.add(entryAt{at, e.Attr})
		}
		return ctx.Err()
	})
	names.sort()
	return err
}

// hide makes a directory that the target does not have, where nobody sees it.
func (s *syncing) hide(ctx context.Context, n *syncDir) (err error) {
	private := uint32(0o700)
	in, base := n.in.dst, n.base
	if !n.in.hidden {
		n.staged = s.fresh()
		in, base = s.run, n.staged
	}
	if n.dst, err = s.e.mkdir(ctx, in, base, SetAttr{Mode: &private}); err != nil {
		return err
	}
	return s.c.noteLost(n.x.at.name, s.e.setXattrs(ctx, n.dst, nil)) // a default ACL that it inherits is not for its entries
}

// merge goes through two sorted listings by name.
func merge(a, b []entryAt, fn func(base string, x, y *entryAt) error) error {
	for len(a) > 0 || len(b) > 0 {
		var x, y *entryAt
		order := 0
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = strings.Compare(a[0].base(), b[0].base())
		}
		if order <= 0 {
			x, a = &a[0], a[1:]
		}
		if order >= 0 {
			y, b = &b[0], b[1:]
		}
		base := ""
		if x != nil {
			base = x.base()
		} else {
			base = y.base()
		}
		if err := fn(base, x, y); err != nil {
			return err
		}
	}
	return nil
}

// finish counts one entry of a directory as done. After the last entry the directory
// is completed, and is then one entry done of its parent.
func (s *syncing) finish(ctx context.Context, n *syncDir) error {
	for ; !n.above && n.pending.Add(-1) == 0; n = n.in {
		complete := s.complete
		if n.hidden {
			complete = s.reveal
		}
		if err := complete(ctx, n); err != nil {
			return err
		}
		s.c.count(func(s *Stats) { s.Dirs++ })
	}
	return nil
}

// reveal completes a new directory. The topmost new directory is then renamed into
// the target, with everything in it.
func (s *syncing) reveal(ctx context.Context, n *syncDir) error {
	if err := s.set(ctx, n.x.at, n.dst, allOf(n.x.attr), true); err != nil {
		return err
	}
	s.count(func(s *SyncStats) { s.Made++ })
	if n.in.hidden {
		return nil
	}
	_, err := s.put(ctx, &n.syncName, n.staged)
	return err
}

// complete sets the attributes of a directory that the target had, and of its
// counterpart in the trash. Times are set if they differ, and if entries were
// changed, which changes the times.
func (s *syncing) complete(ctx context.Context, n *syncDir) error {
	if n.binNew {
		if err := s.e.setAttr(ctx, n.bin, allOf(n.y.attr)); err != nil {
			return err
		}
	}
	if n.gone {
		return nil
	}
	d, err := s.differs(ctx, &n.syncName)
	if isReplaced(err) {
		s.vanished(n.path())
		return nil
	}
	if err != nil {
		return err
	}
	x := n.x.attr
	var set SetAttr
	other := d != nil && d.Fields&^ChangedMtime != 0
	if other {
		set = SetAttr{Mode: &x.Mode, UID: &x.UID, GID: &x.GID}
	}
	if n.touched.Load() || !x.Mtime.Equal(n.y.attr.Mtime) {
		set.Atime, set.Mtime = &x.Atime, &x.Mtime
	}
	if set == (SetAttr{}) {
		return nil
	}
	err = s.set(ctx, n.x.at, n.dst, set, other)
	if isGone(err) {
		s.vanished(n.path())
		return nil
	}
	if err == nil && other {
		s.count(func(s *SyncStats) { s.Attributes++ })
	}
	return err
}

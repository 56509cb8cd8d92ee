package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"
)

// base is the last component of a location's name.
func (p location) base() string { return path.Base(p.name) }

// file makes a name equal that is no directory in the source and whose file has no
// other names.
func (s *syncing) file(ctx context.Context, m *syncName) error {
	d, err := s.differs(ctx, m)
	if err != nil {
		return err
	}
	if d != nil && d.Kind == Updated {
		err = s.update(ctx, m, d.Fields)
	}
	switch {
	case d == nil:
		s.count(func(s *SyncStats) { s.Unchanged++ })
	case d.Kind == Updated && err == nil:
		s.count(func(s *SyncStats) { s.Attributes++ })
	case d.Kind == Updated && !isGone(err):
		return err
	default: // also if the name does not exist any more
		if err := s.anew(ctx, m); err != nil {
			return err
		}
	}
	s.c.count(func(s *Stats) { s.Files++ })
	return nil
}

// differs returns the difference of a name, nil for none.
func (s *syncing) differs(ctx context.Context, m *syncName) (*Difference, error) {
	if m.y == nil {
		return &Difference{Kind: Added}, nil
	}
	d := s.diff.attributes("", m.y, m.x)
	if !s.diff.open(m.y.attr, m.x.attr, d) {
		return d, nil
	}
	d, err := s.diff.close(ctx, "", m.y, m.x, d)
	if isReplaced(err) && m.x.attr.Kind != Directory {
		return &Difference{Kind: Modified}, nil // a name that does not exist any more is made anew
	}
	return d, err
}

// set sets attributes of a name of the target, and if wanted the extended attributes
// of the source. The owner comes first, because a change of owner takes
// capabilities away; mode and times come last.
func (s *syncing) set(ctx context.Context, from, to location, set SetAttr, xattrs bool) error {
	if s.diff.attributed && xattrs {
		x, err := s.e.xattrs(ctx, from)
		if err = s.c.noteLost(from.name, err); err != nil {
			return err
		}
		if set.UID != nil || set.GID != nil {
			if err := s.e.setAttr(ctx, to, SetAttr{UID: set.UID, GID: set.GID}); err != nil {
				return err
			}
			set.UID, set.GID = nil, nil
		}
		if err := s.c.noteLost(from.name, s.e.setXattrs(ctx, to, x)); err != nil {
			return err
		}
	}
	if set == (SetAttr{}) {
		return nil
	}
	return s.e.setAttr(ctx, to, set)
}

// update sets the attributes of a name that differ. An equal mtime is not set,
// because that would hide a write that came meanwhile.
func (s *syncing) update(ctx context.Context, m *syncName, fields ChangedFields) error {
	x := m.x.attr
	var set SetAttr
	if fields&(ChangedMode|ChangedUID|ChangedGID) != 0 {
		set.UID, set.GID = &x.UID, &x.GID
		if x.Kind != Symlink {
			set.Mode = &x.Mode // a change of owner takes setuid away
		}
	}
	if fields&ChangedMtime != 0 {
		set.Mtime = &x.Mtime
	}
	return s.set(ctx, m.x.at, m.y.at, set, fields&^ChangedMtime != 0)
}

// anew makes the file of a name in run and renames it into the target.
func (s *syncing) anew(ctx context.Context, m *syncName) error {
	in, base := s.run, m.base
	if m.in.hidden {
		in = m.in.dst
	} else {
		base = s.fresh()
	}
	_, ok, err := s.make(ctx, m, in, base)
	if ok && !m.in.hidden {
		ok, err = s.put(ctx, m, base)
	}
	if ok {
		s.count(func(s *SyncStats) { s.Written++ })
	}
	return err
}

// make makes a copy of a name's file in run, on stable storage. If the file cannot be
// made here, make lists it as Missing, and ok is false.
func (s *syncing) make(ctx context.Context, m *syncName, in location, base string) (at location, ok bool, err error) {
	at, err = s.c.make(ctx, m.x.at, in, EntryPlus{base, m.x.attr})
	switch {
	case err == nil && m.x.attr.Kind == Regular:
		return at, true, s.flush(ctx, at)
	case err == nil:
		return at, true, nil
	case errors.Is(err, fs.ErrNotExist):
		return at, false, fmt.Errorf("sync: the source cannot be read: %w", err)
	case m.x.attr.Kind != Regular && refused(err):
		// The copy may exist, without the attributes that were refused.
		if undoErr := s.e.remove(ctx, in, base); undoErr != nil && !errors.Is(undoErr, fs.ErrNotExist) {
			return at, false, undoErr
		}
		s.missing(m, err)
		return at, false, nil
	}
	return at, false, err
}

func (s *syncing) missing(m *syncName, err error) {
	s.c.list(&s.c.stats.Missing, fmt.Sprintf("%s: %v", m.x.at.name, err))
}

// refused tells the errors of what can never be done here. Other errors may pass.
func refused(err error) bool {
	for _, no := range []error{fs.ErrPermission, syscall.ENOTSUP, syscall.EINVAL, syscall.ENXIO, syscall.ENODEV} {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}

// flush puts a file on stable storage before it gets its name. Otherwise a crash
// could leave the name without the content.
func (s *syncing) flush(ctx context.Context, at location) error {
	if s.stable == nil {
		return nil
	}
	f, err := s.e.open(ctx, at)
	if errors.Is(err, fs.ErrPermission) {
		return s.stable(ctx) // nobody may open the file, so all is synced
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(ctx), f.Close())
}

// put renames a new file from run over its name in the target. Before that it keeps
// the old file in the trash. ok is false, and the name is listed, if its directory
// has vanished or others replace the name again and again.
func (s *syncing) put(ctx context.Context, m *syncName, staged string) (ok bool, err error) {
	for range maxRounds {
		err = s.save(ctx, m)
		if isGone(err) {
			continue // somebody has replaced it after differs
		}
		if err != nil {
			return false, err
		}
		err = s.e.move(ctx, s.run, staged, m.in.dst, m.base, 0)
		switch {
		case err == nil:
			m.in.touched.Store(true)
			return true, nil
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ELOOP):
			return s.moved(ctx, m, staged)
		case !isTaken(err):
			return false, err
		}
	}
	if isTaken(err) {
		s.vanished(m.path())
		return false, nil
	}
	return false, err
}

// save keeps the present file of a name, if there is one, in the trash.
func (s *syncing) save(ctx context.Context, m *syncName) error {
	now, a, err := s.e.lookupIn(ctx, m.in.dst, m.base)
	switch {
	case isGone(err):
		return nil
	case err != nil:
		return err
	case a.Kind == Directory || m.x.attr.Kind == Directory:
		return s.discard(ctx, m.in, m.base, a)
	}
	return s.keep(ctx, m, now, a)
}

// moved explains why a rename from run found no name. Nobody else takes names out of
// run. So if the name in run does not exist, a rename whose answer was lost has
// moved it; else the directory in the target does not exist any more.
func (s *syncing) moved(ctx context.Context, m *syncName, staged string) (bool, error) {
	_, _, err := s.e.lookupIn(ctx, s.run, staged)
	if errors.Is(err, fs.ErrNotExist) {
		m.in.touched.Store(true)
		return true, nil
	}
	if err == nil {
		s.vanished(m.path())
	}
	return false, err
}

// isGone tells the errors of a name that does not exist, or whose path has a name that
// is no directory any more.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// isTaken tells the errors of a rename over a name that another client has made.
func isTaken(err error) bool {
	for _, is := range []error{fs.ErrExist, syscall.ENOTEMPTY, syscall.EISDIR, syscall.ENOTDIR} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"syscall"
)

// maxBase is the longest name in bytes that every filesystem takes.
const maxBase = 255

// version is the i-th name to try for a file in the trash: its own name first. The
// other names have the file's id, so that a repeated run finds the same name.
func version(base string, id uint64, i int) string {
	suffix := ""
	switch {
	case i == 1:
		suffix = fmt.Sprintf("~%x", id)
	case i > 1:
		suffix = fmt.Sprintf("~%x.%d", id, i)
	}
	return base[:min(len(base), maxBase-len(suffix))] + suffix
}

// discard renames a name into the trash; a are its attributes. A name that does not
// exist any more is no error.
func (s *syncing) discard(ctx context.Context, n *syncDir, base string, a Attr) error {
	bin, err := s.binOf(ctx, n)
	if err != nil {
		return err
	}
	for range maxRounds {
		var free string
		if free, err = s.freeIn(ctx, bin, base, a.FileID); err != nil {
			return err
		}
		err = s.e.move(ctx, n.dst, base, bin, free, a.FileID)
		if errors.Is(err, syscall.EXDEV) {
			err = s.carryOut(ctx, n.dst, base, a, bin.child(free).name)
		}
		if err == nil {
			n.touched.Store(true)
			s.count(func(s *SyncStats) { s.Trashed++ })
			return nil
		}
		if !isGone(err) {
			return err
		}
		// If the name still exists, the trash does not, or somebody has
		// replaced the name at this moment.
		if _, _, lookErr := s.e.lookupIn(ctx, n.dst, base); isGone(lookErr) {
			return nil
		}
	}
	return err
}

// carryOut moves a name over the edge of a tree of its own: its copy is in the trash
// before the name is taken out of sight at once, by RENAME, and then deleted.
func (s *syncing) carryOut(ctx context.Context, dir location, base string, a Attr, to string) error {
	name := dir.child(base).name
	if err := s.over.carry(ctx, name, to, path.Dir(to)); err != nil {
		return err
	}
	out := s.fresh()
	if err := s.e.move(ctx, dir, base, s.run, out, a.FileID); err != nil {
		return err
	}
	return Delete(ctx, s.over.fsys, s.run.child(out).name, nil)
}

// freeIn returns a name in the trash that is not taken.
func (s *syncing) freeIn(ctx context.Context, bin location, base string, id uint64) (string, error) {
	for i := 0; ; i++ {
		free := version(base, id, i)
		_, _, err := s.e.lookupIn(ctx, bin, free)
		if errors.Is(err, fs.ErrNotExist) {
			return free, nil
		}
		if err != nil {
			return "", err
		}
	}
}

// keep links the present file of a name into the trash. A file that cannot be linked
// is moved there.
func (s *syncing) keep(ctx context.Context, m *syncName, now location, a Attr) error {
	bin, err := s.binOf(ctx, m.in)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		to := version(m.base, a.FileID, i)
		err := s.e.link(ctx, now, bin, to)
		if errors.Is(err, syscall.EXDEV) {
			err = s.over.carry(ctx, now.name, bin.child(to).name, bin.name)
		}
		switch {
		case err == nil:
			s.count(func(s *SyncStats) { s.Trashed++ })
			return nil
		case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.EMLINK), errors.Is(err, syscall.EINVAL):
			return s.discard(ctx, m.in, m.base, a)
		case !errors.Is(err, fs.ErrExist):
			return err
		}
		_, there, err := s.e.lookupIn(ctx, bin, to)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil && inodeOf(there) == inodeOf(a) {
			return nil
		}
		if err == nil {
			// A file that an earlier run has made need not be kept.
			d, err := s.differs(ctx, &syncName{in: m.in, base: m.base, x: m.x, y: &entryAt{now, a}})
			if err != nil || d == nil {
				return err
			}
		}
	}
}

// binOf returns the counterpart of a directory in the trash. It is made when it is
// needed, with owner and mode; complete sets the rest.
func (s *syncing) binOf(ctx context.Context, n *syncDir) (location, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.binned {
		return n.bin, nil
	}
	up, err := s.binOf(ctx, n.in)
	if err != nil {
		return location{}, err
	}
	was := n.y.attr
	mode := was.Mode | 0o700 // or we could not enter
	for i := 0; !n.binned; i++ {
		base := version(n.base, was.FileID, i)
		n.bin, err = s.e.mkdir(ctx, up, base, SetAttr{Mode: &mode, UID: &was.UID, GID: &was.GID})
		n.binned, n.binNew = err == nil, err == nil
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return location{}, err
		}
		if err == nil {
			break
		}
		at, a, err := s.e.lookupIn(ctx, up, base)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return location{}, err
		}
		if err == nil && a.Kind == Directory { // an earlier run has made it
			n.bin, n.binned = at, true
		}
	}
	return n.bin, nil
}

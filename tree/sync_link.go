package tree

import (
	"context"
	"errors"
)

// groups makes a task of each file that has or had several names. It comes last, when
// all names are known.
func (s *syncing) groups(ctx context.Context) error {
	names := map[inode]int{} // how many names a file of the target has that the source has too
	together := map[inode][]*syncName{}
	var all [][]*syncName
	for _, m := range s.linked {
		if m.y != nil {
			names[inodeOf(m.y.attr)]++
		}
		if id := inodeOf(m.x.attr); m.x.attr.Nlink > 1 {
			together[id] = append(together[id], m)
		} else {
			all = append(all, []*syncName{m})
		}
	}
	s.linked = nil
	for _, group := range together {
		all = append(all, group)
	}
	for _, group := range all {
		err := s.pool.file(ctx, func(ctx context.Context) error { return s.group(ctx, group, names) })
		if err != nil {
			return err
		}
	}
	return nil
}

// group makes the names of a group one file, and no other name.
func (s *syncing) group(ctx context.Context, group []*syncName, names map[inode]int) error {
	d := &Difference{Kind: Modified}
	var err error
	if isOne(group, names) {
		if d, err = s.differs(ctx, group[0]); err != nil {
			return err
		}
	}
	if d != nil && d.Kind == Updated {
		err = s.update(ctx, group[0], d.Fields)
	}
	switch {
	case d == nil:
		s.count(func(s *SyncStats) { s.Unchanged += int64(len(group)) })
	case d.Kind == Updated && err == nil:
		s.count(func(s *SyncStats) { s.Attributes += int64(len(group)) })
	case d.Kind == Updated && !isGone(err):
		return err
	default:
		if err := s.rebuild(ctx, group); err != nil {
			return err
		}
	}
	for _, m := range group {
		s.c.count(func(s *Stats) { s.Files++ })
		if err := s.finish(ctx, m.in); err != nil {
			return err
		}
	}
	return nil
}

// isOne tells whether in the target all names of a group are one file, and no other
// name is.
func isOne(group []*syncName, names map[inode]int) bool {
	for _, m := range group {
		if m.y == nil || inodeOf(m.y.attr) != inodeOf(group[0].y.attr) {
			return false
		}
	}
	return names[inodeOf(group[0].y.attr)] == len(group)
}

// rebuild makes a file anew and gives it all names of the group.
func (s *syncing) rebuild(ctx context.Context, group []*syncName) error {
	if len(group) == 1 {
		return s.anew(ctx, group[0])
	}
	first := s.fresh()
	at, ok, err := s.make(ctx, group[0], s.run, first)
	if err != nil {
		return err
	}
	if !ok {
		for _, m := range group[1:] {
			s.missing(m, errors.New("it is one file with "+group[0].x.at.name))
		}
		return nil
	}
	for i, m := range group {
		if err := s.linkTo(ctx, m, at, i > 0); err != nil {
			return err
		}
	}
	return s.e.remove(ctx, s.run, first)
}

// linkTo makes one more name of a file in the target.
func (s *syncing) linkTo(ctx context.Context, m *syncName, file location, further bool) (err error) {
	ok := true
	if m.in.hidden {
		err = s.e.link(ctx, file, m.in.dst, m.base)
	} else {
		staged := s.fresh()
		if err = s.e.link(ctx, file, s.run, staged); err == nil {
			ok, err = s.put(ctx, m, staged)
		}
	}
	if err != nil || !ok {
		return err
	}
	s.count(func(s *SyncStats) { s.Written++ })
	if further {
		s.c.count(func(s *Stats) { s.Links++ })
	}
	return nil
}

func inodeOf(a Attr) inode { return inode{a.Device, a.FileID} }

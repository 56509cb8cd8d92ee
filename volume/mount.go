package volume

import (
	"context"
	"slices"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
)

// Mounted is what a Mount may use.
type Mounted struct {
	Path     string // below the export
	ReadOnly bool   // a view: nothing may be written
	// FileID is the server's id of the directory that Path is now, 0 for a
	// view. A kernel may still know an earlier one under that name.
	FileID uint64
}

// Mount records that this node uses ref under id and returns where the data
// is. generation is the node's mount of the export that will be answered. The
// lease is on the export before Mount returns. A single-writer volume whose
// holder is silent is taken over first. Mount may be repeated.
func (s *Store) Mount(ctx context.Context, volume, id string, generation int) (m Mounted, err error) {
	ref, err := ParseRef(volume)
	if err != nil {
		return Mounted{}, err
	}
	what := "mount " + ref.String()
	g, err := s.Cluster.Claim(ctx, ref.String(), id, generation)
	if err != nil {
		return Mounted{}, s.conn.Explain(what, err)
	}
	defer func() { g.End(ctx, err) }()
	m = Mounted{Path: ref.Path(), ReadOnly: ref.Snapshot != ""}
	return m, s.with(ctx, what, func(e *export.Export) error {
		if m.ReadOnly {
			if err := g.Save(ctx, e); err != nil {
				return err
			}
			return s.checkView(ctx, e, ref)
		}
		err := g.Acquire(ctx, e, func() (single bool, err error) { return s.checkMountable(ctx, e, ref.Name) })
		if err != nil {
			return err
		}
		if m.FileID, err = export.FileID(ctx, e.FS, m.Path); err != nil {
			return err
		}
		return s.Cluster.StillHeld(ctx, e, ref.Name)
	})
}

// checkMountable refuses what is no whole volume, and tells whether one node at
// a time may mount it.
func (s *Store) checkMountable(ctx context.Context, e *export.Export, name string) (single bool, err error) {
	if err := s.checkDirectory(ctx, e, name); err != nil {
		return false, err
	}
	meta, err := readMeta(ctx, e.FS, name)
	if err != nil {
		return false, err
	}
	s.index.Put(name, entry{Meta: meta, Read: true})
	return meta.single(), nil
}

// Unmount takes back one use of volume under id. It succeeds while the export
// is away, or another request is at work on the volume: the lease is corrected
// as soon as that is possible. Unknown ids are fine.
func (s *Store) Unmount(ctx context.Context, volume, id string) error {
	ref, err := ParseRef(volume)
	if err != nil {
		return err
	}
	s.Cluster.Unclaim(ctx, ref.String(), id)
	return nil
}

// usersOf is who uses name as far as memory goes: the other nodes as of the
// last tick, this one as of now.
func (s *Store) usersOf(name string) []cluster.User {
	users := []cluster.User{}
	for _, u := range s.Cluster.SeenUsers(name) {
		if u.Node != s.cfg.Node {
			users = append(users, u)
		}
	}
	if u, ok := s.Cluster.OwnUse(name); ok {
		users = append(users, u)
	}
	return users
}

// othersUsing reads the other nodes' uses of a name afresh.
func (s *Store) othersUsing(ctx context.Context, e *export.Export, name string) ([]cluster.User, error) {
	users, err := s.Cluster.Users(ctx, e, name)
	return slices.DeleteFunc(users, func(u cluster.User) bool { return u.Node == s.cfg.Node }), err
}

// Users reads who uses volume, or every volume for "", with their views, from
// the export as it is now.
func (s *Store) Users(ctx context.Context, volume string) ([]cluster.User, error) {
	out := []cluster.User{}
	err := s.with(ctx, "list the users", func(e *export.Export) error {
		if err := s.Cluster.Poll(ctx, e); err != nil {
			return err
		}
		users, err := s.Cluster.AllUsers(ctx, e)
		for _, u := range users {
			if ref, _ := ParseRef(u.Volume); volume == "" || ref.Name == volume || u.Volume == volume {
				out = append(out, u)
			}
		}
		return err
	})
	return out, err
}

// silentHolder refuses to do what would leave a tree to a node that may still
// write to it, and that nobody may use then.
func (s *Store) silentHolder(ctx context.Context, e *export.Export, name string, meta *Meta) error {
	if !meta.single() {
		return nil
	}
	return s.Cluster.CheckHolder(ctx, e, name)
}

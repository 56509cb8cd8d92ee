package volume

import (
	"context"
	"path"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

// What packages snapshot and convoy need of the export beside the verbs.

// With runs f on the export: connected, its failures explained in the words of
// what and, if the export has gone, noticed.
func (s *Store) With(ctx context.Context, what string, f func(fsys tree.FS) error) error {
	return s.with(ctx, what, func(e *export.Export) error { return f(e.FS) })
}

// WithExport is With for who makes control files.
func (s *Store) WithExport(ctx context.Context, what string, f func(e *export.Export) error) error {
	return s.with(ctx, what, f)
}

// Now is the export's time, so that nodes with wrong clocks agree.
func (s *Store) Now() time.Time {
	t, _ := s.conn.Time()
	return t
}

// TTL is how long what is removed or replaced is kept.
func (tr *Trash) TTL() time.Duration { return time.Duration(tr.ttl.Load()) }

// SetTTL changes how long what is removed or replaced is kept.
func (tr *Trash) SetTTL(d time.Duration) { tr.ttl.Store(int64(d)) }

// MetaIn reads the metadata of a volume as the tree at root has it: "." for
// now, ".snapshot/NAME" for a snapshot. It is nil where there is none, also
// where it is unreadable: an old version has nobody to repair it.
func MetaIn(ctx context.Context, fsys tree.FS, root, name string) (*Meta, error) {
	data, err := tree.ReadFile(ctx, fsys, path.Join(root, export.MetaPath(name)), export.MaxFile)
	if err != nil {
		if export.IsContent(err) {
			err = nil
		}
		return nil, export.Absent(err)
	}
	if m, err := ParseMeta(name, data); err == nil {
		return m, nil
	}
	return nil, nil
}

// MetaNow reads the metadata of a volume: nil without an error when there is
// none, and an Error of kind Failed that says what to type when it is broken.
func MetaNow(ctx context.Context, fsys tree.FS, name string) (*Meta, error) {
	return readMeta(ctx, fsys, name)
}

// NamesIn lists the volumes as the root of the export has them now.
func NamesIn(ctx context.Context, fsys tree.FS) ([]string, error) { return listVolumes(ctx, fsys) }

// Holders lists who uses the volumes, on all nodes; silent ones no longer count.
func (s *Store) Holders(ctx context.Context, names []string) ([]cluster.User, error) {
	out := []cluster.User{}
	err := s.with(ctx, "list the users", func(e *export.Export) error {
		if err := s.Cluster.Poll(ctx, e); err != nil {
			return err
		}
		for _, name := range names {
			users, err := s.holders(ctx, e, name)
			if err != nil {
				return err
			}
			out = append(out, users...)
		}
		return nil
	})
	return out, err
}

// Own tells what makes a volume a tree of its own on the export, nil if nothing that
// can be seen does (tree.OwnTree).
func (s *Store) Own(ctx context.Context, name string) (own *tree.Own, err error) {
	err = s.with(ctx, "look at "+name, func(e *export.Export) error {
		own, err = tree.OwnTree(ctx, e.FS, name)
		return err
	})
	return own, err
}

package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// A view, NAME@SNAPSHOT, is a volume as a snapshot of the export has it. Only
// an exact snapshot name is one; snapshots are looked up, never expected in a
// listing of the root.

// snapshot is one entry of .snapshot.
type snapshot struct {
	name string
	attr tree.Attr
}

// snapshots lists the export's snapshots, oldest first by their directory's time.
func snapshots(ctx context.Context, fsys tree.FS) ([]snapshot, error) {
	var out []snapshot
	err := fsys.ReadDirPlus(ctx, export.SnapshotDir, func(d tree.EntryPlus) error {
		if d.Attr.Kind == tree.Directory && !strings.HasPrefix(d.Name, ".") {
			out = append(out, snapshot{d.Name, d.Attr})
		}
		return nil
	})
	if err != nil {
		return nil, export.Absent(err)
	}
	slices.SortFunc(out, func(a, b snapshot) int {
		if c := a.attr.Mtime.Compare(b.attr.Mtime); c != 0 {
			return c
		}
		return strings.Compare(a.name, b.name)
	})
	return out, nil
}

// checkView refuses a view that is not exact, naming what to type.
func (s *Store) checkView(ctx context.Context, e *export.Export, ref Ref) error {
	attr, err := e.FS.Stat(ctx, ref.Path())
	if err == nil && attr.Kind == tree.Directory {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	all, err := snapshots(ctx, e.FS)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return problem.New(problem.Failed, "if the server has snapshots: on the filer 'volume modify -snapdir-access true' and 'vserver nfs modify -v3-hide-snapshot disabled'", "no view %q: the export shows no snapshots (no %s directory)", ref, export.SnapshotDir)
	}
	names := make([]string, len(all))
	for i, sn := range all {
		names[i] = sn.name
	}
	if slices.Contains(names, ref.Snapshot) {
		return problem.New(problem.NotFound, fmt.Sprintf("'ls %s' on the export shows what it has", path.Join(export.SnapshotDir, ref.Snapshot)),
			"snapshot %q has no volume %q", ref.Snapshot, ref.Name)
	}
	meant := nearest(ref.Snapshot, names)
	if i := slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(n, ref.Snapshot) }); i >= 0 {
		meant = names[i]
	}
	if ref.Snapshot == "latest" || strings.HasPrefix(ref.Snapshot, "-") {
		meant = names[len(names)-1]
	}
	return problem.New(problem.NotFound, fmt.Sprintf("as a volume name only an exact snapshot works, for example %s@%s", ref.Name, meant),
		"no snapshot %q on the export", ref.Snapshot)
}

// getView is Get for a view. One that this node uses is known, whatever the
// export says now.
func (s *Store) getView(ctx context.Context, ref Ref) (*Info, error) {
	i := &Info{Name: ref.String(), Path: ref.Path(), Options: map[string]string{}, Health: "ok", Users: s.usersOf(ref.String())}
	err := s.with(ctx, "look up "+ref.String(), func(e *export.Export) error { return s.checkView(ctx, e, ref) })
	if err == nil {
		return i, nil
	}
	if len(s.Cluster.Claims(ref.String())) > 0 {
		i.Health = "unverified: " + err.Error()
		return i, nil
	}
	return nil, err
}

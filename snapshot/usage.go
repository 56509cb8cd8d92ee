package snapshot

import (
	"context"

	"github.com/casit/berth/snapshot/df"
	"github.com/casit/berth/tree"
)

// Usage measures the trash, and asks where the rest of the space is. With live it also
// measures the volumes of a local disk.
func (v *Versions) Usage(ctx context.Context, live bool) (u *df.Usage, err error) {
	err = v.volumes.With(ctx, "measure the export", func(fsys tree.FS) error {
		all, how, err := v.all(ctx, fsys)
		if err != nil {
			return err
		}
		trash, err := v.volumes.Trash.List(ctx)
		if err != nil {
			return err
		}
		of := df.Export{Snapshots: all, Own: how == ByBerth, Trash: trash, Live: live}
		if filer := v.tuned.Load().Filer; filer != nil && how == ByFiler {
			of.Kept = filer.SnapshotBytes
		}
		u, err = df.Measure(ctx, fsys, of)
		return err
	})
	return u, err
}

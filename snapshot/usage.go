package snapshot

import (
	"context"

	"github.com/casit/berth/snapshot/df"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Usage measures the trash, and asks where the rest of the space is. With live it also
// measures the volumes of a local disk. A filer that counts them is asked always.
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
			of.Kept, of.Sizes = filer.SnapshotBytes, filer.Sizes
		}
		u, err = df.Measure(ctx, fsys, of)
		return err
	})
	return u, err
}

// Measure fills in what volumes hold. A filer that counts what is below a directory
// is asked for its counts. A volume without a count is walked; with walk all are.
func (v *Versions) Measure(ctx context.Context, all []*volume.Info, walk bool) error {
	var sizes map[string]netapp.Size
	if filer := v.tuned.Load().Filer; filer != nil && !walk {
		sizes, _ = filer.Sizes(ctx) // doctor says why it has none
	}
	return df.Volumes(ctx, all, sizes, v.volumes.Measure)
}

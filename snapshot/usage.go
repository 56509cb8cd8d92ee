package snapshot

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Usage is where the export's space is. Sizes are bytes.
type Usage struct {
	Total int64 `json:"total_bytes"`
	Avail int64 `json:"avail_bytes"`
	Used  int64 `json:"used_bytes"`
	// Trash and Undo are what was removed and what was replaced; Now of it
	// comes free when it is purged, Later only when snapshots that hold it go.
	Trash int64 `json:"trash_bytes"`
	Undo  int64 `json:"undo_bytes"`
	Now   int64 `json:"frees_now_bytes"`
	Later int64 `json:"frees_later_bytes"`
	// Snapshots is what they hold alone, as the filer says; -1 if nobody knows.
	Snapshots     int64      `json:"snapshots_bytes"`
	SnapshotCount int        `json:"snapshots"`
	Oldest        *Snapshot  `json:"oldest_snapshot,omitempty"`
	Items         []UsedItem `json:"items"`
}

// UsedItem is a trash item with its size.
type UsedItem struct {
	volume.Trashed
	Bytes int64 `json:"bytes"`
	Files int64 `json:"files"`
	// Held: a snapshot was made while it was in use or in the trash, and has
	// its blocks.
	Held bool `json:"held_by_snapshots"`
}

// measuredAtOnce is how many trees are walked at the same time; each keeps
// many calls in flight itself.
const measuredAtOnce = 4

// Usage measures the trash and asks where the rest is.
func (v *Versions) Usage(ctx context.Context) (*Usage, error) {
	u := &Usage{Snapshots: -1, Items: []UsedItem{}}
	err := v.volumes.With(ctx, "measure the export", func(fsys tree.FS) error {
		space, err := fsys.Statfs(ctx)
		if err != nil {
			return err
		}
		u.Total, u.Avail, u.Used = space.Total, space.Avail, space.Total-space.Free
		all, how, err := v.all(ctx, fsys)
		if err != nil {
			return err
		}
		if u.SnapshotCount = len(all); len(all) > 0 {
			u.Oldest = &all[len(all)-1]
		}
		switch how {
		case ByBerth:
			u.Snapshots = 0
			for _, s := range all {
				u.Snapshots += s.SizeBytes
			}
		case ByFiler:
			if n, err := v.filer.snapshotBytes(ctx); err == nil {
				u.Snapshots = n
			}
		}
		return v.usedByTrash(ctx, fsys, u, all, how)
	})
	return u, err
}

func (v *Versions) usedByTrash(ctx context.Context, fsys tree.FS, u *Usage, all []Snapshot, how How) error {
	items, err := v.volumes.TrashList(ctx)
	if err != nil {
		return err
	}
	u.Items = make([]UsedItem, len(items))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(measuredAtOnce)
	for i, t := range items {
		g.Go(func() error {
			got, err := tree.Measure(ctx, fsys, t.Data())
			// berth's own snapshots are copies: they hold nothing.
			u.Items[i] = UsedItem{Trashed: *t, Bytes: got.Bytes, Files: got.Files, Held: how != ByBerth && held(t, all)}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, it := range u.Items {
		if it.Kind == "undo" {
			u.Undo += it.Bytes
		} else {
			u.Trash += it.Bytes
		}
		if it.Held {
			u.Later += it.Bytes
		} else {
			u.Now += it.Bytes
		}
	}
	return nil
}

// held tells whether a snapshot has been made since the volume exists.
func held(t *volume.Trashed, all []Snapshot) bool {
	var since time.Time
	if t.Meta != nil {
		since = t.Meta.Created
	}
	return len(all) > 0 && (all[0].Time.IsZero() || all[0].Time.After(since))
}

func (f *Filer) snapshotBytes(ctx context.Context) (int64, error) {
	x, err := f.where(ctx)
	if err != nil {
		return 0, err
	}
	vol, err := f.client.VolumeGet(ctx, x.Volume.UUID)
	return vol.Space.Snapshot.Used, f.failed(err)
}

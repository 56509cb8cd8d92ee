package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/embedded"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Usage is where the export's space is. Sizes are bytes as they take space on
// the disk: holes left out, hard links once.
type Usage struct {
	Total int64 `json:"total_bytes"`
	Avail int64 `json:"avail_bytes"`
	Used  int64 `json:"used_bytes"`
	// Live is what the volumes take; -1 where they were not walked: on a server
	// this is most of Other.
	Live int64 `json:"live_bytes"`
	// Trash and Undo are what was removed and what was replaced; Now of it
	// comes free when all is purged, Later only when snapshots that hold it go.
	Trash int64 `json:"trash_bytes"`
	Undo  int64 `json:"undo_bytes"`
	Now   int64 `json:"frees_now_bytes"`
	Later int64 `json:"frees_later_bytes"`
	// Shared: the filesystem shares blocks between copies, so what comes free is
	// at most as said.
	Shared bool `json:"blocks_shared,omitempty"`
	// Snapshots is what they hold alone, as the filer says; -1 if nobody knows.
	Snapshots     int64               `json:"snapshots_bytes"`
	SnapshotCount int                 `json:"snapshots"`
	Oldest        *reference.Snapshot `json:"oldest_snapshot,omitempty"`
	Items         []UsedItem          `json:"items"`
	// Other is the rest of what is used.
	Other int64 `json:"other_bytes"`
	// Failed are the volumes that could not be measured, and are in Other.
	Failed []embedded.LeftOut `json:"failed,omitempty"`
}

// UsedItem is a trash item with its size.
type UsedItem struct {
	volume.Trashed
	Bytes int64 `json:"bytes"` // as the sizes of its files say
	Used  int64 `json:"used_bytes"`
	Files int64 `json:"files"`
	// Held: a snapshot was made while it was in use or in the trash, and has
	// its blocks.
	Held bool `json:"held_by_snapshots"`
	// Failed is why it could not be measured, "" if it could.
	Failed string `json:"failed,omitempty"`
}

// measuredAtOnce is how many trees are walked at the same time; each keeps
// many calls in flight itself.
const measuredAtOnce = 4

// Usage measures the trash, on a local disk the volumes too, and asks where the
// rest is.
func (v *Versions) Usage(ctx context.Context) (*Usage, error) { return v.usage(ctx, true) }

// UsageOfTrash is Usage without a walk of the volumes.
func (v *Versions) UsageOfTrash(ctx context.Context) (*Usage, error) { return v.usage(ctx, false) }

func (v *Versions) usage(ctx context.Context, live bool) (*Usage, error) {
	u := &Usage{Live: -1, Snapshots: -1, Items: []UsedItem{}}
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
		e, local := embedded.New(fsys, v.tuned.Load().Zone)
		if local {
			if u.Shared, err = e.Reflinks(ctx); err != nil {
				return err
			}
		}
		switch {
		case how == ByBerth && !u.Shared:
			u.Snapshots = 0
			for _, s := range all {
				u.Snapshots += s.SizeBytes
			}
		case how == ByFiler:
			if filer := v.tuned.Load().Filer; filer != nil {
				if n, err := filer.SnapshotBytes(ctx); err == nil {
					u.Snapshots = n
				}
			}
		}
		// berth's own snapshots hold nothing where they are plain copies.
		if err := v.usedByTrash(ctx, fsys, u, all, how != ByBerth || u.Shared); err != nil {
			return err
		}
		if local && live {
			if err := usedByVolumes(ctx, fsys, u); err != nil {
				return err
			}
		}
		u.Other = max(0, u.Used-max(0, u.Live)-u.Trash-u.Undo-max(0, u.Snapshots))
		return nil
	})
	return u, err
}

// usedByVolumes measures what is live.
func usedByVolumes(ctx context.Context, fsys tree.FS, u *Usage) error {
	names, err := volume.NamesIn(ctx, fsys)
	if err != nil {
		return err
	}
	u.Live = 0
	got := make([]tree.Measured, len(names))
	failed, err := measureAll(ctx, fsys, names, got)
	for i, n := range names {
		u.Live += got[i].Used
		if failed[i] != nil && !errors.Is(failed[i], fs.ErrNotExist) { // not removed meanwhile
			u.Failed = append(u.Failed, embedded.LeftOut{Volume: n, Reason: failed[i].Error()})
		}
	}
	return err
}

// measureAll measures trees, and returns why some could not be: those have
// nothing in got.
func measureAll(ctx context.Context, fsys tree.FS, names []string, got []tree.Measured) ([]error, error) {
	failed := make([]error, len(names))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(measuredAtOnce)
	for i, n := range names {
		g.Go(guard.Func(func() error {
			m, err := tree.Measure(ctx, fsys, n)
			switch {
			case err == nil:
				got[i] = m
			case problem.OfExport(err):
				return err
			}
			failed[i] = err
			return nil
		}))
	}
	return failed, g.Wait()
}

func (v *Versions) usedByTrash(ctx context.Context, fsys tree.FS, u *Usage, all []reference.Snapshot, hold bool) error {
	items, err := v.volumes.TrashList(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, t := range items {
		names = append(names, t.Data())
	}
	got := make([]tree.Measured, len(items))
	failed, err := measureAll(ctx, fsys, names, got)
	if err != nil {
		return err
	}
	for i, t := range items {
		it := UsedItem{Trashed: *t, Bytes: got[i].Bytes, Used: got[i].Used, Files: got[i].Files, Held: hold && held(t, all)}
		if failed[i] != nil && !errors.Is(failed[i], fs.ErrNotExist) {
			it.Failed = failed[i].Error()
		}
		u.Items = append(u.Items, it)
		if it.Kind == "undo" {
			u.Undo += it.Used
		} else {
			u.Trash += it.Used
		}
		switch {
		case it.Kind == "unreadable": // nothing frees it but its own id
		case it.Held:
			u.Later += it.Used
		default:
			u.Now += it.Used
		}
	}
	return nil
}

// held tells whether a snapshot has been made since the volume exists.
func held(t *volume.Trashed, all []reference.Snapshot) bool {
	var since time.Time
	if t.Meta != nil {
		since = t.Meta.Created
	}
	return len(all) > 0 && (all[0].Time.IsZero() || all[0].Time.After(since))
}

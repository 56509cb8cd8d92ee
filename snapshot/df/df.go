package df

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/snapshot/embedded"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Usage is where the export's space is. Sizes are the bytes that trees take on the
// disk: without holes, and a file with several names once.
type Usage struct {
	Total int64 `json:"total_bytes"`
	Avail int64 `json:"avail_bytes"`
	Used  int64 `json:"used_bytes"`
	// Live is what the volumes take; -1 where they were not measured, because they
	// are on a server that does not count them. There, most of Other are volumes.
	Live int64 `json:"live_bytes"`
	// ByFiler says that Live is the filer's count, of directories too, and may lag.
	ByFiler bool `json:"live_counted_by_filer,omitempty"`
	// Trash and Undo are what removed volumes and undo copies take. A purge of all
	// frees Now at once; Later becomes free when the snapshots that keep it are
	// removed.
	Trash int64 `json:"trash_bytes"`
	Undo  int64 `json:"undo_bytes"`
	Now   int64 `json:"frees_now_bytes"`
	Later int64 `json:"frees_later_bytes"`
	// Shared says that the filesystem shares blocks between copies, so a purge may
	// free less than Now.
	Shared bool `json:"blocks_shared,omitempty"`
	// Snapshots is what the snapshots alone keep; -1 if nobody knows.
	Snapshots     int64               `json:"snapshots_bytes"`
	SnapshotCount int                 `json:"snapshots"`
	Oldest        *reference.Snapshot `json:"oldest_snapshot,omitempty"`
	Items         []Item              `json:"items"`
	// Other is the rest of Used.
	Other int64 `json:"other_bytes"`
	// Failed are the volumes that could not be measured. What they take is in Other.
	Failed []embedded.LeftOut `json:"failed,omitempty"`
}

// Item is a trash item with its size.
type Item struct {
	volume.Trashed
	Bytes int64 `json:"bytes"` // as the sizes of its files say
	Used  int64 `json:"used_bytes"`
	Files int64 `json:"files"`
	// Held says that a snapshot was made since the item's volume exists, and keeps
	// its blocks.
	Held bool `json:"held_by_snapshots"`
	// Failed is why the item could not be measured, "" if it could.
	Failed string `json:"failed,omitempty"`
}

// measuredAtOnce is how many trees are measured at the same time. Each of them
// keeps many calls in flight.
const measuredAtOnce = 4

// Export is what an export consists of.
type Export struct {
	_ struct{}

	Snapshots []reference.Snapshot // newest first
	Own       bool                 // berth has made the snapshots
	// Kept asks for the bytes that the snapshots keep; nil where nobody knows.
	Kept  func(context.Context) (int64, error)
	Trash []*volume.Trashed
	Live  bool // measure the volumes too, if the disk is local
	// Sizes asks the filer for the sizes of the volumes; nil where there is none.
	Sizes Counted
}

// Measure measures the trash and the volumes of an export, and asks where the rest
// of its space is. A tree that cannot be measured has the reason beside it.
func Measure(ctx context.Context, fsys tree.FS, of Export) (*Usage, error) {
	u := &Usage{Live: -1, Snapshots: -1, SnapshotCount: len(of.Snapshots), Items: []Item{}}
	space, err := fsys.Statfs(ctx)
	if err != nil {
		return nil, err
	}
	u.Total, u.Avail, u.Used = space.Total, space.Avail, space.Total-space.Free
	if n := len(of.Snapshots); n > 0 {
		u.Oldest = &of.Snapshots[n-1]
	}
	maker, local := embedded.New(fsys, time.UTC)
	if local {
		if u.Shared, err = maker.Reflinks(ctx); err != nil {
			return nil, err
		}
	}
	switch {
	case of.Own && !u.Shared:
		u.Snapshots = 0
		for _, s := range of.Snapshots {
			u.Snapshots += s.Taken
		}
	case of.Kept != nil:
		if n, err := of.Kept(ctx); err == nil {
			u.Snapshots = n
		}
	}
	// Plain copies keep nothing of the trash.
	if err := u.trash(ctx, fsys, of, !of.Own || u.Shared); err != nil {
		return nil, err
	}
	switch {
	case local && of.Live:
		err = u.volumes(ctx, fsys)
	case !local && of.Sizes != nil:
		err = u.counted(ctx, fsys, of.Sizes)
	}
	if err != nil {
		return nil, err
	}
	u.Other = max(0, u.Used-max(0, u.Live)-u.Trash-u.Undo-max(0, u.Snapshots))
	return u, nil
}

// trash measures the items of the trash. keep says that snapshots keep what they
// have of them.
func (u *Usage) trash(ctx context.Context, fsys tree.FS, of Export, keep bool) error {
	var names []string
	for _, t := range of.Trash {
		names = append(names, t.Data())
	}
	got := make([]tree.Measured, len(names))
	failed, err := measureAll(ctx, fsys, names, got)
	if err != nil {
		return err
	}
	for i, t := range of.Trash {
		it := Item{Trashed: *t, Bytes: got[i].Bytes, Used: got[i].Used, Files: got[i].Files, Held: keep && kept(t, of.Snapshots)}
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
		case it.Kind == "unreadable": // only a purge by its id frees it
		case it.Held:
			u.Later += it.Used
		default:
			u.Now += it.Used
		}
	}
	return nil
}

// volumes measures the live volumes.
func (u *Usage) volumes(ctx context.Context, fsys tree.FS) error {
	names, err := volume.NamesIn(ctx, fsys)
	if err != nil {
		return err
	}
	u.Live = 0
	got := make([]tree.Measured, len(names))
	failed, err := measureAll(ctx, fsys, names, got)
	for i, n := range names {
		u.Live += got[i].Used
		if failed[i] != nil && !errors.Is(failed[i], fs.ErrNotExist) { // a volume that was removed meanwhile takes nothing
			u.Failed = append(u.Failed, embedded.LeftOut{Volume: n, Reason: failed[i].Error()})
		}
	}
	return err
}

// measureAll measures trees into got. It returns for each tree why it could not be
// measured, and an error where the export itself is away.
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
			case export.Ends(ctx, fsys, err):
				return err
			}
			failed[i] = err
			return nil
		}))
	}
	return failed, g.Wait()
}

// kept tells whether a snapshot has been made since the item's volume exists.
func kept(t *volume.Trashed, all []reference.Snapshot) bool {
	var since time.Time
	if t.Meta != nil {
		since = t.Meta.Created
	}
	return len(all) > 0 && (all[0].Time.IsZero() || all[0].Time.After(since))
}

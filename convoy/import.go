package convoy

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Origin marks metadata that Import wrote.
const Origin = "convoy"

// Options of an import.
type Options struct {
	DryRun bool // only say what would be done
	Adopt  bool // give orphans metadata too
}

// Import writes berth's metadata for every volume that Convoy has a record of.
// It may be repeated, on any node: existing metadata stays as it is, and an
// interrupted import goes on. It only reads Convoy's files and the data.
func Import(ctx context.Context, store *volume.Store, o Options) (*Report, error) {
	share, err := read(ctx, store)
	if err != nil {
		return nil, err
	}
	r := share.plan(o.Adopt)
	r.DryRun = o.DryRun
	if len(share.Records) == 0 && r.Volumes == 0 {
		return nil, noRecords()
	}
	if o.DryRun {
		return r, nil
	}
	err = each(ctx, store, r, func(ctx context.Context, i *Item) error {
		if i.State != Imported && i.State != Adopted {
			return nil
		}
		made, err := store.Import(ctx, i.Volume, Origin, i.Created)
		if err == nil && !made {
			i.State = Already // by another node, this moment
		}
		return err
	})
	note(ctx, store, r, "import", Imported, Adopted)
	return r, err
}

// Undo moves the metadata that Import wrote, and nobody has changed since, into
// .berth/trash: its volumes are directories with default options again. Changed
// metadata stays.
func Undo(ctx context.Context, store *volume.Store, dryRun bool) (*Report, error) {
	share, err := read(ctx, store)
	if err != nil {
		return nil, err
	}
	r := &Report{DryRun: dryRun, Items: []*Item{}}
	for _, d := range share.Dirs {
		if d.Meta == nil || d.Meta.Origin != Origin {
			continue
		}
		i := &Item{Volume: d.Name, State: Undone, Created: d.Meta.Created, Access: d.Meta.Options.Get("access")}
		if err := d.Meta.Unchanged(Origin); err != nil {
			i.State, i.Reason = Kept, err.Error()
		}
		r.Items = append(r.Items, i)
	}
	r.finish()
	if dryRun {
		return r, nil
	}
	err = each(ctx, store, r, func(ctx context.Context, i *Item) (err error) {
		if i.State == Undone {
			i.Aside, err = store.Unimport(ctx, i.Volume, Origin)
		}
		return err
	})
	note(ctx, store, r, "undo import", Undone)
	return r, err
}

func read(ctx context.Context, store *volume.Store) (s *share, err error) {
	err = store.With(ctx, "read Convoy's share", func(fsys tree.FS) error {
		s, err = readShare(ctx, fsys)
		return err
	})
	return s, err
}

// noRecords is the error if the export has no records of Convoy.
func noRecords() error {
	return &problem.Error{Kind: problem.Failed,
		Reason: fmt.Sprintf("there is no %s/%s*%s on the export", volume.ConvoyDir, volume.ConvoyPrefix, volume.ConvoySuffix),
		Hint:   "let BERTH_EXPORT name the directory that Convoy has as vfs.path; Convoy before v0.5 kept no records there: its directories are volumes of berth as they are"}
}

// each runs one step per item, many at once. An error of one volume breaks that
// volume only; an error of the export ends the import, which may be repeated.
func each(ctx context.Context, store *volume.Store, r *Report, step func(context.Context, *Item) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for _, i := range r.Items {
		group.Go(func() error {
			err := step(ctx, i)
			if err == nil {
				return nil
			}
			fsys, away := store.FS(ctx)
			if away != nil || export.Ends(ctx, fsys, err) {
				return err
			}
			i.State, i.Reason = Broken, err.Error()
			return nil
		})
	}
	err := group.Wait()
	r.finish()
	return err
}

// note leaves one line in the audit trail.
func note(ctx context.Context, store *volume.Store, r *Report, op string, done ...State) {
	n := 0
	for _, i := range r.Items {
		if slices.Contains(done, i.State) {
			n++
		}
	}
	if n > 0 {
		store.Audit.Note(ctx, audit.Record{Op: op, Detail: fmt.Sprintf("%d of Convoy's volumes", n)})
	}
}

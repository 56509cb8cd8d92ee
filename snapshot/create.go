package snapshot

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/several"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/embedded"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// CreateRequest asks for a snapshot. On a filer it is of the whole export, in
// berth's own of the named volumes, of all if none is named.
type CreateRequest struct {
	Volumes []string `json:"volumes"`
	Stack   string   `json:"stack"`
	Name    string   `json:"name"`
	Comment string   `json:"comment"`
	Force   bool     `json:"force,omitempty"` // fill the export with a copy
	// Lock is for how long nobody can remove it, on a filer; 0 for not at all.
	Lock time.Duration `json:"lock_ns,omitempty"`
}

// Created is a new snapshot.
type Created struct {
	Snapshot reference.Snapshot `json:"snapshot"`
	By       How                `json:"by"`
	Volumes  int                `json:"volumes"` // that have this version
	// Of berth's own: how it was made (btrfs, reflink or copy), and how much.
	Method  string `json:"method,omitempty"`
	Files   int64  `json:"files,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"`
	Changed int64  `json:"changed,omitempty"` // files that changed while they were copied, and may be torn
	Absent  int64  `json:"absent,omitempty"`  // files that were removed meanwhile: they are not in it
	Missing int64  `json:"missing,omitempty"` // files that could not be copied
	// The first few of each, from their volume on.
	ChangedPaths []string `json:"changed_paths,omitempty"`
	AbsentPaths  []string `json:"absent_paths,omitempty"`
	MissingPaths []string `json:"missing_paths,omitempty"`
	// Failed are the volumes that could not be copied and are not in it.
	Failed []embedded.LeftOut `json:"failed,omitempty"`
}

// Create makes a snapshot. Only a filer's is an instant.
func (v *Versions) Create(ctx context.Context, r CreateRequest) (c *Created, err error) {
	if r.Lock < 0 {
		return nil, problem.New(problem.Invalid, "for example --lock 30d", "a lock of less than no time")
	}
	if r.Force {
		ctx = export.Force(ctx)
	}
	err = v.volumes.With(ctx, "make a snapshot", func(fsys tree.FS) error {
		all, err := v.volumes.List(ctx)
		if err != nil {
			return err
		}
		names := r.Volumes
		if r.Stack != "" {
			if names = ofStack(all, r.Stack); len(names) == 0 {
				return problem.New(problem.NotFound, "'berth volume ls' lists the volumes", "no volume of a stack %q", r.Stack)
			}
		}
		for _, n := range names {
			if !slices.Contains(all, n) {
				return problem.New(problem.NotFound, "'berth volume ls' lists the volumes", "no volume %q on the export", n)
			}
		}
		if r.Name == "" {
			r.Name = reference.NewName(v.now())
		}
		reads := v.reading("berth snapshot create", names...)
		defer reads.done()
		made, read, err := v.create(ctx, fsys, r, names, len(all), reads.progress)
		for _, r := range read {
			v.sums.Keep(ctx, []compare.Read{{Volume: r.Volume, Proofs: r.Proofs}})
		}
		c = made
		return err
	})
	if err == nil {
		detail := []string{c.Snapshot.Name}
		if until := c.Snapshot.LockedUntil; !until.IsZero() {
			detail = append(detail, "locked until "+until.Format(time.RFC3339))
		}
		for _, f := range c.Failed {
			detail = append(detail, fmt.Sprintf("without %s: %s", f.Volume, f.Reason))
		}
		v.volumes.Audit.Note(ctx, audit.Record{Op: "snapshot create", Detail: several.Join(detail, ", ")})
	}
	return c, err
}

// Removal is a snapshot that goes, and who loses a version by it.
type Removal struct {
	Snapshot reference.Snapshot `json:"snapshot"`
	Volumes  []string           `json:"volumes"`
}

// RemoveRequest names snapshots, exactly.
type RemoveRequest struct {
	Names  []string `json:"names"`
	DryRun bool     `json:"dry_run"`
}

// Remove removes snapshots, each of which is a version of many volumes. One
// that is mounted or read anywhere is in use: then none is removed. It returns what was
// removed; one that cannot be keeps no other.
func (v *Versions) Remove(ctx context.Context, r RemoveRequest) (out []Removal, err error) {
	return v.removeAfter(ctx, r, "")
}

// removeAfter is Remove by a job that is over.
func (v *Versions) removeAfter(ctx context.Context, r RemoveRequest, job string) (out []Removal, err error) {
	err = v.volumes.With(ctx, "remove snapshots", func(fsys tree.FS) error {
		all, how, err := v.all(ctx, fsys)
		if err != nil {
			return err
		}
		if how == ReadOnly {
			return readOnly("remove")
		}
		for _, name := range r.Names {
			i := slices.IndexFunc(all, func(s reference.Snapshot) bool { return s.Name == name })
			if i < 0 {
				return problem.New(problem.NotFound, "give exact names, as 'berth snapshot ls VOLUME' lists them", "no snapshot %q", name)
			}
			if until := all[i].LockedUntil; until.After(v.now()) {
				return problem.New(problem.InUse, "wait: nobody can remove it before, not on the filer either", "snapshot %q is locked until %s", name, until.Format(time.RFC3339))
			}
			// Whose version it is, and who has it mounted, is in its directory.
			if err := v.open(ctx, all[i]); err != nil {
				return err
			}
			vols, err := volumesIn(ctx, fsys, name)
			if err != nil {
				return err
			}
			if err := viewed(ctx, v.volumes, name, vols); err != nil {
				return err
			}
			if err := v.read(ctx, name, job, all); err != nil {
				return err
			}
			out = append(out, Removal{all[i], vols})
		}
		if r.DryRun {
			return nil
		}
		plan := out
		out = nil
		var failed several.Errors
		for _, gone := range plan {
			err := v.remove(ctx, fsys, gone.Snapshot, how)
			if export.Ends(ctx, fsys, err) {
				return err
			}
			if err != nil { // the others go
				failed.Add(err)
				continue
			}
			out = append(out, gone)
			v.volumes.Audit.Note(ctx, audit.Record{Op: "snapshot rm", Detail: fmt.Sprintf("%s, a version of %d volumes", gone.Snapshot.Name, len(gone.Volumes))})
		}
		return failed.Err()
	})
	return out, err
}

// viewed refuses a snapshot that containers have mounted.
func viewed(ctx context.Context, volumes *volume.Store, snap string, vols []string) error {
	var views []string
	for _, n := range vols {
		views = append(views, n+"@"+snap)
	}
	users, err := volumes.Holders(ctx, views)
	if err == nil && len(users) > 0 {
		return problem.New(problem.InUse, "stop its containers there first", "snapshot %q is mounted as %s on %s", snap, users[0].Volume, users[0].Node)
	}
	return err
}

// Newest returns the newest snapshot, nil if there is none.
func (v *Versions) Newest(ctx context.Context) (s *reference.Snapshot, err error) {
	err = v.volumes.With(ctx, "look for the newest snapshot", func(fsys tree.FS) error {
		all, _, err := v.all(ctx, fsys)
		if err == nil && len(all) > 0 {
			s = &all[0]
		}
		return err
	})
	return s, err
}

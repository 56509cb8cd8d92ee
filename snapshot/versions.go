package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Config is what Versions are made with.
type Config struct {
	_ struct{}

	Volumes *volume.Store
	Tuning
	Now func() time.Time // default time.Now
	// Ended is called when a job of this node has ended, with its progress and its
	// error. It may be nil.
	Ended func(op cluster.Op, p job.Progress, err error)
}

// Versions are the volumes of one export as its snapshots have them. All
// methods may be called concurrently.
type Versions struct {
	source
	sums compare.Sums

	Jobs *job.Jobs // of cfg.Volumes

	volumes *volume.Store
	ended   func(op cluster.Op, p job.Progress, err error)

	readers readers // of snapshots, in this process
}

// New returns the versions of cfg.Volumes.
func New(cfg Config) *Versions {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Ended == nil {
		cfg.Ended = func(cluster.Op, job.Progress, error) {}
	}
	v := &Versions{source: source{now: cfg.Now}, sums: compare.Sums{Volumes: cfg.Volumes}, Jobs: cfg.Volumes.Jobs, volumes: cfg.Volumes, ended: cfg.Ended}
	v.Tune(cfg.Tuning)
	return v
}

// Version is a volume as one snapshot has it.
type Version struct {
	reference.Snapshot
	// SizeBytes is what this version of the volume takes on the disk, where berth
	// has copied it and counted; 0 if nobody knows. A filer does not tell.
	SizeBytes int64
	// Before and Live are the differences to the version before and to the live
	// volume, if they were asked for; nil where there is no such version.
	Before *compare.Changes
	Live   *compare.Changes
}

// Listing are the versions of a volume, newest first.
type Listing struct {
	Volume  string         `json:"volume"`
	Deleted bool           `json:"deleted,omitempty"` // only snapshots have it
	How     How            `json:"snapshots_by"`
	Policy  *netapp.Policy `json:"policy,omitempty"`
	// PolicyUnknown is why the filer's policy, or when it runs next, is not
	// known; "" where it is.
	PolicyUnknown string    `json:"policy_unknown,omitempty"`
	Versions      []Version `json:"versions"`
	// Unread is why some snapshots could not be looked into: there may be more
	// versions. "" where all were.
	Unread string `json:"unread,omitempty"`
	// Hidden are the filer's snapshots that the export does not show: they may
	// have the volume. Unhide is what to type to see them.
	Hidden []string `json:"hidden,omitempty"`
	Unhide string   `json:"unhide,omitempty"`
}

// ListRequest names what to list.
type ListRequest struct {
	Volume  string `json:"volume"`
	Stack   string `json:"stack"`
	Changes bool   `json:"changes"`
}

// List lists the versions of a volume, or of every volume of a stack. It is an error
// if neither the export nor a snapshot has the volume.
func (v *Versions) List(ctx context.Context, r ListRequest) (out []Listing, err error) {
	err = v.volumes.With(ctx, "list the snapshots", func(fsys tree.FS) error {
		all, how, err := v.all(ctx, fsys)
		if err != nil {
			return err
		}
		names := []string{r.Volume}
		if r.Stack != "" {
			if names, err = stackVolumes(ctx, v.volumes, fsys, r.Stack, all); err != nil {
				return err
			}
		}
		var policy *netapp.Policy
		unknown := ""
		if t := v.tuned.Load(); t.Filer != nil {
			var err error
			if policy, err = t.Filer.Policy(ctx, t.Zone); err != nil {
				unknown = err.Error()
			}
		}
		for _, name := range names {
			l := Listing{Volume: name, How: how, Policy: policy, PolicyUnknown: unknown, Versions: []Version{}}
			if err := v.listOne(ctx, fsys, &l, all); err != nil {
				return err
			}
			if r.Changes {
				if err := (&counting{v, fsys, name}).all(ctx, &l); err != nil {
					return err
				}
			}
			out = append(out, l)
		}
		return nil
	})
	return out, err
}

// listOne fills in the versions of one volume.
func (v *Versions) listOne(ctx context.Context, fsys tree.FS, l *Listing, all []reference.Snapshot) error {
	if err := volume.CheckName(l.Volume); err != nil {
		return err
	}
	have, unread := attrs(ctx, fsys, all, l.Volume)
	if export.Ends(ctx, fsys, unread) {
		return unread
	}
	if unread != nil { // of single snapshots: the versions in the others are shown
		l.Unread = unread.Error()
	}
	for i, s := range all {
		if s.Hidden {
			l.Hidden, l.Unhide = append(l.Hidden, s.Name), v.unhide(ctx)
		} else if have[i] != nil && have[i].Kind == tree.Directory {
			l.Versions = append(l.Versions, Version{Snapshot: s, SizeBytes: s.Copies[l.Volume]})
		}
	}
	live, err := stat(ctx, fsys, l.Volume)
	if err != nil {
		return err
	}
	l.Deleted = live == nil
	if l.Deleted && len(l.Versions) == 0 {
		if unread != nil {
			return unread
		}
		if err := v.open(ctx, all...); err != nil {
			return err
		}
		return problem.New(problem.NotFound, "'docker volume ls' lists the volumes, 'berth trash ls' what was removed",
			"no volume %q, neither on the export nor in a snapshot", l.Volume)
	}
	return nil
}

// stackVolumes lists the volumes of a stack, also volumes that only the newest snapshot has.
func stackVolumes(ctx context.Context, volumes *volume.Store, fsys tree.FS, stack string, all []reference.Snapshot) ([]string, error) {
	names, err := volumes.List(ctx)
	if err != nil {
		return nil, err
	}
	out := ofStack(names, stack)
	if len(all) > 0 {
		var lost []string
		if !all[0].Hidden {
			if lost, err = volumesIn(ctx, fsys, all[0].Name); err != nil {
				return nil, err
			}
		}
		out = union(out, ofStack(lost, stack))
	}
	if len(out) == 0 {
		return nil, problem.New(problem.NotFound, "'docker stack ls' lists the stacks; its volumes begin with its name and '_'", "no volume of a stack %q", stack)
	}
	return out, nil
}

// ofStack picks the volumes that docker stack deploy names for a stack.
func ofStack(names []string, stack string) (out []string) {
	for _, n := range names {
		if strings.HasPrefix(n, stack+"_") {
			out = append(out, n)
		}
	}
	return out
}

// volumesIn lists the volumes that a snapshot has, which the export shows.
func volumesIn(ctx context.Context, fsys tree.FS, snap string) (names []string, err error) {
	err = fsys.ReadDir(ctx, path.Join(reference.Dir, snap), func(d tree.Entry) error {
		if d.Kind == tree.Directory && volume.CheckName(d.Name) == nil {
			names = append(names, d.Name)
		}
		return nil
	})
	return names, err
}

func union(a, b []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, n := range append(a, b...) {
		if !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}

// stat returns nil for a name that does not exist.
func stat(ctx context.Context, fsys tree.FS, name string) (*tree.Attr, error) {
	a, err := fsys.Stat(ctx, name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	return &a, nil
}

// attrs looks up name (VOLUME or VOLUME/PATH) in every snapshot. The result is nil for
// a snapshot that does not have it. If the server has a .snapshot in each
// directory, attrs reads the one beside name, with one call for each snapshot.
func attrs(ctx context.Context, fsys tree.FS, all []reference.Snapshot, name string) ([]*tree.Attr, error) {
	parent, base := path.Split(name)
	if parent != "" {
		found, err := below(ctx, fsys, path.Join(parent, reference.Dir), base, all)
		if i := slices.IndexFunc(found, func(a *tree.Attr) bool { return a != nil }); err == nil && i >= 0 {
			own, err := genuine(ctx, fsys, path.Clean(parent), all[i].Name)
			if err != nil || own {
				return found, err
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !isBehind(err) {
			return nil, err
		}
	}
	found, err := below(ctx, fsys, reference.Dir, name, all)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil // no snapshots here
	}
	if found == nil {
		found = make([]*tree.Attr, len(all))
	}
	return found, err
}

// genuine tells whether a .snapshot in the directory parent is the server's. Then its
// snapshot snap is the same directory as snap/parent in the .snapshot of the export.
// Nobody can imitate this, because a directory has only one name.
func genuine(ctx context.Context, fsys tree.FS, parent, snap string) (bool, error) {
	here, err := stat(ctx, fsys, path.Join(parent, reference.Dir, snap))
	if err != nil || here == nil {
		return false, err
	}
	there, err := stat(ctx, fsys, path.Join(reference.Dir, snap, parent))
	if err != nil || there == nil {
		return false, err
	}
	return here.Kind == tree.Directory && here.Device == there.Device && here.FileID == there.FileID, nil
}

// below looks up rel in the directories of in, which are snapshots. With an error it
// returns what it has found in those that could be read. It returns nil if no snapshot has it, or if in has directories that are no snapshots.
func below(ctx context.Context, fsys tree.FS, in, rel string, all []reference.Snapshot) ([]*tree.Attr, error) {
	at := map[string]int{}
	for i, s := range all {
		at[s.Name] = i
	}
	out := make([]*tree.Attr, len(all))
	some, foreign := false, false
	err := tree.StatBelow(ctx, fsys, in, rel, func(snap string, a tree.Attr) {
		if i, ok := at[snap]; ok {
			out[i], some = &a, true
		} else {
			foreign = foreign || !strings.HasPrefix(snap, ".")
		}
	})
	if !some || foreign && in != reference.Dir {
		return nil, err
	}
	return out, err
}

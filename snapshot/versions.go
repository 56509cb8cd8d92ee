package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
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
	// Ended is told when a job of this node has ended, how far it came, and why
	// not further. Default: nobody.
	Ended func(op cluster.Op, p job.Progress, err error)
}

// Versions are the volumes of one export as its snapshots have them. All
// methods may be called concurrently.
type Versions struct {
	source
	proofs

	Jobs *job.Jobs // of cfg.Volumes

	volumes *volume.Store
	ended   func(op cluster.Op, p job.Progress, err error)

	readers readers // of snapshots, in this process

	takeovers sync.Mutex // held while one is begun, across the network
}

// New returns the versions of cfg.Volumes.
func New(cfg Config) *Versions {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Ended == nil {
		cfg.Ended = func(cluster.Op, job.Progress, error) {}
	}
	v := &Versions{source: source{now: cfg.Now}, proofs: proofs{volumes: cfg.Volumes}, Jobs: cfg.Volumes.Jobs, volumes: cfg.Volumes, ended: cfg.Ended}
	v.Tune(cfg.Tuning)
	return v
}

// Version is a volume as one snapshot has it.
type Version struct {
	reference.Snapshot
	// Changes are against the version before and against the live volume, if
	// asked for; nil where there is nothing to compare with.
	Before *Changes `json:"before,omitempty"`
	Live   *Changes `json:"live,omitempty"`
}

// Listing are the versions of a volume, newest first.
type Listing struct {
	Volume   string         `json:"volume"`
	Deleted  bool           `json:"deleted,omitempty"` // it is in snapshots only
	How      How            `json:"snapshots_by"`
	Policy   *netapp.Policy `json:"policy,omitempty"`
	Versions []Version      `json:"versions"`
}

// ListRequest names what to list.
type ListRequest struct {
	Volume  string `json:"volume"`
	Stack   string `json:"stack"`
	Changes bool   `json:"changes"`
}

// List lists the versions of a volume, or of every volume of a stack. A volume
// that is neither there nor in any snapshot is not found.
func (v *Versions) List(ctx context.Context, r ListRequest) (out []Listing, err error) {
	err = v.volumes.With(ctx, "list the snapshots", func(fsys tree.FS) error {
		all, how, err := v.all(ctx, fsys)
		if err != nil {
			return err
		}
		names := []string{r.Volume}
		if r.Stack != "" {
			if names, err = v.stack(ctx, fsys, r.Stack, all); err != nil {
				return err
			}
		}
		var policy *netapp.Policy
		if t := v.tuned.Load(); t.Filer != nil {
			policy = t.Filer.Policy(ctx, t.Zone)
		}
		for _, name := range names {
			l := Listing{Volume: name, How: how, Policy: policy, Versions: []Version{}}
			if err := listOne(ctx, fsys, &l, all); err != nil {
				return err
			}
			if r.Changes {
				if err := v.changes(ctx, fsys, &l); err != nil {
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
func listOne(ctx context.Context, fsys tree.FS, l *Listing, all []reference.Snapshot) error {
	if err := volume.CheckName(l.Volume); err != nil {
		return err
	}
	have, err := attrs(ctx, fsys, all, l.Volume)
	if err != nil {
		return err
	}
	for i, s := range all {
		if have[i] != nil && have[i].Kind == tree.Directory {
			l.Versions = append(l.Versions, Version{Snapshot: s})
		}
	}
	live, err := stat(ctx, fsys, l.Volume)
	if err != nil {
		return err
	}
	l.Deleted = live == nil
	if l.Deleted && len(l.Versions) == 0 {
		return problem.New(problem.NotFound, "'docker volume ls' lists the volumes, 'berth trash ls' what was removed",
			"no volume %q, neither on the export nor in a snapshot", l.Volume)
	}
	return nil
}

// stack lists the volumes of a stack, those that are only in the newest
// snapshot too.
func (v *Versions) stack(ctx context.Context, fsys tree.FS, stack string, all []reference.Snapshot) ([]string, error) {
	names, err := v.volumes.List(ctx)
	if err != nil {
		return nil, err
	}
	out := ofStack(names, stack)
	if len(all) > 0 {
		lost, err := volumesIn(ctx, fsys, all[0].Name)
		if err != nil {
			return nil, err
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

// volumesIn lists the volumes that a snapshot has.
func volumesIn(ctx context.Context, fsys tree.FS, snap string) (names []string, err error) {
	err = fsys.ReadDir(ctx, path.Join(reference.Dir, snap), func(d tree.Entry) error {
		if d.Kind == tree.Directory && volume.CheckName(d.Name) == nil {
			names = append(names, d.Name)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
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

// stat returns nil where nothing is.
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

// attrs looks name (VOLUME or VOLUME/PATH) up in every snapshot: the result
// has nil where it is not. Where the server has a .snapshot in each directory,
// that of the name's own is asked, one call for each snapshot.
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

// genuine tells whether a .snapshot in the directory parent is the export's own:
// what it has is then the very directory that the export's .snapshot has. Nobody
// can put that into a directory of his own, since directories have one name.
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

// below looks rel up in the directories of in, which are snapshots; nil if
// none has it, or others have it too.
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
	if err != nil || !some || foreign && in != reference.Dir {
		return nil, err
	}
	return out, nil
}

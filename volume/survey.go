package volume

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/several"
	"github.com/casit/berth/sweep"
	"github.com/casit/berth/tree"
)

// Survey is what stands on the export beside what is used: for whoever looks
// after it.
type Survey struct {
	Volumes []string // sorted
	Adopted []string // those that berth did not make
	// Broken is why a volume's metadata cannot be read, by volume.
	Broken map[string]error
	// Unfinished are volumes with metadata and no directory: a Create that was
	// cut short.
	Unfinished []string
	// Forgotten is which nodes have a lease of a volume or view that is not
	// there.
	Forgotten map[string][]string
	Staging   sweep.Left
	// Convoy are the volumes that Rancher Convoy has records of.
	Convoy []string
}

// surveyed bounds what is asked at the same time.
const surveyed = 32

// Survey looks through the export and changes nothing. With an error, it returns what
// could be seen.
func (s *Store) Survey(ctx context.Context) (*Survey, error) {
	v := &Survey{Broken: map[string]error{}, Forgotten: map[string][]string{}}
	err := s.with(ctx, "look through the export", func(e *export.Export) error {
		var err error
		if v.Volumes, err = listVolumes(ctx, e.FS); err != nil {
			return err
		}
		slices.Sort(v.Volumes)
		var failed several.Errors
		for _, look := range []func(context.Context, *Store, *export.Export) error{v.meta, v.leases, v.staging, v.convoy} {
			err := look(ctx, s, e)
			failed.Add(err)
			if export.Ends(ctx, e.FS, err) {
				break
			}
		}
		return failed.Err()
	})
	return v, err
}

func (v *Survey) meta(ctx context.Context, s *Store, e *export.Export) error {
	recorded, err := export.Pick(ctx, e.FS, export.MetaDir, func(d tree.Entry) (string, bool) { return strings.CutSuffix(d.Name, ".json") })
	if err != nil {
		return err
	}
	slices.Sort(recorded)
	busy, err := cluster.Locks(ctx, e.FS) // what an operation is at work on is not ours to judge
	if err != nil {
		return err
	}
	var missing []string
	for _, n := range recorded {
		at := func(l *cluster.Lock) bool { return l.Volume == n }
		if _, there := slices.BinarySearch(v.Volumes, n); !there && CheckName(n) == nil && !slices.ContainsFunc(busy, at) {
			missing = append(missing, n)
		}
	}
	for _, n := range v.Volumes {
		if _, has := slices.BinarySearch(recorded, n); !has {
			v.Adopted = append(v.Adopted, n)
		}
	}
	broken := make([]error, len(v.Volumes))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(surveyed)
	for i, n := range v.Volumes {
		g.Go(guard.Func(func() error {
			_, err := readMeta(within, e.FS, n)
			if err != nil && !export.Ends(within, e.FS, err) {
				broken[i], err = err, nil
			}
			return err
		}))
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for i, err := range broken {
		if err != nil {
			v.Broken[v.Volumes[i]] = err
		}
	}
	v.Unfinished, err = stillMissing(ctx, e.FS, missing)
	return err
}

// stillMissing returns those that are recorded and have no directory, also at a
// second look: a Create or Remove may have been between the two.
func stillMissing(ctx context.Context, fsys tree.FS, volumes []string) (out []string, err error) {
	for _, n := range volumes {
		meta, err := export.Exists(ctx, fsys, export.MetaPath(n))
		there := false
		if err == nil {
			there, err = export.Exists(ctx, fsys, n)
		}
		if export.Ends(ctx, fsys, err) {
			return nil, err
		}
		if err == nil && meta && !there {
			out = append(out, n)
		}
	}
	return out, nil
}

func (v *Survey) leases(ctx context.Context, s *Store, e *export.Export) error {
	leased, err := cluster.LeasedNames(ctx, e.FS)
	if err != nil {
		return export.Absent(err)
	}
	for _, n := range leased {
		ref, err := ParseRef(n)
		if _, there := slices.BinarySearch(v.Volumes, n); there || err != nil {
			continue
		}
		there, err := export.Exists(ctx, e.FS, ref.Path())
		var nodes []string
		if err == nil && !there {
			nodes, err = cluster.LeaseNodes(ctx, e.FS, n)
		}
		if export.Ends(ctx, e.FS, err) {
			return err
		}
		if len(nodes) > 0 {
			v.Forgotten[n] = nodes
		}
	}
	return nil
}

func (v *Survey) staging(ctx context.Context, s *Store, e *export.Export) (err error) {
	v.Staging, err = s.sweeper.Look(ctx, e)
	return err
}

func (v *Survey) convoy(ctx context.Context, _ *Store, e *export.Export) error {
	records, err := export.Pick(ctx, e.FS, ConvoyDir, func(d tree.Entry) (string, bool) { return ConvoyVolume(d.Name) })
	if v.Convoy = records; errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP) {
		return nil // a file of that name
	}
	return export.Absent(err)
}

// Purging tells what of the purged trees is left, and why.
func (tr *Trash) Purging(ctx context.Context) (left sweep.Left, err error) {
	err = tr.s.with(ctx, "look what is being deleted", func(e *export.Export) (err error) {
		left, err = tr.s.sweeper.Look(ctx, e)
		return err
	})
	return left, err
}

// ProbeName is a name below the export for a file of a probe. What a probe
// leaves behind is swept.
func (s *Store) ProbeName() string {
	return path.Join(export.StagingDir, export.TmpPrefix+s.conn.NewID())
}

package snapshot

import (
	"context"
	"fmt"
	"strings"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
)

// DiffRequest names two versions. Without the second one the live volume is meant.
type DiffRequest struct {
	A        string `json:"a"`
	B        string `json:"b"`
	Checksum bool   `json:"checksum"`
	// ExactA and ExactB replace A and B where a plan has found the versions.
	ExactA *reference.Exact `json:"exact_a,omitempty"`
	ExactB *reference.Exact `json:"exact_b,omitempty"`
}

// refs reads both references. The second one gets the path of the first if it has
// none.
func (r DiffRequest) refs() (a, b reference.Asked, err error) {
	if a, err = reference.Want(r.A, r.ExactA); err != nil {
		return a, b, err
	}
	if r.B != "" || r.ExactB != nil {
		b, err = reference.Want(r.B, r.ExactB)
		b.Inherits = true
		return a, b, err
	}
	if !a.Versioned {
		return a, b, problem.New(problem.Invalid, fmt.Sprintf("name a version: 'berth snapshot diff %s@latest'", a.Volume), "%q is the live volume: compare it with what?", r.A)
	}
	return a, reference.Asked{Ref: reference.Ref{Volume: a.Volume}, Inherits: true}, nil
}

// Side is one side of a comparison, resolved.
type Side struct {
	Ref      string              `json:"ref"`                // VOLUME@SNAPSHOT:PATH, exact
	RefB64   []byte              `json:"ref_b64,omitempty"`  // where Ref is no UTF-8
	Snapshot *reference.Snapshot `json:"snapshot,omitempty"` // nil: live
	ref      reference.Ref       // Ref in its parts
	path     string
}

// Name is the reference with all bytes as they are.
func (s Side) Name() string {
	if s.RefB64 != nil {
		return string(s.RefB64)
	}
	return s.Ref
}

// Diff is one message of a comparison. The first one has both sides, each of the next
// ones a difference, the last one the counts.
type Diff struct {
	Sides   []Side           `json:"sides,omitempty"`
	Change  *compare.Change  `json:"change,omitempty"`
	Changes *compare.Changes `json:"changes,omitempty"`
}

// Diff compares two versions of a volume, or of a file or directory in it. It calls
// emit with the differences in the order of names. A difference says what has
// changed from the first version to the second.
func (v *Versions) Diff(ctx context.Context, r DiffRequest, emit func(Diff) error) error {
	a, b, err := r.refs()
	if err != nil {
		return err
	}
	return v.volumes.With(ctx, "compare", func(fsys tree.FS) error {
		sides, err := v.sides(ctx, fsys, a, b)
		if err != nil {
			return err
		}
		reads := v.reading("berth snapshot diff", sides[0].path, sides[1].path)
		defer reads.done()
		if err := emit(Diff{Sides: sides}); err != nil {
			return err
		}
		var c compare.Tally
		q, keep := v.sums.Equality(ctx, fsys, a.Volume, r.Checksum, sides[0].Snapshot, sides[1].Snapshot)
		defer keep()
		q.Progress = reads.progress
		stats, err := compare.Trees(ctx, fsys, sides[0].path, sides[1].path, q, func(d tree.Difference) error {
			c.Count(d)
			return emit(Diff{Change: compare.Describe(d)})
		})
		if err != nil {
			return err
		}
		c.Complete(stats)
		return emit(Diff{Changes: &c.Changes})
	})
}

// sides resolves each reference once. It refuses a reference to a file, a volume or a
// snapshot that does not exist.
func (v *Versions) sides(ctx context.Context, fsys tree.FS, refs ...reference.Asked) ([]Side, error) {
	var out []Side
	var all []reference.Snapshot
	for i, a := range refs {
		if all == nil && (a.Versioned || a.Exact != nil) {
			var err error
			if all, _, err = v.all(ctx, fsys); err != nil {
				return nil, err
			}
		}
		ref, snap, err := a.Resolve(all, v.now(), reference.ZoneOf(ctx))
		if err != nil {
			return nil, err
		}
		if a.Inherits && ref.Path == "" {
			ref.Path = out[i-1].ref.Path
		}
		if snap != nil {
			if err := v.open(ctx, *snap); err != nil {
				return nil, err
			}
		}
		s := Side{Ref: ref.Text(all), Snapshot: snap, ref: ref, path: ref.Source(ref.Snapshot)}
		s.RefB64 = text.B64(s.Ref)
		there, err := stat(ctx, fsys, s.path)
		if isBehind(err) {
			err = blocked(ctx, fsys, ref)
		}
		if err != nil {
			return nil, err
		}
		if there == nil {
			return nil, missing(ctx, fsys, ref)
		}
		out = append(out, s)
	}
	return out, nil
}

// missing explains why the file or volume of a reference does not exist.
func missing(ctx context.Context, fsys tree.FS, ref reference.Ref) error {
	whole := reference.Ref{Volume: ref.Volume, Snapshot: ref.Snapshot}
	if ref.Path != "" {
		if there, err := stat(ctx, fsys, whole.Source(ref.Snapshot)); err != nil || there != nil {
			if err != nil {
				return err
			}
			return problem.New(problem.NotFound, fmt.Sprintf("'berth snapshot versions %s' shows which versions have it", text.Word(reference.Ref{Volume: ref.Volume, Path: ref.Path}.String())),
				"%s has no %q", text.Quote(whole.String()), ref.Path)
		}
	}
	if ref.Snapshot == "" {
		return problem.New(problem.NotFound, fmt.Sprintf("'berth snapshot ls %s' lists its versions, if any snapshot has it", ref.Volume), "no volume %q on the export", ref.Volume)
	}
	return problem.New(problem.NotFound, fmt.Sprintf("'berth snapshot ls %s' lists its versions", ref.Volume), "snapshot %q has no volume %q", ref.Snapshot, ref.Volume)
}

// counting counts the differences between the versions of one volume.
type counting struct {
	v      *Versions
	fsys   tree.FS
	volume string
}

// all counts the differences of each version to the one before, and to the live
// volume.
func (c *counting) all(ctx context.Context, l *Listing) error {
	for i := range l.Versions {
		here := &l.Versions[i]
		if i+1 < len(l.Versions) {
			n, err := c.between(ctx, l.Versions[i+1].Snapshot, here.Snapshot)
			if err != nil {
				return err
			}
			here.Before = n
		}
	}
	if l.Deleted {
		return nil
	}
	// The live volume changes, so these counts are not kept. A version that is equal
	// to the next one has the counts of that one.
	var last *compare.Changes
	for i := range l.Versions {
		here := &l.Versions[i]
		if i > 0 && !l.Versions[i-1].Before.Any() {
			here.Live = last
			continue
		}
		n, err := c.count(ctx, &here.Snapshot, nil)
		if err != nil {
			return err
		}
		here.Live, last = n, n
	}
	return nil
}

// between counts the differences between two snapshots of a volume. They never
// change, so the counts are kept.
func (c *counting) between(ctx context.Context, a, b reference.Snapshot) (*compare.Changes, error) {
	// The counts under "changes", of earlier releases, relied on size and time.
	key := strings.Join([]string{"changes proven", c.volume, a.ID(), b.ID()}, "\x00")
	var kept compare.Changes
	if c.v.volumes.Cache.Get(ctx, c.fsys, key, &kept) {
		return &kept, nil
	}
	got, err := c.count(ctx, &a, &b)
	if err == nil {
		c.v.volumes.Cache.Put(ctx, c.fsys, key, got)
	}
	return got, err
}

// count counts the differences between two versions; nil is the live volume.
func (c *counting) count(ctx context.Context, a, b *reference.Snapshot) (*compare.Changes, error) {
	q, keep := c.v.sums.Equality(ctx, c.fsys, c.volume, false, a, b)
	defer keep()
	ref := reference.Ref{Volume: c.volume}
	from, to := ref.Source(nameOf(a)), ref.Source(nameOf(b))
	reads := c.v.reading("berth snapshot ls --changes", from, to)
	defer reads.done()
	q.Progress = reads.progress
	var n compare.Tally
	stats, err := compare.Trees(ctx, c.fsys, from, to, q, func(d tree.Difference) error {
		n.Count(d)
		return nil
	})
	n.Complete(stats)
	return &n.Changes, err
}

// nameOf is the snapshot's name, "" for nil, the live volume.
func nameOf(s *reference.Snapshot) string {
	if s == nil {
		return ""
	}
	return s.Name
}

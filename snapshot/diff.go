package snapshot

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
)

// Changes count the differences between two trees.
type Changes struct {
	Added        int64 `json:"added"`
	Removed      int64 `json:"removed"`
	Modified     int64 `json:"modified"` // other content or another kind
	Updated      int64 `json:"updated"`  // other attributes only
	Unchanged    int64 `json:"unchanged"`
	AddedBytes   int64 `json:"added_bytes"`
	RemovedBytes int64 `json:"removed_bytes"`
	// ModifiedBytes is the size of the second tree's modified files.
	ModifiedBytes int64 `json:"modified_bytes"`
	// Disguised are modified files with the same size and time as before.
	Disguised int64 `json:"time_put_back,omitempty"`
	// KeptOpen are the names .nfs and 24 digits, which an NFS client keeps of
	// removed files that are open. They are left out.
	KeptOpen int64 `json:"kept_open,omitempty"`
}

// Any tells whether there is a difference.
func (c Changes) Any() bool { return c.Added+c.Removed+c.Modified+c.Updated > 0 }

// tally counts differences. The bytes of a file with several names count once on
// each side.
type tally struct {
	Changes
	seen [2]map[[2]uint64]bool
}

// count counts one difference. first is false if the bytes of the second side were
// counted before, by another name of the file.
func (c *tally) count(d tree.Difference) (first bool) {
	before, now := c.bytes(0, d.A), c.bytes(1, d.B)
	switch d.Kind {
	case tree.Added:
		c.Added++
		c.AddedBytes += now
	case tree.Removed:
		c.Removed++
		c.RemovedBytes += before
	case tree.Modified, tree.Retyped:
		c.Modified++
		c.ModifiedBytes += now
		if d.Disguised() {
			c.Disguised++
		}
	case tree.Updated:
		c.Updated++
	}
	return now > 0
}

// bytes returns the bytes of a file on one side, 0 if another name has counted them.
func (c *tally) bytes(side int, a tree.Attr) int64 {
	if a.Kind == tree.Regular && a.Nlink > 1 {
		id := [2]uint64{a.Device, a.FileID}
		if c.seen[side][id] {
			return 0
		}
		if c.seen[side] == nil {
			c.seen[side] = map[[2]uint64]bool{}
		}
		c.seen[side][id] = true
	}
	return bytesOf(a)
}

func bytesOf(a tree.Attr) int64 {
	if a.Kind == tree.Regular {
		return a.Size
	}
	return 0
}

// usedBy is what a file takes on the disk, without holes.
func usedBy(a tree.Attr) int64 { return min(bytesOf(a), a.Used) }

// total completes the counts: a name that was compared and has no difference is
// unchanged.
func (c *Changes) total(s tree.Stats) {
	c.KeptOpen = s.Busy
	c.Unchanged = max(0, s.Files+s.Dirs-c.Added-c.Removed-c.Modified-c.Updated)
}

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
	Sides   []Side   `json:"sides,omitempty"`
	Change  *Change  `json:"change,omitempty"`
	Changes *Changes `json:"changes,omitempty"`
}

// Change is one name that differs.
type Change struct {
	Kind    string `json:"kind"`               // + - M U T
	Path    string `json:"path"`               // below the directories compared
	PathB64 []byte `json:"path_b64,omitempty"` // where Path is no UTF-8
	Fields  string `json:"fields,omitempty"`   // the fields that differ: "size, mtime"
	Before  *File  `json:"before,omitempty"`
	After   *File  `json:"after,omitempty"`
}

// File is a name's attributes.
type File struct {
	Kind     string    `json:"kind"`
	Mode     uint32    `json:"mode"`
	UID      uint32    `json:"uid"`
	GID      uint32    `json:"gid"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
}

// Name is the path with all bytes as they are.
func (c *Change) Name() string {
	if c.PathB64 != nil {
		return string(c.PathB64)
	}
	return c.Path
}

// Whole is the file that was added or removed; nil for one that changed.
func (c *Change) Whole() *File {
	switch c.Kind {
	case "+":
		return c.After
	case "-":
		return c.Before
	}
	return nil
}

func describe(d tree.Difference) *Change {
	c := &Change{Kind: d.Kind.String(), Path: d.Path, Fields: d.Fields.String()}
	if !utf8.ValidString(d.Path) {
		c.Path, c.PathB64 = strings.ToValidUTF8(d.Path, "\uFFFD"), []byte(d.Path)
	}
	c.Before, c.After = fileOf(d.A), fileOf(d.B)
	return c
}

func fileOf(a tree.Attr) *File {
	if a.Kind == 0 {
		return nil
	}
	return &File{Kind: a.Kind.String(), Mode: a.Mode, UID: a.UID, GID: a.GID, Bytes: a.Size, Modified: shown(a.Mtime)}
}

// shown returns a time that JSON can carry: its year has four digits. Files may have
// other times.
func shown(t time.Time) time.Time {
	first, last := time.Time{}, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t.UTC()
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
		defer v.reading("berth snapshot diff", sides[0].path, sides[1].path)()
		if err := emit(Diff{Sides: sides}); err != nil {
			return err
		}
		var c tally
		q, keep := v.equality(ctx, fsys, a.Volume, r.Checksum, sides[0].Snapshot, sides[1].Snapshot)
		defer keep()
		stats, err := compare(ctx, fsys, sides[0].path, sides[1].path, q, func(d tree.Difference) error {
			c.count(d)
			return emit(Diff{Change: describe(d)})
		})
		if err != nil {
			return err
		}
		c.total(stats)
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
			return problem.New(problem.NotFound, fmt.Sprintf("'berth snapshot versions %s' shows which versions have it", text.Quote(reference.Ref{Volume: ref.Volume, Path: ref.Path}.String())),
				"%s has no %q", text.Quote(whole.String()), ref.Path)
		}
	}
	if ref.Snapshot == "" {
		return problem.New(problem.NotFound, fmt.Sprintf("'berth snapshot ls %s' lists its versions, if any snapshot has it", ref.Volume), "no volume %q on the export", ref.Volume)
	}
	return problem.New(problem.NotFound, fmt.Sprintf("'berth snapshot ls %s' lists its versions", ref.Volume), "snapshot %q has no volume %q", ref.Snapshot, ref.Volume)
}

// compareOne compares two names of which at least one is no directory.
func compareOne(ctx context.Context, fsys tree.FS, a, b string, q tree.Equality, fn func(tree.Difference) error) (tree.Stats, error) {
	d, err := tree.CompareOne(ctx, fsys, a, b, q)
	stats := tree.Stats{Progress: tree.Progress{Files: 1}}
	if err != nil || d == nil {
		return stats, err
	}
	d.Path = path.Base(b)
	return stats, fn(*d)
}

// changes counts the differences of each version to the one before, and to the live
// volume.
func (v *Versions) changes(ctx context.Context, fsys tree.FS, l *Listing) error {
	for i := range l.Versions {
		here := &l.Versions[i]
		if i+1 < len(l.Versions) {
			c, err := v.between(ctx, fsys, l.Volume, l.Versions[i+1].Snapshot, here.Snapshot)
			if err != nil {
				return err
			}
			here.Before = c
		}
	}
	if l.Deleted {
		return nil
	}
	// The live volume changes, so these counts are not kept. A version that is equal
	// to the next one has the counts of that one.
	var last *Changes
	for i := range l.Versions {
		here := &l.Versions[i]
		if i > 0 && !l.Versions[i-1].Before.Any() {
			here.Live = last
			continue
		}
		c, err := v.count(ctx, fsys, l.Volume, &here.Snapshot, nil)
		if err != nil {
			return err
		}
		here.Live, last = c, c
	}
	return nil
}

// between counts the differences between two snapshots of a volume. They never
// change, so the counts are kept.
func (v *Versions) between(ctx context.Context, fsys tree.FS, name string, a, b reference.Snapshot) (*Changes, error) {
	// The counts under "changes", of earlier releases, relied on size and time.
	key := strings.Join([]string{"changes proven", name, a.ID(), b.ID()}, "\x00")
	var c Changes
	if v.volumes.Cached(ctx, fsys, key, &c) {
		return &c, nil
	}
	got, err := v.count(ctx, fsys, name, &a, &b)
	if err == nil {
		v.volumes.Cache(ctx, fsys, key, got)
	}
	return got, err
}

// count counts the differences between two versions; nil is the live volume.
func (v *Versions) count(ctx context.Context, fsys tree.FS, name string, a, b *reference.Snapshot) (*Changes, error) {
	q, keep := v.equality(ctx, fsys, name, false, a, b)
	defer keep()
	ref := reference.Ref{Volume: name}
	from, to := ref.Source(nameOf(a)), ref.Source(nameOf(b))
	defer v.reading("berth snapshot ls --changes", from, to)()
	var c tally
	stats, err := compare(ctx, fsys, from, to, q, func(d tree.Difference) error {
		c.count(d)
		return nil
	})
	c.total(stats)
	return &c.Changes, err
}

// nameOf is the snapshot's name, "" for nil, the live volume.
func nameOf(s *reference.Snapshot) string {
	if s == nil {
		return ""
	}
	return s.Name
}

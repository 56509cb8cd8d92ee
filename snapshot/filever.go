package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
)

// FileVersion is one distinct state of a file over all snapshots.
type FileVersion struct {
	Path      string               `json:"path"`
	PathB64   []byte               `json:"path_b64,omitempty"`  // where Path is no UTF-8
	Snapshots []reference.Snapshot `json:"snapshots,omitempty"` // that have this state, newest first; none for the live file
	Live      bool                 `json:"live,omitempty"`
	Kind      string               `json:"kind"`
	SizeBytes int64                `json:"size_bytes"`
	Modified  time.Time            `json:"modified"`
	// Deleted is the time of the first snapshot that did not have the file any more.
	Deleted *reference.Snapshot `json:"deleted_since,omitempty"`
	// Differs are the fields that differ from the version before it in the list,
	// which is newer: "content", "size, mtime".
	Differs string `json:"differs,omitempty"`
}

// Name is the path with all bytes as they are.
func (f FileVersion) Name() string {
	if f.PathB64 != nil {
		return string(f.PathB64)
	}
	return f.Path
}

// FileRequest names a file or directory, VOLUME:PATH.
type FileRequest struct {
	Ref     string `json:"ref"`
	Deleted bool   `json:"deleted"` // of a directory: the files that it has lost
	// Checksum reads every version, also versions that are proven to be equal.
	Checksum bool `json:"checksum,omitempty"`
}

// Files lists the distinct versions of one file: first the live one, then those in
// snapshots, newest first. With Deleted it lists the files that a directory has
// lost.
func (v *Versions) Files(ctx context.Context, r FileRequest) (out []FileVersion, err error) {
	ref, err := reference.Parse(r.Ref)
	if err != nil {
		return nil, err
	}
	if ref.Snapshot != "" {
		return nil, problem.New(problem.Invalid, "leave @"+ref.Snapshot+" out", "versions are looked for in all snapshots")
	}
	if ref.Path == "" && !r.Deleted {
		return nil, problem.New(problem.Invalid, "'berth snapshot ls "+ref.Volume+"' lists the versions of a volume", "%q names no file: write VOLUME:PATH", r.Ref)
	}
	err = v.volumes.With(ctx, "look for versions", func(fsys tree.FS) error {
		all, _, err := v.all(ctx, fsys)
		if err == nil {
			err = v.open(ctx, all...)
		}
		if err != nil {
			return err
		}
		if r.Deleted {
			out, err = lost(ctx, fsys, ref, all)
		} else {
			out, err = (&neighbours{v: v, fsys: fsys, ref: ref, checksum: r.Checksum}).distinct(ctx, all)
		}
		if err == nil && len(out) == 0 {
			err = blocked(ctx, fsys, ref)
		}
		return err
	})
	if err == nil && len(out) == 0 {
		if r.Deleted {
			return nil, problem.New(problem.Nothing, "", "%s has lost nothing that a snapshot has", text.Quote(ref.String()))
		}
		return nil, problem.New(problem.NotFound, "look at its directory: 'berth snapshot versions --deleted "+text.Word(reference.Ref{Volume: ref.Volume, Path: parent(ref.Path)}.String())+"'",
			"neither the volume nor a snapshot has %s", text.Quote(ref.String()))
	}
	return out, err
}

func parent(p string) string {
	if p = path.Dir(p); p == "." {
		return ""
	}
	return p
}

// distinct lists the versions of a file; neighbouring snapshots with a proven equal
// file are one version. For a directory, everything below it counts.
func (n *neighbours) distinct(ctx context.Context, all []reference.Snapshot) (out []FileVersion, err error) {
	live, err := stat(ctx, n.fsys, n.ref.Source(""))
	if errors.Is(err, fs.ErrNotExist) || isBehind(err) {
		live, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	have, err := attrs(ctx, n.fsys, all, n.ref.Source(""))
	if err != nil {
		return nil, err
	}
	var last *had
	if live != nil {
		f := fileVersion(n.ref.Path, *live)
		f.Live = true
		out, last = append(out, f), &had{attr: *live}
	}
	for i, a := range have {
		if a == nil {
			last = nil
			continue
		}
		now := &had{attr: *a, snap: &all[i]}
		differs := ""
		if last != nil {
			if differs, err = n.differ(ctx, last, now); err != nil {
				return nil, err
			}
		}
		if last != nil && differs == "" {
			out[len(out)-1].Snapshots = append(out[len(out)-1].Snapshots, all[i])
		} else {
			f := fileVersion(n.ref.Path, *a)
			f.Snapshots, f.Differs = []reference.Snapshot{all[i]}, differs
			if i > 0 && have[i-1] == nil {
				f.Deleted = &all[i-1]
			}
			out = append(out, f)
		}
		last = now
	}
	return out, nil
}

func fileVersion(name string, a tree.Attr) FileVersion {
	return FileVersion{Path: name, PathB64: text.B64(name), Kind: a.Kind.String(), SizeBytes: a.Size, Modified: compare.Shown(a.Mtime)}
}

// had is a name in a snapshot, or in the live volume for nil.
type had struct {
	attr tree.Attr
	snap *reference.Snapshot
}

// neighbours compares versions of one name.
type neighbours struct {
	v        *Versions
	fsys     tree.FS
	ref      reference.Ref
	checksum bool
}

// errDiffers ends a comparison at the first difference.
var errDiffers = errors.New("they differ")

// differ returns the fields that differ between two versions, "" for none. It asks for
// nothing that the listing has told.
func (n *neighbours) differ(ctx context.Context, x, y *had) (string, error) {
	q, keep := n.v.sums.Equality(ctx, n.fsys, n.ref.Volume, n.checksum, x.snap, y.snap)
	defer keep()
	a, b := n.ref.Source(nameOf(x.snap)), n.ref.Source(nameOf(y.snap))
	if x.attr.Kind == tree.Directory && y.attr.Kind == tree.Directory {
		reads := n.v.reading("berth snapshot versions", a, b)
		defer reads.done()
		q.Progress = reads.progress
		what := ""
		_, err := compare.Trees(ctx, n.fsys, a, b, q, func(d tree.Difference) error {
			if what = d.Fields.String(); d.Path != "." {
				what = "what is below"
			}
			return errDiffers
		})
		if errors.Is(err, errDiffers) {
			err = nil
		}
		return what, err
	}
	d, open := q.Told(x.attr, y.attr)
	if open {
		var err error
		if d, err = tree.CompareOne(ctx, n.fsys, a, b, q); err != nil {
			return "", err
		}
	}
	switch {
	case d == nil:
		return "", nil
	case d.Kind == tree.Retyped:
		return "kind", nil
	}
	return d.Fields.String(), nil
}

// lost lists the names that a snapshot has in a directory and the live volume does not
// have, each with the newest such snapshot.
func lost(ctx context.Context, fsys tree.FS, ref reference.Ref, all []reference.Snapshot) (out []FileVersion, err error) {
	now := map[string]bool{}
	if _, err := names(ctx, fsys, ref.Source(""), func(d tree.EntryPlus) { now[d.Name] = true }); err != nil {
		return nil, err
	}
	for i, s := range all {
		// The first snapshot that has the name is the newest.
		if _, err := names(ctx, fsys, ref.Source(s.Name), func(d tree.EntryPlus) {
			if now[d.Name] {
				return
			}
			now[d.Name] = true
			f := fileVersion(path.Join(ref.Path, d.Name), d.Attr)
			f.Snapshots = []reference.Snapshot{s}
			if i > 0 {
				f.Deleted = &all[i-1]
			}
			out = append(out, f)
		}); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b FileVersion) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

// names lists a directory. It returns false if the directory does not exist.
func names(ctx context.Context, fsys tree.FS, name string, fn func(tree.EntryPlus)) (bool, error) {
	err := fsys.ReadDirPlus(ctx, name, func(d tree.EntryPlus) error {
		fn(d)
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		return false, nil
	}
	return err == nil, err
}

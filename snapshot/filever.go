package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// FileVersion is one distinct state of a file over all snapshots.
type FileVersion struct {
	Path      string     `json:"path"`
	PathB64   []byte     `json:"path_b64,omitempty"`  // where Path is no UTF-8
	Snapshots []Snapshot `json:"snapshots,omitempty"` // that have it, newest first; none: live
	Live      bool       `json:"live,omitempty"`
	Kind      string     `json:"kind"`
	SizeBytes int64      `json:"size_bytes"`
	Modified  time.Time  `json:"modified"`
	// Deleted is when a snapshot first did not have it any more.
	Deleted *Snapshot `json:"deleted_since,omitempty"`
}

// Name is the path with every byte as it is.
func (f FileVersion) Name() string {
	if f.PathB64 != nil {
		return string(f.PathB64)
	}
	return f.Path
}

// FileRequest names a file or directory, VOLUME:PATH.
type FileRequest struct {
	Ref     string `json:"ref"`
	Deleted bool   `json:"deleted"` // of a directory: what it has lost
}

// Files lists the distinct versions of one file, newest first, the live one
// apart at the beginning; or, with Deleted, what a directory has lost.
func (v *Versions) Files(ctx context.Context, r FileRequest) (out []FileVersion, err error) {
	ref, err := ParseRef(r.Ref)
	if err != nil {
		return nil, err
	}
	if ref.Snapshot != "" {
		return nil, errorf(volume.Invalid, "leave @"+ref.Snapshot+" out", "versions are looked for in all snapshots")
	}
	if ref.Path == "" && !r.Deleted {
		return nil, errorf(volume.Invalid, "'berth snapshot ls "+ref.Volume+"' lists the versions of a volume", "%q names no file: write VOLUME:PATH", r.Ref)
	}
	err = v.volumes.With(ctx, "look for versions", func(fsys tree.FS) error {
		all, _, err := v.all(ctx, fsys)
		if err != nil {
			return err
		}
		if r.Deleted {
			out, err = lost(ctx, fsys, ref, all)
		} else {
			out, err = distinct(ctx, fsys, ref, all)
		}
		return err
	})
	if err == nil && len(out) == 0 {
		if r.Deleted {
			return nil, errorf(volume.Nothing, "", "%s has lost nothing that a snapshot has", ref)
		}
		return nil, errorf(volume.NotFound, "look at its directory: 'berth snapshot versions --deleted "+Ref{Volume: ref.Volume, Path: parent(ref.Path)}.String()+"'",
			"neither the volume nor a snapshot has %s", ref)
	}
	return out, err
}

func parent(p string) string {
	if p = path.Dir(p); p == "." {
		return ""
	}
	return p
}

// distinct folds what is the same in neighbouring snapshots.
func distinct(ctx context.Context, fsys tree.FS, ref Ref, all []Snapshot) (out []FileVersion, err error) {
	live, err := stat(ctx, fsys, ref.Source(""))
	if errors.Is(err, fs.ErrNotExist) || isNotDir(err) {
		live, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	have, err := attrs(ctx, fsys, all, ref.Source(""))
	if err != nil {
		return nil, err
	}
	last := live
	if live != nil {
		f := fileVersion(ref.Path, *live)
		f.Live = true
		out = append(out, f)
	}
	for i, a := range have {
		switch {
		case a == nil:
			last = nil
			continue
		case last != nil && len(out) > 0 && sameFile(*a, *last):
			out[len(out)-1].Snapshots = append(out[len(out)-1].Snapshots, all[i])
		default:
			f := fileVersion(ref.Path, *a)
			f.Snapshots = []Snapshot{all[i]}
			if i > 0 && have[i-1] == nil {
				f.Deleted = &all[i-1]
			}
			out = append(out, f)
		}
		last = a
	}
	return out, nil
}

func fileVersion(name string, a tree.Attr) FileVersion {
	return FileVersion{Path: name, PathB64: volume.B64(name), Kind: a.Kind.String(), SizeBytes: a.Size, Modified: a.Mtime}
}

// sameFile is what diff takes for the same by attributes.
func sameFile(a, b tree.Attr) bool {
	return a.Kind == b.Kind && (a.Kind == tree.Directory || a.Size == b.Size && a.Mtime.Equal(b.Mtime))
}

// lost lists the names that some snapshot has in a directory and the live
// volume has not, each with the newest snapshot that has it.
func lost(ctx context.Context, fsys tree.FS, ref Ref, all []Snapshot) (out []FileVersion, err error) {
	now := map[string]bool{}
	if _, err := names(ctx, fsys, ref.Source(""), func(d tree.EntryPlus) { now[d.Name] = true }); err != nil {
		return nil, err
	}
	for i, s := range all {
		// The first one that has it is the newest.
		if _, err := names(ctx, fsys, ref.Source(s.Name), func(d tree.EntryPlus) {
			if now[d.Name] {
				return
			}
			now[d.Name] = true
			f := fileVersion(path.Join(ref.Path, d.Name), d.Attr)
			f.Snapshots = []Snapshot{s}
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

// names lists a directory; false if there is none.
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

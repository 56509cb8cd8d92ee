package snapshot

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
)

// BrowseRequest names a file or directory of a version. For a directory the answer has
// the names behind After, at most Limit names; 0 means browseLimit.
type BrowseRequest struct {
	Ref      string           `json:"ref"`
	Exact    *reference.Exact `json:"exact,omitempty"`    // instead of Ref, where it is known
	PathB64  []byte           `json:"path_b64,omitempty"` // instead of a path in Ref
	AfterB64 []byte           `json:"after_b64,omitempty"`
	Limit    int              `json:"limit,omitempty"`
}

// browseLimit is how many entries one answer has at most.
const browseLimit = 1000

// Browsed is a file or directory of a version.
type Browsed struct {
	Side    Side         `json:"side"`
	File    compare.File `json:"file"`
	Entries []Named      `json:"entries,omitempty"` // of a directory, in the order of names
	More    int          `json:"more,omitempty"`    // entries behind the last one
}

// Named is one name in a directory.
type Named struct {
	Name    string `json:"name"`
	NameB64 []byte `json:"name_b64,omitempty"` // where Name is no UTF-8
	compare.File
}

// Raw is the name with all bytes as they are.
func (n Named) Raw() string {
	if n.NameB64 != nil {
		return string(n.NameB64)
	}
	return n.Name
}

// Browse returns the attributes of a file, or the entries of a directory of a version.
// Symlinks are shown, and never followed.
func (v *Versions) Browse(ctx context.Context, r BrowseRequest) (*Browsed, error) {
	ref, err := reference.Want(r.Ref, r.Exact)
	if err != nil {
		return nil, err
	}
	if r.PathB64 != nil {
		within := string(r.PathB64)
		ref.Within = &within
	}
	if r.Limit <= 0 || r.Limit > browseLimit {
		r.Limit = browseLimit
	}
	var out *Browsed
	err = v.volumes.With(ctx, "look at "+ref.Volume, func(fsys tree.FS) error {
		sides, err := v.sides(ctx, fsys, ref)
		if err != nil {
			return err
		}
		a, err := fsys.Stat(ctx, sides[0].path)
		if err != nil {
			return err
		}
		out = &Browsed{Side: sides[0], File: known(a)}
		if a.Kind == tree.Directory {
			out.Entries, out.More, err = page(ctx, fsys, sides[0].path, string(r.AfterB64), r.Limit)
		}
		return err
	})
	return out, err
}

// known is fileOf for attributes that may be unknown.
func known(a tree.Attr) compare.File {
	if f := compare.FileOf(a); f != nil {
		return *f
	}
	return compare.File{Kind: a.Kind.String()}
}

// page lists the first names of a directory behind after, and counts the rest. It has
// never more than twice the limit in memory.
func page(ctx context.Context, fsys tree.FS, name, after string, limit int) (first []Named, more int, err error) {
	cut := func() {
		slices.SortFunc(first, func(a, b Named) int { return strings.Compare(a.Raw(), b.Raw()) })
		if n := len(first) - limit; n > 0 {
			first, more = first[:limit], more+n
		}
	}
	err = fsys.ReadDirPlus(ctx, name, func(d tree.EntryPlus) error {
		if d.Name <= after {
			return nil
		}
		if d.Name == reference.Dir && d.Attr.Kind == tree.Directory {
			if own, err := tree.ShowsSnapshots(ctx, fsys, name); err != nil || own {
				return err
			}
		}
		n := Named{Name: d.Name, File: known(d.Attr)}
		if !utf8.ValidString(d.Name) {
			n.Name, n.NameB64 = strings.ToValidUTF8(d.Name, "\uFFFD"), []byte(d.Name)
		}
		if first = append(first, n); len(first) >= 2*limit {
			cut()
		}
		return nil
	})
	cut()
	return first, more, err
}

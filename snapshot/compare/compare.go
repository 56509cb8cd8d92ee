package compare

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
)

// Trees compares two directories, files or other names, and calls fn with the
// differences.
func Trees(ctx context.Context, fsys tree.FS, a, b string, q tree.Equality, fn func(tree.Difference) error) (tree.Stats, error) {
	x, err := fsys.Stat(ctx, a)
	if err != nil {
		return tree.Stats{}, err
	}
	y, err := fsys.Stat(ctx, b)
	if err != nil {
		return tree.Stats{}, err
	}
	if x.Kind != tree.Directory || y.Kind != tree.Directory {
		return compareOne(ctx, fsys, a, b, q, fn)
	}
	stats, err := tree.Compare(ctx, fsys, a, b, q, fn)
	if err == nil && stats.Vanished.Total > 0 {
		err = vanished(ctx, fsys, stats, a, b)
	}
	return stats, err
}

// vanished refuses a comparison in which names of a snapshot have vanished: a snapshot
// that is being deleted looks as if it had lost files.
func vanished(ctx context.Context, fsys tree.FS, stats tree.Stats, trees ...string) error {
	for _, name := range trees {
		_, err := fsys.Stat(ctx, name)
		gone := errors.Is(err, fs.ErrNotExist)
		for _, p := range stats.Vanished.Paths { // below the export, or below both trees
			if gone || !strings.HasPrefix(name, reference.Dir+"/") {
				break
			}
			if gone = strings.HasPrefix(p, name+"/"); !gone {
				_, err = fsys.Stat(ctx, path.Join(name, p))
				gone = errors.Is(err, fs.ErrNotExist) && !slices.ContainsFunc(trees, func(t string) bool { return strings.HasPrefix(p, t+"/") })
			}
		}
		if gone {
			return problem.New(problem.Failed, "choose another version", "%s was deleted while it was read", name)
		}
	}
	return nil
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

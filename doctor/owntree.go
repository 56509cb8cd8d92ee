package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/casit/berth/tree"
)

// OwnTrees judges the volumes that are trees of their own on the export: what has
// less than a twentieth of its own limit left is as good as full.
func OwnTrees(ctx context.Context, fsys tree.FS, volumes []string) Finding {
	const name = "own-trees"
	of, err := tree.OwnTrees(ctx, fsys)
	if err != nil {
		return failed(err, "").named(name)
	}
	own := make([]*tree.Own, len(volumes))
	err = each(ctx, len(volumes), func(ctx context.Context, i int) (err error) {
		if own[i], err = of(ctx, volumes[i]); errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			err = nil
		}
		return err
	})
	if err != nil {
		return failed(err, "").named(name)
	}
	var all, full []string
	for i, o := range own {
		if o == nil {
			continue
		}
		all = append(all, fmt.Sprintf("%s (%s)", volumes[i], o))
		if o.TotalBytes > 0 && o.AvailBytes < o.TotalBytes/20 {
			full = append(full, fmt.Sprintf("%s (%s)", volumes[i], o))
		}
	}
	switch {
	case full != nil:
		return warn("on the filer: volume quota report; volume quota policy rule modify, then volume quota resize", "nearly at a limit of their own: %s", some(full)).named(name)
	case all != nil:
		return ok("trees of their own, restored in place: %s", some(all)).named(name)
	}
	return ok("none of %s is seen to be a tree of its own", count(len(volumes), "volume")).named(name)
}

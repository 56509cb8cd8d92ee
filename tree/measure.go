package tree

import (
	"context"
	"errors"
	"io/fs"
	"path"
)

// Measure counts a tree: its directories, everything else, and the bytes of
// regular files as their sizes say. What vanishes meanwhile does not count.
func Measure(ctx context.Context, fsys FS, name string) (Progress, error) {
	var p Progress
	todo := []string{name}
	for len(todo) > 0 {
		dir := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		p.Dirs++
		err := fsys.ReadDirPlus(ctx, dir, func(e EntryPlus) error {
			switch {
			case e.Attr.Kind != Directory:
				p.Files++
				if e.Attr.Kind == Regular {
					p.Bytes += e.Attr.Size
				}
			case e.Name != snapshotDir:
				todo = append(todo, path.Join(dir, e.Name))
			}
			return nil
		})
		if errors.Is(err, fs.ErrNotExist) && dir != name {
			p.Dirs--
			continue
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

package convoy

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// The search in a volume is bounded: at most maxDirs directories, and
// maxEntries names of each.
const (
	maxDirs    = 32
	maxEntries = 2000
)

// findDatabase returns a file that only databases have, "" for none. It
// searches the volume's root, one level below, and further down below
// directories that are named by a version, as in 17/docker/PG_VERSION.
func findDatabase(ctx context.Context, fsys tree.FS, dir string) (string, error) {
	queue := []string{dir}
	for n := 0; n < len(queue) && n <= maxDirs; n++ {
		file, subs, err := databaseIn(ctx, fsys, queue[n])
		if file != "" || err != nil {
			return strings.TrimPrefix(file, dir+"/"), err
		}
		if n == 0 || strings.Trim(path.Base(queue[n]), "0123456789.") == "" {
			queue = append(queue, subs...)
		}
	}
	return "", nil
}

// databaseIn returns a database's file in one directory, and the directory's
// subdirectories. It looks up the names that every database's root has, since a
// directory may have more names than it reads.
func databaseIn(ctx context.Context, fsys tree.FS, dir string) (file string, subs []string, err error) {
	for _, name := range []string{"ibdata1", "PG_VERSION"} {
		a, err := fsys.Stat(ctx, path.Join(dir, name))
		if err == nil && a.Kind == tree.Regular {
			return path.Join(dir, name), nil, nil
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", nil, harmless(err)
		}
	}
	enough := errors.New("enough")
	entries := 0
	err = fsys.ReadDir(ctx, dir, func(d tree.Entry) error {
		switch name := path.Join(dir, d.Name); {
		case d.Kind == tree.Directory && d.Name[0] != '.':
			subs = append(subs, name)
		case d.Kind == tree.Regular && volume.IsDatabaseFile(d.Name):
			file = name
			return enough
		}
		if entries++; entries >= maxEntries {
			return enough
		}
		return nil
	})
	if errors.Is(err, enough) {
		err = nil
	}
	return file, subs, harmless(err)
}

// harmless drops errors of one directory alone: it was removed meanwhile, or
// berth may not read it.
func harmless(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

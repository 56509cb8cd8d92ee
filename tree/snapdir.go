package tree

import (
	"context"
	"errors"
	"io/fs"
	"path"
)

// snapshotDir is where an export shows its snapshots.
const snapshotDir = ".snapshot"

// errFound ends a listing early.
var errFound = errors.New("found")

// isSnapshots tells whether an entry of the directory dir shows the export's
// snapshots, or what a restore makes, and so is no part of the tree; inRoot says that dir is the root of a
// tree. The .snapshot in the export's root does. Some servers show .snapshot in
// every directory. Such a one is known because it has the same directories, by
// their ids, as the .snapshot of the export. Any other .snapshot is data: on a
// local filesystem, and where somebody has made it.
func isSnapshots(ctx context.Context, e engine, dir location, name string, kind Kind, inRoot bool) (bool, error) {
	if inRoot && name == Inside && kind == Directory {
		return true, nil // of a restore that goes on, or was interrupted
	}
	if !inRoot || name != snapshotDir || kind != Directory {
		return false, nil
	}
	if dir.name == "." {
		return true, nil
	}
	if isLocal(e) {
		return false, nil
	}
	own, real, err := e.find(ctx, snapshotDir)
	if err != nil {
		return false, unlessGone(err)
	}
	_, here, err := e.find(ctx, path.Join(dir.name, snapshotDir))
	if err != nil {
		return false, unlessGone(err)
	}
	if inodeOf(real) == inodeOf(here) {
		return true, nil
	}
	is := false
	err = e.names(ctx, own, func(s Entry, _ location) error {
		_, theirs, err := e.find(ctx, path.Join(snapshotDir, s.Name, dir.name))
		if err != nil {
			return unlessGone(err) // the tree is younger than this snapshot
		}
		_, ours, err := e.find(ctx, path.Join(dir.name, snapshotDir, s.Name))
		if is = err == nil && inodeOf(ours) == inodeOf(theirs); unlessGone(err) != nil {
			return err
		}
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return is, err
}

// isLocal tells a filesystem of this host, without a server.
func isLocal(e engine) bool {
	l, ok := e.(cloning)
	return ok && !l.l.remote
}

// unlessGone returns nil for the error of a name that does not exist or is no
// directory.
func unlessGone(err error) error {
	if isGone(err) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ShowsSnapshots tells whether .snapshot in the directory name shows the export's
// snapshots, and so is no part of a tree with the root name.
func ShowsSnapshots(ctx context.Context, fsys FS, name string) (bool, error) {
	return isSnapshots(ctx, engineOf(fsys), location{name: name}, snapshotDir, Directory, true)
}

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

// isSnapshots tells whether an entry in the directory dir, which is the root of
// a tree if inRoot, is where the export shows its snapshots, and so no part of
// the tree. In the export's own root it is. Some servers show it in every
// directory: it is known there by having in it what the export's own has, the
// very directories. All else of that name is data: on a local filesystem, and
// what somebody has made.
func isSnapshots(ctx context.Context, e engine, dir location, name string, kind Kind, inRoot bool) (bool, error) {
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
			return unlessGone(err) // the tree is newer than this one
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

// isLocal tells a filesystem of this host's own: no server has a say in it.
func isLocal(e engine) bool {
	l, ok := e.(cloning)
	return ok && !l.l.remote
}

// unlessGone is no error for what is not there, or no directory.
func unlessGone(err error) error {
	if isGone(err) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ShowsSnapshots tells whether .snapshot in the directory name is where the
// export shows its snapshots, and so no part of a tree that has its root there.
func ShowsSnapshots(ctx context.Context, fsys FS, name string) (bool, error) {
	return isSnapshots(ctx, engineOf(fsys), location{name: name}, snapshotDir, Directory, true)
}

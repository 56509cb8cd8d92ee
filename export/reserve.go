package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// The reserve is files and directories in ReserveDir that are made while the export
// has room. On an export that is full they become berth's own files: what is removed
// to give room back must not fail because its record has no room.
//
//	f0 … f7  have a block and an inode, so that a small file can be written over
//	         their content: room that is given up could be taken by a container
//	d0 … d3  are empty directories
//	ballast  is given up where nothing is written in place: btrfs at its quota wants
//	         megabytes free before it renames one name, and gives them back at once
const (
	reserveFiles = 8
	reserveDirs  = 4
	reserveSize  = 4096    // bytes of a file, one block
	ballastSize  = 4 << 20 // at most; 1/50 of a small export

	reserveFile, reserveDirectory, ballast = "f", "d", "ballast" // names, or prefixes of names
)

type spendKey struct{}

// Spend returns a context in which control files may be made of the reserve. It is
// for what gives room back, and for signs of life: never for what needs more room.
func Spend(ctx context.Context) context.Context { return context.WithValue(ctx, spendKey{}, true) }

// spends tells whether an error may be answered with the reserve.
func spends(ctx context.Context, err error) bool {
	may, _ := ctx.Value(spendKey{}).(bool)
	return may && tree.IsFull(err)
}

// Refill makes what the reserve lacks, as far as there is room. It may run on several
// nodes at once.
func (e *Export) Refill(ctx context.Context) error {
	if err := Mkdir(ctx, e.FS, ReserveDir); err != nil {
		return err
	}
	there := map[string]bool{}
	err := e.FS.ReadDir(ctx, ReserveDir, func(d tree.Entry) error {
		there[d.Name] = true
		return nil
	})
	if err != nil {
		return err
	}
	space, err := e.FS.Statfs(ctx)
	if err != nil {
		return err
	}
	sizes := map[string]int64{ballast: min(ballastSize, space.Total/50)}
	for i := range reserveFiles {
		sizes[fmt.Sprint(reserveFile, i)] = reserveSize
	}
	for _, name := range slices.Sorted(maps.Keys(sizes)) {
		size := sizes[name]
		if there[name] || name == ballast && space.Avail < 2*size { // it was given up for something that needs the room
			continue
		}
		// Random, or a server could store it in no space at all.
		data := make([]byte, size)
		if _, err := io.ReadFull(e.rand, data); err != nil {
			return err
		}
		if err := e.Put(ctx, path.Join(ReserveDir, name), data); err != nil {
			return err
		}
	}
	for i := range reserveDirs {
		if name := fmt.Sprint(reserveDirectory, i); !there[name] {
			if err := Mkdir(ctx, e.FS, path.Join(ReserveDir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// reserved are names of the reserve, of one prefix. The order is by chance, since
// other nodes take from the reserve too.
func reserved(ctx context.Context, fsys tree.FS, prefix string) ([]string, error) {
	names, err := Pick(ctx, fsys, ReserveDir, func(d tree.Entry) (string, bool) {
		return path.Join(ReserveDir, d.Name), strings.HasPrefix(d.Name, prefix)
	})
	rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names, Absent(err)
}

// overwrite makes a private file of the reserve.
func (e *Export) overwrite(ctx context.Context, data []byte) (name string, err error) {
	files, err := reserved(ctx, e.FS, reserveFile)
	if err != nil {
		return "", err
	}
	for _, file := range files {
		name = path.Join(StagingDir, TmpPrefix+e.NewID())
		err := e.FS.Rename(ctx, file, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // another node has taken it
		}
		if err == nil {
			if err = e.fill(ctx, name, data); err == nil {
				return name, nil
			}
			e.Discard(ctx, name)
		}
		if !tree.IsFull(err) {
			return "", err
		}
		break // nothing is written in place here
	}
	err = Pressed(ctx, e.FS, func() error {
		name, err = e.newPrivate(ctx, data)
		return err
	})
	return name, err
}

// fill gives a file of the reserve another content.
func (e *Export) fill(ctx context.Context, name string, data []byte) error {
	f, err := e.FS.OpenWrite(ctx, name)
	if err != nil {
		return err
	}
	size := int64(len(data))
	if _, err = f.WriteAt(ctx, data, 0); err == nil {
		if err = f.SetAttr(ctx, tree.SetAttr{Size: &size}); err == nil {
			err = f.Sync(ctx)
		}
	}
	return errors.Join(err, f.Close())
}

// spare makes the directory name of one in the reserve, else anew.
func spare(ctx context.Context, fsys tree.FS, name string, set tree.SetAttr) error {
	dirs, err := reserved(ctx, fsys, reserveDirectory)
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		switch err := fsys.Rename(ctx, dir, name); {
		case errors.Is(err, fs.ErrNotExist): // another node has taken it
		case errors.Is(err, fs.ErrExist), errors.Is(err, syscall.ENOTEMPTY):
			return fs.ErrExist
		default:
			return err
		}
	}
	return fsys.Mkdir(ctx, name, set)
}

// Pressed runs f, which may be repeated. While f finds no room, Pressed gives up parts
// of the reserve one after the other, if ctx may spend them, and runs f again.
func Pressed(ctx context.Context, fsys tree.FS, f func() error) error {
	err := f()
	if !spends(ctx, err) {
		return err
	}
	for _, prefix := range []string{ballast, reserveFile, reserveDirectory} {
		names, listErr := reserved(ctx, fsys, prefix)
		if listErr != nil {
			return err
		}
		for _, name := range names {
			giveUp := fsys.Remove
			if prefix == reserveDirectory {
				giveUp = fsys.Rmdir
			}
			if giveUp(ctx, name) != nil {
				continue
			}
			if err = f(); !tree.IsFull(err) {
				return err
			}
		}
	}
	return err
}

// Rename is FS.Rename of a name in berth's own directories, or of a volume to the
// trash, with the reserve behind it.
func (e *Export) Rename(ctx context.Context, from, to string) error {
	return Pressed(ctx, e.FS, func() error { return e.FS.Rename(ctx, from, to) })
}

// HandOver hands what is at name, in trash or staging, to the sweepers. What is not
// there is no error: another node was faster.
func (e *Export) HandOver(ctx context.Context, name string) error {
	return Absent(e.Rename(Spend(ctx), name, path.Join(StagingDir, PurgePrefix+path.Base(name))))
}

// WhatIsFull tells an export without bytes from one without inodes, and from one that
// has room: there a part of it is full. It has to be asked before what has found no
// room is taken away.
func (e *Export) WhatIsFull(ctx context.Context, err error) error {
	if !tree.IsFull(err) || tree.IsQuota(err) || errors.Is(err, problem.ErrInodes) || errors.Is(err, problem.ErrPart) || errors.As(err, new(*problem.Error)) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	space, statErr := e.FS.Statfs(ctx)
	switch {
	case statErr != nil:
	case space.Files > 0 && space.FilesFree <= 16 && space.Avail > 1<<20: // what failed may have given back a few
		return fmt.Errorf("%w: %w", problem.ErrInodes, err)
	case space.Avail > 16<<20 && space.Avail > space.Total/20:
		return fmt.Errorf("%w: %w", problem.ErrPart, err)
	}
	return err
}

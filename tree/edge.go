package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"syscall"
)

// Inside is the directory, in the root of a tree of its own, in which Sync makes new
// files: nothing can be renamed over the edge of such a tree. It is no part of the
// tree, and may be deleted when no Sync runs.
const Inside = ".berth-restore"

// Own is what makes a directory a tree of its own: a btrfs subvolume, a directory of
// an XFS or ext4 project quota, an ONTAP qtree. Names are not renamed or linked over
// its edge (EXDEV, NFS3ERR_XDEV), and another directory in its place has no quota.
type Own struct {
	How string `json:"how"` // for people: "a btrfs subvolume"
	// TotalBytes and AvailBytes are what the tree's own limit says; 0 if none is known.
	TotalBytes int64 `json:"total_bytes,omitempty"`
	AvailBytes int64 `json:"avail_bytes,omitempty"`
}

// String is what the tree is, with its limit.
func (o *Own) String() string {
	if o.TotalBytes == 0 {
		return o.How
	}
	return fmt.Sprintf("%s with a limit of %d MiB, %d MiB of it free", o.How, o.TotalBytes>>20, o.AvailBytes>>20)
}

// OwnTree tells what makes the directory name a tree of its own, nil if nothing that
// can be seen does. It changes nothing: a subvolume and a project are seen on a local
// filesystem; over NFS another filesystem is, by its fsid, and a limit of the tree's
// own, by FSSTAT (RFC 1813 §3.3.18). A qtree without a limit is not seen: the first
// rename over its edge tells.
func OwnTree(ctx context.Context, fsys FS, name string) (*Own, error) {
	of, err := OwnTrees(ctx, fsys)
	if err != nil {
		return nil, err
	}
	return of(ctx, name)
}

// OwnTrees returns OwnTree for many directories, which asks for the root only once. It
// costs three small calls each, and may be used concurrently.
func OwnTrees(ctx context.Context, fsys FS) (func(ctx context.Context, name string) (*Own, error), error) {
	root, err := fsys.Stat(ctx, ".")
	if err != nil {
		return nil, err
	}
	all, err := fsys.Statfs(ctx)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, name string) (*Own, error) {
		a, err := fsys.Stat(ctx, name)
		if err != nil || a.Kind != Directory || a.Mount {
			return nil, err
		}
		own := &Own{}
		if l, ok := fsys.(interface {
			ownHow(context.Context, string, Attr) (string, error)
		}); ok {
			if own.How, err = l.ownHow(ctx, name, a); err != nil {
				return nil, err
			}
		}
		if own.How == "" && a.Device != root.Device {
			own.How = "another filesystem than the export's"
		}
		if at, ok := fsys.(interface {
			statfsAt(context.Context, string) (Space, error)
		}); ok {
			s, err := at.statfsAt(ctx, name)
			if err != nil {
				return nil, err
			}
			if s.Total > 0 && s.Total != all.Total {
				own.TotalBytes, own.AvailBytes = s.Total, s.Avail
				if own.How == "" {
					own.How = "a tree with a quota (a qtree or a project)"
				}
			}
		}
		if own.How == "" {
			return nil, nil
		}
		return own, nil
	}, nil
}

// Carrier moves names over the edge of a tree of its own, where they have to be copied.
// Names of one file that one Carrier has carried are one file there too, unless they
// are in directories that were carried as a whole. It may be used concurrently.
type Carrier struct {
	fsys FS

	mu   sync.Mutex // guards made; held while a file with several names is carried
	made map[oneFile]string
}

// oneFile tells a file from another one that gets its inode later.
type oneFile struct {
	inode
	size, mtime int64
}

// NewCarrier returns a Carrier on a filesystem.
func NewCarrier(fsys FS) *Carrier { return &Carrier{fsys: fsys, made: map[oneFile]string{}} }

// Move renames a name. Over an edge it copies instead: by way of a name in the
// directory staging, which is on the side of to, so that to is whole or absent; then it
// deletes from. What another client changes in from meanwhile may be lost.
func (c *Carrier) Move(ctx context.Context, from, to, staging string) error {
	err := c.fsys.Rename(ctx, from, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	if err := c.carry(ctx, from, to, staging); err != nil {
		return err
	}
	return Delete(ctx, c.fsys, from, nil)
}

// Keep makes another name of a file, fs.ErrExist if it is taken; over an edge a copy.
// staging is as in Move.
func (c *Carrier) Keep(ctx context.Context, name, to, staging string) error {
	err := c.fsys.Link(ctx, name, to)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	if _, err := c.fsys.Stat(ctx, to); err == nil {
		return &fs.PathError{Op: "link", Path: to, Err: fs.ErrExist}
	}
	return c.carry(ctx, name, to, staging)
}

// carry copies a name, whole or not at all.
func (c *Carrier) carry(ctx context.Context, from, to, staging string) error {
	tmp := path.Join(staging, fmt.Sprintf("carried-%x", hashOf(to)))
	if err := Delete(ctx, c.fsys, tmp, nil); err != nil { // of an interrupted one
		return err
	}
	e := engineOf(c.fsys)
	at, a, err := e.find(ctx, from)
	if err != nil {
		return err
	}
	if a.Kind == Directory {
		_, err = Copy(ctx, c.fsys, from, tmp, CopyOptions{}, nil)
	} else {
		c.mu.Lock()
		// Its other names may be replaced by now, so their number does not tell.
		file := oneFile{inodeOf(a), a.Size, a.Mtime.UnixNano()}
		first, ok := c.made[file]
		if !ok && a.Nlink > 1 {
			c.made[file] = to
			defer c.mu.Unlock()
		} else {
			c.mu.Unlock()
		}
		if ok {
			err = c.fsys.Link(ctx, first, tmp)
		} else {
			err = copyOne(ctx, c.fsys, e, at, a, tmp)
		}
	}
	if err == nil {
		err = c.fsys.Rename(ctx, tmp, to)
	}
	if err != nil {
		tidy, done := Tidy(ctx)
		defer done()
		return errors.Join(err, Delete(tidy, c.fsys, tmp, nil))
	}
	return nil
}

// copyOne copies what is no directory to a name that is free.
func copyOne(ctx context.Context, fsys FS, e engine, at location, a Attr, to string) error {
	dir, base, err := within(ctx, e, to)
	if err != nil {
		return err
	}
	c := &copying{e: e, heavy: make(chan struct{}, maxHeavy)}
	c.quick, _ = e.(quick)
	if _, err := c.make(ctx, at, dir, EntryPlus{base, a}); err != nil {
		return err
	}
	if err := c.stats.Whole(at.name); err != nil {
		return err
	}
	if s, ok := fsys.(interface{ SyncAll(context.Context) error }); ok {
		return s.SyncAll(ctx)
	}
	return nil
}

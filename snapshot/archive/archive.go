package archive

import (
	"archive/tar"
	"context"
	"io"
	"path"

	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
)

// Directory writes the directory name, whose attributes are a, to w.
func Directory(ctx context.Context, fsys tree.FS, name string, a tree.Attr, w io.Writer) error {
	t := &archive{fsys: fsys, tar: tar.NewWriter(w), links: map[[2]uint64]string{}}
	if err := t.dir(ctx, name, ".", a); err != nil {
		return err
	}
	return t.tar.Close()
}

// archive writes a tree as tar, with all bytes of the names and with owners by number.
type archive struct {
	fsys  tree.FS
	tar   *tar.Writer
	links map[[2]uint64]string // first name of each file with several names
}

func (t *archive) dir(ctx context.Context, name, as string, a tree.Attr) error {
	if err := t.tar.WriteHeader(header(as+"/", a, tar.TypeDir)); err != nil {
		return err
	}
	var entries []tree.EntryPlus
	if err := t.fsys.ReadDirPlus(ctx, name, func(d tree.EntryPlus) error {
		if as == "." && d.Name == reference.Dir {
			if own, err := tree.ShowsSnapshots(ctx, t.fsys, name); err != nil || own {
				return err
			}
		}
		entries = append(entries, d)
		return nil
	}); err != nil {
		return err
	}
	for _, d := range entries {
		if err := t.entry(ctx, path.Join(name, d.Name), as+"/"+d.Name, d.Attr); err != nil {
			return err
		}
	}
	return nil
}

func (t *archive) entry(ctx context.Context, name, as string, a tree.Attr) error {
	switch a.Kind {
	case tree.Directory:
		return t.dir(ctx, name, as, a)
	case tree.Symlink:
		target, err := t.fsys.Readlink(ctx, name)
		if err != nil {
			return err
		}
		h := header(as, a, tar.TypeSymlink)
		h.Linkname = target
		return t.tar.WriteHeader(h)
	case tree.Regular:
		return t.file(ctx, name, as, a)
	case tree.Socket:
		return nil // tar has no sockets
	}
	kinds := map[tree.Kind]byte{tree.FIFO: tar.TypeFifo, tree.BlockDevice: tar.TypeBlock, tree.CharDevice: tar.TypeChar}
	h := header(as, a, kinds[a.Kind])
	h.Devmajor, h.Devminor = int64(a.Major), int64(a.Minor)
	return t.tar.WriteHeader(h)
}

func (t *archive) file(ctx context.Context, name, as string, a tree.Attr) error {
	if id := [2]uint64{a.Device, a.FileID}; a.Nlink > 1 {
		if first, ok := t.links[id]; ok {
			h := header(as, a, tar.TypeLink)
			h.Linkname = first
			return t.tar.WriteHeader(h)
		}
		t.links[id] = as
	}
	h := header(as, a, tar.TypeReg)
	h.Size = a.Size
	if err := t.tar.WriteHeader(h); err != nil {
		return err
	}
	return tree.Send(ctx, t.fsys, name, a, t.tar)
}

func header(name string, a tree.Attr, kind byte) *tar.Header {
	return &tar.Header{Name: name, Typeflag: kind, Mode: int64(a.Mode), Uid: int(a.UID), Gid: int(a.GID), ModTime: a.Mtime, Format: tar.FormatPAX}
}

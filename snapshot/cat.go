package snapshot

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"syscall"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
)

func isNotDir(err error) bool { return errors.Is(err, syscall.ENOTDIR) }

// RefRequest names one version.
type RefRequest struct {
	Ref     string           `json:"ref"`                // VOLUME@SNAPSHOT:PATH
	Exact   *reference.Exact `json:"exact,omitempty"`    // instead of Ref, where it is known
	PathB64 []byte           `json:"path_b64,omitempty"` // instead of a path in Ref
}

// Read writes a file of a version to w, or a directory as a tar archive. It writes
// nothing before it has read the first bytes.
func (v *Versions) Read(ctx context.Context, r RefRequest, w io.Writer) error {
	ref, err := reference.Want(r.Ref, r.Exact)
	if err != nil {
		return err
	}
	if r.PathB64 != nil {
		within := string(r.PathB64)
		ref.Within = &within
	}
	return v.volumes.With(ctx, "read "+ref.Volume, func(fsys tree.FS) error {
		sides, err := v.sides(ctx, fsys, ref)
		if err != nil {
			return err
		}
		name := sides[0].path
		defer v.reading("berth snapshot cat", name)()
		a, err := fsys.Stat(ctx, name)
		if err != nil {
			return err
		}
		switch a.Kind {
		case tree.Regular:
			return catFile(ctx, fsys, name, a.Size, w)
		case tree.Directory:
			t := &archive{fsys: fsys, tar: tar.NewWriter(w), links: map[[2]uint64]string{}}
			if err := t.dir(ctx, name, ".", a); err != nil {
				return err
			}
			return t.tar.Close()
		}
		return problem.New(problem.Invalid, "name a file or a directory", "%s is a %s", text.Quote(sides[0].Ref), a.Kind)
	})
}

const catPiece = 256 << 10

// catFile writes size bytes of a file. It is an error if the file has become shorter.
func catFile(ctx context.Context, fsys tree.FS, name string, size int64, w io.Writer) error {
	f, err := fsys.Open(ctx, name)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, catPiece)
	for off := int64(0); off < size; {
		n, err := f.ReadAt(ctx, buf[:min(catPiece, size-off)], off)
		if n == 0 && err != nil {
			if err == io.EOF {
				return fmt.Errorf("%s became shorter while it was read", name)
			}
			return err
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
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
	return catFile(ctx, t.fsys, name, a.Size, t.tar)
}

func header(name string, a tree.Attr, kind byte) *tar.Header {
	return &tar.Header{Name: name, Typeflag: kind, Mode: int64(a.Mode), Uid: int(a.UID), Gid: int(a.GID), ModTime: a.Mtime, Format: tar.FormatPAX}
}

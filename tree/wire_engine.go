package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/casit/berth/nfs"
)

// workers is how many calls the client has in flight at most.
func (w *Wire) workers() int { return 128 }

// once is do for a handle of an earlier lookup: if it is stale, the object does not
// exist any more.
func (w *Wire) once(ctx context.Context, op, name string, f func() error) error {
	err := ctx.Err()
	if err == nil {
		err = f()
	}
	return w.fail(ctx, op, name, err)
}

func (w *Wire) find(ctx context.Context, name string) (at location, a Attr, err error) {
	err = w.do(ctx, "stat", name, func() error {
		o, err := w.walk(ctx, name)
		at, a = location{name: name, handle: o.handle, known: err == nil, device: o.attr.FSID}, attrOf(&o.attr)
		return err
	})
	return at, a, err
}

func (w *Wire) list(ctx context.Context, dir location, fn func(e EntryPlus, at location) error) error {
	_, err := w.listing(ctx, dir, fn)
	return err
}

// listing implements engine by the attributes that come with READDIRPLUS.
func (w *Wire) listing(ctx context.Context, dir location, fn func(e EntryPlus, at location) error) (now Attr, err error) {
	var fnErr error
	err = w.once(ctx, "readdir", dir.name, func() error {
		in, err := enter(dir)
		if err != nil {
			return err
		}
		a, err := w.client.Listing(ctx, dir.handle, func(e *nfs.Entry) error {
			a := attrOf(&e.Attr.Attr)
			a.Mount = dir.known && a.Device != dir.device
			fnErr = fn(EntryPlus{e.Name, a}, location{name: dir.child(e.Name).name, handle: e.Handle, mount: a.Mount, known: true, device: a.Device, in: in})
			return fnErr
		})
		if a.Present {
			now = attrOf(&a.Attr)
		}
		return err
	})
	if fnErr != nil {
		return now, fnErr
	}
	return now, err
}

// maxPath is the longest name, in bytes, of a directory that is listed below another
// one: four times what the kernel takes. A server may show directories in one
// another without an end.
const maxPath = 16 << 10

// enter refuses a directory that contains itself, or is too deep in others.
func enter(dir location) (*above, error) {
	if len(dir.name) > maxPath {
		return nil, fmt.Errorf("directories in one another to a name of more than %d bytes", maxPath)
	}
	for a := dir.in; a != nil; a = a.in {
		if a.handle == dir.handle {
			return nil, errors.New("the server shows a directory that contains itself")
		}
	}
	return &above{dir.in, dir.handle}, nil
}

func (w *Wire) names(ctx context.Context, dir location, fn func(e Entry, at location) error) error {
	return w.list(ctx, dir, func(e EntryPlus, at location) error { return fn(Entry{e.Name, e.Attr.Kind}, at) })
}

func (w *Wire) readlink(ctx context.Context, at location) (target string, err error) {
	err = w.once(ctx, "readlink", at.name, func() error {
		var err error
		target, _, err = w.client.Readlink(ctx, at.handle)
		return err
	})
	return target, err
}

func (w *Wire) open(_ context.Context, at location) (File, error) {
	return &wireFile{w: w, name: at.name, handle: at.handle}, nil
}

func (w *Wire) mkdir(ctx context.Context, dir location, base string, set SetAttr) (location, error) {
	at := dir.child(base)
	err := w.once(ctx, "mkdir", at.name, func() (err error) {
		at.handle, err = w.makeDir(ctx, dir.handle, base, set)
		return err
	})
	return at, err
}

func (w *Wire) mknod(ctx context.Context, dir location, base string, a Attr, set SetAttr) (at location, err error) {
	at = dir.child(base)
	err = w.once(ctx, "mknod", at.name, func() error {
		o, err := w.makeNode(ctx, dir.handle, base, a.Kind, a.Major, a.Minor, set)
		at.handle = o.handle
		return err
	})
	return at, err
}

func (w *Wire) symlink(ctx context.Context, target string, dir location, base string, set SetAttr) (at location, err error) {
	at = dir.child(base)
	err = w.once(ctx, "symlink", at.name, func() error {
		o, err := w.makeSymlink(ctx, target, dir.handle, base, set)
		at.handle = o.handle
		return err
	})
	return at, err
}

func (w *Wire) link(ctx context.Context, file, dir location, base string) error {
	return w.once(ctx, "link", dir.child(base).name, func() error {
		_, err := w.client.Link(ctx, file.handle, dir.handle, base)
		return err
	})
}

func (w *Wire) create(ctx context.Context, dir location, base string, set SetAttr) (File, location, error) {
	at := dir.child(base)
	err := w.once(ctx, "create", at.name, func() error {
		o, err := w.makeFile(ctx, dir.handle, base, set)
		at.handle = o.handle
		return err
	})
	return &wireFile{w: w, name: at.name, handle: at.handle}, at, err
}

func (w *Wire) setAttr(ctx context.Context, at location, set SetAttr) error {
	return w.once(ctx, "setattr", at.name, func() error {
		_, err := w.set(ctx, at.handle, sattrOf(set))
		return err
	})
}

func (w *Wire) remove(ctx context.Context, dir location, base string) error {
	return w.once(ctx, "remove", dir.child(base).name, func() error {
		_, err := w.client.Remove(ctx, dir.handle, base)
		return err
	})
}

func (w *Wire) rmdir(ctx context.Context, dir location, base string) error {
	return w.once(ctx, "rmdir", dir.child(base).name, func() error { return w.removeDir(ctx, dir.handle, base) })
}

// copyFile copies a file without holes. A file that fits one WRITE takes CREATE, READ,
// WRITE FILE_SYNC and SETATTR; an empty one takes CREATE. The answer to the last
// call has the attributes of the copy. A larger file is read and written several
// chunks at a time, and committed.
func (w *Wire) copyFile(ctx context.Context, src location, a Attr, dir location, base string, summed bool) (r copied, done bool, err error) {
	chunk := int64(min(w.client.ReadSize(), w.client.WriteSize()))
	if a.Used < a.Size && a.Size > holeBlock {
		return r, false, nil
	}
	large := a.Size > chunk
	if large {
		select {
		case w.large <- struct{}{}:
			defer func() { <-w.large }()
		case <-ctx.Done():
			return r, true, ctx.Err()
		}
	} else {
		if err := w.small.Acquire(ctx, a.Size); err != nil {
			return r, true, err
		}
		defer w.small.Release(a.Size)
	}
	r.at = dir.child(base)
	// The READ comes before the CREATE, so that a file that does not exist any
	// more leaves no copy.
	var data []byte
	release := func() {}
	defer func() { release() }()
	now := a
	if !large && a.Size > 0 {
		err = w.once(ctx, "read", src.name, func() error {
			res, err := w.client.ReadLent(ctx, src.handle, 0, int(a.Size))
			if err == nil {
				release = res.Release
			}
			data = res.Data
			done = res.EOF || int64(res.N) == a.Size
			if err == nil && !res.Attr.Present {
				res.Attr.Attr, err = w.client.Getattr(ctx, src.handle)
			}
			now = attrOf(&res.Attr.Attr)
			return err
		})
		if err != nil || !done || now.Size > int64(len(data)) {
			return r, err != nil, err // the file has grown, or the server's READs are short
		}
	}
	err = w.once(ctx, "create", r.at.name, func() error {
		set := allOf(a)
		if a.Size > 0 {
			mode := a.Mode & 0o777 // a WRITE takes setuid away
			set = SetAttr{Mode: &mode, UID: &a.UID, GID: &a.GID}
		}
		o, err := w.makeFile(ctx, dir.handle, base, set)
		r.at.handle = o.handle
		if a.Size == 0 && err == nil {
			err = verify(&o.attr, 0, sattrOf(set))
		}
		return err
	})
	if err != nil || a.Size == 0 {
		return r, true, err
	}
	return r, true, w.once(ctx, "write", r.at.name, func() error {
		var err error
		if large {
			now, err = w.storeLarge(ctx, src, a.Size, r.at)
			r.bytes = a.Size
		} else if r.bytes = int64(len(data)); len(data) > 0 {
			err = w.client.WriteAll(ctx, r.at.handle, 0, data)
		}
		if err != nil {
			return err
		}
		r.changed = !isSame(a, now)
		set := sattrOf(allOf(a))
		if a.Mode&0o7000 == 0 {
			set.Set &^= nfs.SetMode // CREATE has set it
		}
		set.Set &^= nfs.SetUID | nfs.SetGID
		got, err := w.set(ctx, r.at.handle, set)
		if err == nil {
			err = verify(&got, r.bytes, sattrOf(allOf(a)))
		}
		if err == nil && summed && len(data) > 0 {
			r.proof = proofOf(a, attrOf(&got), sumOf(data))
		}
		return err
	})
}

// verify compares the attributes of a copy with those of its source.
func verify(got *nfs.Attr, size int64, want nfs.SetAttr) error {
	if int64(got.Size) == size && missing(want, got).Set == 0 {
		return nil
	}
	return fmt.Errorf("the copy has %d bytes of %s, mode %o, owner %d:%d instead of %d bytes of %s, mode %o, owner %d:%d",
		got.Size, got.Mtime.Time(), got.Mode, got.UID, got.GID, size, want.Mtime.Time(), want.Mode, want.UID, want.GID)
}

// storeLarge copies size bytes, and returns the attributes of the source afterwards.
func (w *Wire) storeLarge(ctx context.Context, src location, size int64, dst location) (Attr, error) {
	from := &remote{ctx: ctx, client: w.client, handle: src.handle}
	if _, err := w.client.Store(ctx, dst.handle, from, nfs.Range{Length: size}); err != nil {
		return Attr{}, err
	}
	now, err := w.client.Getattr(ctx, src.handle)
	if err == nil && from.cut.Load() && int64(now.Size) >= size {
		err = fmt.Errorf("%w: READ ended before the %d bytes that the server says %s has", nfs.ErrBadReply, size, src.name)
	}
	return attrOf(&now), err
}

// remote is a file as the source of nfs.Client.Store, until ctx ends.
type remote struct {
	ctx    context.Context
	client *nfs.Client
	handle nfs.Handle
	cut    atomic.Bool // it ended early
}

func (r *remote) ReadAt(p []byte, off int64) (int, error) {
	n, err := r.client.ReadAt(r.ctx, r.handle, p, off)
	if err == io.EOF {
		// The file was cut off meanwhile. Zeros stand for the lost bytes; the
		// attributes of the source tell that the copy is torn.
		r.cut.Store(true)
		clear(p[n:])
		return len(p), nil
	}
	return n, err
}

// Lend implements nfs.Lender: the buffer of a READ is the buffer of the WRITE.
func (r *remote) Lend(n int, off int64) ([]byte, func(), error) {
	res, err := r.client.ReadLent(r.ctx, r.handle, uint64(off), n)
	if err != nil {
		return nil, nil, err
	}
	if res.N < n {
		res.Release()
		return nil, nil, nil // Store asks for the rest
	}
	return res.Data, res.Release, nil
}

var (
	_ engine = (*Wire)(nil)
	_ quick  = (*Wire)(nil)
)

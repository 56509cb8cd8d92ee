package tree

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/casit/berth/nfs"
)

// wireFile is a regular file of a Wire. NFSv3 knows no open files, so a wireFile is a
// handle. It is stale when the file's last name is removed.
type wireFile struct {
	w      *Wire
	name   string
	handle nfs.Handle
	closed atomic.Bool
}

// Open implements FS. The server checks permissions with each read and write.
func (w *Wire) Open(ctx context.Context, name string) (File, error) {
	f := &wireFile{w: w, name: name}
	err := w.do(ctx, "open", name, func() error {
		o, err := w.walk(ctx, name)
		if err != nil {
			return err
		}
		f.handle = o.handle
		switch o.attr.Type {
		case nfs.TypeReg:
			return nil
		case nfs.TypeDir:
			return syscall.EISDIR
		case nfs.TypeLnk:
			return syscall.ELOOP
		default:
			return syscall.ENXIO
		}
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

// OpenWrite implements FS. A handle is for reading and writing.
func (w *Wire) OpenWrite(ctx context.Context, name string) (File, error) { return w.Open(ctx, name) }

// Create implements FS, by a guarded CREATE (RFC 1813 §3.3.8) with the
// attributes; without a mode the owner alone may read and write.
func (w *Wire) Create(ctx context.Context, name string, set SetAttr) (File, error) {
	f := &wireFile{w: w, name: name}
	err := w.in(ctx, "create", name, func(dir nfs.Handle, base string) error {
		o, err := w.makeFile(ctx, dir, base, set)
		f.handle = o.handle
		return err
	})
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (w *Wire) makeFile(ctx context.Context, dir nfs.Handle, base string, set SetAttr) (object, error) {
	if set.Mode == nil {
		private := uint32(0o600)
		set.Mode = &private
	}
	s := sattrOf(set)
	m, err := w.client.Create(ctx, dir, base, nfs.Guarded, s)
	if err != nil {
		return object{}, err
	}
	return w.complete(ctx, dir, base, m, s)
}

// do runs an operation on the file.
func (f *wireFile) do(ctx context.Context, op string, fn func() error) error {
	err := ctx.Err()
	if f.closed.Load() {
		err = fs.ErrClosed
	}
	if err == nil {
		err = fn()
	}
	return f.w.fail(ctx, op, f.name, err)
}

// ReadAt implements File, with several READs at once where one is too small.
func (f *wireFile) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	eof := false
	err = f.do(ctx, "read", func() error {
		if off < 0 {
			return syscall.EINVAL
		}
		var err error
		n, err = f.w.read(ctx, f.handle, p, off)
		if eof = errors.Is(err, io.EOF); eof {
			err = nil
		}
		return err
	})
	if err == nil && eof {
		err = io.EOF
	}
	return n, err
}

// readWindow is how many READs of one file are in flight at once.
const readWindow = 8

// read fills p from a file; short only with an error, io.EOF at the end. The first
// READ tells the file's size, so that no READ is sent behind the end.
func (w *Wire) read(ctx context.Context, h nfs.Handle, p []byte, off int64) (int, error) {
	size := w.client.ReadSize()
	first := p[:min(len(p), size)]
	if len(first) == 0 {
		return 0, nil
	}
	res, err := w.client.Read(ctx, h, uint64(off), first)
	switch {
	case err != nil:
		return 0, err
	case res.N == len(p):
		return res.N, nil
	case res.EOF:
		return res.N, io.EOF
	case res.N < len(first) || !res.Attr.Present:
		n, err := w.client.ReadAt(ctx, h, p[res.N:], off+int64(res.N))
		return res.N + n, err
	}
	rest := p[res.N:]
	if end := int64(res.Attr.Size) - off - int64(res.N); end < int64(len(rest)) {
		rest = rest[:max(end, 1)] // one byte more shows the end
	}
	var (
		next atomic.Int64
		wait sync.WaitGroup
		got  = make([]int, (len(rest)+size-1)/size)
		errs = make([]error, len(got))
	)
	for range min(readWindow, len(got)) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(got); i = int(next.Add(1)) - 1 {
				part := rest[i*size : min((i+1)*size, len(rest))]
				got[i], errs[i] = w.client.ReadAt(ctx, h, part, off+int64(res.N+i*size))
			}
		})
	}
	wait.Wait()
	n := res.N
	for i := range got {
		if n += got[i]; errs[i] != nil {
			return n, errs[i]
		}
	}
	if n < len(p) {
		more, err := w.client.ReadAt(ctx, h, p[n:], off+int64(n))
		return n + more, err
	}
	return n, nil
}

// WriteAt implements File. When it returns, the data are on stable storage: one WRITE
// is sent FILE_SYNC, several are sent UNSTABLE and committed (RFC 1813 §4.8). So no
// data have to be kept for a server that restarts.
func (f *wireFile) WriteAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	err = f.do(ctx, "write", func() error {
		if off < 0 {
			return syscall.EINVAL
		}
		if len(p) == 0 {
			return nil
		}
		res, err := f.w.client.Store(ctx, f.handle, shifted{bytes.NewReader(p), off}, nfs.Range{Offset: off, Length: int64(len(p))})
		n = int(res.Bytes)
		return err
	})
	return n, err
}

// shifted is a reader whose first byte is at an offset.
type shifted struct {
	r   io.ReaderAt
	off int64
}

func (s shifted) ReadAt(p []byte, off int64) (int, error) { return s.r.ReadAt(p, off-s.off) }

// Stat implements File (GETATTR, RFC 1813 §3.3.1).
func (f *wireFile) Stat(ctx context.Context) (a Attr, err error) {
	err = f.do(ctx, "stat", func() error {
		got, err := f.w.client.Getattr(ctx, f.handle)
		a = attrOf(&got)
		return err
	})
	return a, err
}

// SetAttr implements File.
func (f *wireFile) SetAttr(ctx context.Context, set SetAttr) error {
	return f.do(ctx, "setattr", func() error {
		return f.w.setObject(ctx, object{f.handle, nfs.Attr{Type: nfs.TypeReg}}, set)
	})
}

// Sync implements File. WriteAt has put the data on stable storage.
func (f *wireFile) Sync(ctx context.Context) error {
	return f.do(ctx, "sync", func() error { return nil })
}

// Close implements File.
func (f *wireFile) Close() error {
	if f.closed.Swap(true) {
		return &fs.PathError{Op: "close", Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

package export

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/casit/berth/tree"
)

// Create makes an empty control file; fs.ErrExist if its name is taken.
func (e *Export) Create(ctx context.Context, name string) (tree.File, error) {
	mode := uint32(0o600)
	return e.FS.Create(ctx, name, tree.SetAttr{Mode: &mode})
}

// NewID returns a random name of 16 hexadecimal digits.
func (e *Export) NewID() string { return NewID(e.rand) }

// NewID returns a random name of 16 hexadecimal digits.
func NewID(random io.Reader) string {
	b := make([]byte, 8)
	if _, err := io.ReadFull(random, b); err != nil {
		panic(err) // crypto/rand never fails; anything else is a bug in a test
	}
	return hex.EncodeToString(b)
}

// Encode is a control file's content: one line of JSON.
func Encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types always marshal
	}
	return append(data, '\n')
}

// Publish makes the file name with v as its content by LINK of a private file:
// the name is either whole or absent, and of several nodes one wins. The
// others get fs.ErrExist, except a call whose own content is already there,
// which is a replay.
func (e *Export) Publish(ctx context.Context, name string, v any) error {
	data := Encode(v)
	tmp, err := e.Private(ctx, data)
	if err != nil {
		return err
	}
	defer e.Discard(ctx, tmp)
	err = Pressed(ctx, e.FS, func() error { return e.FS.Link(ctx, tmp, name) })
	if errors.Is(err, fs.ErrExist) {
		if there, readErr := tree.ReadFile(ctx, e.FS, name, MaxFile); readErr == nil && bytes.Equal(there, data) {
			return nil
		}
	}
	return err
}

// Replace puts v in the place of the file name, which only this node writes or
// whose lock this node holds.
func (e *Export) Replace(ctx context.Context, name string, v any) error {
	return e.Put(ctx, name, Encode(v))
}

// Put is Replace for bytes. A directory that has taken the file's place goes to the
// trash.
func (e *Export) Put(ctx context.Context, name string, data []byte) error {
	tmp, err := e.Private(ctx, data)
	if err != nil {
		return err
	}
	err = e.Rename(ctx, tmp, name)
	if err != nil && isDirectory(ctx, e.FS, name) {
		// No file can be there again before the directory is gone.
		if err = e.FS.Rename(ctx, name, TrashPath("damaged-"+e.NewID())); err == nil {
			err = e.Rename(ctx, tmp, name)
		}
	}
	if err != nil {
		e.Discard(ctx, tmp)
	}
	return err
}

func isDirectory(ctx context.Context, fsys tree.FS, name string) bool {
	a, err := fsys.Stat(ctx, name)
	return err == nil && a.Kind == tree.Directory
}

// Private writes data to a new file that nobody else knows.
func (e *Export) Private(ctx context.Context, data []byte) (string, error) {
	name, err := e.newPrivate(ctx, data)
	if spends(ctx, err) {
		return e.overwrite(ctx, data)
	}
	return name, err
}

func (e *Export) newPrivate(ctx context.Context, data []byte) (string, error) {
	name := path.Join(StagingDir, TmpPrefix+e.NewID())
	f, err := e.Create(ctx, name)
	if err != nil {
		return "", ofStaging(err)
	}
	_, err = f.WriteAt(ctx, data, 0)
	if err == nil {
		err = f.Sync(ctx)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		e.Discard(ctx, name)
		return "", ofStaging(err)
	}
	return name, nil
}

// ofStaging is an error of a private file that says the same each time, whatever the
// file was called.
func ofStaging(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return &fs.PathError{Op: p.Op, Path: StagingDir, Err: p.Err}
	}
	return err
}

// Discard removes a private file, also after the caller's time is over. What
// it cannot remove is swept later.
func (e *Export) Discard(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = e.FS.Remove(ctx, name)
}

// Mkdir makes a control directory; one that is there is fine.
func Mkdir(ctx context.Context, fsys tree.FS, name string) error {
	mode := uint32(0o700)
	set := tree.SetAttr{Mode: &mode}
	err := fsys.Mkdir(ctx, name, set)
	if spends(ctx, err) {
		err = Pressed(ctx, fsys, func() error { return spare(ctx, fsys, name, set) })
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// Absent makes "it is not there" a success, for removals that may be repeated.
func Absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Exists tells whether name is there; only the server may say no.
func Exists(ctx context.Context, fsys tree.FS, name string) (bool, error) {
	_, err := fsys.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Pick lists what wanted takes of a directory.
func Pick(ctx context.Context, fsys tree.FS, dir string, wanted func(tree.Entry) (string, bool)) (out []string, err error) {
	err = fsys.ReadDir(ctx, dir, func(d tree.Entry) error {
		if n, ok := wanted(d); ok {
			out = append(out, n)
		}
		return nil
	})
	return out, err
}

// FormatVersion is written into every control file; a reader refuses a newer
// one instead of guessing.
const FormatVersion = 1

// MaxFile bounds what is read of any control file, in bytes.
const MaxFile = 1 << 20

// FileID identifies what is at a name, 0 for nothing. Where the host's kernel
// has mounted the export, asking for the root first makes it forget the names
// in it that other nodes have changed.
func FileID(ctx context.Context, fsys tree.FS, name string) (uint64, error) {
	if _, err := fsys.Stat(ctx, "."); err != nil {
		return 0, err
	}
	a, err := fsys.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return a.FileID, err
}

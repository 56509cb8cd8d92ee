package volume

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"time"

	"github.com/casit/berth/tree"
)

// Control files are read and written here and nowhere else.

var (
	controlMode uint32 = 0o600
	controlDirs uint32 = 0o700
)

// newID returns a random name of 16 hexadecimal digits.
func (s *Store) newID() string {
	b := make([]byte, 8)
	if _, err := s.cfg.Rand.Read(b); err != nil {
		panic(err) // crypto/rand never fails; anything else is a bug in a test
	}
	return hex.EncodeToString(b)
}

// encode is a control file's content: one line of JSON.
func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types always marshal
	}
	return append(data, '\n')
}

// readControl decodes the control file name into v. A broken file is an error
// that names the file.
func readControl(ctx context.Context, fsys tree.FS, name string, v any) error {
	data, err := tree.ReadFile(ctx, fsys, name, maxControlFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return &fs.PathError{Op: "decode", Path: name, Err: err}
	}
	return nil
}

// isBroken tells a control file that is there but cannot be one (torn, a
// directory, a symlink, too large) from an export that does not answer.
func isBroken(err error) bool {
	p := (*fs.PathError)(nil)
	return errors.As(err, &p) && p.Op == "decode" || IsContent(err)
}

// publish makes the file name with v as its content by LINK of a private file:
// the name is either whole or absent, and of several nodes one wins. The
// others get fs.ErrExist, except a call whose own content is already there,
// which is a replay.
func (s *Store) publish(ctx context.Context, fsys tree.FS, name string, v any) error {
	data := encode(v)
	tmp, err := s.private(ctx, fsys, data)
	if err != nil {
		return err
	}
	defer s.discard(ctx, fsys, tmp)
	err = fsys.Link(ctx, tmp, name)
	if errors.Is(err, fs.ErrExist) {
		if there, readErr := tree.ReadFile(ctx, fsys, name, maxControlFile); readErr == nil && bytes.Equal(there, data) {
			return nil
		}
	}
	return err
}

// replace puts v in the place of the file name, which only this node writes or
// whose lock this node holds.
func (s *Store) replace(ctx context.Context, fsys tree.FS, name string, v any) error {
	return s.put(ctx, fsys, name, encode(v))
}

// put is replace for bytes.
func (s *Store) put(ctx context.Context, fsys tree.FS, name string, data []byte) error {
	tmp, err := s.private(ctx, fsys, data)
	if err != nil {
		return err
	}
	if err := fsys.Rename(ctx, tmp, name); err != nil {
		s.discard(ctx, fsys, tmp)
		return err
	}
	return nil
}

// tmpPrefix marks private files in staging; old ones are swept.
const tmpPrefix = "tmp."

// private writes data to a new file that nobody else knows.
func (s *Store) private(ctx context.Context, fsys tree.FS, data []byte) (string, error) {
	name := path.Join(stagingDir, tmpPrefix+s.newID())
	f, err := fsys.Create(ctx, name, tree.SetAttr{Mode: &controlMode})
	if err != nil {
		return "", err
	}
	_, err = f.WriteAt(ctx, data, 0)
	if err == nil {
		err = f.Sync(ctx)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		s.discard(ctx, fsys, name)
		return "", err
	}
	return name, nil
}

// discard removes a private file, also after the caller's time is over. What
// it cannot remove is swept later.
func (s *Store) discard(ctx context.Context, fsys tree.FS, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	_ = fsys.Remove(ctx, name)
}

// mkdir makes a control directory; one that is there is fine.
func mkdir(ctx context.Context, fsys tree.FS, name string) error {
	err := fsys.Mkdir(ctx, name, tree.SetAttr{Mode: &controlDirs})
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// absent makes "it is not there" a success, for removals that may be repeated.
func absent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// exists tells whether name is there; only the server may say no.
func exists(ctx context.Context, fsys tree.FS, name string) (bool, error) {
	_, err := fsys.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// pick lists what wanted takes of a directory.
func pick(ctx context.Context, fsys tree.FS, dir string, wanted func(tree.Entry) (string, bool)) (out []string, err error) {
	err = fsys.ReadDir(ctx, dir, func(d tree.Entry) error {
		if n, ok := wanted(d); ok {
			out = append(out, n)
		}
		return nil
	})
	return out, err
}

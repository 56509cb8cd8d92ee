package embedded

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// mkdir makes a directory.
func (e *Maker) mkdir(ctx context.Context, name string, mode uint32) error {
	return e.fsys.Mkdir(ctx, name, tree.SetAttr{Mode: &mode})
}

// Reflinks tells whether copies on this filesystem share their blocks.
func (e *Maker) Reflinks(ctx context.Context) (bool, error) { return e.fsys.Reflinks(ctx, stagingDir) }

// write makes the file name with v in it, on stable storage.
func (e *Maker) write(ctx context.Context, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.writeBytes(ctx, name, append(data, '\n'))
}

func (e *Maker) writeBytes(ctx context.Context, name string, data []byte) error {
	mode := uint32(0o600)
	f, err := e.fsys.Create(ctx, name, tree.SetAttr{Mode: &mode})
	if err != nil {
		return err
	}
	_, err = f.WriteAt(ctx, data, 0)
	if err == nil {
		err = f.Sync(ctx)
	}
	return errors.Join(err, f.Close())
}

// discard renames a tree in staging so that the next sweep deletes it, also after ctx
// has ended.
func (e *Maker) discard(ctx context.Context, dir string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = export.Pressed(export.Spend(ctx), e.fsys, func() error {
		return e.fsys.Rename(ctx, dir, path.Join(stagingDir, purgePrefix+path.Base(dir)))
	})
}

// building says that a tree is being made in staging, until unlock. First it discards
// the trees that a crash has left. Whoever makes a tree has a lock, and a process
// that dies loses its locks.
func (e *Maker) building(ctx context.Context) (unlock func(), err error) {
	if unlock, ok, err := e.tryLock(markerPath, true); err != nil {
		return nil, err
	} else if ok {
		err := e.fsys.ReadDir(ctx, stagingDir, func(d tree.Entry) error {
			if strings.HasPrefix(d.Name, buildPrefix) {
				e.discard(ctx, path.Join(stagingDir, d.Name))
			}
			return nil
		})
		unlock()
		if err != nil {
			return nil, err
		}
	}
	return e.lock(ctx, markerPath, false)
}

// lockEvery is the pause between two tries for a lock that another one has.
const lockEvery = 20 * time.Millisecond

// lock is tryLock until it succeeds or ctx ends.
func (e *Maker) lock(ctx context.Context, name string, exclusive bool) (unlock func(), err error) {
	for {
		unlock, ok, err := e.tryLock(name, exclusive)
		if err != nil || ok {
			return unlock, err
		}
		select {
		case <-time.After(lockEvery):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// newID returns a name of 16 hexadecimal digits.
func newID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// checkName refuses a name that cannot be typed in VOLUME@SNAPSHOT:PATH, or that means
// something else there.
func checkName(name string) error {
	instead := "choose another, for example 'before-update'"
	if plain := strings.Trim(strings.Map(plainRune, name), ".-"); plain != "" && len(plain) <= 200 {
		if instead = fmt.Sprintf("name it %q", plain); reservedNames.MatchString(plain) {
			instead = fmt.Sprintf("add a word to it: 'made-%s'", plain)
		}
	}
	switch {
	case name == "":
		return problem.New(problem.Invalid, instead, "the snapshot has no name")
	case len(name) > 255:
		return problem.New(problem.Invalid, instead, "the snapshot name %.20q… has %d bytes, more than 255", name, len(name))
	case name[0] == '.', name[0] == '-':
		return problem.New(problem.Invalid, instead, "a snapshot's name cannot begin with '%c'", name[0])
	case strings.Map(plainRune, name) != name:
		return problem.New(problem.Invalid, instead, "%q is no snapshot name: it has a space, '/', ':', '@' or what cannot be printed", name)
	case reservedNames.MatchString(name):
		return problem.New(problem.Invalid, instead, "%q means a time behind '@', and cannot be a snapshot's name", name)
	}
	return nil
}

// plainRune returns r if a name may have it, else a dash.
func plainRune(r rune) rune {
	if r == utf8.RuneError || strings.ContainsRune("/:@", r) || unicode.IsSpace(r) || !unicode.IsPrint(r) {
		return '-'
	}
	return r
}

package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

// State tells whether the maker of a numbered file still holds what it stands
// for. The words have one length, since one is written over the other.
type State string

// The states of a numbered file.
const (
	Held State = "held"
	Free State = "free"
)

// series is a directory of numbered files. Whoever made the highest number by
// LINK holds what the series stands for, until the maker writes into that very
// file, through the file's handle, that it is free: what one node gives back
// can never be a successor's.
type series struct{ dir, prefix string }

// path is the file of a number, the directory for 0.
func (s series) path(number uint64) string {
	if number == 0 {
		return s.dir
	}
	return path.Join(s.dir, s.prefix+strconv.FormatUint(number, 10))
}

// numbers lists the numbers that there are, sorted.
func (s series) numbers(ctx context.Context, fsys tree.FS) ([]uint64, error) {
	var out []uint64
	err := fsys.ReadDir(ctx, s.dir, func(d tree.Entry) error {
		if n, ok := s.number(d.Name); ok {
			out = append(out, n)
		}
		return nil
	})
	slices.Sort(out)
	return out, export.Absent(err)
}

// most is far above every number that nodes reach; numbers go on from those below it.
const most = 1 << 53

func (s series) number(name string) (uint64, bool) {
	text, ok := strings.CutPrefix(name, s.prefix)
	n, err := strconv.ParseUint(text, 10, 64)
	return n, ok && err == nil && n > 0 && n <= most && strconv.FormatUint(n, 10) == text
}

// top reads the highest file of a series; number is 0 if there is none. A file
// that cannot be read is an error for which export.IsBroken is true; number is
// its number then, 0 for the directory.
func top[T any, R interface {
	*T
	export.Record
}](ctx context.Context, fsys tree.FS, s series) (v R, number uint64, err error) {
	for {
		numbers, err := s.numbers(ctx, fsys)
		if err != nil || len(numbers) == 0 {
			return nil, 0, err
		}
		v, number = new(T), numbers[len(numbers)-1]
		err = export.Read(ctx, fsys, s.path(number), v)
		if errors.Is(err, fs.ErrNotExist) {
			continue // there are higher ones by now
		}
		return v, number, err
	}
}

// next makes the number after highest, which is what top has returned, with v
// as its content. ok is false if it does not count: another node was faster, or
// the series was forgotten meanwhile and begins anew. With an error it may have
// been made all the same.
func (s series) next(ctx context.Context, e *export.Export, highest mark, v any) (ok bool, err error) {
	number := highest.number + 1
	err = inDirectory(ctx, e, s.dir, func() error { return e.Publish(ctx, s.path(number), v) })
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// Nobody may make a number anew that was used and removed long ago, and
	// nobody a second beginning beside one who goes on from before the removal.
	numbers, err := s.numbers(ctx, e.FS)
	if err != nil {
		return false, err
	}
	counts := len(numbers) > 0 && numbers[len(numbers)-1] == number
	if counts && highest.number > 0 {
		var before identity
		if err := export.Absent(export.Read(ctx, e.FS, s.path(highest.number), &before)); err != nil {
			return false, err
		}
		counts = before.ID == highest.id
	}
	if !counts {
		return false, export.Absent(e.FS.Remove(ctx, s.path(number)))
	}
	s.forget(ctx, e.FS, numbers)
	return true, nil
}

// identity is what all numbered files have.
type identity struct {
	ID string `json:"id"`
}

// Fits implements export.Record: the id is compared with one that is known.
func (*identity) Fits(string) error { return nil }

// mark is a number of a series, and the id in its file.
type mark struct {
	number uint64
	id     string
}

// free writes into the file of a number, if it has that id, that its maker
// holds it no more.
func (s series) free(ctx context.Context, fsys tree.FS, number uint64, id string) error {
	f, err := fsys.OpenWrite(ctx, s.path(number))
	if err != nil {
		return export.Absent(err) // there are higher ones by now
	}
	defer f.Close()
	data := make([]byte, export.MaxFile)
	n, err := f.ReadAt(ctx, data, 0)
	if err != nil && err != io.EOF {
		return err
	}
	var there identity
	if json.Unmarshal(data[:n], &there) != nil || there.ID != id {
		return nil // another file under that number
	}
	text := strings.Replace(string(data[:n]), `"state":"`+string(Held)+`"`, `"state":"`+string(Free)+`"`, 1)
	return export.Pressed(ctx, fsys, func() error {
		if _, err := f.WriteAt(ctx, []byte(text), 0); err != nil {
			return err
		}
		return f.Sync(ctx)
	})
}

// kept is how many ended numbers stay, for people who look.
const kept = 3

// forget removes numbers far below the highest one, which is the last.
func (s series) forget(ctx context.Context, fsys tree.FS, numbers []uint64) {
	for _, n := range numbers {
		if n+kept < numbers[len(numbers)-1] {
			_ = fsys.Remove(ctx, s.path(n))
		}
	}
}

// goneFor is how long the last numbers stay of an operation that is over, or of
// a volume that is gone. Until then a number goes on, so that a LINK which
// comes late is never the highest.
const goneFor = 24 * time.Hour

// end removes a whole series, lowest number first, if the highest has not
// changed for goneFor in the export's time. Its ctime tells: nobody can set it, and
// an export that was copied elsewhere has the mtimes of before.
func (c *Cluster) end(ctx context.Context, e *export.Export, s series, numbers []uint64) error {
	last, err := e.FS.Stat(ctx, s.path(numbers[len(numbers)-1]))
	if err != nil {
		return export.Absent(err)
	}
	if age, ok := c.Age(last.Ctime); !ok || age < goneFor {
		return nil
	}
	for _, n := range numbers {
		if err := export.Absent(e.FS.Remove(ctx, s.path(n))); err != nil {
			return err
		}
	}
	_ = e.FS.Rmdir(ctx, s.dir)
	return nil
}

// inDirectory has write make a file in a control directory, and makes the
// directory where it is missing: another node may take an empty one away in
// between.
func inDirectory(ctx context.Context, e *export.Export, dir string, write func() error) error {
	err := write()
	for try := 0; errors.Is(err, fs.ErrNotExist) && try < 10; try++ {
		if err = export.Mkdir(ctx, e.FS, dir); err == nil {
			err = write()
		}
	}
	return err
}

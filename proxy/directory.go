package proxy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/casit/berth/text"
)

// What Write does with a file.
const (
	Same    = "same"
	Added   = "added"
	Changed = "changed"
	Removed = "removed"
)

// A Change is what happens to one file. Old is nil for an added file, New is
// nil for a removed one.
type Change struct {
	Name     string
	Kind     string
	Old, New []byte
}

// Changes are the steps that make a directory equal to a rendering.
type Changes struct {
	Dir  string
	List []Change // by name, the manifest last
}

// Any tells whether any file differs.
func (c Changes) Any() bool {
	return slices.ContainsFunc(c.List, func(c Change) bool { return c.Kind != Same })
}

// Removes tells whether files go.
func (c Changes) Removes() bool {
	return slices.ContainsFunc(c.List, func(c Change) bool { return c.Kind == Removed })
}

// NotOurs is the error for a file that Render did not write and whose name
// Render needs.
type NotOurs struct{ Path string }

func (e *NotOurs) Error() string {
	return e.Path + " is there already, and 'berth proxy render' did not write it"
}

// isOurs tells by its first line whether Render wrote a file under that name.
// A copy under another name is somebody's own.
func isOurs(name string, data []byte) bool {
	return bytes.HasPrefix(data, []byte("# berth proxy render: "+name+"\n"))
}

// Compare says what Write would do. It leaves out files that Render did not
// write; if such a file has a name that Render needs, the error is a NotOurs. A
// missing directory counts as empty.
func Compare(dir string, files []File) (Changes, error) {
	c := Changes{Dir: dir}
	kept := map[string]bool{}
	for _, f := range files {
		kept[f.Name] = true
		path := c.path(f.Name)
		old, err := os.ReadFile(path)
		change := Change{Name: f.Name, Kind: Changed, Old: old, New: f.Data}
		switch {
		case errors.Is(err, fs.ErrNotExist):
			change.Kind = Added
		case err != nil:
			return c, err
		case f.Name != manifest && !isOurs(f.Name, old):
			return c, &NotOurs{path}
		case bytes.Equal(old, f.Data):
			change.Kind = Same
		}
		c.List = append(c.List, change)
	}
	removed, err := c.removed(kept)
	c.List = append(c.List, removed...)
	slices.SortFunc(c.List, func(a, b Change) int {
		return cmp.Or(cmp.Compare(isManifest(a), isManifest(b)), cmp.Compare(a.Name, b.Name))
	})
	return c, err
}

func isManifest(c Change) int {
	if c.Name == manifest {
		return 1
	}
	return 0
}

func (c Changes) path(name string) string { return filepath.Join(c.Dir, filepath.FromSlash(name)) }

// removed finds the files of sites that the rendering does not have.
func (c Changes) removed(kept map[string]bool) (out []Change, err error) {
	entries, err := os.ReadDir(c.path("sites"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		name := "sites/" + e.Name()
		if kept[name] || e.IsDir() {
			continue
		}
		old, err := os.ReadFile(c.path(name))
		if err != nil {
			return nil, err
		}
		if isOurs(name, old) {
			out = append(out, Change{Name: name, Kind: Removed, Old: old})
		}
	}
	return out, err
}

// stage is the directory below Changes.Dir that has the new files until they
// are renamed. A stage that a crash left is replaced.
const stage = ".berth-render"

// Write makes the directory equal to the rendering. It writes all files into
// the stage first, so that a full disk changes nothing. Then it renames each
// file, the manifest last. After a crash in between, the manifest's sums are
// wrong until the next Write.
func (c Changes) Write() (err error) {
	aside := filepath.Join(c.Dir, stage)
	if err := os.RemoveAll(aside); err != nil {
		return err
	}
	for _, dir := range []string{c.path("sites"), filepath.Join(aside, "sites")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(aside)) }()
	for _, f := range c.List {
		if f.Kind == Added || f.Kind == Changed {
			if err := os.WriteFile(filepath.Join(aside, filepath.FromSlash(f.Name)), f.New, 0o644); err != nil {
				return err
			}
		}
	}
	for _, f := range c.List {
		switch f.Kind {
		case Added, Changed:
			err = os.Rename(filepath.Join(aside, filepath.FromSlash(f.Name)), c.path(f.Name))
		case Removed:
			err = os.Remove(c.path(f.Name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Print writes a line for each file that changed, or with diff the
// lines in it that would change.
func (c Changes) Print(w io.Writer, diff bool) error {
	for _, f := range c.List {
		if f.Kind == Same {
			continue
		}
		if !diff {
			fmt.Fprintf(w, "%-8s %s\n", f.Kind, text.Quote(f.Name))
			continue
		}
		from, to := "a/"+f.Name, "b/"+f.Name
		if f.Old == nil {
			from = "/dev/null"
		}
		if f.New == nil {
			to = "/dev/null"
		}
		if err := difflib.WriteUnifiedDiff(w, difflib.UnifiedDiff{A: lines(f.Old), B: lines(f.New), FromFile: from, ToFile: to, Context: 3}); err != nil {
			return err
		}
	}
	return nil
}

// lines are those of a file, each with its end. A last line without one says so, as
// diff(1) does.
func lines(data []byte) (out []string) {
	for line := range strings.Lines(string(data)) {
		if !strings.HasSuffix(line, "\n") {
			line += "\n\\ No newline at end of file\n"
		}
		out = append(out, line)
	}
	return out
}

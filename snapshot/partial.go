package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// A sync replaces files one by one. What it replaced is in its trash item
// under the files' own paths; what else is needed to put everything back is in
// changes.jsonl beside it, written before the first file is touched:
//
//	{"kind":"+","path":"new.php"}              was not there
//	{"kind":"M","path":"index.php"}            data/index.php was there
//	{"kind":"U","path":"a","mode":420,"uid":33,"gid":33,"mtime":"…"}
//
// Of a directory that comes or goes as a whole, only itself is on record.

// change is one line of it.
type change struct {
	Kind  tree.DifferenceKind `json:"-"`
	Path  string              `json:"-"`
	Mode  uint32              `json:"mode"`
	UID   uint32              `json:"uid"`
	GID   uint32              `json:"gid"`
	Mtime time.Time           `json:"mtime"`

	// As they are written: a path may be no text.
	KindText string `json:"kind"`
	PathRaw  []byte `json:"path_b64"`
}

const changesFile = "changes.jsonl"

// maxChanges bounds what is read of a record, in bytes.
const maxChanges = 1 << 30

// recording collects the changes of a sync.
type recording struct {
	lines bytes.Buffer
	whole string // the directory that comes or goes last, with all below
}

func (r *recording) add(d tree.Difference) {
	if r.whole != "" && strings.HasPrefix(d.Path, r.whole+"/") {
		return
	}
	r.whole = ""
	if d.Kind != tree.Updated && d.Kind != tree.Modified && (d.A.Kind == tree.Directory || d.B.Kind == tree.Directory) {
		r.whole = d.Path
	}
	line, _ := json.Marshal(change{KindText: d.Kind.String(), PathRaw: []byte(d.Path), Mode: d.A.Mode, UID: d.A.UID, GID: d.A.GID, Mtime: d.A.Mtime})
	r.lines.Write(append(line, '\n'))
}

// save writes the record into a trash item.
func (r *recording) save(ctx context.Context, fsys tree.FS, item string) error {
	mode := uint32(0o600)
	name := path.Join(item, changesFile)
	f, err := fsys.Create(ctx, name, tree.SetAttr{Mode: &mode})
	if errors.Is(err, fs.ErrExist) {
		return nil // an interrupted sync wrote it: what was there first counts
	}
	if err != nil {
		return err
	}
	defer f.Close()
	data := r.lines.Bytes()
	for off := 0; off < len(data); {
		n, err := f.WriteAt(ctx, data[off:], int64(off))
		if err != nil {
			return err
		}
		off += n
	}
	return f.Sync(ctx)
}

// readChanges reads a trash item's record.
func readChanges(ctx context.Context, fsys tree.FS, item string) (out []change, err error) {
	data, err := tree.ReadFile(ctx, fsys, path.Join(item, changesFile), maxChanges)
	if err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c change
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil || len(c.KindText) != 1 || tree.CheckPath(string(c.PathRaw)) != nil {
			return nil, errorf(volume.Failed, "the replaced files are in "+item+"/data on the export", "the record %s/%s is not readable", item, changesFile)
		}
		c.Kind, c.Path = tree.DifferenceKind(c.KindText[0]), string(c.PathRaw)
		out = append(out, c)
	}
	return out, lines.Err()
}

// putBack exchanges what a sync replaced in dest, whose old versions are in
// the trash item from, for what is there now, which goes to the trash item to
// with a record of its own: doing it again does the opposite. It may be
// repeated.
func putBack(ctx context.Context, fsys tree.FS, from, to, dest string, progress func(tree.Progress)) error {
	changes, err := readChanges(ctx, fsys, from)
	if err != nil {
		return err
	}
	var back recording
	for _, c := range changes {
		now, err := stat(ctx, fsys, path.Join(dest, c.Path))
		if err != nil && !isNotDir(err) {
			return err
		}
		d := tree.Difference{Path: c.Path, Kind: c.Kind}
		if now != nil {
			d.A = *now
		}
		switch c.Kind {
		case tree.Added:
			d.Kind = tree.Removed
		case tree.Removed:
			d.Kind = tree.Added
		}
		back.add(d)
	}
	if err := back.save(ctx, fsys, to); err != nil {
		return err
	}
	x := &exchange{fsys: fsys, from: path.Join(from, "data"), to: path.Join(to, "data"), dest: dest, report: progress}
	// Directories that go make room first; their parents are deeper in order.
	for _, kind := range [][]tree.DifferenceKind{{tree.Added}, {tree.Removed, tree.Modified, tree.Retyped}, {tree.Updated}} {
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(32)
		for _, c := range changes {
			if slices.Contains(kind, c.Kind) {
				g.Go(func() error { return x.one(ctx, c) })
			}
		}
		if err := g.Wait(); err != nil {
			return err
		}
	}
	return nil
}

type exchange struct {
	fsys           tree.FS
	from, to, dest string
	report         func(tree.Progress)

	mu   sync.Mutex // guards done; held while it is reported
	done tree.Progress
}

func (x *exchange) one(ctx context.Context, c change) error {
	live := path.Join(x.dest, c.Path)
	var err error
	switch c.Kind {
	case tree.Added:
		err = x.away(ctx, c.Path, live)
	case tree.Updated:
		err = x.fsys.SetAttr(ctx, live, tree.SetAttr{Mode: &c.Mode, UID: &c.UID, GID: &c.GID, Mtime: &c.Mtime})
		if errors.Is(err, fs.ErrNotExist) {
			err = nil // removed since
		}
	default:
		err = x.replace(ctx, c.Path, live)
	}
	if err != nil {
		return fmt.Errorf("put %q back: %w", c.Path, err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.done.Files++
	if x.report != nil {
		x.report(x.done)
	}
	return nil
}

// away moves what is at a name to the new trash item.
func (x *exchange) away(ctx context.Context, name, live string) error {
	there, err := stat(ctx, x.fsys, live)
	if err != nil || there == nil {
		return err
	}
	if err := x.parents(ctx, x.to, name); err != nil {
		return err
	}
	return x.fsys.Rename(ctx, live, path.Join(x.to, name))
}

// replace brings the old version of a name back. A file is linked into the new
// trash item first and then renamed over, so that readers find one or the other.
func (x *exchange) replace(ctx context.Context, name, live string) error {
	old, err := stat(ctx, x.fsys, path.Join(x.from, name))
	if err != nil || old == nil {
		return err // put back already
	}
	now, err := stat(ctx, x.fsys, live)
	if err != nil {
		return err
	}
	switch {
	case now == nil:
		if err := x.parents(ctx, x.dest, name); err != nil {
			return err
		}
	case now.Kind == tree.Directory || old.Kind == tree.Directory:
		if err := x.away(ctx, name, live); err != nil {
			return err
		}
	default:
		if err := x.parents(ctx, x.to, name); err != nil {
			return err
		}
		if err := x.fsys.Link(ctx, live, path.Join(x.to, name)); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return x.fsys.Rename(ctx, path.Join(x.from, name), live)
}

// parents makes the directories of name below root.
func (x *exchange) parents(ctx context.Context, root, name string) error {
	mode := uint32(0o700)
	at := root
	for base := range strings.SplitSeq(path.Dir(name), "/") {
		if base == "." {
			break
		}
		at = path.Join(at, base)
		if err := x.fsys.Mkdir(ctx, at, tree.SetAttr{Mode: &mode}); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

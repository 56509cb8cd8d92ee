package snapshot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/tree"
)

// A sync replaces files one by one. What it replaced is in its trash item
// under the files' own paths; what else is needed to put everything back is in
// changes.jsonl beside it, written before the first file is touched:
//
//	{"kind":"+","path":"new.php"}              was not there
//	{"kind":"M","path":"index.php"}            data/index.php was there
//	{"kind":"U","path":"a","mode":420,"uid":33,"gid":33,"mtime":"…"}
//	{"kind":"t","path":"d","mtime":"…"}        had this time
//
// Of a directory that comes or goes as a whole, only itself is on record.

// timeOnly is a name of which nothing but the time is set back: of a directory
// in which something changes, above all.
const timeOnly tree.DifferenceKind = 't'

// change is one line of it.
type change struct {
	Kind  tree.DifferenceKind `json:"-"`
	Path  string              `json:"-"`
	Mode  uint32              `json:"mode"`
	UID   uint32              `json:"uid"`
	GID   uint32              `json:"gid"`
	Mtime moment              `json:"mtime"`
	// Xattrs are all extended attributes; nil where nobody has asked for them.
	Xattrs map[string][]byte `json:"xattrs,omitzero"`

	// As they are written: a path may be no text.
	KindText string `json:"kind"`
	PathRaw  []byte `json:"path_b64"`
}

// moment is a time of any year: JSON's form has four digits for it, and others are
// written "@SECONDS.NANOSECONDS".
type moment struct{ time.Time }

func (t moment) MarshalJSON() ([]byte, error) {
	if compare.Shown(t.Time).Equal(t.Time) {
		return t.UTC().MarshalJSON()
	}
	return json.Marshal(fmt.Sprintf("@%d.%09d", t.Unix(), t.Nanosecond()))
}

func (t *moment) UnmarshalJSON(data []byte) error {
	var sec, nsec int64
	if n, err := fmt.Sscanf(string(data), `"@%d.%d"`, &sec, &nsec); n == 2 && err == nil {
		t.Time = time.Unix(sec, nsec)
		return nil
	}
	return t.Time.UnmarshalJSON(data)
}

// maxChanges bounds what is read of a record, in bytes.
const maxChanges = 1 << 30

// recording collects the changes of a sync in a tree.
type recording struct {
	fsys  tree.FS
	dest  string // the tree
	lines bytes.Buffer
	whole string          // the directory that comes or goes last, with all below
	has   map[string]bool // directories with a line
	needs map[string]bool // directories in which something changes
	err   error
}

func newRecording(fsys tree.FS, dest string) *recording {
	return &recording{fsys: fsys, dest: dest, has: map[string]bool{}, needs: map[string]bool{}}
}

func (r *recording) add(ctx context.Context, d tree.Difference) {
	if r.whole != "" && strings.HasPrefix(d.Path, r.whole+"/") {
		return
	}
	kind, content := d.Kind, d.Kind != tree.Updated
	if d.Fields&tree.ChangedLinks != 0 {
		kind, content = tree.Modified, true // it is made anew
	}
	if kind == tree.Updated && d.Fields&^tree.ChangedMtime == 0 && d.A.Kind != tree.Regular {
		kind = timeOnly
	}
	if content {
		r.needs[path.Dir(d.Path)] = true
		if r.whole = ""; d.A.Kind == tree.Directory || d.B.Kind == tree.Directory {
			r.whole = d.Path
		}
	} else if d.A.Kind == tree.Directory {
		r.has[d.Path] = true
	}
	r.line(ctx, kind, d.Path, d.A)
}

// line writes one line; a is what is there now.
func (r *recording) line(ctx context.Context, kind tree.DifferenceKind, name string, a tree.Attr) {
	c := change{KindText: kind.String(), PathRaw: []byte(name), Mode: a.Mode, UID: a.UID, GID: a.GID, Mtime: moment{a.Mtime}}
	if x, ok := r.fsys.(attributed); ok && kind == tree.Updated && r.err == nil {
		var all tree.Xattrs
		all, r.err = x.Xattrs(ctx, path.Join(r.dest, name))
		c.Xattrs = map[string][]byte{}
		for k, v := range all {
			c.Xattrs[k] = []byte(v)
		}
	}
	line, err := json.Marshal(c)
	r.err = errors.Join(r.err, err)
	r.lines.Write(append(line, '\n'))
}

// attributed is a filesystem with extended attributes.
type attributed interface {
	Xattrs(ctx context.Context, name string) (tree.Xattrs, error)
	SetXattrs(ctx context.Context, name string, x tree.Xattrs) error
}

// end adds the times of the directories in which something changes.
func (r *recording) end(ctx context.Context) error {
	for _, name := range slices.Sorted(maps.Keys(r.needs)) {
		if r.has[name] {
			continue
		}
		a, err := stat(ctx, r.fsys, path.Join(r.dest, name))
		if err != nil && !isNotDir(err) {
			return err
		}
		if a != nil && a.Kind == tree.Directory {
			r.line(ctx, timeOnly, name, *a)
		}
	}
	return r.err
}

// save writes the record into a trash item, whole or not at all: nothing is
// replaced before it is there. One that an interrupted sync wrote stays, since
// what was there first counts.
func (r *recording) save(ctx context.Context, fsys tree.FS, item string) error {
	name := path.Join(item, export.ChangesFile)
	if there, err := stat(ctx, fsys, name); err != nil || there != nil {
		return err
	}
	part := name + ".part"
	if err := fsys.Remove(ctx, part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	mode := uint32(0o600)
	f, err := fsys.Create(ctx, part, tree.SetAttr{Mode: &mode})
	if err != nil {
		return err
	}
	data := r.lines.Bytes()
	for off := 0; off < len(data) && err == nil; {
		var n int
		n, err = f.WriteAt(ctx, data[off:], int64(off))
		off += n
	}
	if err == nil {
		err = f.Sync(ctx)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return fsys.Rename(ctx, part, name)
}

// readChanges reads a trash item's record.
func readChanges(ctx context.Context, fsys tree.FS, item string) (out []change, err error) {
	f, err := fsys.Open(ctx, path.Join(item, export.ChangesFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text := &io.LimitedReader{R: tree.Reader(ctx, f), N: maxChanges}
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c change
		err := json.Unmarshal(lines.Bytes(), &c)
		if err != nil || len(c.KindText) != 1 || tree.CheckPath(string(c.PathRaw)) != nil || text.N == 0 {
			return nil, unreadableChanges(item)
		}
		c.Kind, c.Path = tree.DifferenceKind(c.KindText[0]), string(c.PathRaw)
		out = append(out, c)
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return nil, unreadableChanges(item)
	}
	return out, lines.Err()
}

func unreadableChanges(item string) error {
	return problem.New(problem.Failed, "the replaced files are in "+item+"/data on the export", "the record %s/%s is not readable", item, export.ChangesFile)
}

// putBack exchanges what a sync replaced in dest, whose old versions are in
// the trash item from, for what is there now, which goes to the trash item to
// with a record of its own: doing it again does the opposite. It may be
// repeated. room is where names are made that go to dest.
func putBack(ctx context.Context, fsys tree.FS, from, to, dest, room string, progress func(tree.Progress)) error {
	changes, err := readChanges(ctx, fsys, from)
	if err != nil {
		return err
	}
	back := newRecording(fsys, dest)
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
		case timeOnly:
			d.Kind, d.Fields = tree.Updated, tree.ChangedMtime
		case tree.Updated:
			d.Fields = tree.ChangedMode
		}
		if now != nil || d.Kind != tree.Updated {
			back.add(ctx, d)
		}
	}
	if err := back.end(ctx); err != nil {
		return err
	}
	if err := back.save(ctx, fsys, to); err != nil {
		return err
	}
	x := &exchange{fsys: fsys, over: tree.NewCarrier(fsys), from: path.Join(from, "data"), to: path.Join(to, "data"), dest: dest, room: room, report: progress}
	isTime := func(c change) bool { return c.Kind == timeOnly || c.Kind == tree.Updated }
	// Directories that go make room first; their parents are deeper in order.
	// Times come last, since the rest changes them.
	for _, kind := range [][]tree.DifferenceKind{{tree.Added}, {tree.Removed, tree.Modified, tree.Retyped}} {
		if err := x.all(ctx, changes, func(c change) bool { return slices.Contains(kind, c.Kind) }); err != nil {
			return err
		}
	}
	// What an older record does not say is as it was when this began.
	began, err := readChanges(ctx, fsys, to)
	if err != nil {
		return err
	}
	said := map[string]bool{}
	for _, c := range changes {
		said[c.Path] = said[c.Path] || isTime(c)
	}
	for _, c := range began {
		if c.Kind == timeOnly && !said[c.Path] {
			changes = append(changes, c)
		}
	}
	return x.all(ctx, changes, isTime)
}

type exchange struct {
	fsys           tree.FS
	over           *tree.Carrier
	from, to, dest string
	room           string // for what goes to dest, where it is a tree of its own
	report         func(tree.Progress)

	mu   sync.Mutex // guards done; held while it is reported
	done tree.Progress
}

// all exchanges the chosen changes.
func (x *exchange) all(ctx context.Context, changes []change, chosen func(change) bool) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for _, c := range changes {
		if chosen(c) {
			g.Go(guard.Func(func() error { return x.one(ctx, c) }))
		}
	}
	return g.Wait()
}

func (x *exchange) one(ctx context.Context, c change) error {
	live := path.Join(x.dest, c.Path)
	var err error
	switch c.Kind {
	case tree.Added:
		err = x.away(ctx, c.Path, live)
	case tree.Updated, timeOnly:
		err = x.attributes(ctx, live, c)
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

// attributes sets what a name had; one that was removed since is nobody's.
func (x *exchange) attributes(ctx context.Context, live string, c change) error {
	now, err := stat(ctx, x.fsys, live)
	if now == nil || err != nil {
		if isNotDir(err) {
			err = nil
		}
		return err
	}
	set := tree.SetAttr{Mtime: &c.Mtime.Time}
	if c.Kind == tree.Updated {
		if set.UID, set.GID = &c.UID, &c.GID; now.Kind != tree.Symlink {
			set.Mode = &c.Mode
		}
		if f, ok := x.fsys.(attributed); ok && c.Xattrs != nil {
			// A change of owner takes capabilities away, so it comes first.
			if err := x.fsys.SetAttr(ctx, live, tree.SetAttr{UID: set.UID, GID: set.GID}); err != nil {
				return err
			}
			all := tree.Xattrs{}
			for k, v := range c.Xattrs {
				all[k] = string(v)
			}
			if err := f.SetXattrs(ctx, live, all); err != nil {
				return err
			}
			set.UID, set.GID = nil, nil
		}
	}
	return x.fsys.SetAttr(ctx, live, set)
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
	return x.over.Move(ctx, live, path.Join(x.to, name), x.to)
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
		if err := x.over.Keep(ctx, live, path.Join(x.to, name), x.to); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return x.over.Move(ctx, path.Join(x.from, name), live, x.room)
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

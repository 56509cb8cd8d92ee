package snapshot

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/embedded"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
)

// Tuning is the part of a Config that may change while jobs run.
type Tuning struct {
	Filer *netapp.Filer  // the filer's API; nil: what .snapshot shows, or berth's own
	Zone  *time.Location // of the filer: of the times in names, and of its schedules; default UTC
}

// source is where the snapshots of the export come from: the filer's API, berth's
// own on a local disk, or else what .snapshot shows.
type source struct {
	tuned atomic.Pointer[Tuning]
	now   func() time.Time
}

// Tune replaces the tuning. Steps that have begun use the tuning before.
func (o *source) Tune(t Tuning) {
	if t.Zone == nil {
		t.Zone = time.UTC
	}
	o.tuned.Store(&t)
}

// How says who makes the export's snapshots.
type How string

// Who makes snapshots.
const (
	ByFiler  How = "filer"     // instants of the whole export, through its API
	ByBerth  How = "berth"     // copies, on a local filesystem
	ReadOnly How = "read-only" // made by somebody else, and shown in .snapshot
)

// all lists the export's snapshots, newest first.
func (o *source) all(ctx context.Context, fsys tree.FS) ([]reference.Snapshot, How, error) {
	if filer := o.tuned.Load().Filer; filer != nil {
		list, err := filer.List(ctx)
		if err == nil {
			list, err = seen(ctx, fsys, filer, list)
			reference.Sort(list)
			return list, ByFiler, err
		}
		// Without the API, .snapshot shows the snapshots.
		shown, how, dirErr := o.shown(ctx, fsys)
		if dirErr != nil || len(shown) == 0 {
			return nil, ByFiler, err
		}
		for i := range shown {
			shown[i].WithoutAPI = err.Error()
		}
		return shown, how, nil
	}
	if e, ok := embedded.New(fsys, o.tuned.Load().Zone); ok {
		list, err := e.List(ctx)
		reference.Sort(list)
		return list, ByBerth, err
	}
	return o.shown(ctx, fsys)
}

// shown lists the directories in .snapshot. A time is in the name, else it is the time
// of the directory: of the last change before the snapshot.
func (o *source) shown(ctx context.Context, fsys tree.FS) ([]reference.Snapshot, How, error) {
	var list []reference.Snapshot
	zone := o.tuned.Load().Zone
	err := fsys.ReadDirPlus(ctx, reference.Dir, func(d tree.EntryPlus) error {
		if d.Attr.Kind != tree.Directory || strings.HasPrefix(d.Name, ".") {
			return nil
		}
		list = append(list, reference.FromDirectory(d.Name, d.Attr.Mtime, zone))
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	reference.Sort(list)
	return list, ReadOnly, err
}

// resolve finds the snapshot that a word means to the caller.
func (o *source) resolve(ctx context.Context, fsys tree.FS, word string) (reference.Snapshot, error) {
	list, _, err := o.all(ctx, fsys)
	if err != nil {
		return reference.Snapshot{}, err
	}
	s, err := reference.Resolve(word, list, o.now(), reference.ZoneOf(ctx))
	if err == nil {
		err = o.open(ctx, s)
	}
	return s, err
}

// seen marks the snapshots of the filer that the export does not show. One that
// was deleted since they were listed is left out.
func seen(ctx context.Context, fsys tree.FS, filer *netapp.Filer, list []reference.Snapshot) ([]reference.Snapshot, error) {
	shown := map[string]bool{}
	err := fsys.ReadDir(ctx, reference.Dir, func(d tree.Entry) error {
		shown[d.Name] = true
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	hidden := 0
	for i := range list {
		if list[i].Hidden = !shown[list[i].Name]; list[i].Hidden {
			hidden++
		}
	}
	if hidden == 0 || hidden == len(list) {
		return list, nil
	}
	again, err := filer.List(ctx)
	there := map[string]bool{}
	for _, s := range again {
		there[s.UUID] = true
	}
	return slices.DeleteFunc(list, func(s reference.Snapshot) bool { return s.Hidden && !there[s.UUID] }), err
}

// open is an error if the export does not show any of the snapshots: what is in
// them, and who uses them, cannot be said. The hint has the commands that show
// them.
func (o *source) open(ctx context.Context, list ...reference.Snapshot) error {
	i := slices.IndexFunc(list, func(s reference.Snapshot) bool { return s.Hidden })
	if i < 0 {
		return nil
	}
	return problem.New(problem.Failed, o.unhide(ctx), "snapshot %q is on the filer, and the export does not show it: nobody can see what is in it", list[i].Name)
}

// unhide says what to type to see the snapshots of the filer.
func (o *source) unhide(ctx context.Context) string {
	if filer := o.tuned.Load().Filer; filer != nil {
		return "on the filer: " + filer.Unhide(ctx)
	}
	return ""
}

// create makes a snapshot. It also returns what it has read for a copy.
func (o *source) create(ctx context.Context, fsys tree.FS, r CreateRequest, names []string, all int, progress func(tree.Progress)) (*Created, []embedded.Read, error) {
	filer := o.tuned.Load().Filer
	if filer == nil && r.Lock > 0 {
		return nil, nil, problem.New(problem.Failed, "leave --lock out; set BERTH_ONTAP where the export is a filer's (docs/ontap.md)", "only a filer locks snapshots")
	}
	if filer != nil {
		comment := r.Comment
		if comment == "" {
			comment = "berth"
			if len(names) > 0 {
				comment += ": for " + strings.Join(names, ", ")
			}
		}
		s, err := filer.Create(ctx, r.Name, comment[:min(len(comment), 255)], r.Lock)
		return &Created{Snapshot: s, By: ByFiler, Volumes: all}, nil, err
	}
	e, ok := embedded.New(fsys, o.tuned.Load().Zone)
	if !ok {
		return nil, nil, readOnly("make")
	}
	made, err := e.Create(ctx, r.Name, r.Comment, names, progress)
	if err != nil {
		return nil, nil, err
	}
	c := &Created{Snapshot: reference.Snapshot{Name: made.Name, Origin: "berth", Comment: r.Comment, Time: o.now()}, By: ByBerth,
		Volumes: len(made.Volumes), Method: made.How, Files: made.Files, Bytes: made.Bytes, Failed: made.Failed,
		Changed: made.Changed, ChangedPaths: few(made.ChangedPaths), Absent: made.Absent, AbsentPaths: few(made.AbsentPaths),
		Missing: made.Missing, MissingPaths: few(made.MissingPaths)}
	list, err := e.List(ctx)
	for _, s := range list {
		if s.Name == made.Name {
			c.Snapshot = s
		}
	}
	return c, made.Reads, err
}

// few returns the first paths of a list, for people. A path that is no UTF-8 is quoted.
func few(paths []string) (out []string) {
	for _, p := range paths[:min(len(paths), 10)] {
		if !utf8.ValidString(p) {
			p = strconv.Quote(p)
		}
		out = append(out, p)
	}
	return out
}

// remove removes a snapshot that all has listed; how says who has made it.
func (o *source) remove(ctx context.Context, fsys tree.FS, s reference.Snapshot, how How) error {
	if filer := o.tuned.Load().Filer; how == ByFiler && filer != nil {
		return filer.Remove(ctx, s)
	}
	e, ok := embedded.New(fsys, o.tuned.Load().Zone)
	if !ok {
		return readOnly("remove")
	}
	return e.Remove(ctx, s.Name)
}

// readOnly is the error where berth cannot make or remove snapshots.
func readOnly(verb string) error {
	return problem.New(problem.Failed, "set BERTH_ONTAP for the filer's API (docs/ontap.md), or use the filer's own tools",
		"berth cannot %s snapshots here: the export is on a server whose API it does not have", verb)
}

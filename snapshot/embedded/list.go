package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/several"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
)

// Remove removes a snapshot. Its files are deleted in the background. The caller has to
// make sure that nobody has mounted a view of it.
func (e *Maker) Remove(ctx context.Context, name string) error {
	if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") {
		return errNoSnapshot(name)
	}
	at := path.Join(snapshotsDir, name)
	a, err := e.fsys.Stat(ctx, at)
	if errors.Is(err, fs.ErrNotExist) || err == nil && a.Kind != tree.Directory {
		return errNoSnapshot(name)
	}
	if err == nil {
		err = e.checkOurs(ctx)
	}
	if err != nil {
		return err
	}
	err = export.Pressed(export.Spend(ctx), e.fsys, func() error {
		if e.isSubvolume(a) {
			return e.subvolumeDestroy(name)
		}
		return e.fsys.Rename(ctx, at, path.Join(stagingDir, purgePrefix+buildPrefix+newID()))
	})
	if errors.Is(err, fs.ErrNotExist) {
		return errNoSnapshot(name) // another node was faster
	}
	return err
}

func errNoSnapshot(name string) error {
	return problem.New(problem.NotFound, "'berth snapshot ls VOLUME' lists them", "no snapshot %q", name)
}

// List returns the snapshots, oldest first, with what their records say.
func (e *Maker) List(ctx context.Context) ([]reference.Snapshot, error) {
	out := []reference.Snapshot{}
	root, err := e.fsys.Stat(ctx, ".")
	if err != nil {
		return nil, err
	}
	err = e.fsys.ReadDirPlus(ctx, snapshotsDir, func(d tree.EntryPlus) error {
		if d.Attr.Kind == tree.Directory && !strings.HasPrefix(d.Name, ".") {
			s := reference.FromDirectory(d.Name, d.Attr.Mtime, e.zone)
			s.Copied = d.Attr.Device == root.Device // a snapshot of btrfs has a device of its own
			out = append(out, s)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range out {
		if err := e.describe(ctx, &out[i]); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(out, func(a, b reference.Snapshot) int {
		if c := a.Time.Compare(b.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, nil
}

// describe adds to a snapshot what its record says. Somebody else has made a snapshot
// without a readable record.
func (e *Maker) describe(ctx context.Context, s *reference.Snapshot) error {
	var rec made
	data, err := tree.ReadFile(ctx, e.fsys, madePath(path.Join(snapshotsDir, s.Name), s.Name), maxMade)
	if err != nil {
		if ctx.Err() != nil || errors.Is(err, tree.ErrAway) {
			return err
		}
		return nil
	}
	if json.Unmarshal(data, &rec) != nil || rec.Version == 0 {
		return nil
	}
	s.Time, s.Approximate, s.Origin, s.Comment = rec.Begun, false, "berth", rec.text()
	s.Named, s.Day = false, ""
	if rec.How == ByCopy {
		if s.Taken = rec.Bytes; rec.Used != nil {
			s.Taken = *rec.Used
		}
		if s.Copies = rec.Sizes; s.Copies == nil && len(rec.Volumes) == 1 { // an earlier berth counted all together
			s.Copies = map[string]int64{rec.Volumes[0]: s.Taken}
		}
	}
	return nil
}

// text is the comment, and what a reader has to know about the copy.
func (r made) text() string {
	var parts []string
	if r.Comment != "" {
		parts = append(parts, r.Comment)
	}
	if r.How != ByBtrfs {
		parts = append(parts, fmt.Sprintf("a copy made in %s, not a filer's instant", max(r.Ended.Sub(r.Begun).Round(time.Second), time.Second)))
	}
	if r.Changed > 0 {
		parts = append(parts, fmt.Sprintf("changed while copied: %d", r.Changed))
	}
	if r.Absent > 0 {
		parts = append(parts, fmt.Sprintf("removed meanwhile and not in it: %d", r.Absent))
	}
	if r.Missing > 0 {
		parts = append(parts, fmt.Sprintf("not copied: %d", r.Missing))
	}
	if len(r.Failed) > 0 {
		var names []string
		for _, f := range r.Failed {
			names = append(names, f.Volume)
		}
		parts = append(parts, "without "+several.Join(names, ", "))
	}
	return strings.Join(parts, "; ")
}

package repair

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// Mended is a control file that was moved away.
type Mended struct {
	Path string `json:"path"`           // below the export
	Why  string `json:"why"`            // what was wrong with it
	Item string `json:"item,omitempty"` // of the trash, where it is now; "" for a dry run
	Then string `json:"then,omitempty"` // what stands in its place, or what to type next
}

// Repaired is what All has moved away.
type Repaired struct {
	// Aside is the new path of broken metadata, below the export; "" if it was whole.
	Aside string `json:"old_metadata,omitempty"`
	// Files are the other control files.
	Files []Mended `json:"files"`
}

// All mends what is damaged of a volume, or one file by its path: metadata last, since
// that takes the lock of the volume, which may be what was damaged. A dry run says what
// would be moved.
func All(ctx context.Context, s *volume.Store, what string, dryRun bool) (a Repaired, err error) {
	if of, ok := strings.CutPrefix(what, export.MetaDir+"/"); ok {
		what = strings.TrimSuffix(of, ".json")
	}
	a.Files, err = Mend(ctx, s, what, dryRun)
	if err != nil && problem.KindOf(err) != problem.Nothing || strings.HasPrefix(what, export.Dir+"/") {
		return a, err
	}
	a.Aside, err = s.Repair(ctx, what, dryRun)
	if len(a.Files) > 0 && (dryRun || slices.Contains([]problem.Kind{problem.Nothing, problem.NotFound}, problem.KindOf(err))) {
		err = nil
	}
	return a, err
}

// Faults is Look, and the locks of dead owners whose operation this node cannot finish.
func Faults(ctx context.Context, s *volume.Store) (all []export.Fault, err error) {
	err = s.WithExport(ctx, "look through the control files", func(e *export.Export) error {
		if all, err = Look(ctx, e.FS, e.ID); err != nil {
			return err
		}
		stuck, err := s.Cluster.Stuck(ctx, e)
		all = append(all, stuck...)
		return err
	})
	return all, err
}

// Mend moves the damaged control files of a volume, or the one with a path below the
// export, to the trash. Metadata is volume.Store.Repair's. A dry run says what would
// be moved. Mend refuses while an operation of the volume is under way, or where the
// lease is that of another living node, which has to rewrite it itself.
func Mend(ctx context.Context, s *volume.Store, what string, dryRun bool) ([]Mended, error) {
	out := []Mended{}
	all, err := Faults(ctx, s)
	if err != nil {
		return out, err
	}
	mine := slices.DeleteFunc(all, func(f export.Fault) bool {
		return f.Path != what && f.Volume != what || path.Dir(f.Path) == export.MetaDir
	})
	if len(mine) == 0 {
		return out, problem.New(problem.Nothing, "'berth doctor' names the files that are damaged", "every control file of %q is what its name says; nothing to repair", what)
	}
	of := mine[0].Volume
	if err := checkIdle(ctx, s, of); err != nil {
		return out, err
	}
	end, err := s.Cluster.Turn(ctx, of)
	if err != nil {
		return out, err
	}
	defer end()
	err = s.WithExport(ctx, "repair "+what, func(e *export.Export) error {
		ctx := export.Spend(ctx)
		for _, f := range mine {
			if err := checkLease(s, f); err != nil {
				return err
			}
		}
		for _, f := range mine {
			m := Mended{Path: f.Path, Why: f.Why.Error()}
			if !dryRun {
				if err := mend(ctx, s, e, f, &m); err != nil {
					return err
				}
				s.Audit.Write(ctx, e, audit.Record{Op: "repair", Volume: f.Volume, Detail: fmt.Sprintf("%s %s: trash %s", f.Path, m.Why, m.Item)})
			}
			out = append(out, m)
		}
		return nil
	})
	return out, err
}

// checkIdle refuses a volume that a job is at work on.
func checkIdle(ctx context.Context, s *volume.Store, of string) error {
	jobs, err := s.Jobs.List(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if over, _ := j.End(); !over && slices.Contains(j.Volumes(), of) {
			return problem.New(problem.InUse, fmt.Sprintf("wait for it; 'berth volume ps %s' shows how far it is", of), "volume %q has a %s under way on %s", of, j.Op, j.Node)
		}
	}
	return nil
}

// leaseOf returns the name and the node of a lease, by its path.
func leaseOf(name string) (of, node string, ok bool) {
	dir, file := path.Split(name)
	node, ok = strings.CutSuffix(file, ".json")
	return path.Base(dir), node, ok && path.Dir(path.Clean(dir)) == export.LeaseDir
}

// checkLease refuses the lease of another node that is alive: only that node knows
// what it uses.
func checkLease(s *volume.Store, f export.Fault) error {
	of, node, ok := leaseOf(f.Path)
	if !ok || node == s.Cluster.Node() {
		return nil
	}
	if life, _ := s.Cluster.Life(node); life.Holds() {
		return problem.New(problem.InUse, fmt.Sprintf("on %s: 'berth volume repair %s'; or wait until it is expired, if it is off", node, f.Volume),
			"the lease of %q is that of %s, which is %s", of, node, life)
	}
	return nil
}

// mend moves one file away, and puts in its place what has to be there.
func mend(ctx context.Context, s *volume.Store, e *export.Export, f export.Fault, m *Mended) (err error) {
	var pauses []cluster.Pause
	if f.Path == export.PausesFile { // its time is needed, before it goes
		if pauses, err = cluster.Pauses(ctx, e.FS); err != nil {
			return err
		}
	}
	away := f.Path
	if path.Base(away) == path.Base(export.JournalPath("")) {
		away = path.Dir(away) // with the job's trees
	}
	if path.Dir(path.Dir(f.Path)) == export.TrashDir {
		m.Item, m.Then, err = mendItem(ctx, s, e, f)
		return err
	}
	if slices.Contains(export.ControlDirs, f.Path) {
		aside, err := e.Renew(ctx, f.Path)
		m.Then = "a new directory; the old one is " + aside
		return err
	}
	if m.Item, err = s.Trash.Aside(ctx, e, away, f.Volume, f.Why); err != nil {
		return err
	}
	if f.Work != "" && strings.HasPrefix(f.Work, export.JobPrefix) {
		err = moveJob(ctx, s, e, f, m)
	}
	if of, node, ok := leaseOf(f.Path); ok && node == s.Cluster.Node() {
		m.Then = "written anew, with what this node uses"
		s.Cluster.Unsave(of)
		err = s.Cluster.SaveLease(ctx, e, of)
	}
	if f.Path == export.PausesFile {
		m.Then = "what is in the trash stays longer"
		err = s.Cluster.KeepPauses(ctx, e, pauses)
	}
	if export.IsRecord(f.Path) {
		m.Then = "written anew"
		err = e.WriteRecords(ctx)
	}
	return err
}

// moveJob moves the job of a lock that cannot be finished away, too.
func moveJob(ctx context.Context, s *volume.Store, e *export.Export, f export.Fault, m *Mended) error {
	dir := path.Join(export.StagingDir, f.Work)
	if there, err := export.Exists(ctx, e.FS, dir); err != nil || !there {
		return err
	}
	item, err := s.Trash.Aside(ctx, e, dir, f.Volume, f.Why)
	m.Then = "its job is trash item " + item
	return err
}

// mendItem gives an item of the trash whose record is damaged a new one, with which
// its tree can be brought back.
func mendItem(ctx context.Context, s *volume.Store, e *export.Export, f export.Fault) (item, then string, err error) {
	id := path.Base(path.Dir(f.Path))
	t := &volume.Trashed{Version: export.FormatVersion, ID: id, Kind: "removed", Volume: "recovered-" + id, Removed: s.Now().UTC(), By: s.Cluster.Node()}
	if data, err := tree.ReadFile(ctx, e.FS, f.Path, export.MaxFile); err == nil {
		if found := regexp.MustCompile(`"volume":"([^"\\]*)"`).FindSubmatch(data); found != nil && export.IsName(string(found[1])) {
			t.Volume = string(found[1])
		}
	}
	if there, err := export.Exists(ctx, e.FS, f.Path); err != nil {
		return "", "", err
	} else if there {
		if item, err = s.Trash.Aside(ctx, e, f.Path, "", f.Why); err != nil {
			return "", "", err
		}
	}
	return item, fmt.Sprintf("'berth trash restore %s --as NAME' brings its tree back", id), e.Publish(ctx, f.Path, t)
}

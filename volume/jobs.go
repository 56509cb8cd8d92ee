package volume

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// newJobs are the jobs of a Store's export.
func newJobs(s *Store) *job.Jobs {
	return job.New(job.Config{Conn: s.conn, Cluster: s.Cluster, Node: s.cfg.Node, Now: s.cfg.Now, Volumes: swapped{s},
		Caller: audit.Caller,
		Note: func(ctx context.Context, e *export.Export, op, volume, detail string) {
			s.Audit.Write(ctx, e, audit.Record{Op: op, Volume: volume, Detail: detail})
		},
		Sweep: s.sweepSoon, Caught: s.Caught})
}

// swapped are the volumes as jobs see them.
type swapped struct{ *Store }

// Check refuses volumes that are in use, unless the job is live, those whose
// metadata nobody understands, and those with something mounted in them.
func (s swapped) Check(ctx context.Context, e *export.Export, j *job.Job) error {
	if j.Op == cluster.OpClone {
		return nil // its volume does not exist
	}
	for _, name := range j.Volumes() {
		meta, err := readMeta(ctx, e.FS, name)
		if err != nil {
			return err
		}
		if err := checkMounts(ctx, e, name); err != nil {
			return err
		}
		if j.Live || j.Op == cluster.OpTakeover {
			continue // CheckAgain looks at the holder
		}
		if err := s.silentHolder(ctx, e, name, meta); err != nil {
			return err
		}
		users, err := s.holders(ctx, e, name)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return inUse(name, users)
		}
	}
	return s.CheckAgain(ctx, e, j)
}

// CheckAgain makes sure that a volume may still be taken over.
func (s swapped) CheckAgain(ctx context.Context, e *export.Export, j *job.Job) error {
	if j.Op == cluster.OpTakeover {
		return s.checkTakeover(ctx, e, j)
	}
	return nil
}

// Fresh gives the metadata of a volume that comes back an id of its own, if another
// volume has its id by now.
func (s swapped) Fresh(ctx context.Context, e *export.Export, it *job.Item) error {
	if it.Meta == nil {
		return nil
	}
	var m Meta
	err := json.Unmarshal(it.Meta, &m)
	if err == nil {
		err = s.Trash.freshID(ctx, e.FS, it.Volume, &m)
	}
	if err == nil {
		it.Meta, err = json.Marshal(m)
	}
	return err
}

// Placed notes that a volume has another tree. What came from the trash is no item
// of it any more.
func (s swapped) Placed(ctx context.Context, e *export.Export, it *job.Item) error {
	if it.Dest == it.Volume {
		s.index.Put(it.Volume, entry{})
		s.hints.save(ctx)
	}
	if id, ok := trashID(it.From); ok {
		return s.Trash.drop(ctx, e, id)
	}
	return nil
}

// holders lists who uses a volume, this node too; those whose node has been
// silent for its whole lease no longer count.
func (s *Store) holders(ctx context.Context, e *export.Export, name string) ([]cluster.User, error) {
	users, err := s.Cluster.Users(ctx, e, name)
	return slices.DeleteFunc(users, func(u cluster.User) bool { return !u.State.Holds() }), err
}

func inUse(name string, users []cluster.User) error {
	where := ""
	for i, u := range users {
		if i > 0 {
			where += ", "
		}
		where += fmt.Sprintf("%s (%s)", u.Node, u.LastSign())
	}
	return problem.New(problem.InUse, "--stop stops what uses it, restores, and starts it again; --live replaces changed files while it runs",
		"volume %q is in use on %s", name, where)
}

// Keep records in the trash what a job replaces.
func (s swapped) Keep(ctx context.Context, e *export.Export, j *job.Job, it *job.Item) error {
	t := s.Trash.NewUndo(j, it)
	if it.Dest == it.Volume {
		var err error
		if t.Meta, err = readMeta(ctx, e.FS, it.Volume); err != nil {
			return err
		}
	}
	return s.Trash.Record(ctx, e.FS, t)
}

// NewUndo is the record of what a job replaces at one place.
func (tr *Trash) NewUndo(j *job.Job, it *job.Item) *Trashed {
	kind := "undo"
	if j.Op == cluster.OpTakeover {
		kind = "fenced"
	}
	t := tr.newItem(kind, it.Volume, nil)
	t.ID, t.Job, t.Reason, t.From = it.Trash, j.ID, string(j.Op), j.From
	switch j.Op {
	case cluster.OpRestore:
		t.Reason += " to " + it.Ref
	case cluster.OpTakeover:
		t.Reason += " from " + j.From
		t.Since = j.Began.Add(-time.Second) // clocks are read over the network
	}
	expires := t.Removed.Add(tr.TTL())
	if j.Keep > 0 {
		expires = t.Removed.Add(j.Keep)
	}
	t.Expires = &expires
	return t
}

// Discard hands what is at name, in trash or staging, to the sweepers.
func (tr *Trash) Discard(ctx context.Context, fsys tree.FS, name string) error {
	return tr.s.conn.On(fsys).HandOver(ctx, name)
}

// trashID returns the item whose data a path below the export is.
func trashID(name string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(name, export.TrashDir+"/")
	if !ok {
		return "", false
	}
	id, data := path.Split(rest)
	return path.Clean(id), data == "data"
}

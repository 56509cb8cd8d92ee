package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// A takeover ends a silent node's hold on an access=single volume. That node
// may be cut off and alive, and its kernel writes what it still has as soon as
// it can; but NFSv3 writes go to file handles. So the volume is brought back
// from a snapshot under new inodes, and the old tree goes to trash: whatever
// comes late lands there.

// PrepareTakeover writes down the job that takes a volume over from a node. A
// holder that is alive is never taken over from; one whose berth was stopped
// with containers going on only if unattended says so: the administrator knows
// that the node is off. engine is the caller's.
func (s *Store) PrepareTakeover(ctx context.Context, name, from, engine string, unattended bool) (j *job.Job, err error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	err = s.with(ctx, "take over "+name, func(e *export.Export) error {
		h, err := swapped{s}.takeable(ctx, e, name, from, unattended)
		if err != nil {
			return err
		}
		j = &job.Job{Op: cluster.OpTakeover, Engine: engine, From: from, Epoch: h.Epoch, Unattended: unattended, Force: export.Forced(ctx),
			Items: []job.Item{{Volume: name, Dest: name, Ref: name, Trash: s.Trash.NewID()}}}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return j, s.Jobs.Prepare(ctx, j)
}

// CheckTakeover says whether PrepareTakeover would do it.
func (s *Store) CheckTakeover(ctx context.Context, name, from string, unattended bool) error {
	if err := CheckName(name); err != nil {
		return err
	}
	return s.with(ctx, "take over "+name, func(e *export.Export) error {
		_, err := swapped{s}.takeable(ctx, e, name, from, unattended)
		return err
	})
}

// takeable returns the holder if it is from, and may be taken over from.
func (s swapped) takeable(ctx context.Context, e *export.Export, name, from string, unattended bool) (*cluster.Holder, error) {
	if err := s.checkDirectory(ctx, e, name); err != nil {
		return nil, err
	}
	meta, err := readMeta(ctx, e.FS, name)
	if err != nil {
		return nil, err
	}
	if !meta.single() {
		return nil, problem.New(problem.Invalid, "nothing has to be taken over: any node may mount it", "volume %q is not access=single", name)
	}
	h, err := s.Cluster.Holder(ctx, e, name)
	if err != nil {
		return nil, err
	}
	if h == nil || h.Node != from {
		who := "by nobody"
		if h != nil {
			who = "by " + h.Node
		}
		return nil, problem.New(problem.NotFound, fmt.Sprintf("'berth volume ps %s' lists who uses it", name), "volume %q is not held by %s, but %s", name, from, who)
	}
	switch life, age := s.Cluster.Life(from); {
	case from == s.cfg.Node:
		return nil, problem.New(problem.InUse, "stop its containers", "volume %q is held by this node", name)
	case life == cluster.Expired, life == cluster.Unattended && unattended:
		return h, nil
	default:
		u := cluster.User{State: life, Age: age.Seconds()}
		return nil, problem.New(problem.InUse, fmt.Sprintf("stop it there; a holder is taken over from only when it was silent for its whole lease (%s)", s.Cluster.TTL(from)),
			"volume %q is held by %s (%s)", name, from, u.LastSign())
	}
}

// checkTakeover is asked under the lock, before the new tree is made and again
// before it takes the old one's place: the holder has to be the same, and not
// to have been heard of in between. If it was, what it wrote since would not
// be in the new tree.
func (s swapped) checkTakeover(ctx context.Context, e *export.Export, j *job.Job) error {
	name := j.Items[0].Volume
	h, err := s.takeable(ctx, e, name, j.From, j.Unattended)
	if err != nil {
		return err
	}
	if h.Epoch != j.Epoch {
		return problem.New(problem.InUse, "try again", "volume %q was held by %s anew meanwhile", name, j.From)
	}
	if j.Sign == nil {
		if j.Began, err = e.AskTime(ctx); err != nil {
			return err
		}
	}
	is := s.Cluster.Sign(j.From)
	if j.Sign == nil {
		j.Sign = &is
		return nil
	}
	if *j.Sign != is {
		return problem.New(problem.InUse, fmt.Sprintf("stop it there first; 'berth volume ps %s' shows who uses it", name), "%s is back, and keeps volume %q", j.From, name)
	}
	return nil
}

// Late is what was written into a fenced tree after the takeover.
type Late struct {
	Files int64     `json:"files"` // that were changed
	Bytes int64     `json:"bytes"` // in those files
	Last  time.Time `json:"last"`  // in the export's time
}

// lateIn looks for what has changed in a fenced tree since it was taken over.
// The server sets the time of a change, and nobody can set it back.
func lateIn(ctx context.Context, fsys tree.FS, t *Trashed) (late Late, err error) {
	m, err := tree.MeasureSince(ctx, fsys, export.TrashData(t.ID), t.Since)
	return Late{Files: m.Files, Bytes: m.Bytes, Last: m.Newest.UTC()}, export.Absent(err)
}

// LateWrites lists the fenced trees of a volume, of all for "", with what was
// written late into them as of now. What is new is reported and written into
// the audit trail.
func (tr *Trash) LateWrites(ctx context.Context, volume string) ([]*Trashed, error) {
	out := []*Trashed{}
	err := tr.s.with(ctx, "look for late writes", func(e *export.Export) (err error) {
		out, err = tr.lateWrites(ctx, e, volume)
		return err
	})
	return out, err
}

func (tr *Trash) lateWrites(ctx context.Context, e *export.Export, volume string) ([]*Trashed, error) {
	out := []*Trashed{}
	items, err := tr.list(ctx, e)
	if err != nil {
		return nil, err
	}
	for _, t := range items {
		if t.Kind != "fenced" || volume != "" && t.Volume != volume {
			continue
		}
		late, err := lateIn(ctx, e.FS, t)
		if err == nil && late.Files > 0 && (t.Late == nil || *t.Late != late) {
			t.Late = &late
			err = tr.noteLate(ctx, e, t)
		}
		if err := tr.s.passOver(ctx, e, "late writes into a fenced tree cannot be looked for", t.ID, err); err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// noteLate keeps what was found with the trash item, and tells of it.
func (tr *Trash) noteLate(ctx context.Context, e *export.Export, t *Trashed) error {
	err := e.Replace(ctx, export.TrashMeta(t.ID), t)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // purged meanwhile
	}
	if err != nil {
		return err
	}
	tr.s.cfg.Report("a node wrote to a volume after it was taken over from it; what it wrote is in the trash",
		map[string]any{"volume": t.Volume, "node": t.From, "trash": t.ID, "files": t.Late.Files, "bytes": t.Late.Bytes})
	tr.s.Audit.Write(ctx, e, audit.Record{Op: "late-writes", Volume: t.Volume,
		Detail: fmt.Sprintf("of %s: %d files with %d bytes, in trash %s", t.From, t.Late.Files, t.Late.Bytes, t.ID)})
	return nil
}

// noteFenced looks whether volumes were taken over from this node while it was
// silent: its containers then write to trash, and somebody has to know.
func (s *Store) noteFenced(ctx context.Context, e *export.Export) error {
	lost, err := s.Cluster.TakenOver(ctx, e)
	if err != nil {
		return err
	}
	for name, epoch := range lost {
		items, err := s.Trash.lateWrites(ctx, e, name)
		if fatal := s.passOver(ctx, e, "it cannot be seen where containers write to", name, err); fatal != nil {
			return fatal
		}
		if err != nil {
			continue
		}
		items = slices.DeleteFunc(items, func(t *Trashed) bool { return t.From != s.cfg.Node })
		where := "purged"
		if len(items) > 0 {
			where = items[len(items)-1].ID
		}
		s.Cluster.NoteFenced(name, epoch, where)
		s.cfg.Report("a volume was taken over while this node was silent; its containers here write to the trash: stop them",
			map[string]any{"volume": name, "trash": where})
		s.Audit.Write(ctx, e, audit.Record{Op: "fenced", Volume: name, Detail: "containers of " + s.cfg.Node + " write to trash " + where})
	}
	return nil
}

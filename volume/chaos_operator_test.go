package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/tree"
)

// What somebody types at a host while the chaos goes on.

// takeOver is what package snapshot does.
func (n *simNode) takeOver(s *Store, from string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	jobs, err := s.Jobs.List(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.Op == cluster.OpTakeover && (j.Interrupted || j.State == job.Failed || j.State == job.Swapped || j.State == job.Prepared && s.cfg.Now().Sub(j.Since) > time.Minute) {
			if err := s.Jobs.Abort(ctx, j.ID); err != nil {
				return err
			}
		}
	}
	j, err := s.PrepareTakeover(ctx, "db", from, "copy", false)
	if err != nil {
		return err
	}
	living := n.c.inside(func(o *simNode) bool { return o.name == from })
	var had []byte
	j, err = s.Jobs.Run(ctx, j.ID, func(ctx context.Context, fsys tree.FS, j *job.Job) error {
		snap, err := n.snapshot(ctx)
		if err != nil {
			return err
		}
		had, err = tree.ReadFile(ctx, fsys, path.Join(".snapshot", snap, "db", "log"), 1<<20)
		if export.Absent(err) != nil {
			return err
		}
		j.Items[0].From = path.Join(j.Dir(), "db")
		_, err = tree.Copy(ctx, fsys, path.Join(".snapshot", snap, "db"), j.Items[0].From, tree.CopyOptions{}, nil)
		return err
	})
	n.c.note("%s: takeover from %s: %v", n.name, from, err)
	if err == nil && j.State == job.Swapped {
		n.c.count("takeover")
		n.c.gaveUp(n, "takes over from", living)
		n.c.server.mu.Lock()
		if i := n.c.server.root.names["db"]; i != nil && i.id == j.Items[0].New && (i.names["log"] == nil && len(had) > 0 || i.names["log"] != nil && !bytes.HasPrefix(i.names["log"].data, had)) {
			n.c.breaks("the takeover from %s does not have what was written", from)
		}
		n.c.server.mu.Unlock()
	}
	if endErr := s.Jobs.Abort(ctx, j.ID); err == nil {
		err = endErr
	}
	return err
}

// inside lists the containers of sound nodes that have the volume as it is now.
func (c *chaos) inside(of func(*simNode) bool) (out []*simContainer) {
	c.server.mu.Lock()
	db := c.server.root.names["db"]
	c.server.mu.Unlock()
	for _, o := range c.nodes {
		if k := o.inside(); k != nil && k.tree == db && of(o) && o.sound() {
			out = append(out, k)
		}
	}
	return out
}

// gaveUp checks that n gave up no node that lives, and whose container has the
// volume all the time.
func (c *chaos) gaveUp(n *simNode, what string, living []*simContainer) {
	for _, k := range living {
		if k.n.inside() == k && k.n.sound() {
			c.breaks("%s %s %s, which lives", n.name, what, k.n.name)
		}
	}
}

// snapshot is the filer's: an instant of the volume.
func (n *simNode) snapshot(ctx context.Context) (string, error) {
	n.c.mu.Lock()
	n.c.snaps++
	name := fmt.Sprintf("snap%d", n.c.snaps)
	n.c.mu.Unlock()
	return name, n.link.call(ctx, "snapshot", func() error {
		s := n.c.server
		s.mu.Lock()
		defer s.mu.Unlock()
		at := s.inode(tree.Directory, 0o755)
		if db := s.root.names["db"]; db != nil {
			at.names["db"] = s.copyOf(db)
		}
		s.root.names[".snapshot"].names[name] = at
		return nil
	})
}

// operate sends an operator to a node, if its plugin runs: who restores,
// removes, brings back.
func (n *simNode) operate(what string) {
	if p := n.proc(); p != nil {
		go n.types(p, what)
	}
}

func (n *simNode) types(p *simProcess, what string) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	var err error
	switch what {
	case "snapshot":
		_, err = n.snapshot(ctx)
	case "restore":
		err = n.restore(ctx, p.store)
	case "remove":
		// dockerd refuses it by itself for a container, and creates none meanwhile.
		if n.inside() == nil && n.docker.TryLock() {
			defer n.docker.Unlock()
			living := n.c.inside(func(o *simNode) bool { return o != n })
			if err = p.store.Remove(ctx, "db"); err == nil {
				n.c.gaveUp(n, "removes the volume of", living)
			}
		}
	case "undelete":
		_, _, err = p.store.Trash.Restore(ctx, "db", "")
	case "resume", "abort":
		err = n.endJobs(ctx, p.store, what == "resume")
	}
	if err == nil {
		n.c.count(what)
	}
	n.c.note("%s: %s: %v", n.name, what, err)
}

func copyOver(snap string) func(ctx context.Context, fsys tree.FS, j *job.Job) error {
	return func(ctx context.Context, fsys tree.FS, j *job.Job) error {
		it := &j.Items[0]
		it.From = path.Join(j.Dir(), "db."+snap)
		if err := tree.Delete(ctx, fsys, it.From, nil); export.Absent(err) != nil {
			return err
		}
		_, err := tree.Copy(ctx, fsys, path.Join(".snapshot", snap, "db"), it.From, tree.CopyOptions{}, nil)
		return err
	}
}

func (n *simNode) restore(ctx context.Context, s *Store) error {
	n.c.server.mu.Lock()
	var snap string
	for name, at := range n.c.server.root.names[".snapshot"].names {
		if at.names["db"] != nil && name > snap {
			snap = name
		}
	}
	n.c.server.mu.Unlock()
	if snap == "" {
		return errors.New("no snapshot")
	}
	j := &job.Job{Op: cluster.OpRestore, Engine: "copy", Items: []job.Item{{Volume: "db", Ref: "db@" + snap, Dest: "db", Trash: s.Trash.NewID(),
		Meta: export.Encode(s.newMeta("db", Options{"access": "single"}))}}} // as the snapshot has it
	if err := s.Jobs.Prepare(ctx, j); err != nil {
		return err
	}
	j, err := s.Jobs.Run(ctx, j.ID, copyOver(snap))
	if j != nil && j.State == job.Swapping {
		return err
	}
	if j == nil {
		return err
	}
	return errors.Join(err, s.Jobs.Abort(ctx, j.ID))
}

// endJobs resumes or aborts what was interrupted.
func (n *simNode) endJobs(ctx context.Context, s *Store, resume bool) error {
	jobs, err := s.Jobs.List(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.Op == cluster.OpTakeover && !j.Interrupted && j.State == job.Copying {
			continue
		}
		if resume && j.Op == cluster.OpRestore && j.State != job.Swapped {
			_, snap, _ := strings.Cut(j.Items[0].Ref, "@")
			if _, err := s.Jobs.Run(ctx, j.ID, copyOver(snap)); err != nil {
				return err
			}
		}
		if err := s.Jobs.Abort(ctx, j.ID); err != nil {
			return err
		}
	}
	return nil
}

// forgetLost takes back uses whose Mount was answered by nobody, or counted
// twice, because the plugin ended meanwhile: an operator does that, who sees
// that no container has them.
func (n *simNode) forgetLost(ctx context.Context) {
	s := n.proc().store
	for l := s.Cluster.Claims("db"); n.inside() == nil && len(l) > 0; l = s.Cluster.Claims("db") {
		for id := range l {
			n.c.count("lost")
			_ = s.Unmount(ctx, "db", id)
		}
	}
}

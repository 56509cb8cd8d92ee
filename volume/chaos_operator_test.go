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
	"github.com/casit/berth/tree"
)

// What somebody types at a host while the chaos goes on.

// takeOver is what package snapshot does.
func (n *simNode) takeOver(s *Store, from string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	jobs, err := s.Jobs(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.Op == cluster.OpTakeover && (j.Interrupted || j.State == JobFailed || j.State == JobSwapped || j.State == JobPrepared && s.cfg.Now().Sub(j.Since) > time.Minute) {
			if err := s.AbortJob(ctx, j.ID); err != nil {
				return err
			}
		}
	}
	j, err := s.PrepareTakeover(ctx, "db", from, "copy", false)
	if err != nil {
		return err
	}
	var had []byte
	j, err = s.RunJob(ctx, j.ID, func(ctx context.Context, fsys tree.FS, j *Job) error {
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
	if err == nil && j.State == JobSwapped {
		n.c.count("takeover")
		n.c.server.mu.Lock()
		if i := n.c.server.root.names["db"]; i != nil && i.id == j.Items[0].New && (i.names["log"] == nil && len(had) > 0 || i.names["log"] != nil && !bytes.HasPrefix(i.names["log"].data, had)) {
			n.c.breaks("the takeover from %s does not have what was written", from)
		}
		n.c.server.mu.Unlock()
	}
	if endErr := s.AbortJob(ctx, j.ID); err == nil {
		err = endErr
	}
	return err
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

// operate is an operator at a node: restores, removes, brings back.
func (n *simNode) operate(what string) {
	p := n.proc()
	if p == nil {
		return
	}
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
			err = p.store.Remove(ctx, "db")
		}
	case "undelete":
		_, _, err = p.store.TrashRestore(ctx, "db", "")
	case "resume", "abort":
		err = n.endJobs(ctx, p.store, what == "resume")
	}
	if err == nil {
		n.c.count(what)
	}
	n.c.note("%s: %s: %v", n.name, what, err)
}

func copyOver(snap string) func(ctx context.Context, fsys tree.FS, j *Job) error {
	return func(ctx context.Context, fsys tree.FS, j *Job) error {
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
	j := &Job{Op: cluster.OpRestore, Engine: "copy", Items: []JobItem{{Volume: "db", Ref: "db@" + snap, Dest: "db", Trash: s.NewTrashID(),
		Meta: export.Encode(s.newMeta("db", Options{"access": "single"}))}}} // as the snapshot has it
	if err := s.PrepareJob(ctx, j); err != nil {
		return err
	}
	j, err := s.RunJob(ctx, j.ID, copyOver(snap))
	if j != nil && j.State == JobSwapping {
		return err
	}
	if j == nil {
		return err
	}
	return errors.Join(err, s.AbortJob(ctx, j.ID))
}

// endJobs resumes or aborts what was interrupted.
func (n *simNode) endJobs(ctx context.Context, s *Store, resume bool) error {
	jobs, err := s.Jobs(ctx)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		if j.Op == cluster.OpTakeover && !j.Interrupted && j.State == JobCopying {
			continue
		}
		if resume && j.Op == cluster.OpRestore && j.State != JobSwapped {
			_, snap, _ := strings.Cut(j.Items[0].Ref, "@")
			if _, err := s.RunJob(ctx, j.ID, copyOver(snap)); err != nil {
				return err
			}
		}
		if err := s.AbortJob(ctx, j.ID); err != nil {
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

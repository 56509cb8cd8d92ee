package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// clones are the clones that this process is at work on. They outlive the
// request that began them: dockerd gives up after two minutes, the copy does not.
type clones struct {
	mu     sync.Mutex // guards byName
	byName map[string]*cloning
}

type cloning struct {
	done  chan struct{}
	err   error // valid once done
	total int64 // bytes of the source
	bytes atomic.Int64
}

func (js *clones) get(name string) *cloning {
	js.mu.Lock()
	defer js.mu.Unlock()
	return js.byName[name]
}

func (js *clones) set(name string, j *cloning) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if j == nil {
		delete(js.byName, name)
		return
	}
	js.byName[name] = j
}

// cloneWait is how long one Create waits for a clone; dockerd's limit is 2 min.
const cloneWait = 90 * time.Second

// clone makes name a copy of from. It starts the job or joins the one that
// runs, and answers "try again" if that takes longer than a request may.
func (s *Store) clone(ctx context.Context, e *export.Export, name, from string, opts Options) error {
	src, err := ParseRef(from)
	if err != nil {
		return err
	}
	// The caller holds names.hold(name): nobody else starts this one.
	j := s.clones.get(name)
	if j == nil {
		if j, err = s.startClone(ctx, e, name, src, opts); err != nil {
			return err
		}
		s.clones.set(name, j)
	}
	select {
	case <-j.done:
		s.clones.set(name, nil)
		return j.err
	case <-time.After(cloneWait):
	case <-ctx.Done():
	}
	percent := 100 * j.bytes.Load() / max(1, j.total)
	return problem.New(problem.InUse, "try again; it goes on meanwhile", "cloning %q from %s, %d %%", name, src, min(percent, 99))
}

// startClone checks the source, takes the lock and sets the copy going.
func (s *Store) startClone(ctx context.Context, e *export.Export, name string, src Ref, opts Options) (*cloning, error) {
	if src.Snapshot != "" {
		if err := s.checkView(ctx, e, src); err != nil {
			return nil, err
		}
	} else if err := s.checkCloneSource(ctx, e, src.Name); err != nil {
		return nil, err
	}
	size, err := tree.Measure(ctx, e.FS, src.Path())
	if err != nil {
		return nil, cloneFault(ctx, e, src, err)
	}
	space, err := e.FS.Statfs(ctx)
	if err != nil {
		return nil, err
	}
	if space.Avail-size.Used < space.Total/20 {
		return nil, problem.New(problem.Failed, "free some first: 'berth df' shows what can be freed, 'berth trash purge ID' frees it",
			"a copy of %s needs %d MiB, and less than 5 %% of the export would be left", src, size.Used>>20)
	}
	work := "clone-" + s.conn.NewID()
	reads := ""
	if src.Snapshot != "" {
		reads = src.String()
	}
	lock, err := s.Cluster.Lock(ctx, e, cluster.Lock{Op: cluster.OpClone, Volume: name, Work: work, Reads: reads})
	if err != nil {
		return nil, err
	}
	j := &cloning{done: make(chan struct{}), total: size.Bytes}
	go func() {
		defer close(j.done)
		defer lock.Unlock(ctx)
		ctx := context.WithoutCancel(ctx)
		err := guard.Run(func() error { return s.runClone(ctx, e, j, name, src, work, opts) })
		s.Caught("clone of "+src.String(), err)
		if j.err = s.conn.Explain("clone "+src.String(), s.conn.Observe(e, err)); j.err != nil {
			_ = s.undoClone(ctx, e, name, work)
			s.sweepSoon()
		}
	}()
	return j, nil
}

// undoClone takes back what a clone left, and its metadata if it was not
// published.
func (s *Store) undoClone(ctx context.Context, e *export.Export, name, work string) error {
	published, err := export.Exists(ctx, e.FS, name)
	if err == nil && !published {
		err = export.Absent(e.FS.Remove(ctx, export.MetaPath(name)))
	}
	if err != nil {
		return err
	}
	return s.discardStaging(ctx, e, work)
}

// checkCloneSource refuses a source that is no whole volume, or a database
// that is being written: a copy of it would be no database.
func (s *Store) checkCloneSource(ctx context.Context, e *export.Export, name string) error {
	if err := s.checkDirectory(ctx, e, name); err != nil {
		return err
	}
	meta, err := readMeta(ctx, e.FS, name)
	if err != nil || meta == nil || meta.Options.Get("access") != "single" {
		return err
	}
	users, err := s.Cluster.Users(ctx, e, name)
	if err == nil && len(users) > 0 {
		return problem.New(problem.InUse, fmt.Sprintf("stop it, or clone a snapshot of it: from=%s@SNAPSHOT", name),
			"volume %q is access=single and in use on %s: a copy made meanwhile would be torn", name, users[0].Node)
	}
	return err
}

// cloneFault is why there is no clone of src. One that is gone altogether was
// there when the clone was asked for.
func cloneFault(ctx context.Context, e *export.Export, src Ref, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		if there, statErr := export.Exists(ctx, e.FS, src.Path()); statErr == nil && !there {
			err = &tree.Incomplete{Name: src.Path(), Gone: true}
		}
	}
	return problem.Whole(err, src.String(), cloneHint(src, err))
}

// cloneHint is what to do about a copy that is not whole.
func cloneHint(src Ref, err error) string {
	not := (*tree.Incomplete)(nil)
	switch errors.As(err, &not); {
	case not != nil && not.Missing.Total > 0:
		return "copy it by hand, or clone without these"
	case src.Snapshot != "":
		return "clone another version: 'berth snapshot ls " + src.Name + "' lists them"
	}
	return fmt.Sprintf("nothing may write to it meanwhile; clone a snapshot of it: from=%s@SNAPSHOT", src.Name)
}

// runClone copies into staging, verified, and publishes by RENAME: before, the
// name does not exist.
func (s *Store) runClone(ctx context.Context, e *export.Export, j *cloning, name string, src Ref, work string, opts Options) error {
	dir := path.Join(export.StagingDir, work)
	if err := export.Mkdir(ctx, e.FS, dir); err != nil {
		return err
	}
	data := path.Join(dir, "data")
	stats, err := tree.Copy(ctx, e.FS, src.Path(), data, tree.CopyOptions{}, func(p tree.Progress) { j.bytes.Store(p.Bytes) })
	if err != nil {
		return cloneFault(ctx, e, src, err)
	}
	if set, any := opts.givenAttr(); any {
		if err := e.FS.SetAttr(ctx, data, set); err != nil {
			return err
		}
	}
	meta := s.newMeta(name, opts)
	if err := e.Replace(ctx, export.MetaPath(name), meta); err != nil {
		return err
	}
	if err := e.FS.Rename(ctx, data, name); err != nil {
		return err
	}
	_ = e.FS.Rmdir(ctx, dir)
	s.index.put(name, entry{meta: meta, read: true})
	s.audit(ctx, e, AuditRecord{Op: "clone", Volume: name, Detail: fmt.Sprintf("from %s, %d files, %d bytes", src, stats.Files, stats.Bytes)})
	return nil
}

package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/kernel"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/plugin/mounts"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/sole"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// session is one export, opened with one identity: its volumes and the node's
// mount of it. It owns what runs for it:
//
//	begin ─► in force ─► end: requests, jobs, goodbye ─► ended
//	             │ ▲
//	             └─┘ tune
//
// The next session is in force while the one before ends, and opens its export
// when that has ended: two that beat under one name would be two nodes.
type session struct {
	set      atomic.Pointer[Settings] // in force
	wrong    atomic.Pointer[error]    // of settings that are not in force, since they are wrong
	err      error                    // there is no export: the answer to every verb
	store    *volume.Store
	versions *snapshot.Versions
	mounts   *mounts.Mounts
	locks    *kernel.Locks
	survey   survey

	ctx    context.Context // ends when the session begins to end, with why
	cancel context.CancelCauseFunc
	name   sole.Keeper   // this node's name on the export, until the goodbye
	part   func()        // ends store.Run, which says goodbye
	tasks  guard.Tasks   // requests, and goroutines of the session
	before chan struct{} // closed when the session before has ended; nil: there was none
	ended  chan struct{} // closed when this one has
}

// begin returns a session with settings that are right, or with what is wrong
// with them. before is closed when the session before has ended.
func (s *Server) begin(settings Settings, root string, wrong error, before chan struct{}) *session {
	ss := &session{err: wrong, before: before, ended: make(chan struct{}), locks: s.locks}
	ss.set.Store(&settings)
	ss.ctx, ss.cancel = context.WithCancelCause(context.Background())
	ss.mounts = mounts.New(root, &ss.tasks)
	if wrong != nil {
		return ss
	}
	ss.store = volume.New(volume.Config{
		URL:       settings.Export,
		ID:        settings.ExportID,
		Open:      func(ctx context.Context) (tree.FS, error) { return s.openExport(ctx, ss) },
		Node:      settings.Node,
		Boot:      s.cfg.Boot,
		LeaseTTL:  settings.LeaseTTL,
		TrashTTL:  settings.TrashTTL,
		HintPath:  filepath.Join(root, mounts.HintName),
		Version:   s.cfg.Version,
		MountPath: ss.mounts.Current,
		Degraded:  func() string { return s.degraded(ss) },
		Flush:     (&kernel.Flusher{Root: ss.mounts.Current, Tasks: &ss.tasks}).Flush,
		Address: func() string {
			if settings.Dir != "" {
				return ""
			}
			return kernel.LocalAddress(settings.NFS.Host)
		},
		TakeOver:   func(ctx context.Context, name, from string) error { return ss.versions.TakeOver(ctx, name, from) },
		BreakLocks: func(ctx context.Context, name, node string) error { return ss.versions.BreakLocks(ctx, name, node) },
		DeleteTree: func(ctx context.Context, dir string) error { return ss.versions.DeleteTree(ctx, dir) },
		CloneFile: func(ctx context.Context, src, dst string, warn func(string)) bool {
			return ss.versions.CloneFile(ctx, src, dst, warn)
		},
		Sole:   func(exportID string) (_, _ string, err error) { return ss.name.Take(exportID + "/" + settings.Node) },
		Report: s.report,
	})
	filer, err := s.tuningOf(settings)
	if err != nil {
		s.log.WithError(err).Warn("berth does without the filer's API")
	}
	ss.versions = snapshot.New(snapshot.Config{Volumes: ss.store, Tuning: filer, Ended: s.metrics.job})
	run, part := context.WithCancel(context.Background())
	ss.part = part
	s.keep(run, &ss.tasks, "the upkeep of the export", ss.store.Run)
	s.keep(ss.ctx, &ss.tasks, "the survey", func(ctx context.Context) { s.survey(ctx, ss) })
	s.keep(ss.ctx, &ss.tasks, "the weighing of the trash", func(ctx context.Context) { s.weigh(ctx, ss) })
	return ss
}

// report is one line in the log for what happened outside a request.
func (s *Server) report(event string, fields map[string]any) {
	level := logrus.InfoLevel
	if _, bad := fields["err"]; bad {
		level = logrus.WarnLevel
	}
	s.log.WithFields(fields).Log(level, event)
}

// keep runs f in a goroutine until ctx ends. After a panic, which is logged, f
// begins again: a node whose heartbeat stops loses its volumes.
func (s *Server) keep(ctx context.Context, t *guard.Tasks, name string, f func(context.Context)) {
	end := t.Begin(name)
	go func() {
		defer end()
		for {
			err := guard.Run(func() error {
				f(ctx)
				return nil
			})
			if err == nil {
				return
			}
			s.log.WithError(err).WithField("stack", guard.Stack(err)).Error(name + " panicked and begins again")
			if !pause(ctx, s.cfg.Reload) {
				return
			}
		}
	}()
}

// runs says that the session has an export: its settings are right.
func (ss *session) runs() bool { return ss != nil && ss.store != nil }

// settings are those in force.
func (ss *session) settings() Settings { return *ss.set.Load() }

// tuningOf is what package snapshot is told of the settings. With an error
// there is no filer in it.
func (s *Server) tuningOf(set Settings) (snapshot.Tuning, error) {
	zone, err := namedZone(set.TZ)
	if err != nil {
		return snapshot.Tuning{}, err
	}
	filer, err := s.newFiler(set)
	return snapshot.Tuning{Filer: filer, Zone: zone}, err
}

// enter counts a request as one of the session, whose end ends the context that
// is returned. It fails when the session has begun to end.
func (ss *session) enter(ctx context.Context) (context.Context, func(), bool) {
	end, ok := ss.tasks.Admit("requests")
	if !ok {
		return nil, nil, false
	}
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(ss.ctx, func() { cancel(context.Cause(ss.ctx)) })
	return ctx, func() {
		stop()
		cancel(nil)
		end()
	}, true
}

// The parts of endLimit, which bounds how long a session takes to end: what
// hangs then is left to itself and said.
const (
	jobsLimit = 4 * time.Second // until jobs have noticed
	endLimit  = 8 * time.Second // for all: jobs, the goodbye to the export, requests
	// leaveLimit is on top of it, for detaching the mount.
	leaveLimit = 2 * time.Second
)

// goesOn is the hint for a job that the end of its session has interrupted.
const goesOn = "'berth snapshot restore --resume VOLUME' goes on with it, and --abort gives it up"

// end stops what runs, jobs first, says goodbye to the export and waits for all
// of it. The mount stays while containers of this node use the export; otherwise
// nothing is left behind. why is the error of what is interrupted.
func (ss *session) end(why error) error {
	defer close(ss.ended)
	defer ss.name.Release()
	ss.tasks.Close()
	ss.cancel(why)
	if ss.store == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), endLimit)
	defer cancel()
	quick, cancel := context.WithTimeout(ctx, jobsLimit)
	defer cancel()
	left := ss.versions.Jobs.Stop(quick, why)
	ss.part()
	left = errors.Join(left, ss.tasks.Wait(ctx))
	if ss.before != nil {
		<-ss.before
	}
	last, cancel := context.WithTimeout(context.Background(), leaveLimit)
	defer cancel()
	return errors.Join(left, ss.tasks.Run(last, "leaving the export", func() error {
		return errors.Join(ss.mounts.Retire(nil, !ss.store.Cluster.InUse()), ss.store.Close())
	}))
}

// plane is where the data of the opened export comes from.
func (ss *session) plane(ctx context.Context, fsys tree.FS) (mounts.Plane, error) {
	set := ss.settings()
	switch f := fsys.(type) {
	case *tree.Local:
		return mounts.Directory(f.Handle(), set.MountOptions)
	case *tree.Wire:
		nolock := nfs.HasOption(set.MountOptions, "nolock") || ss.locks.Refused(ctx)
		m, err := set.NFS.Kernel(ctx, set.MountOptions, nolock)
		if err != nil {
			return nil, err
		}
		return mounts.Kernel(m, f.RootID()), nil
	}
	return nil, fmt.Errorf("an export of type %T cannot be mounted", fsys)
}

func (s *Server) openExport(ctx context.Context, ss *session) (tree.FS, error) {
	set := ss.settings()
	if ss.before != nil {
		select {
		case <-ss.before:
		case <-ctx.Done():
			return nil, problem.New(problem.Unreachable, "berth goes on by itself within seconds",
				"the export %s is not opened yet: the session before has not ended", set.Export)
		}
	}
	var fsys tree.FS
	var err error
	if set.Dir != "" {
		fsys, err = tree.OpenLocal(ctx, set.Dir)
	} else {
		fsys, err = tree.OpenWire(ctx, set.NFS, &nfs.Config{Stats: &s.metrics.nfs})
	}
	if err != nil {
		return nil, export.Away(set.Export, err)
	}
	return fsys, nil
}

// current returns the session in force, with an error when its settings are wrong.
func (s *Server) current() (*session, error) {
	ss := s.session.Load()
	return ss, ss.err
}

// inSession gives a route the session in force, which waits for act when it ends.
func inSession[Req, Resp any](s *Server, act func(context.Context, *session, Req) (Resp, error)) func(context.Context, Req) (Resp, error) {
	return func(ctx context.Context, r Req) (resp Resp, err error) {
		ss, ctx, leave, err := s.enter(ctx)
		if err != nil {
			return resp, err
		}
		defer leave()
		resp, err = act(ctx, ss, r)
		return resp, ss.cutShort(err)
	}
}

// enter is session.enter on the session in force.
func (s *Server) enter(ctx context.Context) (*session, context.Context, func(), error) {
	for {
		ss, err := s.current()
		if err != nil {
			return nil, nil, nil, err
		}
		if inside, leave, ok := ss.enter(ctx); ok {
			return ss, inside, leave, nil
		}
		if s.session.Load() == ss {
			return nil, nil, nil, errNoAnswer // berth is stopping
		}
	}
}

// cutShort explains the error of a request that the session's end has ended.
func (ss *session) cutShort(err error) error {
	if err == nil || ss.ctx.Err() == nil || errors.Is(err, errNoAnswer) || !errors.Is(err, context.Canceled) {
		return err
	}
	return problem.New(problem.Unreachable, "try again in a few seconds", "berth ended this request, since its settings changed")
}

// alone tells whether the session before has ended.
func (ss *session) alone() bool {
	select {
	case <-ss.before:
		return true
	default:
		return ss.before == nil
	}
}

// degraded says what this node does without, "" for nothing.
func (s *Server) degraded(ss *session) string {
	var without []string
	if wrong := ss.wrong.Load(); wrong != nil {
		without = append(without, "the settings are wrong, those before them are in force: "+(*wrong).Error())
	}
	for _, w := range []string{ss.locks.Degraded(), s.scrapes.problem()} {
		if w != "" {
			without = append(without, w)
		}
	}
	return strings.Join(without, "; ")
}

// bootID names this boot of the host.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(data))
}

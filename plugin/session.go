package plugin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/casit/berth/export"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// session is what runs under one set of settings: the volumes of one export
// and the node's mount of it. Changed settings end it and begin another.
type session struct {
	settings Settings
	err      error // the settings are wrong: the answer to every verb
	store    *volume.Store
	versions *snapshot.Versions
	mounts   *mounts
	locks    *lockService
	survey   survey
	cancel   context.CancelFunc
	done     chan struct{} // closed when the store has said goodbye and nobody uses it
}

// hintName is the file in the mount root that survives a restart.
const hintName = ".index.json"

func (s *Server) begin(settings Settings, err error) *session {
	ss := &session{settings: settings, err: err, mounts: newMounts(settings.MountRoot), locks: newLockService()}
	if err != nil {
		return ss
	}
	if err := os.MkdirAll(settings.MountRoot, 0o700); err != nil {
		ss.err = errors.New("BERTH_MOUNT_ROOT: " + err.Error())
		return ss
	}
	ss.store = volume.New(volume.Config{
		URL:       settings.Export,
		ID:        settings.ExportID,
		Open:      func(ctx context.Context) (tree.FS, error) { return s.openExport(ctx, settings) },
		Node:      settings.Node,
		Boot:      s.cfg.Boot,
		LeaseTTL:  settings.LeaseTTL,
		TrashTTL:  settings.TrashTTL,
		HintPath:  filepath.Join(settings.MountRoot, hintName),
		Version:   s.cfg.Version,
		MountPath: ss.mounts.current,
		Degraded:  func() string { return s.degraded(ss) },
		Flush:     (&flusher{root: ss.mounts.current}).flush,
		Address: func() string {
			if settings.Dir != "" {
				return ""
			}
			return localAddress(settings.NFS.Host)
		},
		Report: func(event string, fields map[string]any) {
			level := logrus.InfoLevel
			if _, bad := fields["err"]; bad {
				level = logrus.WarnLevel
			}
			s.log.WithFields(fields).Log(level, event)
		},
	})
	filer, err := s.newFiler(settings)
	if err != nil {
		s.log.WithError(err).Warn("berth does without the filer's API")
	}
	zone, err := namedZone(settings.TZ)
	if err != nil {
		ss.err = err
		return ss
	}
	ss.versions = snapshot.New(snapshot.Config{Volumes: ss.store, Tuning: snapshot.Tuning{Filer: filer, Zone: zone}, Ended: s.metrics.job})
	ctx, cancel := context.WithCancel(context.Background())
	ss.cancel, ss.done = cancel, make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { ss.store.Run(ctx) })
	running.Go(func() { s.survey(ctx, ss) })
	running.Go(func() { s.weigh(ctx, ss) })
	go func() {
		running.Wait()
		close(ss.done)
	}()
	return ss
}

// end stops a session. The mount stays while containers of this node use the
// export; otherwise nothing is left behind.
func (ss *session) end() error {
	if ss.store == nil {
		return nil
	}
	ss.cancel()
	<-ss.done
	err := ss.mounts.retire(nil, !ss.store.InUse())
	return errors.Join(err, ss.store.Close())
}

// plane is where the data of the opened export comes from.
func (ss *session) plane(ctx context.Context, fsys tree.FS) (plane, error) {
	switch f := fsys.(type) {
	case *tree.Local:
		return newDirectory(f.Handle())
	case *tree.Wire:
		nolock := nfs.HasOption(ss.settings.MountOptions, "nolock") || ss.locks.nolock(ctx)
		m, err := ss.settings.NFS.Kernel(ctx, ss.settings.MountOptions, nolock)
		if err != nil {
			return nil, err
		}
		return kernelMount{m, f.RootID()}, nil
	}
	return nil, fmt.Errorf("an export of type %T cannot be mounted", fsys)
}

func (s *Server) openExport(ctx context.Context, settings Settings) (tree.FS, error) {
	var fsys tree.FS
	var err error
	if settings.Dir != "" {
		fsys, err = tree.OpenLocal(ctx, settings.Dir)
	} else {
		fsys, err = tree.OpenWire(ctx, settings.NFS, &nfs.Config{Stats: &s.metrics.nfs})
	}
	if err != nil {
		return nil, export.Away(settings.Export, err)
	}
	return fsys, nil
}

// current returns the session, with an error when its settings are wrong.
func (s *Server) current() (*session, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.session, s.session.err
}

// watch re-reads the settings until ctx ends, and retires old mounts.
func (s *Server) watch(ctx context.Context) {
	for {
		select {
		case <-time.After(s.cfg.Reload):
		case <-ctx.Done():
			return
		}
		s.reload()
		if ss, err := s.current(); err == nil {
			if err := ss.mounts.retire(ss.store.Generations(), false); err != nil {
				s.log.WithError(err).Warn("an old mount stays")
			}
		}
	}
}

// degraded says what this node does without, "" for nothing.
func (s *Server) degraded(ss *session) string {
	var without []string
	for _, w := range []string{ss.locks.degraded(), s.scrapes.problem()} {
		if w != "" {
			without = append(without, w)
		}
	}
	return strings.Join(without, "; ")
}

// reload begins another session if the settings have changed. Where metrics
// are served is none of a session's business.
func (s *Server) reload() {
	next, err := LoadSettings(s.cfg.SettingsFile, s.cfg.Getenv)
	if err == nil || next.Metrics != "" {
		s.serveMetrics(next.Metrics)
	}
	next.Metrics = ""
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.session
	if was != nil && next == was.settings && sameError(err, was.err) {
		return
	}
	if was != nil {
		if err := was.end(); err != nil {
			s.log.WithError(err).Warn("the old settings' export was not left cleanly")
		}
	}
	if next.LogLevel != 0 {
		s.log.SetLevel(next.LogLevel)
	}
	s.session = s.begin(next, err)
	if s.session.err != nil {
		s.log.WithError(s.session.err).Error("berth cannot work with these settings")
		return
	}
	s.log.WithField("export", next.Export).WithField("node", next.Node).Info("settings in force")
}

func sameError(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

// bootID names this boot of the host.
func bootID() string {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(data))
}

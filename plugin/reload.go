package plugin

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/sirupsen/logrus"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/job"
	"github.com/casit/berth/plugin/mounts"
	"github.com/casit/berth/problem"
)

// watch re-reads the settings until ctx ends, and retires old mounts.
func (s *Server) watch(ctx context.Context) {
	for pause(ctx, s.cfg.Reload) {
		s.reload()
		ss, err := s.current()
		if err != nil || !ss.alone() {
			continue
		}
		if err := ss.mounts.Retire(ss.store.Cluster.Generations(), false); err != nil {
			s.log.WithError(err).Warn("an old mount stays")
		}
	}
}

// read are settings as they were read last.
type read struct {
	values   map[string]string
	settings Settings
	root     string // the mount root of another identity, made and resolved
	err      error
}

// readNow reads the settings. ss is the session in force.
func (s *Server) readNow(ss *session) (r read) {
	if r.values, _, r.err = readSettings(s.cfg.SettingsFile, s.cfg.Getenv); r.err == nil {
		r.settings, r.err = interpret(r.values)
	}
	if r.err == nil && (!ss.runs() || r.settings.Identity != ss.settings().Identity) {
		r.root, r.err = mounts.MakeRoot(r.settings.MountRoot)
	}
	return r
}

// reload puts changed settings in force, if they are right. Where metrics are
// served is none of a session's business. One goroutine at a time calls it, and
// it waits for nobody.
func (s *Server) reload() {
	ss := s.session.Load()
	last, next := s.read, s.readNow(ss)
	s.read = next
	if next.err == nil || next.settings.Metrics != "" {
		s.serveMetrics(next.settings.Metrics)
	}
	if ss != nil && next.settings == last.settings && sameError(next.err, last.err) {
		return
	}
	line := s.log.WithField("export", next.settings.Export).WithField("node", next.settings.Node)
	if ss != nil {
		line = line.WithField("changed", strings.Join(changed(last.values, next.values), " "))
	}
	switch {
	case next.err != nil:
		s.reject(ss, next, line.WithError(next.err))
	case ss.runs() && next.settings.Identity == ss.settings().Identity:
		s.tune(ss, next.settings)
		line.Info("settings changed in place")
	default:
		s.succeed(ss, next)
		line.Info("settings in force")
	}
}

// reject says that settings are wrong. A session that runs goes on with the
// settings before; at the start every verb answers what is wrong.
func (s *Server) reject(ss *session, next read, line *logrus.Entry) {
	if ss.runs() {
		ss.wrong.Store(&next.err)
		line.Error("the settings are wrong; those before them stay in force")
		return
	}
	if next.settings.LogLevel != 0 {
		s.log.SetLevel(next.settings.LogLevel)
	}
	s.session.Store(s.begin(next.settings, filepath.Clean(next.settings.MountRoot), next.err, nil))
	line.Error("berth cannot work with these settings")
}

// tune puts settings of the same identity in force. Nothing that runs ends.
func (s *Server) tune(ss *session, next Settings) {
	was := ss.settings()
	if next.ONTAP != was.ONTAP || next.TZ != was.TZ {
		if filer, err := s.tuningOf(next); err == nil {
			ss.versions.Tune(filer)
		} else {
			s.log.WithError(err).Warn("berth uses the filer's API as it was set before")
		}
	}
	if next.Socket != was.Socket {
		s.log.Warn("BERTH_SOCKET has changed: berth listens there from its next start on")
	}
	ss.store.Trash.SetTTL(next.TrashTTL)
	s.log.SetLevel(next.LogLevel)
	ss.set.Store(&next)
	ss.wrong.Store(nil)
}

// succeed puts a session in force and ends the one before in the background:
// its export may be dead, and nobody waits for a dead export.
func (s *Server) succeed(was *session, next read) {
	s.log.SetLevel(next.settings.LogLevel)
	if !was.runs() {
		s.session.Store(s.begin(next.settings, next.root, nil, nil))
		return
	}
	s.session.Store(s.begin(next.settings, next.root, nil, was.ended))
	why := problem.New(problem.Failed, goesOn, "interrupted: berth begins another session, since %s changed",
		strings.Join(was.settings().differences(next.settings.Identity), " and ")).Because(job.ErrSessionEnds)
	end := s.tasks.Begin("the end of a session")
	go func() {
		defer end()
		if err := guard.Run(func() error { return was.end(why) }); err != nil {
			s.log.WithError(err).WithField("export", was.settings().Export).Warn("the old settings' export was not left cleanly")
		}
	}()
}

func sameError(a, b error) bool {
	return (a == nil) == (b == nil) && (a == nil || a.Error() == b.Error())
}

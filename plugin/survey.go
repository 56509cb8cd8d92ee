package plugin

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// survey has the metrics of the export that no other part of the plugin knows. A
// goroutine asks for them, so that a scrape does not wait.
type survey struct {
	mu      sync.Mutex          // guards the fields below
	at      time.Time           // when all questions were answered last; zero: never
	space   tree.Space          // zero: not known yet
	asked   bool                // for the newest snapshot
	newest  *reference.Snapshot // nil: there is none
	weights map[string]int64    // bytes of trash items, by id
}

// surveyLimit bounds one look at the export, weighLimit the measuring of one
// trash item: tens of millions of files.
const (
	surveyLimit = 30 * time.Second
	weighLimit  = 10 * time.Minute
)

// survey surveys the export at intervals while metrics are served.
func (s *Server) survey(ctx context.Context, ss *session) {
	for {
		wait := s.cfg.Reload
		if s.scrapes.url() != "" {
			wait = s.cfg.Survey
			if err := s.surveyOnce(ctx, ss); err != nil && ctx.Err() == nil {
				s.metrics.surveyErrors.Inc()
			}
		}
		if !pause(ctx, wait) {
			return
		}
	}
}

// surveyOnce asks for the space and the newest snapshot. A value without an
// answer stays as it was.
func (s *Server) surveyOnce(ctx context.Context, ss *session) error {
	ctx, cancel := context.WithTimeout(ctx, surveyLimit)
	defer cancel()
	var space tree.Space
	noSpace := ss.store.With(ctx, "look at the export's space", func(fsys tree.FS) (err error) {
		space, err = fsys.Statfs(ctx)
		return err
	})
	// A refused password is not sent again: package ontap sees to that.
	newest, noNewest := ss.versions.Newest(ctx)
	v := &ss.survey
	v.mu.Lock()
	defer v.mu.Unlock()
	if noSpace == nil {
		v.space = space
	}
	if noNewest == nil {
		v.newest, v.asked = newest, true
	}
	err := errors.Join(noSpace, noNewest)
	if err == nil {
		v.at = time.Now()
	}
	return err
}

// weigh measures each trash item once, one after the other, while metrics are
// served. The size of an item in the trash does not change.
func (s *Server) weigh(ctx context.Context, ss *session) {
	for pause(ctx, s.cfg.Survey) {
		if s.scrapes.url() == "" {
			continue
		}
		items := ss.store.Trash.Seen()
		ss.survey.forget(items)
		for _, t := range items {
			if _, known := ss.survey.weight(t.ID); !known && ctx.Err() == nil {
				ss.weighOne(ctx, t)
			}
		}
	}
}

// weighOne measures one item. After a failure the next round tries it again.
func (ss *session) weighOne(ctx context.Context, t *volume.Trashed) {
	ctx, cancel := context.WithTimeout(ctx, weighLimit)
	defer cancel()
	var m tree.Measured
	if err := ss.store.With(ctx, "measure the trash", func(fsys tree.FS) (err error) {
		m, err = tree.Measure(ctx, fsys, t.Data())
		return err
	}); err != nil {
		return
	}
	ss.survey.mu.Lock()
	defer ss.survey.mu.Unlock()
	ss.survey.weights[t.ID] = m.Bytes
}

// forget drops the weights of items that have left the trash.
func (v *survey) forget(items []*volume.Trashed) {
	v.mu.Lock()
	defer v.mu.Unlock()
	was := v.weights
	v.weights = map[string]int64{}
	for _, t := range items {
		if n, ok := was[t.ID]; ok {
			v.weights[t.ID] = n
		}
	}
}

func (v *survey) weight(id string) (bytes int64, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	bytes, known = v.weights[id]
	return bytes, known
}

// pause waits for d. It is false if ctx has ended.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

package volume

import (
	"context"
	"sync"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/several"
)

// polled is what the last tick read of others, so that Get can show it from
// memory.
type polled struct {
	mu     sync.Mutex // guards the fields
	newest string
	trash  []*Trashed
}

func (p *polled) setNewest(snapshot string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.newest = snapshot
}

func (p *polled) setTrash(items []*Trashed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trash = items
}

func (p *polled) newestSnapshot() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.newest
}

// Seen is the trash as of the last round of upkeep, from memory; nil before the
// first round. The items are not to be changed.
func (tr *Trash) Seen() []*Trashed {
	tr.s.polled.mu.Lock()
	defer tr.s.polled.mu.Unlock()
	return tr.s.polled.trash
}

// stepTimeout bounds one step of a round of upkeep.
const stepTimeout = 20 * time.Second

// Run keeps the Store alive until ctx ends: it stays in touch with the other
// nodes, finishes what dead ones began, and empties the trash. Upkeep follows
// each look of the Cluster at the other nodes, and delays neither the next
// heartbeat nor the next look.
func (s *Store) Run(ctx context.Context) {
	rounds := make(chan error, 1)
	var nodes sync.WaitGroup
	nodes.Go(func() {
		s.Cluster.Run(ctx, func(err error) {
			select {
			case <-rounds: // upkeep is late: the newer one counts
			default:
			}
			rounds <- err
		})
	})
	defer nodes.Wait()
	defer s.tasks.Wait()
	again := time.NewTimer(time.Hour)
	defer again.Stop()
	for {
		var err error
		select {
		case err = <-rounds:
		case <-s.wake:
		case <-again.C:
		case <-ctx.Done():
			return
		}
		again.Stop()
		if err == nil {
			err = guard.Run(func() error { return s.upkeep(ctx) })
			s.Caught("upkeep", err)
			if err != nil {
				again.Reset(min(s.cfg.LeaseTTL/3, 2*time.Second))
			}
		}
		if err == nil {
			err = s.Cluster.Unheard()
		}
		s.noteHealth(err)
	}
}

// noteHealth reports when the export goes away or comes back, once each.
func (s *Store) noteHealth(err error) {
	now := ""
	if err != nil {
		now = err.Error()
	}
	if now == s.health {
		return
	}
	if now != "" {
		s.cfg.Report("the export has a problem", map[string]any{"export": s.cfg.URL, "err": now})
	} else {
		s.cfg.Report("the export is there", map[string]any{"export": s.cfg.URL, "id": s.index.ID()})
	}
	s.health = now
}

// upkeep is one round of what has to be done for the volumes. Each step has its own
// time, and goes on in the next round where it stopped. What ends one step ends no
// other, unless the export does not answer at all.
func (s *Store) upkeep(ctx context.Context) error {
	run := ctx
	return s.with(ctx, "look after the volumes", func(e *export.Export) error {
		var failed several.Errors
		for _, step := range []func(context.Context, *export.Export) error{
			s.readOthers, s.noteFenced, s.Cluster.Tidy, s.refresh, refill,
			func(context.Context, *export.Export) error {
				s.tasks.Go(func() { s.guarded(run, "sweep", func(ctx context.Context) { s.sweeper.Sweep(ctx, e) }) })
				return nil
			},
			spending(s.Cluster.FinishDead), spending(s.Jobs.DiscardLeft), spending(s.Trash.expire),
		} {
			within, cancel := context.WithTimeout(ctx, stepTimeout)
			err := guard.Run(func() error { return step(within, e) })
			cancel()
			s.Caught("upkeep", err)
			failed.Add(err)
			if export.Ends(ctx, e.FS, err) {
				break
			}
		}
		return failed.Err()
	})
}

// spending is a step that gives room back.
func spending(step func(context.Context, *export.Export) error) func(context.Context, *export.Export) error {
	return func(ctx context.Context, e *export.Export) error { return step(export.Spend(ctx), e) }
}

// refill makes what the reserve lacks. What has no room now is made later, and what
// else is wrong is seen elsewhere.
func refill(ctx context.Context, e *export.Export) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = e.Refill(ctx)
	return nil
}

// pollAll reads what Get shows of the other nodes, as of now.
func (s *Store) pollAll(ctx context.Context, e *export.Export) error {
	if err := s.Cluster.Poll(ctx, e); err != nil {
		return err
	}
	return s.readOthers(ctx, e)
}

// readOthers is pollAll as of the last look at the heartbeats, as far as ctx lets
// it.
func (s *Store) readOthers(ctx context.Context, e *export.Export) error {
	if _, err := s.Cluster.ReadUsers(ctx, e); err != nil {
		return err
	}
	if snaps, err := snapshots(ctx, e.FS); err == nil && len(snaps) > 0 {
		s.polled.setNewest(snaps[len(snaps)-1].name)
	} else {
		s.polled.setNewest("")
	}
	attr, err := e.FS.Stat(ctx, export.MetaDir)
	if err != nil {
		return export.Absent(err)
	}
	s.index.ForgetMeta(attr.Mtime)
	return nil
}

// sweepSoon wakes Run, so that what was purged goes now.
func (s *Store) sweepSoon() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

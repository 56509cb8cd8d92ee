package volume

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/several"
)

// polled is what the last tick read of others, so that Get can show it from
// memory.
type polled struct {
	mu     sync.Mutex // guards the fields
	users  map[string][]cluster.User
	newest string
	trash  []*Trashed
}

func (p *polled) set(users []cluster.User, newest string) {
	byName := map[string][]cluster.User{}
	for _, u := range users {
		byName[u.Volume] = append(byName[u.Volume], u)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users, p.newest = byName, newest
}

func (p *polled) setTrash(items []*Trashed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trash = items
}

func (p *polled) usersOf(name string) []cluster.User {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]cluster.User{}, p.users[name]...)
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

// upkeepTimeout bounds one round of upkeep, and refillTimeout what it may spend on
// the reserve.
const (
	upkeepTimeout = 20 * time.Second
	refillTimeout = 5 * time.Second
)

// Run keeps the Store alive until ctx ends: it stays in touch with the other
// nodes, finishes what dead ones began, and empties the trash. Upkeep follows
// each round of the Cluster, and never delays the next heartbeat.
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
		s.cfg.Report("the export is there", map[string]any{"export": s.cfg.URL, "id": s.index.knownID()})
	}
	s.health = now
}

// upkeep is one round of what has to be done for the volumes.
func (s *Store) upkeep(ctx context.Context) error {
	run := ctx
	ctx, cancel := context.WithTimeout(ctx, upkeepTimeout)
	defer cancel()
	return s.with(ctx, "look after the volumes", func(e *export.Export) error {
		if err := s.readOthers(ctx, e); err != nil {
			return err
		}
		if err := s.noteFenced(ctx, e); err != nil {
			return err
		}
		if err := s.refresh(ctx, e); err != nil {
			return err
		}
		// What has no room now is made later, and what else is wrong is seen below.
		refill, enough := context.WithTimeout(ctx, refillTimeout)
		_ = e.Refill(refill)
		enough()
		ctx = export.Spend(ctx)
		s.tasks.Go(func() { s.guarded(run, "sweep", func(ctx context.Context) { s.sweeper.Sweep(ctx, e) }) })
		return errors.Join(s.Cluster.FinishDead(ctx, e), s.Jobs.DiscardLeft(ctx, e), s.Trash.expire(ctx, e))
	})
}

// pollAll reads what Get shows of the other nodes, as of now.
func (s *Store) pollAll(ctx context.Context, e *export.Export) error {
	if err := s.Cluster.Poll(ctx, e); err != nil {
		return err
	}
	return s.readOthers(ctx, e)
}

// readOthers is pollAll as of the last look at the heartbeats.
func (s *Store) readOthers(ctx context.Context, e *export.Export) error {
	users, err := s.Cluster.AllUsers(ctx, e)
	if err != nil {
		return err
	}
	newest := ""
	if snaps, err := snapshots(ctx, e.FS); err == nil && len(snaps) > 0 {
		newest = snaps[len(snaps)-1].name
	}
	s.polled.set(users, newest)
	attr, err := e.FS.Stat(ctx, export.MetaDir)
	if err != nil {
		return export.Absent(err)
	}
	s.index.forgetMeta(attr.Mtime)
	return nil
}

// expire hands what has expired in the export's time to the sweepers.
func (tr *Trash) expire(ctx context.Context, e *export.Export) error {
	now, ok := tr.s.conn.Time()
	if !ok {
		return nil
	}
	items, err := tr.list(ctx, e)
	if err != nil {
		return err
	}
	kept := []*Trashed{}
	var failed several.Errors
	for _, t := range items {
		if !t.expired(now) {
			kept = append(kept, t)
			continue
		}
		fault := tr.purgeExpired(ctx, e, t)
		if fault != nil {
			kept = append(kept, t)
		}
		failed.Add(tr.s.passOver(ctx, e, keptInTrash, t.ID, fault))
	}
	tr.s.polled.setTrash(kept)
	return failed.Err()
}

// sweepSoon wakes Run, so that what was purged goes now.
func (s *Store) sweepSoon() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

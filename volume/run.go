package volume

import (
	"context"
	"errors"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/tree"
)

// polled is what the last tick read of others, so that Get can show it from
// memory.
type polled struct {
	mu     sync.Mutex // guards the fields
	users  map[string][]User
	newest string
	trash  []*Trashed
}

func (p *polled) set(users []User, newest string) {
	byName := map[string][]User{}
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

func (p *polled) usersOf(name string) []User {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]User{}, p.users[name]...)
}

func (p *polled) newestSnapshot() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.newest
}

// TrashSeen is the trash as of the last round of upkeep, from memory. The items
// are not to be changed.
func (s *Store) TrashSeen() []*Trashed {
	s.polled.mu.Lock()
	defer s.polled.mu.Unlock()
	return s.polled.trash
}

// tickTimeout bounds one round of upkeep.
const tickTimeout = 20 * time.Second

// Run keeps the Store alive until ctx ends: it connects, beats every third of
// the lease TTL, watches the other nodes, finishes what dead ones began, saves
// what could not be saved, empties the trash. Then it says goodbye: with
// containers still running, "unattended".
func (s *Store) Run(ctx context.Context) {
	for {
		err := guard.Run(func() error { return s.tick(ctx) })
		s.Caught("upkeep", err)
		wait := s.cfg.LeaseTTL / 3
		if err != nil || !s.named() {
			wait = min(wait, 2*time.Second)
		}
		s.noteHealth(err)
		select {
		case <-time.After(wait):
		case <-s.wake:
		case <-ctx.Done():
			s.goodbye()
			return
		}
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

func (s *Store) tick(ctx context.Context) error {
	run := ctx
	ctx, cancel := context.WithTimeout(ctx, tickTimeout)
	defer cancel()
	seen := false
	err := s.with(ctx, "keep in touch", func(e *export.Export) error {
		if err := s.beat(ctx, e, NodeUp); err != nil {
			return err
		}
		if s.named() {
			if err := s.dropOldLeases(ctx, e); err != nil {
				return err
			}
		}
		if err := s.pollAll(ctx, e); err != nil {
			return err
		}
		seen = true
		if err := s.noteFenced(ctx, e); err != nil {
			return err
		}
		if err := s.refresh(ctx, e); err != nil {
			return err
		}
		s.flushLeases(ctx, e)
		go s.guarded(run, "sweep", func(ctx context.Context) { s.sweep(ctx, e) })
		return errors.Join(s.finishDead(ctx, e), s.expireTrash(ctx, e))
	})
	if !seen {
		s.pollLost() // what others did meanwhile is not known
	}
	return err
}

// pollAll reads what Get shows of the other nodes.
func (s *Store) pollAll(ctx context.Context, e *export.Export) error {
	if err := s.poll(ctx, e); err != nil {
		return err
	}
	users, err := s.readUsers(ctx, e)
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

// flushLeases writes leases that changed while the export was away.
func (s *Store) flushLeases(ctx context.Context, e *export.Export) {
	for _, name := range s.leases.names() {
		if l, ok := s.leases.copy(name); !ok || !l.unsaved {
			continue
		}
		release, err := s.names.hold(ctx, name)
		if err != nil {
			return
		}
		s.flushLease(ctx, e, name)
		release()
	}
}

// finishDead finishes the operations of nodes that died.
func (s *Store) finishDead(ctx context.Context, e *export.Export) error {
	locks, err := s.locks(ctx, e)
	for _, l := range locks {
		if s.abandoned(l) {
			err = errors.Join(err, guard.Run(func() error { return s.finish(ctx, e, l) }))
		}
	}
	return err
}

// expireTrash hands what has expired in the export's time to the sweepers.
func (s *Store) expireTrash(ctx context.Context, e *export.Export) error {
	now, ok := s.conn.Time()
	if !ok {
		return nil
	}
	items, err := s.trashed(ctx, e)
	if err != nil {
		return err
	}
	var kept []*Trashed
	for _, t := range items {
		if !t.expired(now) {
			kept = append(kept, t)
			continue
		}
		fault := s.purgeExpired(ctx, e, t)
		if fault != nil {
			kept = append(kept, t)
		}
		err = errors.Join(err, s.passOver(keptInTrash, t.ID, fault))
	}
	s.polled.setTrash(kept)
	return err
}

// sweepSoon wakes Run, so that what was purged goes now.
func (s *Store) sweepSoon() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// stuck is the event of a tree that a sweep cannot delete.
const stuck = "a tree cannot be deleted; it is tried again"

// sweep deletes what was handed to it in staging, one sweep at a time. It may
// be cut short anywhere and by anything; the next one, on any node, goes on.
// What cannot be deleted keeps nothing else.
func (s *Store) sweep(ctx context.Context, e *export.Export) {
	if !s.sweeping.TryLock() {
		return
	}
	defer s.sweeping.Unlock()
	names, err := export.Pick(ctx, e.FS, export.StagingDir, func(d tree.Entry) (string, bool) {
		return d.Name, strings.HasPrefix(d.Name, export.PurgePrefix) || strings.HasPrefix(d.Name, export.TmpPrefix)
	})
	for _, n := range names {
		name := path.Join(export.StagingDir, n)
		if strings.HasPrefix(n, export.TmpPrefix) {
			s.sweepTemporary(ctx, e, name)
			continue
		}
		if err = s.passOver(stuck, name, tree.Delete(ctx, e.FS, name, nil)); err != nil {
			break
		}
	}
	if err != nil && ctx.Err() == nil {
		s.cfg.Report("purging goes on later", map[string]any{"err": err})
	}
}

// sweepTemporary removes a private file or directory that its maker has
// forgotten.
func (s *Store) sweepTemporary(ctx context.Context, e *export.Export, name string) {
	attr, err := e.FS.Stat(ctx, name)
	now, ok := s.conn.Time()
	if err != nil || !ok || now.Sub(attr.Mtime) <= time.Hour {
		return
	}
	if attr.Kind == tree.Directory {
		_ = s.Discard(ctx, e.FS, name)
		return
	}
	_ = e.FS.Remove(ctx, name)
}

// goodbye is the last heartbeat.
func (s *Store) goodbye() {
	e := s.conn.Current()
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	s.flushLeases(ctx, e)
	state := NodeStopped
	if len(s.leases.names()) > 0 { // in use, or not given back
		state = NodeUnattended
	}
	if err := s.beat(ctx, e, state); err != nil {
		s.cfg.Report("the last heartbeat was not written", map[string]any{"err": err})
	}
}

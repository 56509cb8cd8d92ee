package nfs

import (
	"context"
	"slices"
	"sync"
)

// slots limits the calls in flight to window per link, and serves callers in
// the order in which they came. It prefers links that work, the least busy
// first; it uses a broken link only if no link works.
type slots struct {
	window int

	mu      sync.Mutex // guards the fields below; never held across I/O
	busy    []int      // calls in flight, by link
	down    []bool     // the link could not connect, or lost calls
	waiting []chan int // callers without a slot; each receives one link
}

func newSlots(links, window int) *slots {
	return &slots{window: window, busy: make([]int, links), down: make([]bool, links)}
}

type urgentKey struct{}

// Urgent returns a context whose calls wait for no other call: they are few, and
// others depend on their being in time. They are sent beyond Config.InFlight.
func Urgent(ctx context.Context) context.Context { return context.WithValue(ctx, urgentKey{}, true) }

// IsUrgent tells whether ctx comes from Urgent.
func IsUrgent(ctx context.Context) bool { return ctx.Value(urgentKey{}) != nil }

// acquire waits for a slot and returns its link.
func (s *slots) acquire(ctx context.Context) (int, error) {
	s.mu.Lock()
	if IsUrgent(ctx) {
		defer s.mu.Unlock()
		i := s.best()
		s.busy[i]++
		return i, nil
	}
	if len(s.waiting) == 0 {
		if i := s.pick(); i >= 0 {
			s.busy[i]++
			s.mu.Unlock()
			return i, nil
		}
	}
	ch := make(chan int, 1)
	s.waiting = append(s.waiting, ch)
	s.mu.Unlock()
	select {
	case i := <-ch:
		return i, nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	if at := slices.Index(s.waiting, ch); at >= 0 {
		s.waiting = slices.Delete(s.waiting, at, at+1)
	} else {
		s.busy[<-ch]-- // it was granted meanwhile
		s.dispatch()
	}
	s.mu.Unlock()
	return 0, ctx.Err()
}

// release gives a slot back.
func (s *slots) release(i int) {
	s.mu.Lock()
	s.busy[i]--
	if len(s.waiting) > 0 {
		s.dispatch()
	}
	s.mu.Unlock()
}

// setDown says whether a link works.
func (s *slots) setDown(i int, down bool) {
	s.mu.Lock()
	s.down[i] = down
	s.dispatch()
	s.mu.Unlock()
}

// dispatch serves waiting callers; s.mu is held.
func (s *slots) dispatch() {
	for len(s.waiting) > 0 {
		i := s.pick()
		if i < 0 {
			return
		}
		s.busy[i]++
		s.waiting[0] <- i
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
	}
}

// pick returns the link for the next call, -1 if it has to wait; s.mu is held.
func (s *slots) pick() int {
	if i := s.best(); s.busy[i] < s.window {
		return i
	}
	return -1
}

// best returns the least busy link of those that work; s.mu is held.
func (s *slots) best() int {
	best, up := -1, false
	for i, busy := range s.busy {
		better := best < 0 || busy < s.busy[best]
		if !s.down[i] && !up {
			up, better = true, true
		}
		if s.down[i] && up {
			continue
		}
		if better {
			best = i
		}
	}
	return best
}

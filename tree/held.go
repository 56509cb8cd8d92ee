package tree

import (
	"context"
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrHeld says that somebody keeps a file from being read: by a lease on it, or by a
// filesystem that does not answer for this one name. All others can be read, so an
// operation on a tree passes over the file and names it.
var ErrHeld = errors.New("held by a program, and cannot be read")

// How long others may keep one name from being read, and all names of one operation.
const (
	// fileWait is for a call that is not answered, while the root answers. It is more
	// than a disk needs to start.
	fileWait = 20 * time.Second
	// leaseWait is for a lease. An honest program gives it back within milliseconds;
	// the system takes it away after 45 s.
	leaseWait = time.Second
	// treeWait is for one operation: a program can hold a million files. Then the
	// operation waits for no lease, and for each call hurriedWait.
	treeWait    = time.Minute
	hurriedWait = time.Second
)

// maxCalls is how many calls may run, those included that were given up. Each has a
// thread.
const maxCalls = 512

// patience is how much longer one operation waits for names that are held; nil waits for
// each name as long as for the first.
type patience struct{ left atomic.Int64 }

func newPatience() *patience {
	p := &patience{}
	p.left.Store(int64(treeWait))
	return p
}

func (p *patience) ended() bool { return p != nil && p.left.Load() <= 0 }

func (p *patience) take(d time.Duration) {
	if p != nil {
		p.left.Add(-int64(d))
	}
}

// ask is call for what only reads. It returns ErrHeld if the call is not answered within
// fileWait although the root is. If the root is not answered, the server is away, and
// ask waits for it.
func ask[T any](ctx context.Context, l *Local, op, name string, f func() (T, error), drop func(T)) (T, error) {
	held := &fs.PathError{Op: op, Path: name, Err: ErrHeld}
	if l.stuck.has(name) {
		return *new(T), held
	}
	wait := l.wait
	if l.patience.ended() {
		wait = min(wait, hurriedWait)
	}
	c := &reading{name: name}
	own, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	watch := func() {
		for own.Err() == nil {
			began := time.Now()
			var st unix.Statx_t
			err := unix.Statx(l.fd, "", unix.AT_EMPTY_PATH|unix.AT_STATX_FORCE_SYNC, statMask, &st)
			if err == nil && time.Since(began) < wait {
				if l.stuck.give(c) {
					stop(ErrHeld)
				}
				return
			}
			select {
			case <-time.After(wait):
			case <-own.Done():
			}
		}
	}
	v, err := run(own, l, op, name, func() (T, error) {
		defer l.stuck.end(c)
		defer time.AfterFunc(wait, watch).Stop() // the wait for a slot does not count
		return f()
	}, drop, true)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(own), ErrHeld) {
		l.patience.take(wait)
		return v, held
	}
	return v, err
}

// stuck has the names whose call was given up and still runs. Nobody waits for them
// again. The zero value is ready.
type stuck struct {
	mu    sync.Mutex // guards names and each reading
	names map[string]int
}

// reading is a call that reads.
type reading struct {
	name         string
	ended, given bool
}

func (s *stuck) has(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[name] > 0
}

// give gives a call up. It returns false if the call has ended.
func (s *stuck) give(c *reading) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ended {
		return false
	}
	if s.names == nil {
		s.names = map[string]int{}
	}
	c.given = true
	s.names[c.name]++
	return true
}

func (s *stuck) end(c *reading) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.ended = true; !c.given {
		return
	}
	if s.names[c.name]--; s.names[c.name] == 0 {
		delete(s.names, c.name)
	}
}

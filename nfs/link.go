package nfs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// Between two attempts to connect.
const (
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
)

// link keeps one connection: it connects when a call needs it, and after a loss
// again as long as calls wait, with growing pauses.
type link struct {
	dial         func(context.Context) (net.Conn, error)
	limit        int           // of a reply's record, bytes
	replyTimeout time.Duration // silence after which calls are sent again
	patience     time.Duration // with a call that is not answered while others are
	once         bool          // the first failure is final
	down         func(bool)    // is told whether the link works
	probe        func() *call  // a call that every server answers
	seed         net.Conn      // the first connection, if it is made already

	mu      sync.Mutex    // guards the fields below; never held across I/O
	conn    *conn         // nil while not connected
	wanted  bool          // somebody waits for a connection, or lost one
	closed  bool          // no more connections
	lastErr error         // why there is no connection, or was none
	changed chan struct{} // closed and replaced with each change of the above
}

func newLink(dial func(context.Context) (net.Conn, error), limit int, replyTimeout, patience time.Duration, down func(bool)) *link {
	return &link{dial: dial, limit: limit, replyTimeout: replyTimeout, patience: patience, down: down, changed: make(chan struct{})}
}

// change applies fn and tells those who wait.
func (l *link) change(fn func()) {
	l.mu.Lock()
	fn()
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
}

// connected waits for a connection.
func (l *link) connected(ctx context.Context) (*conn, error) {
	l.mu.Lock()
	for {
		switch {
		case l.closed:
			l.mu.Unlock()
			return nil, ErrClosed
		case l.conn != nil:
			c := l.conn
			l.mu.Unlock()
			return c, nil
		case l.once && l.lastErr != nil:
			err := l.lastErr
			l.mu.Unlock()
			return nil, err
		}
		if !l.wanted {
			l.wanted = true
			close(l.changed)
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, l.explain(ctx.Err())
		}
		l.mu.Lock()
	}
}

// explain adds to a context's error why the link has no connection.
func (l *link) explain(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lastErr == nil {
		return err
	}
	return fmt.Errorf("%w; the server was away: %v", err, l.lastErr)
}

// run keeps the link connected while it is wanted, until close; ctx ends with
// it.
func (l *link) run(ctx context.Context) {
	var backoff time.Duration
	for {
		nc, err := l.seed, error(nil)
		if l.seed = nil; nc == nil {
			if !l.awaitWanted(ctx) || !sleep(ctx, backoff) {
				return
			}
			nc, err = l.dial(ctx)
		}
		if err != nil {
			l.change(func() { l.lastErr = err })
			l.down(true)
			if l.once {
				return
			}
			backoff = grown(backoff)
			continue
		}
		c := newConn(nc, l.limit, l.replyTimeout, l.patience, l.probe)
		l.change(func() {
			l.conn, l.wanted, l.lastErr = c, false, nil
			if l.closed {
				nc.Close()
			}
		})
		l.down(false)
		lost, err := c.serve()
		l.change(func() { l.conn, l.lastErr, l.wanted = nil, err, lost > 0 })
		if lost > 0 {
			l.down(true)
		}
		if l.once {
			return
		}
		// This connection brought an answer, so the next one is made at once.
		if c.whole.Load() && !errors.Is(err, ErrBadReply) {
			backoff = 0
		} else {
			backoff = grown(backoff)
		}
	}
}

// close ends the link's connection and all waiting for one.
func (l *link) close() {
	l.change(func() {
		l.closed = true
		if l.conn != nil {
			l.conn.nc.Close() // ends the connection's goroutines
		}
	})
}

// awaitWanted waits until a call wants a connection; false if ctx ended.
func (l *link) awaitWanted(ctx context.Context) bool {
	for {
		l.mu.Lock()
		wanted, closed, changed := l.wanted, l.closed, l.changed
		l.mu.Unlock()
		switch {
		case closed:
			return false
		case wanted:
			return true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}

// grown doubles a pause, between minBackoff and maxBackoff. A quarter of it is
// random, so that many clients do not come back at the same instant.
func grown(d time.Duration) time.Duration {
	d = min(max(2*d, minBackoff), maxBackoff)
	return d - time.Duration(rand.Int64N(int64(d)/4))
}

// sleep waits; false if ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

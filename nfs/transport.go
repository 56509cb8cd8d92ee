package nfs

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// transport carries the calls of one program to one server (RFC 5531) over a
// few connections.
type transport struct {
	calls
	links []*link
	slots *slots
	stats *Stats // nil: nobody counts
	xid   atomic.Uint32

	cancel context.CancelFunc // ends the links
	done   sync.WaitGroup     // the links' goroutines
}

// transportConfig says how a transport reaches its program.
type transportConfig struct {
	prog, vers   uint32
	cred         *Credentials
	dial         func(ctx context.Context, link int) (net.Conn, error)
	links        int
	window       int           // calls in flight per link
	limit        int           // bytes of a reply's record
	replyTimeout time.Duration // silence after which a call is sent again
	patience     time.Duration // with a call that is not answered while others are
	once         bool          // do not connect again
	seed         net.Conn      // the first link's first connection, if there is one
	stats        *Stats        // nil: nobody counts
}

func newTransport(cfg transportConfig) *transport {
	ctx, cancel := context.WithCancel(context.Background())
	t := &transport{slots: newSlots(cfg.links, cfg.window), stats: cfg.stats, cancel: cancel}
	t.header = callHeader(cfg.prog, cfg.vers, cfg.cred, rand.Uint32())
	t.xid.Store(rand.Uint32())
	for i := range cfg.links {
		l := newLink(func(ctx context.Context) (net.Conn, error) { return cfg.dial(ctx, i) },
			cfg.limit, cfg.replyTimeout, cfg.patience, func(down bool) { t.slots.setDown(i, down) })
		l.once = cfg.once
		l.probe = func() *call {
			k := t.begin(procNull)
			k.renew(t.xid.Add(1))
			return k
		}
		if i == 0 {
			l.seed = cfg.seed
		}
		t.links = append(t.links, l)
		t.done.Go(func() { l.run(ctx) })
	}
	return t
}

// close ends all calls with ErrClosed and returns when no goroutine is left.
func (t *transport) close() {
	t.cancel()
	for _, l := range t.links {
		l.close()
	}
	t.done.Wait()
}

// roundTrip sends a call under a new xid and waits for the reply, across as
// many connections as it takes and the context allows.
func (t *transport) roundTrip(ctx context.Context, k *call) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	i, err := t.slots.acquire(ctx)
	if err != nil {
		return err
	}
	defer t.slots.release(i)
	k.renew(t.xid.Add(1))
	began := t.stats.begin()
	defer t.stats.end(k, began)
	l := t.links[i]
	for {
		c, err := l.connected(ctx)
		if err != nil {
			return err
		}
		if !c.send(ctx, k) {
			if err := ctx.Err(); err != nil {
				return l.explain(err)
			}
			// The link is about to notice that this connection is gone.
			if err := l.past(ctx, c); err != nil {
				return err
			}
			continue
		}
		select {
		case <-k.done:
		case <-ctx.Done():
			if c.forget(k) {
				return ctx.Err()
			}
			select {
			case <-k.done:
			default: // the reader is in the middle of it
				k.leaked = true
				return ctx.Err()
			}
		}
		if !errors.Is(k.err, errLost) {
			return k.err
		}
	}
}

// past waits until the link no longer offers the connection c.
func (l *link) past(ctx context.Context, c *conn) error {
	for {
		l.mu.Lock()
		current, changed := l.conn, l.changed
		l.mu.Unlock()
		if current != c {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

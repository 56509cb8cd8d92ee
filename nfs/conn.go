package nfs

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readBuffer is how much one read takes from the socket: many replies.
	readBuffer = 128 << 10
	// maxQueued is how many bytes wait for the writer before senders wait.
	maxQueued = 256 << 10
	// staleTicks is the age in ticks at which an unanswered call is sent
	// again; a tick is ReplyTimeout / (staleTicks - 1).
	staleTicks = 5
	// minSpeed is how many bytes of a reply come in a second at least, behind
	// ReplyTimeout: a slower server is one that trickles.
	minSpeed = 64 << 10
	// maxStrays is how many replies in a row may be to no call that waits:
	// duplicates, and replies to calls that were given up.
	maxStrays = 1024
	// maxCuts is how often a call is sent again after the server broke the rules,
	// or its reply broke off.
	maxCuts = 5
)

// errLost is the error of calls that a connection could not finish: the server
// may or may not have carried them out, and they go out again on the next
// connection.
var errLost = errors.New("connection lost")

// conn is one TCP connection: a goroutine that writes what calls have queued,
// as much as there is with each write, and one that reads replies and hands
// them to their calls by xid.
type conn struct {
	nc      net.Conn
	limit   int           // bytes of a reply's record
	tick    time.Duration // between two looks at unanswered calls
	resends int           // of a call while the server answers others
	probe   func() *call  // a call that every server answers
	kick    chan struct{} // the writer has something to do
	stop    chan struct{} // closed when the reader has ended
	replies atomic.Int64  // records that came, or began to
	whole   atomic.Bool   // a call got its reply

	mu      sync.Mutex       // guards the fields below; never held across I/O
	pending map[uint32]*call // sent and unanswered, by xid
	out     queue
	space   chan struct{} // closed when out was taken; nil if nobody waits
	ticks   int           // ticks seen
	err     error         // why the connection is of no more use
}

func newConn(nc net.Conn, limit int, replyTimeout, patience time.Duration, probe func() *call) *conn {
	return &conn{
		nc:      nc,
		limit:   limit,
		tick:    replyTimeout / (staleTicks - 1),
		resends: int(patience / replyTimeout),
		probe:   probe,
		kick:    make(chan struct{}, 1),
		stop:    make(chan struct{}),
		pending: make(map[uint32]*call),
	}
}

// send registers a call and queues its record. False means that the connection
// has ended, or that the context ended before there was room.
func (c *conn) send(ctx context.Context, k *call) bool {
	c.mu.Lock()
	for c.err == nil && c.out.size > 0 && c.out.size+k.size() > maxQueued {
		if c.space == nil {
			c.space = make(chan struct{})
		}
		space := c.space
		c.mu.Unlock()
		select {
		case <-space:
		case <-ctx.Done():
			return false
		}
		c.mu.Lock()
	}
	if c.err != nil {
		c.mu.Unlock()
		return false
	}
	c.pending[k.xid] = k
	c.queue(k)
	c.mu.Unlock()
	c.wake()
	return true
}

// queue appends a call's record to what is to be written; c.mu is held.
func (c *conn) queue(k *call) {
	if k.sent++; k.sent > 1 {
		k.replayed = true
	}
	k.tick = c.ticks
	c.out.add(k)
}

func (c *conn) wake() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// forget takes a call back from the connection. False means that the reader is
// filling it or has finished it: done receives, or will.
func (c *conn) forget(k *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.pending[k.xid] != k {
		return false
	}
	delete(c.pending, k.xid)
	return true
}

// claim takes the call with the given xid for the reader; nil for an answer
// that nobody waits for: a duplicate, or the answer to a call that was given
// up.
func (c *conn) claim(xid uint32) *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := c.pending[xid]
	delete(c.pending, xid)
	return k
}

// fail ends the connection's use, once; its calls learn that it was lost.
// It returns how many there were.
func (c *conn) fail(err error) int {
	c.nc.Close()
	if errors.Is(err, io.EOF) {
		err = errors.New("the server closed the connection")
	}
	err = c.because(err)
	c.mu.Lock()
	lost := c.pending
	c.pending = nil
	if c.space != nil {
		close(c.space)
		c.space = nil
	}
	c.mu.Unlock()
	for _, k := range lost {
		k.lose(err, errors.Is(err, ErrBadReply))
		k.done <- struct{}{}
	}
	return len(lost)
}

// because notes why the connection is of no more use, and returns it: the first
// reason, of which err may be a consequence.
func (c *conn) because(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	return c.err
}

// serve runs the connection until it breaks or is closed. It returns why, and
// how many calls were unanswered, when all goroutines of the connection have
// ended.
func (c *conn) serve() (lost int, err error) {
	var writer sync.WaitGroup
	writer.Go(c.write)
	err = c.read()
	lost = c.fail(err)
	close(c.stop)
	writer.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return lost, c.err
}

// write sends what is queued, all of it with one write, and looks after calls
// that are not answered.
func (c *conn) write() {
	ticker := time.NewTicker(c.tick)
	defer ticker.Stop()
	var out queue
	var quiet int   // ticks without a reply
	var heard int64 // replies at the last tick
	for {
		select {
		case <-c.stop:
			return
		case <-ticker.C:
			quiet++
			if n := c.replies.Load(); n != heard {
				heard, quiet = n, 0
			}
			if !c.review(quiet) {
				return
			}
		case <-c.kick:
			// Let the other callers that can run queue their calls too: a
			// write costs more than all the rest of a call.
			runtime.Gosched()
		}
		c.mu.Lock()
		out, c.out = c.out, out
		if c.space != nil {
			close(c.space)
			c.space = nil
		}
		c.mu.Unlock()
		if out.size > 0 {
			// A peer that takes nothing for this long is gone.
			c.nc.SetWriteDeadline(time.Now().Add(staleTicks * c.tick))
			if err := out.writeTo(c.nc); err != nil {
				c.because(err)
				c.nc.Close() // ends the reader, which tells the calls
				return
			}
		}
		out.reset()
	}
}

// review looks for calls that are unanswered for too long. If the server sent
// nothing at all in that time, not even to a call that does nothing, it returns
// false: the connection is given up.
// Otherwise only these calls were lost, and review sends them again, under
// their xid, until that has been done too often.
func (c *conn) review(quiet int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ticks++
	if quiet == staleTicks-2 && len(c.pending) > 0 {
		k := c.probe()
		c.pending[k.xid] = k
		c.queue(k)
	}
	for _, k := range c.pending {
		if c.ticks-k.tick < staleTicks {
			continue
		}
		if quiet >= staleTicks-1 {
			c.err = errors.New("no answer from the server")
			c.nc.Close()
			return false
		}
		if k.ignored++; k.ignored > c.resends {
			delete(c.pending, k.xid)
			k.err = badReply("no answer to one call, sent %d times, while others are answered", k.sent)
			k.done <- struct{}{}
			continue
		}
		c.queue(k)
	}
	return true
}

// read hands replies to their calls until the connection breaks. If the peer
// breaks the rules of records, read fails the answered call, since a repetition
// would bring the same answer, and then the connection.
func (c *conn) read() error {
	r := recordReader{r: bufio.NewReaderSize(c.nc, readBuffer)}
	for strays := 0; ; {
		r.limit = c.limit
		xid, err := r.next()
		if err != nil {
			if errors.Is(err, ErrBadReply) {
				c.blame(xid, err)
			}
			return err
		}
		c.replies.Add(1)
		k := c.claim(xid)
		if k == nil {
			if strays++; strays > maxStrays {
				return badReply("%d answers in a row to calls that were not made", strays)
			}
			if err := c.inTime(&r, r.skip); err != nil {
				return err
			}
			continue
		}
		strays, r.limit = 0, k.limit
		if k.err = r.check(); k.err == nil {
			k.err = c.inTime(&r, func() (err error) {
				k.reply, err = r.rest(k.room(r.left))
				return err
			})
		}
		if err = k.err; err == nil {
			c.whole.Store(true)
		} else if !errors.Is(err, ErrBadReply) {
			k.lose(c.because(err), true)
		}
		k.done <- struct{}{}
		if err != nil {
			return err
		}
	}
}

// inTime reads the rest of a record, and gives it so much time as a slow line
// needs.
func (c *conn) inTime(r *recordReader, read func() error) error {
	late := r.left > r.r.Buffered() || !r.last
	if late {
		c.nc.SetReadDeadline(time.Now().Add(staleTicks*c.tick + time.Duration(r.limit)*time.Second/minSpeed))
	}
	err := read()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("the server sends its answer too slowly")
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case late:
		c.nc.SetReadDeadline(time.Time{})
	}
	return err
}

// blame fails a call for a record that could not be read: the call with this
// xid, or the only call in flight.
func (c *conn) blame(xid uint32, err error) {
	c.mu.Lock()
	k := c.pending[xid]
	if k == nil && len(c.pending) == 1 {
		for _, k = range c.pending {
		}
	}
	if k != nil {
		delete(c.pending, k.xid)
	}
	c.mu.Unlock()
	if k != nil {
		k.err = err
		k.done <- struct{}{}
	}
}

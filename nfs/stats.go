package nfs

import (
	"encoding/binary"
	"sync/atomic"
	"time"
)

// Stats counts what Clients do. One may be shared by any number of them, one
// after the other or at the same time; the zero value is ready. Counting takes
// no lock. Only calls of NFS itself count, not those of MOUNT and portmap.
type Stats struct {
	inFlight  atomic.Int64
	resent    atomic.Int64
	jukebox   atomic.Int64
	connected atomic.Int64
	refused   atomic.Int64
	calls     [procCommit + 1]callStats
}

// callStats are those of one procedure.
type callStats struct {
	took    atomic.Int64 // nanoseconds
	buckets [len(statsBounds) + 1]atomic.Int64
}

// statsBounds are the upper bounds of the buckets that calls are sorted into.
var statsBounds = [...]time.Duration{
	250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond,
	500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second, 30 * time.Second,
}

// Counted is what a Stats has counted so far.
type Counted struct {
	InFlight int64 // calls that are under way now
	// Resent are requests that went out again for want of an answer, on the
	// same connection or the next; Jukebox are those to which the server said
	// "later" (RFC 1813 §4.5).
	Resent, Jukebox int64
	// Connected and Refused are attempts to connect, by how they ended.
	Connected, Refused int64
	// Calls are by procedure ("getattr"), only those that were made.
	Calls map[string]CountedCalls
}

// CountedCalls are the calls of one procedure, each measured from the moment
// that it gets its slot until the reply, or until it is given up.
type CountedCalls struct {
	Count   int64
	Took    time.Duration           // of all together
	Buckets map[time.Duration]int64 // how many took at most this long
}

// procedures are the names of RFC 1813 §3.3, by number.
var procedures = [procCommit + 1]string{
	"null", "getattr", "setattr", "lookup", "access", "readlink", "read", "write", "create", "mkdir", "symlink",
	"mknod", "remove", "rmdir", "rename", "link", "readdir", "readdirplus", "fsstat", "fsinfo", "pathconf", "commit",
}

// Counted returns what was counted so far.
func (s *Stats) Counted() Counted {
	out := Counted{
		InFlight: s.inFlight.Load(), Resent: s.resent.Load(), Jukebox: s.jukebox.Load(),
		Connected: s.connected.Load(), Refused: s.refused.Load(), Calls: map[string]CountedCalls{},
	}
	for proc := range s.calls {
		c := s.calls[proc].counted()
		if c.Count > 0 {
			out.Calls[procedures[proc]] = c
		}
	}
	return out
}

func (p *callStats) counted() CountedCalls {
	c := CountedCalls{Took: time.Duration(p.took.Load()), Buckets: map[time.Duration]int64{}}
	for i := range p.buckets {
		c.Count += p.buckets[i].Load()
		if i < len(statsBounds) {
			c.Buckets[statsBounds[i]] = c.Count
		}
	}
	return c
}

// clock is the zero of all times here: time.Since of it costs half as much as
// time.Now.
var clock = time.Now()

// begin counts a call that goes out, and returns when that was.
func (s *Stats) begin() time.Duration {
	if s == nil {
		return 0
	}
	s.inFlight.Add(1)
	return time.Since(clock)
}

// end counts the end of a call that has been given back by its connection.
func (s *Stats) end(k *call, began time.Duration) {
	if s == nil {
		return
	}
	took := time.Since(clock) - began
	s.inFlight.Add(-1)
	if k.sent > 1 {
		s.resent.Add(int64(k.sent - 1))
	}
	p := &s.calls[binary.BigEndian.Uint32(k.head[offsetProc:])]
	p.took.Add(int64(took))
	i := 0
	for i < len(statsBounds) && took > statsBounds[i] {
		i++
	}
	p.buckets[i].Add(1)
}

// dialled counts an attempt to connect.
func (s *Stats) dialled(err error) {
	switch {
	case s == nil:
	case err != nil:
		s.refused.Add(1)
	default:
		s.connected.Add(1)
	}
}

// later counts an answer of StatusJukebox.
func (s *Stats) later() {
	if s != nil {
		s.jukebox.Add(1)
	}
}

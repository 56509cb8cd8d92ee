package nfstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// maxLog bounds the record of calls.
const maxLog = 100_000

// Limits are what the server says of itself (RFC 1813 §3.3.19) and keeps to.
type Limits struct {
	RTMax, WTMax uint32 // bytes of a READ, a WRITE
	DTPref       uint32 // bytes of a READDIR
	PageEntries  int    // of one READDIR answer at most; 0 for as many as fit
}

// Server is an NFSv3 server with one export, "/export", in memory. Its methods
// may be called at any time, concurrently.
type Server struct {
	listener net.Listener
	done     sync.WaitGroup // all goroutines

	mu       sync.Mutex // guards the fields below, and the export's content
	export   *export
	limits   Limits
	verifier [8]byte // of writes; another one after each Restart
	strict   bool    // cookies of a directory that changed are bad
	noAttrs  bool    // READDIRPLUS leaves attributes and handles out
	deep     bool    // MNT takes directories below the export
	rules    []*rule
	hook     func(Call) Fault
	latency  time.Duration
	counts   [22]int
	log      []Call
	mounts   int
	conns    map[*conn]bool
	accepted int
	replies  map[string][]byte // the reply cache, by xid and caller; nil if off
	closed   bool
}

// Start makes a server with an empty export, listening on a free port of
// loopback.
func Start() (*Server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return Serve(l), nil
}

// Serve is Start on a listener, which the server closes.
func Serve(l net.Listener) *Server {
	s := &Server{
		listener: l,
		export:   newExport(1),
		limits:   Limits{RTMax: 1 << 20, WTMax: 1 << 20, DTPref: 32 << 10},
		conns:    make(map[*conn]bool),
		deep:     true,
	}
	binary.BigEndian.PutUint64(s.verifier[:], uint64(time.Now().UnixNano()))
	s.done.Go(s.accept)
	return s
}

// New is Start for a test, with which the server is closed.
func New(t testing.TB) *Server {
	t.Helper()
	s, err := Start()
	if err != nil {
		t.Fatalf("starting an NFS server: %v", err)
	}
	t.Cleanup(s.Close)
	return s
}

// Close cuts all connections and returns when no goroutine is left.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.listener.Close()
	s.Disconnect()
	s.done.Wait()
}

// Addr returns the address on which NFS, MOUNT and the portmapper answer.
func (s *Server) Addr() *net.TCPAddr { return s.listener.Addr().(*net.TCPAddr) }

// URL returns what nfs.ParseTarget takes for a directory of the export, "/" for
// its root.
func (s *Server) URL(dir string) string {
	u := url.URL{
		Scheme: "nfs",
		Host:   s.Addr().IP.String(),
		Path:   "/export" + dir,
	}
	if s.Addr().IP.To4() == nil {
		u.Host = "[" + u.Host + "]"
	}
	if dir == "/" {
		u.Path = "/export"
	}
	u.RawQuery = fmt.Sprintf("port=%d&mountport=%d", s.Addr().Port, s.Addr().Port)
	return u.String()
}

// Disconnect cuts all connections.
func (s *Server) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.nc.Close()
	}
}

// Drain returns when every connection has ended: what had come in over one
// that its client has closed is carried out by then.
func (s *Server) Drain() {
	for {
		s.mu.Lock()
		left := len(s.conns)
		s.mu.Unlock()
		if left == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Restart is a power failure: unstable writes and the reply cache are lost, the
// write verifier changes and all connections are cut. Handles stay valid.
func (s *Server) Restart() {
	s.Forget()
	s.Disconnect()
}

// Forget is a restart that no connection notices: unstable writes are lost and
// the write verifier changes.
func (s *Server) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.export.crash()
	binary.BigEndian.PutUint64(s.verifier[:], binary.BigEndian.Uint64(s.verifier[:])+1)
	if s.replies != nil {
		s.replies = make(map[string][]byte)
	}
}

// Recreate replaces the export by an empty one: all handles are stale.
func (s *Server) Recreate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := newExport(s.export.id + 1)
	next.next = s.export.next
	s.export = next
}

// SetLimits changes what the server says of itself and keeps to.
func (s *Server) SetLimits(l Limits) { s.set(func() { s.limits = l }) }

// SetRootSquash makes uid and gid 0 nobody's.
func (s *Server) SetRootSquash(on bool) { s.set(func() { s.export.squash = on }) }

// SetReadOnly refuses all changes.
func (s *Server) SetReadOnly(on bool) { s.set(func() { s.export.readOnly = on }) }

// SetSpace bounds the bytes that all files take; 0 for plenty.
func (s *Server) SetSpace(bytes int64) { s.set(func() { s.export.space = bytes }) }

// SetStrictCookies makes cookies of a directory bad once it has changed.
func (s *Server) SetStrictCookies(on bool) { s.set(func() { s.strict = on }) }

// SetBare makes READDIRPLUS leave attributes and handles out.
func (s *Server) SetBare(on bool) { s.set(func() { s.noAttrs = on }) }

// SetDeepMounts says whether MNT takes directories below the export, as it
// does in the beginning.
func (s *Server) SetDeepMounts(on bool) { s.set(func() { s.deep = on }) }

// SetLatency delays each answer of NFS.
func (s *Server) SetLatency(d time.Duration) { s.set(func() { s.latency = d }) }

// SetReplyCache makes the server answer a repeated request as it did the first
// time, without carrying it out again, as real ones mostly do.
func (s *Server) SetReplyCache(on bool) {
	s.set(func() {
		if s.replies = nil; on {
			s.replies = make(map[string][]byte)
		}
	})
}

func (s *Server) set(fn func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fn()
}

// Mounts returns how many calls of MNT came in.
func (s *Server) Mounts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mounts
}

// Connections returns how many connections have been accepted.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(time.Millisecond) // out of descriptors, perhaps
			continue
		}
		s.mu.Lock()
		s.accepted++
		c := &conn{server: s, nc: nc, number: s.accepted}
		s.conns[c] = true
		if s.closed {
			nc.Close()
		}
		s.mu.Unlock()
		s.done.Go(func() {
			c.serve()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

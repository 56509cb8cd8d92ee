package nfstest

import "time"

// Proc is a procedure of NFS (RFC 1813 §3.3).
type Proc uint32

// The procedures, and Any for all of NFS.
const (
	Null Proc = iota
	Getattr
	Setattr
	Lookup
	Access
	Readlink
	Read
	Write
	Create
	Mkdir
	Symlink
	Mknod
	Remove
	Rmdir
	Rename
	Link
	Readdir
	Readdirplus
	Fsstat
	Fsinfo
	Pathconf
	Commit
	Any Proc = 1 << 31
)

// Call is a call of NFS that has come in.
type Call struct {
	Proc Proc
	XID  uint32
	Conn int // number of the connection, from 1
	Port int // the connection's source port
	UID  uint32
	GID  uint32
	GIDs []uint32
}

// Fault is how a call goes wrong. The zero Fault is none. A call is carried out
// unless Lose or Status says otherwise, and answered unless Lose, Drop or Close
// does.
type Fault struct {
	Status     uint32        // not carried out, answered with this status
	Lose       bool          // not carried out, not answered
	Drop       bool          // carried out, not answered
	Close      bool          // the connection is cut instead of an answer
	Delay      time.Duration // before the answer
	Duplicates int           // more copies of the answer
	Late       bool          // answered only behind the connection's next answer
	Fragments  int           // the answer comes in so many fragments
	Truncate   bool          // half of the answer's record, then the connection is cut
	Short      bool          // a whole record, but with half of the answer
	Oversize   uint32        // the record is announced to be so long
	AcceptStat uint32        // not carried out, answered with this accept_stat (RFC 5531 §9)
	AuthStat   uint32        // not carried out, denied with this auth_stat
	WrongXID   int           // so many answers to calls that nobody made, instead of the answer
	Trickle    time.Duration // before each byte of the answer
}

// rule applies a fault to the next n calls of a procedure.
type rule struct {
	proc  Proc
	n     int
	fault Fault
}

// On makes the next n calls of a procedure fail, n < 0 all that come. Rules for
// one procedure are used up in the order of On.
func (s *Server) On(p Proc, n int, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules = append(s.rules, &rule{p, n, f})
}

// Hook is asked for a fault for each call that no rule covers; nil for none.
// It is called by many goroutines and must not call the Server.
func (s *Server) Hook(fn func(Call) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hook = fn
}

// Reset forgets all rules and the hook.
func (s *Server) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.hook = nil, nil
}

// fault chooses what happens to a call and takes note of it.
func (s *Server) fault(c Call) Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(c.Proc) < len(s.counts) {
		s.counts[c.Proc]++
	}
	if len(s.log) < maxLog {
		s.log = append(s.log, c)
	}
	for i, r := range s.rules {
		if r.proc != c.Proc && r.proc != Any {
			continue
		}
		if r.n--; r.n == 0 {
			s.rules = append(s.rules[:i:i], s.rules[i+1:]...)
		}
		return r.fault
	}
	if s.hook != nil {
		return s.hook(c)
	}
	return Fault{}
}

// Calls returns how many calls of a procedure came in, Any for all.
func (s *Server) Calls(p Proc) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p != Any {
		return s.counts[p]
	}
	total := 0
	for _, n := range s.counts {
		total += n
	}
	return total
}

// Log returns the calls that came in, the first hundred thousand of them.
func (s *Server) Log() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.log...)
}

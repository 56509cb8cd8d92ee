package tree

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// Sums keep the content's sum of files by their state: id, size, mtime and ctime.
// Only the server sets a ctime, so a state that is old enough has one content for
// ever. A Sums may be used concurrently.
type Sums struct {
	mu    sync.Mutex // guards the fields below
	known map[state]sum
	old   []state // the keys of known, oldest first
	fresh bool    // there are sums that Marshal has not returned
}

// state is a hash of id, size, mtime and ctime of a file.
type state [16]byte

// sum is the sum of a content; see digest.
type sum [sha256.Size]byte

// maxSums is how many sums are kept, the newest ones. Each takes 48 bytes.
const maxSums = 512 << 10

// sumsMagic begins the result of Marshal. Another kind of hash needs another magic.
const sumsMagic = "berth sums 2\n"

// stateOf hashes the state of a file.
func stateOf(a Attr) state {
	var b [6 * 8]byte
	for i, n := range []int64{int64(a.FileID), a.Size, a.Mtime.Unix(), int64(a.Mtime.Nanosecond()), a.Ctime.Unix(), int64(a.Ctime.Nanosecond())} {
		binary.LittleEndian.PutUint64(b[8*i:], uint64(n))
	}
	h := sha256.Sum256(b[:])
	return state(h[:len(state{})])
}

func (s *Sums) get(a Attr) (v sum, ok bool) {
	if s == nil {
		return v, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok = s.known[stateOf(a)]
	return v, ok
}

func (s *Sums) put(a Attr, v sum) { s.remember(stateOf(a), v) }

func (s *Sums) remember(at state, v sum) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(at, v)
	s.fresh = true
}

// add keeps one sum more. The caller holds s.mu.
func (s *Sums) add(at state, v sum) {
	if s.known == nil {
		s.known = map[state]sum{}
	}
	if _, ok := s.known[at]; !ok {
		if s.old = append(s.old, at); len(s.old) > maxSums {
			delete(s.known, s.old[0])
			s.old = s.old[1:]
		}
	}
	s.known[at] = v
}

// Marshal returns all sums, oldest first; false if there is no new one since the
// last call.
func (s *Sums) Marshal() ([]byte, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.fresh {
		return nil, false
	}
	s.fresh = false
	var b bytes.Buffer
	b.WriteString(sumsMagic)
	for _, at := range s.old {
		v := s.known[at]
		b.Write(at[:])
		b.Write(v[:])
	}
	check := sha256.Sum256(b.Bytes())
	b.Write(check[:])
	return b.Bytes(), true
}

// Unmarshal adds the sums that Marshal returned. It returns false for other data.
func (s *Sums) Unmarshal(data []byte) bool {
	const entry = len(state{}) + len(sum{})
	body := len(data) - sha256.Size
	if body < len(sumsMagic) || string(data[:len(sumsMagic)]) != sumsMagic || (body-len(sumsMagic))%entry != 0 ||
		sha256.Sum256(data[:body]) != sum(data[body:]) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for rest := data[len(sumsMagic):body]; len(rest) > 0; rest = rest[entry:] {
		s.add(state(rest[:len(state{})]), sum(rest[len(state{}):entry]))
	}
	return true
}

// granule is how far apart two changes may be that a server gives the same time. The
// coarsest clocks of filesystems have whole seconds.
const granule = 2 * time.Second

// longBefore tells whether a ctime is so long before an instant that every change
// from then on gives the file another ctime.
func longBefore(ctime, at time.Time) bool { return ctime.Unix() > 0 && ctime.Before(at.Add(-granule)) }

// Proofs are what a copy has read: which content a state of a file in the source
// has, and a state of its copy. Callers Keep them only when the copy is complete,
// because a new file may change again in the same tick of the clock.
type Proofs struct {
	mu   sync.Mutex // guards some
	some []proof
}

// proof is what was read of one file.
type proof struct {
	states [2]state
	ctimes [2]time.Time
	sum    sum
}

func proofOf(from, to Attr, content sum) *proof {
	return &proof{[2]state{stateOf(from), stateOf(to)}, [2]time.Time{from.Ctime, to.Ctime}, content}
}

func (p *Proofs) add(one *proof) {
	if p == nil || one == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.some) < maxSums/2 {
		p.some = append(p.some, *one)
	}
}

// Keep adds to q.Sums what is proven for ever. The first side of q is the source,
// and q.Now is a time after the copy was complete.
func (p *Proofs) Keep(q Equality) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.some {
		for side, at := range one.states {
			if q.final(side, Attr{Ctime: one.ctimes[side]}) {
				q.Sums.remember(at, one.sum)
			}
		}
	}
	p.some = nil
}

package tree

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"sync"
	"time"
)

// Sums remember what the content of files was, by the file's state: its id,
// size, mtime and ctime. Nobody but the server sets a ctime, so a state that is
// over by now has one content for good. A Sums may be used concurrently.
type Sums struct {
	mu    sync.Mutex // guards the fields below
	known map[state]sum
	old   []state // of known, oldest first
	fresh bool    // there are some that Marshal has not returned
}

// state is a hash of what tells one state of a file from all others.
type state [16]byte

// sum is SHA-256 of a content.
type sum [sha256.Size]byte

// maxSums bounds what is kept: the newest ones are. In bytes it is 48 each.
const maxSums = 512 << 10

// sumsMagic begins what Marshal returns; a version that hashes otherwise has
// another one.
const sumsMagic = "berth sums 1\n"

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

// add keeps one more; s.mu is held.
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

// Marshal returns all of them, oldest first; false if there is nothing new since
// the last time.
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

// Unmarshal adds what Marshal returned. Anything else adds nothing, and is false.
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

// granule is how long a server may give one and the same time to two changes:
// the coarsest clocks of filesystems have whole seconds.
const granule = 2 * time.Second

// over tells whether a state with that ctime was over at an instant: whatever
// changes the file from then on gives it another ctime.
func longBefore(ctime, at time.Time) bool { return ctime.Unix() > 0 && ctime.Before(at.Add(-granule)) }

// Proofs are what a copy has read: which state of a file of the source, and
// which of its copy, have which content. They are worth nothing before the copy
// is where it belongs, since a file may change once more in the tick of the
// clock in which it was made.
type Proofs struct {
	mu   sync.Mutex // guards some
	some []proof
}

// proof is one file.
type proof struct {
	states [2]state
	ctimes [2]time.Time
	sum    sum
}

func proofOf(from, to Attr, content []byte) *proof {
	return &proof{[2]state{stateOf(from), stateOf(to)}, [2]time.Time{from.Ctime, to.Ctime}, sum(content)}
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

// Keep adds them to q.Sums, as far as they hold: the first side of q is the
// source, and q.Now is later than the copy was put in its place.
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

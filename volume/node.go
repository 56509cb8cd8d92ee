package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// NodeState is what a node says of itself in its heartbeat.
type NodeState string

// The states of a node.
const (
	NodeUp         NodeState = "up"
	NodeUnattended NodeState = "unattended" // berth was stopped, containers go on
	NodeStopped    NodeState = "stopped"    // berth was stopped, nothing was in use
)

// unattendedFor is how long an unattended node's leases hold.
const unattendedFor = 24 * time.Hour

// Heartbeat is .berth/nodes/NODE.json, rewritten by its node every third of
// the TTL. Leases refer to it, so 200 volumes in use cost one heartbeat.
type Heartbeat struct {
	Version     int       `json:"version"`
	Node        string    `json:"node"`
	Incarnation string    `json:"incarnation"` // drawn at every start
	Boot        string    `json:"boot"`
	Counter     uint64    `json:"counter"`
	TTLSeconds  float64   `json:"ttl_seconds"`
	State       NodeState `json:"state"`
	Berth       string    `json:"berth"`
	Mount       string    `json:"mount,omitempty"`
	Generation  int       `json:"generation,omitempty"` // of Mount
	Health      string    `json:"health"`
	Written     time.Time `json:"written"` // by the node's own clock; for people
	// Address is the node's as the server sees it; locks that it left there
	// are found by it.
	Address string `json:"address,omitempty"`
	// Doubled: another node beats under this name too, so the file says
	// nothing of either.
	Doubled bool `json:"doubled,omitempty"`
}

// peers is what this node has seen of every node's heartbeat, its own too.
type peers struct {
	mu       sync.Mutex // guards all below
	byName   map[string]*peer
	counter  uint64 // of our own heartbeat
	wrote    bool   // we have written one since the start
	foreign  *peer  // what stood under our name before our first, from another boot
	doubled  string // another incarnation under our name, seen last
	doubleAt time.Time
	polled   bool // there was a poll that was answered
	lost     bool // the last poll was not answered: silence restarts
}

type peer struct {
	beat   Heartbeat
	mtime  time.Time // of its file, in the export's time
	quiet  time.Time // on our monotonic clock: since when no change was seen
	absent bool      // no file
}

// same tells whether nothing was heard of a node between two looks at its file.
func (p *peer) same(is *peer) bool {
	return p.absent == is.absent && p.beat == is.beat && p.mtime.Equal(is.mtime)
}

// beat writes our heartbeat in the given state.
func (s *Store) beat(ctx context.Context, e *export.Export, state NodeState) error {
	name := export.NodePath(s.cfg.Node)
	var there Heartbeat
	err := export.Read(ctx, e.FS, name, &there)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !export.IsBroken(err) {
		return err
	}
	s.noteOwnFile(err == nil, there)
	if err == nil {
		if ours, err := s.ourName(ctx, e, there); err != nil || !ours {
			return err
		}
	}

	mount, generation := s.cfg.MountPath()
	address := s.cfg.Address()
	s.peers.mu.Lock()
	s.peers.counter++
	mine := Heartbeat{
		Version: export.FormatVersion, Node: s.cfg.Node, Incarnation: s.incarnation, Boot: s.cfg.Boot,
		Counter: s.peers.counter, TTLSeconds: s.cfg.LeaseTTL.Seconds(), State: state,
		Berth: s.cfg.Version, Mount: mount, Generation: generation, Health: s.healthLocked(), Written: s.cfg.Now().UTC(),
		Address: address, Doubled: s.peers.doubled != "",
	}
	s.peers.mu.Unlock()
	err = e.Replace(ctx, name, mine)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		// A full export must not look like a dead node: the file's time is
		// enough of a change, if it is ours.
		var again Heartbeat
		if readErr := export.Read(ctx, e.FS, name, &again); readErr == nil && again.Incarnation == s.incarnation {
			stamp, _ := s.conn.Time()
			err = e.FS.SetAttr(ctx, name, tree.SetAttr{Mtime: &stamp})
		}
	}
	if err != nil {
		return err
	}
	if _, err := e.SetClock(ctx, name); err != nil {
		return err
	}
	s.peers.mu.Lock()
	s.peers.wrote = true
	s.peers.mu.Unlock()
	return nil
}

// noteOwnFile looks at what stands under our name before we write: somebody
// else's incarnation after our own first write means that two nodes share it.
func (s *Store) noteOwnFile(ok bool, there Heartbeat) {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	if ok && s.peers.wrote && there.Incarnation != s.incarnation {
		if s.peers.doubled == "" {
			s.cfg.Report("another node uses the same name; set BERTH_NODE differently on one", map[string]any{"node": s.cfg.Node})
		}
		s.peers.doubled, s.peers.doubleAt = there.Incarnation, s.cfg.Now()
	}
	if s.peers.doubled != "" && s.cfg.Now().Sub(s.peers.doubleAt) > 2*s.cfg.LeaseTTL {
		s.peers.doubled = ""
	}
}

// ourName tells whether we may beat under our name, when there stands a
// heartbeat from another boot: either it is our own earlier one, or another
// machine has the same name. It is ours when it has been silent for longer than
// a living one ever is; until then nothing is written, so that a machine that
// is started with a name that is taken disturbs nobody.
func (s *Store) ourName(ctx context.Context, e *export.Export, there Heartbeat) (bool, error) {
	s.peers.mu.Lock()
	settled := s.peers.wrote || s.peers.doubled != ""
	s.peers.mu.Unlock()
	if settled || there.Boot == s.cfg.Boot || there.State == NodeStopped {
		return true, nil
	}
	attr, err := e.FS.Stat(ctx, export.NodePath(s.cfg.Node))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist), export.Absent(err)
	}
	now, err := e.AskTime(ctx)
	if err != nil {
		return false, err
	}
	patience := s.namePatience(there)
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	was := s.peers.foreign
	switch {
	case was == nil:
		s.peers.foreign = &peer{beat: there, quiet: s.cfg.Now()}
		return now.Sub(attr.Mtime) > patience, nil
	case was.beat != there:
		s.peers.doubled, s.peers.doubleAt = there.Incarnation, s.cfg.Now()
		s.cfg.Report("another node uses the same name; set BERTH_NODE differently on one", map[string]any{"node": s.cfg.Node})
		return true, nil
	}
	return s.cfg.Now().Sub(was.quiet) > patience || now.Sub(attr.Mtime) > patience, nil
}

// namePatience is how long a heartbeat under our name has to be silent before
// the name is ours: half as long again as a living node ever is.
func (s *Store) namePatience(there Heartbeat) time.Duration { return s.ttlIn(there) / 2 }

// checkIdentity refuses to hold a volume under a name that may be another
// node's.
func (s *Store) checkIdentity(ctx context.Context, e *export.Export) error {
	s.peers.mu.Lock()
	wrote := s.peers.wrote
	s.peers.mu.Unlock()
	if !wrote {
		if err := s.beat(ctx, e, NodeUp); err != nil {
			return err
		}
	}
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	switch {
	case s.peers.doubled != "":
		return problem.New(problem.InUse, "set BERTH_NODE to another name on one of them", "the volume is access=single, and two nodes call themselves %s", s.cfg.Node)
	case !s.peers.wrote:
		left := s.namePatience(s.peers.foreign.beat) - s.cfg.Now().Sub(s.peers.foreign.quiet)
		return problem.New(problem.InUse, fmt.Sprintf("it is known in %s; try again", max(left, time.Second).Round(time.Second)),
			"the volume is access=single, and a heartbeat of %s from another boot is too new to be sure that no other node has that name", s.cfg.Node)
	}
	return nil
}

// named tells whether our name is known to be ours alone.
func (s *Store) named() bool {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	return s.peers.wrote && s.peers.doubled == ""
}

// nameDoubled tells whether another node beats under our name.
func (s *Store) nameDoubled() bool {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	return s.peers.doubled != ""
}

func (s *Store) healthLocked() string {
	if s.peers.doubled != "" {
		return "another node uses the name " + s.cfg.Node
	}
	if without := s.cfg.Degraded(); without != "" {
		return "degraded: " + without
	}
	return "ok"
}

// poll reads every heartbeat. A poll that fails restarts everybody's silence:
// only time in which this node reached the export counts.
func (s *Store) poll(ctx context.Context, e *export.Export) error {
	seen, err := readHeartbeats(ctx, e.FS)
	now := s.cfg.Now()
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	if err != nil {
		s.peers.lost = true
		return err
	}
	for name, p := range s.peers.byName {
		if s.peers.lost {
			p.quiet = now
		}
		if _, ok := seen[name]; !ok {
			p.absent = true
		}
	}
	s.peers.polled, s.peers.lost = true, false
	for name, is := range seen {
		was := s.peers.byName[name]
		if was != nil && was.same(is) {
			continue
		}
		is.quiet = now
		s.peers.byName[name] = is
	}
	return nil
}

// pollLost says that the export did not answer.
func (s *Store) pollLost() {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	s.peers.lost = true
}

// Reached tells whether the export answered when the heartbeats were read last,
// from memory.
func (s *Store) Reached() bool {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	return s.peers.polled && !s.peers.lost
}

// readHeartbeats reads .berth/nodes. A file that is broken counts as a node
// that is there and says nothing new.
func readHeartbeats(ctx context.Context, fsys tree.FS) (map[string]*peer, error) {
	files, err := export.Pick(ctx, fsys, export.NodeDir, func(d tree.Entry) (string, bool) {
		name, ok := strings.CutSuffix(d.Name, ".json")
		return name, ok && d.Kind == tree.Regular
	})
	if err != nil {
		return nil, err
	}
	seen := map[string]*peer{}
	for _, node := range files {
		p := &peer{}
		err := export.Read(ctx, fsys, export.NodePath(node), &p.beat)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil && !export.IsBroken(err) {
			return nil, err
		}
		attr, err := fsys.Stat(ctx, export.NodePath(node))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.mtime = attr.Mtime
		seen[node] = p
	}
	return seen, nil
}

// Life is what this node can say of another node's leases.
type Life string

// The lives of a node's leases.
const (
	Live       Life = "live"
	Silent     Life = "silent"  // no heartbeat for a while, still holding
	Expired    Life = "expired" // silent for its whole TTL while we reached the export
	Unattended Life = "unattended"
	// Fenced is a use of a volume that was taken over from its node since: it
	// goes on in a tree that is in the trash.
	Fenced Life = "fenced"
)

// Holds tells whether leases of a node with this life must be respected.
func (l Life) Holds() bool { return l != Expired && l != Fenced }

// life judges a node as of the last poll. age is the time since its heartbeat
// in the export's time, never negative.
func (s *Store) life(node string) (l Life, age time.Duration) {
	now := s.cfg.Now()
	server, haveServer := s.conn.Time()
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	p := s.peers.byName[node]
	if p == nil {
		p = &peer{quiet: now, absent: true, beat: Heartbeat{TTLSeconds: s.cfg.LeaseTTL.Seconds()}}
		s.peers.byName[node] = p
	}
	if !p.mtime.IsZero() && haveServer {
		age = max(0, server.Sub(p.mtime))
	}
	if node == s.cfg.Node {
		return Live, age
	}
	ttl := s.ttlIn(p.beat)
	quiet := now.Sub(p.quiet)
	switch {
	case p.absent:
		if quiet > ttl && !s.peers.lost {
			return Expired, age
		}
		return Silent, age
	case p.beat.State == NodeUnattended:
		if haveServer && age > unattendedFor {
			return Expired, age
		}
		return Unattended, age
	case p.beat.State == NodeStopped:
		return Expired, age
	case quiet > ttl && !s.peers.lost:
		return Expired, age
	case age > ttl/2 || quiet > ttl/2:
		return Silent, age
	}
	return Live, age
}

// ttlIn is the lease TTL that a node beats with.
func (s *Store) ttlIn(h Heartbeat) time.Duration {
	if ttl := time.Duration(h.TTLSeconds * float64(time.Second)); ttl > 0 {
		return ttl
	}
	return s.cfg.LeaseTTL
}

// ttlOf is the lease TTL of a node as of the last poll.
func (s *Store) ttlOf(node string) time.Duration {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	if p := s.peers.byName[node]; p != nil {
		return s.ttlIn(p.beat)
	}
	return s.cfg.LeaseTTL
}

// Address is a node's as the server sees it, as of the last poll.
func (s *Store) Address(node string) string {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	if p := s.peers.byName[node]; p != nil {
		return p.beat.Address
	}
	return ""
}

// gone tells whether the process that called itself incarnation on node can
// no longer be at work: it was replaced, stopped, or is expired.
func (s *Store) gone(node, incarnation string) bool {
	if node == s.cfg.Node {
		return incarnation != s.incarnation && !s.nameDoubled()
	}
	l, _ := s.life(node)
	if !l.Holds() || l == Unattended {
		return true
	}
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	p := s.peers.byName[node]
	return !p.absent && p.beat.Incarnation != "" && p.beat.Incarnation != incarnation
}

// NodeInfo is one node as this one sees it.
type NodeInfo struct {
	Node    string    `json:"node"`
	State   Life      `json:"state"`
	Age     float64   `json:"heartbeat_age_seconds"`
	Version string    `json:"version"`
	Health  string    `json:"health"`
	Mount   string    `json:"mount,omitempty"`
	Beat    time.Time `json:"heartbeat"`
	Stopped bool      `json:"stopped,omitempty"` // it said goodbye and used nothing
	Doubled bool      `json:"doubled,omitempty"` // another node beats under its name too
}

// Nodes lists every node that ever beat on this export, as of the last poll.
func (s *Store) Nodes() []NodeInfo {
	s.peers.mu.Lock()
	names := slices.Sorted(maps.Keys(s.peers.byName))
	s.peers.mu.Unlock()
	var out []NodeInfo
	for _, n := range names {
		l, age := s.life(n)
		s.peers.mu.Lock()
		p := s.peers.byName[n]
		if !p.absent {
			out = append(out, NodeInfo{Node: n, State: l, Age: age.Seconds(), Version: p.beat.Berth,
				Health: p.beat.Health, Mount: p.beat.Mount, Beat: p.mtime.UTC(), Stopped: p.beat.State == NodeStopped,
				Doubled: p.beat.Doubled})
		}
		s.peers.mu.Unlock()
	}
	return out
}

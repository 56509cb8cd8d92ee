package cluster

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// watch measures the time between looks at something that may change. The zero
// value has not looked yet.
type watch struct{ end time.Time }

// silence is told of an answered poll from begin to end. It returns how much time
// certainly lies between it and the look before, at most most. What is
// unchanged in both was silent for so long.
func (w *watch) silence(begin, end time.Time, most time.Duration) time.Duration {
	between := time.Duration(0)
	if !w.end.IsZero() {
		between = min(max(0, begin.Sub(w.end)), most)
	}
	w.end = end
	return between
}

// lose is told of a look that was not answered.
func (w *watch) lose() { w.end = time.Time{} }

// mostBetween is the longest pause between two looks that counts. In a longer
// one nobody knows whether the export answered, and other nodes could beat.
func (ps *peers) mostBetween() time.Duration { return ps.cfg.LeaseTTL / 3 }

// peers is what this node has seen of every node's heartbeat, its own too.
type peers struct {
	self

	mu     sync.Mutex // guards all below
	byName map[string]*peer
	own    own
	watch  watch
	began  time.Time // when the newest look began whose answer is in byName
	polled bool      // there was a look that was answered
	lost   bool      // the last look was not answered
}

type peer struct {
	beat   Heartbeat
	mtime  time.Time     // of its file, in the export's time
	quiet  time.Duration // for how long certainly nothing changed, as of the last look
	absent bool          // no file
}

// same tells whether nothing was heard of a node between two looks at its file.
func (p *peer) same(is *peer) bool {
	return p.absent == is.absent && p.beat == is.beat && p.mtime.Equal(is.mtime)
}

// lose says that a look was not answered: everybody's silence begins anew,
// since the others could not beat either.
func (ps *peers) lose() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.lost = true
	ps.watch.lose()
	for _, p := range ps.byName {
		p.quiet = 0
	}
}

// loseOwn is lose for the heartbeat under our own name.
func (ps *peers) loseOwn() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.own.watch.lose()
	ps.own.quiet = 0
	if ps.own.foreign != nil {
		ps.own.foreign.quiet = 0
	}
}

// Poll looks at every node's heartbeat.
func (c *Cluster) Poll(ctx context.Context, e *export.Export) error {
	begin, last := c.cfg.Now(), c.peers.lastWritten()
	seen, err := readPeers(ctx, e.FS)
	if err != nil {
		c.peers.lose()
		return err
	}
	if last.older(seen[c.cfg.Node], c.incarnation) {
		if err := c.wentBack(ctx, e, last, seen[c.cfg.Node]); err != nil {
			return err
		}
	}
	c.peers.see(seen, begin, c.cfg.Now(), c.mostBetween())
	return nil
}

// see takes the answer of a look. One that began before another whose answer
// is known is older, and changes nothing.
func (ps *peers) see(seen map[string]*peer, begin, end time.Time, most time.Duration) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if begin.Before(ps.began) {
		return
	}
	watched := ps.watch.silence(begin, end, most)
	ps.began, ps.polled, ps.lost = begin, true, false
	for name, p := range ps.byName {
		if _, ok := seen[name]; !ok {
			p.absent = true
		}
		p.quiet += watched
	}
	for name, is := range seen {
		if was := ps.byName[name]; was == nil || !was.same(is) {
			ps.byName[name] = is
		}
	}
}

// readPeers reads .berth/nodes.
func readPeers(ctx context.Context, fsys tree.FS) (map[string]*peer, error) {
	nodes, err := export.Pick(ctx, fsys, export.NodeDir, func(d tree.Entry) (string, bool) {
		name, ok := strings.CutSuffix(d.Name, ".json")
		return name, ok && d.Kind == tree.Regular
	})
	if err != nil {
		return nil, err
	}
	seen := map[string]*peer{}
	for _, node := range nodes {
		p, err := readPeer(ctx, fsys, node)
		if err != nil {
			return nil, err
		}
		if p != nil {
			seen[node] = p
		}
	}
	return seen, nil
}

// Reached tells whether the export answered when the heartbeats were read last.
func (ps *peers) Reached() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.polled && !ps.lost
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

// unattendedFor is how long an unattended node's leases hold.
const unattendedFor = 24 * time.Hour

// Life judges a node as of the last look. age is the time since its heartbeat
// in the export's time, never negative: for people, and to tell that a node is
// late. A node is never given up for it.
func (ps *peers) Life(node string) (l Life, age time.Duration) {
	server, known := ps.cfg.Conn.Time()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.byName[node]
	if p == nil {
		p = &peer{absent: true, beat: Heartbeat{TTLSeconds: ps.cfg.LeaseTTL.Seconds()}}
		ps.byName[node] = p
	}
	if !p.mtime.IsZero() && known {
		age = max(0, server.Sub(p.mtime))
	}
	if node == ps.cfg.Node {
		return Live, age
	}
	ttl := ps.ttlIn(p.beat)
	switch {
	case p.absent && p.quiet > ttl:
		return Expired, age
	case p.absent:
		return Silent, age
	case p.beat.State == NodeUnattended && age > unattendedFor && p.quiet > ttl:
		// The look that shows so old a heartbeat may be the first after a long
		// outage: the node has its TTL to come back.
		return Expired, age
	case p.beat.State == NodeUnattended:
		return Unattended, age
	case p.beat.State == NodeStopped, p.quiet > ttl:
		return Expired, age
	case age > ttl/2 || p.quiet > ttl/2:
		return Silent, age
	}
	return Live, age
}

// ttlIn is the lease TTL that a node beats with.
func (ps *peers) ttlIn(h Heartbeat) time.Duration {
	if ttl := time.Duration(h.TTLSeconds * float64(time.Second)); ttl > 0 {
		return ttl
	}
	return ps.cfg.LeaseTTL
}

// peer calls f with what is known of a node, if anything is.
func (ps *peers) peer(node string, f func(*peer)) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.byName[node]; p != nil {
		f(p)
	}
}

// TTL is the lease TTL of a node as of the last look.
func (ps *peers) TTL(node string) time.Duration {
	ttl := ps.cfg.LeaseTTL
	ps.peer(node, func(p *peer) { ttl = ps.ttlIn(p.beat) })
	return ttl
}

// Address is a node's as the server sees it, as of the last look.
func (ps *peers) Address(node string) (address string) {
	ps.peer(node, func(p *peer) { address = p.beat.Address })
	return address
}

// Sign is a node's last sign of life. Two are equal if nothing was heard of the
// node in between.
type Sign struct {
	beat   Heartbeat
	mtime  int64
	absent bool
}

// Sign is a node's last sign of life as of the last look.
func (ps *peers) Sign(node string) (s Sign) {
	ps.peer(node, func(p *peer) { s = Sign{p.beat, p.mtime.UnixNano(), p.absent} })
	return s
}

// Ended tells whether the process that called itself incarnation on node can
// no longer be at work: it was replaced, stopped, or is expired.
func (ps *peers) Ended(node, incarnation string) (ended bool) {
	if node == ps.cfg.Node {
		ps.mu.Lock()
		defer ps.mu.Unlock()
		return incarnation != ps.incarnation && ps.own.doubled == ""
	}
	if l, _ := ps.Life(node); !l.Holds() || l == Unattended {
		return true
	}
	ps.peer(node, func(p *peer) {
		ended = !p.absent && p.beat.Incarnation != "" && p.beat.Incarnation != incarnation
	})
	return ended
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

// Nodes lists every node that ever beat on this export, as of the last look.
func (ps *peers) Nodes() []NodeInfo {
	ps.mu.Lock()
	names := slices.Sorted(maps.Keys(ps.byName))
	ps.mu.Unlock()
	var out []NodeInfo
	for _, n := range names {
		l, age := ps.Life(n)
		ps.peer(n, func(p *peer) {
			if !p.absent {
				out = append(out, NodeInfo{Node: n, State: l, Age: age.Seconds(), Version: p.beat.Berth,
					Health: p.beat.Health, Mount: p.beat.Mount, Beat: p.mtime.UTC(), Stopped: p.beat.State == NodeStopped,
					Doubled: p.beat.Doubled})
			}
		})
	}
	return out
}

// checkOlder refuses what would take a tree away from under a node whose berth
// does not see our lock.
func (ps *peers) checkOlder() error {
	for _, n := range ps.Nodes() {
		older := false
		ps.peer(n.Node, func(p *peer) { older = p.beat.Locks != numbered && p.beat.State == NodeUp })
		if older && n.State.Holds() && n.Node != ps.cfg.Node {
			return problem.New(problem.InUse, "upgrade it first", "berth on %s is older and would not see the lock", n.Node)
		}
	}
	return nil
}

package cluster

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
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
	listed time.Time // the end of the last listing of the heartbeats that was answered
	pauses []Pause   // as of the last look of Run
	polled bool      // there was a look that was answered
	lost   bool      // the last look was not answered
}

type peer struct {
	beat   Heartbeat
	mtime  time.Time // of its file, in the export's time
	absent bool      // no file
	// unread: the last look at it was not answered, so nobody knows whether what
	// is known is still so.
	unread bool
	began  time.Time     // when the newest look at it began whose answer this is
	watch  watch         // of its file
	quiet  time.Duration // for how long certainly nothing changed, as of the last look
}

// same tells whether nothing was heard of a node between two looks at its file.
func (p *peer) same(is *peer) bool {
	return p.absent == is.absent && p.beat == is.beat && p.mtime.Equal(is.mtime)
}

// lose says that a look at a node was not answered: its silence begins anew.
func (p *peer) lose() {
	p.watch.lose()
	p.quiet = 0
}

// lose says that a look was not answered at all: everybody's silence begins anew,
// since the others could not beat either.
func (ps *peers) lose() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.lost, ps.listed = true, time.Time{}
	for _, p := range ps.byName {
		p.lose()
	}
}

// loseOwn is lose for the heartbeat under our own name.
func (ps *peers) loseOwn() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.own.watch.lose()
	ps.own.quiet = 0
	if ps.own.foreign != nil {
		ps.own.foreign.lose()
	}
}

// Poll looks at every node's heartbeat. A heartbeat that cannot be read is its
// node's fault: that node is not judged. It is an error if none can be read.
func (c *Cluster) Poll(ctx context.Context, e *export.Export) error {
	last := c.peers.lastWritten()
	seen, listed, err := c.look(ctx, e.FS)
	if err != nil {
		c.peers.lose()
		return err
	}
	for _, s := range seen {
		if s.node == c.cfg.Node && s.err == nil && last.older(s.peer, c.incarnation) {
			c.peers.noticeRevert(last, s.peer)
		}
	}
	if err := c.answerRevert(ctx, e); err != nil {
		return err
	}
	c.peers.see(seen, listed, c.mostBetween())
	return nil
}

// sight is one look at the heartbeat of a node, from begin to end.
type sight struct {
	node       string
	peer       *peer // nil: there is none
	err        error
	begin, end time.Time
}

const (
	// sideBudget bounds the look at one heartbeat: of a file that the server does
	// not give nobody waits longer.
	sideBudget = 5 * time.Second
	// looked is how many are looked at at the same time.
	looked = 16
)

// look reads .berth/nodes, and of the nodes that are known and not there any more
// that they are not; listed is when it knew who is there. It is an error if nothing
// is answered.
func (c *Cluster) look(ctx context.Context, fsys tree.FS) (seen []sight, listed time.Time, err error) {
	begin := c.cfg.Now()
	nodes, err := export.Pick(ctx, fsys, export.NodeDir, func(d tree.Entry) (string, bool) {
		name, ok := strings.CutSuffix(d.Name, ".json")
		return name, ok && d.Kind == tree.Regular
	})
	if err != nil {
		return nil, listed, err
	}
	listed = c.cfg.Now()
	seen = make([]sight, len(nodes))
	var all errgroup.Group
	all.SetLimit(looked)
	for i, node := range nodes {
		all.Go(guard.Func(func() error {
			ctx, cancel := context.WithTimeout(ctx, sideBudget)
			defer cancel()
			s := sight{node: node, begin: c.cfg.Now()}
			s.peer, s.err = readPeer(ctx, fsys, node)
			s.end = c.cfg.Now()
			seen[i] = s
			return nil
		}))
	}
	if err := all.Wait(); err != nil {
		return nil, listed, err
	}
	answered := func(s sight) bool { return s.err == nil }
	if len(seen) > 0 && !slices.ContainsFunc(seen, answered) {
		return nil, listed, seen[0].err
	}
	for _, node := range c.peers.known() {
		if !slices.Contains(nodes, node) {
			seen = append(seen, sight{node: node, begin: begin, end: listed})
		}
	}
	for _, s := range seen {
		c.note("the heartbeat of a node cannot be read; the node is not judged", s.node, s.err)
	}
	return seen, listed, nil
}

// known are the nodes that this node has heard of.
func (ps *peers) known() []string {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return slices.Sorted(maps.Keys(ps.byName))
}

// see takes the answers of a look. An answer to a question that was asked before
// the one whose answer is known changes nothing.
func (ps *peers) see(seen []sight, listed time.Time, most time.Duration) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.polled, ps.lost = true, false
	for _, s := range seen {
		p := ps.of(s.node)
		if s.begin.Before(p.began) {
			continue
		}
		p.began = s.begin
		if p.unread = s.err != nil; p.unread {
			p.lose()
			continue
		}
		p.quiet += p.watch.silence(s.begin, s.end, most)
		switch {
		case s.peer == nil:
			p.absent = true
		case !p.same(s.peer):
			p.beat, p.mtime, p.absent, p.quiet = s.peer.beat, s.peer.mtime, false, 0
		}
	}
	ps.listed = later(ps.listed, listed)
}

// of is what is known of a node. One that was never heard of was not there in the
// last listing. The caller holds ps.mu.
func (ps *peers) of(node string) *peer {
	p := ps.byName[node]
	if p == nil {
		p = &peer{absent: true, beat: Heartbeat{TTLSeconds: ps.cfg.LeaseTTL.Seconds()}, watch: watch{ps.listed}}
		ps.byName[node] = p
	}
	return p
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
	now, known := ps.cfg.Conn.Time()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	p := ps.of(node)
	if !p.mtime.IsZero() && known {
		age = max(0, now.Sub(p.mtime)-Missing(steps(ps.pauses), p.mtime, now))
	}
	if node == ps.cfg.Node {
		return Live, age
	}
	ttl := ps.ttlIn(p.beat)
	switch {
	case p.unread:
		return Silent, age
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
		return incarnation != ps.incarnation && (ps.own.wrote || ps.own.admitted) && ps.own.doubled == ""
	}
	if l, _ := ps.Life(node); !l.Holds() || l == Unattended {
		return true
	}
	ps.peer(node, func(p *peer) {
		ended = !p.absent && !p.unread && p.beat.Incarnation != "" && p.beat.Incarnation != incarnation
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

package cluster

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/rota"
	"github.com/casit/berth/tree"
)

// Config is what a Cluster is made with. Fields without a default are required.
type Config struct {
	_ struct{}

	Conn *export.Conn
	Node string // this node's name
	Boot string // this boot's id; leases of an earlier boot are dropped
	// Sole takes this node's name on an export for this process. other says which
	// process of this host has it, "" if it is ours; place is where no other
	// process has it then. Default: the name is ours, and earlier processes of this
	// boot have ended.
	Sole    func(exportID string) (place, other string, err error)
	Version string // of berth, for the heartbeat

	LeaseTTL time.Duration    // default 90 s
	Now      func() time.Time // default time.Now; its monotonic part measures silence

	// Report is told of what happened outside a request: one line for the log.
	// Default: nobody.
	Report func(event string, fields map[string]any)
	// MountPath is where this node has the export now, and the mount's
	// generation, for the heartbeat.
	MountPath func() (path string, generation int)
	// Flush puts on the server what containers of this node have written, before
	// a single-writer volume is given back. Default: nothing to do.
	Flush func(ctx context.Context) error
	// Address is this node's as the server sees it, "" if it is not known.
	Address func() string
	// Degraded says what this node does without, "" for nothing; for the
	// heartbeat's health.
	Degraded func() string

	// Faults gets what this node could not do with single items, and goes on
	// trying. Default: nobody is told but Report.
	Faults *problem.Faults
	// Finish ends what the dead owner of a lock began. The lock is this node's
	// by then. Default: nothing to do.
	Finish func(ctx context.Context, e *export.Export, l *Lock) error
	// TakeOver takes a single-writer volume over from a node that was silent
	// for its whole lease. Nobody holds the volume afterwards. Default: the
	// volume is refused, and the message says what to type.
	TakeOver func(ctx context.Context, volume, from string) error
	// BreakLocks is called when this node has become the holder of a volume
	// that another node has not given back: that node may have left file locks
	// on the server. Default: nothing to do.
	BreakLocks func(ctx context.Context, volume, node string) error
}

// Cluster is the nodes of an export as one of them sees them. All methods may
// be called concurrently. Methods with an *export.Export ask the export; the
// others answer from memory.
type Cluster struct {
	self
	peers
	uses
	seenUsers

	turns turns // one operation per volume name on this node, held across the network
	mine  ownLocks

	beating          chan struct{} // has one in it while a heartbeat is written
	saving, dropping rota.Rota     // of Tidy
}

// self is what this node is.
type self struct {
	cfg         Config
	incarnation string // of this start
}

// Node is this node's name.
func (s *self) Node() string { return s.cfg.Node }

// New returns a Cluster that knows nothing yet.
func New(cfg Config) *Cluster {
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = 90 * time.Second
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Report == nil {
		cfg.Report = func(string, map[string]any) {}
	}
	if cfg.MountPath == nil {
		cfg.MountPath = func() (string, int) { return "", 0 }
	}
	if cfg.Flush == nil {
		cfg.Flush = func(context.Context) error { return nil }
	}
	if cfg.Address == nil {
		cfg.Address = func() string { return "" }
	}
	if cfg.Degraded == nil {
		cfg.Degraded = func() string { return "" }
	}
	if cfg.Sole == nil {
		cfg.Sole = func(string) (string, string, error) { return "", "", nil }
	}
	if cfg.Faults == nil {
		cfg.Faults = &problem.Faults{}
	}
	if cfg.Finish == nil {
		cfg.Finish = func(context.Context, *export.Export, *Lock) error { return nil }
	}
	if cfg.BreakLocks == nil {
		cfg.BreakLocks = func(context.Context, string, string) error { return nil }
	}
	s := self{cfg: cfg, incarnation: cfg.Conn.NewID()}
	return &Cluster{
		self:  s,
		peers: peers{self: s, byName: map[string]*peer{}},
		uses:  uses{self: s, byName: map[string]*Lease{}, early: map[string]map[string]int{}},

		beating: make(chan struct{}, 1),
	}
}

// Incarnation is the random id of this start.
func (c *Cluster) Incarnation() string { return c.incarnation }

// Turn waits for the turn of a volume name on this node: one operation at a
// time. The function that it returns gives the turn back.
func (c *Cluster) Turn(ctx context.Context, name string) (end func(), err error) {
	return c.turns.take(ctx, name)
}

// Run beats every third of the lease TTL and looks at the other nodes as often,
// until ctx ends. Then it says goodbye: with containers still running,
// "unattended". after is called with what came of each look, and must not block.
//
// The heartbeat waits for nothing of the rest: neither for a look, nor for what
// follows one.
func (c *Cluster) Run(ctx context.Context, after func(error)) {
	var beats sync.WaitGroup
	first := make(chan struct{})
	beats.Go(func() {
		begun := sync.OnceFunc(func() { close(first) })
		c.every(ctx, func() error {
			defer begun()
			err := c.Beat(ctx)
			if err == nil && !c.Named() {
				return errUnnamed
			}
			return err
		})
	})
	select {
	case <-first: // what an earlier process of this node has left is known to be ours
	case <-ctx.Done():
	}
	c.every(ctx, func() error {
		err := c.Look(ctx)
		after(err)
		return err
	})
	beats.Wait()
	c.goodbye()
}

// errUnnamed has every look again soon.
var errUnnamed = errors.New("the name is not known to be ours")

// every calls f every third of the lease TTL, and soon again after an error, until
// ctx ends. A panic is an error.
func (s self) every(ctx context.Context, f func() error) {
	for ctx.Err() == nil {
		next := time.NewTimer(s.cfg.LeaseTTL / 3)
		soon := time.NewTimer(min(s.cfg.LeaseTTL/3, 2*time.Second))
		err := guard.Run(f)
		if stack := guard.Stack(err); stack != "" {
			s.cfg.Report("a panic was caught", map[string]any{"in": "the cluster", "err": err, "stack": stack})
		}
		wait := next.C
		if err != nil {
			wait = soon.C
		}
		select {
		case <-wait:
		case <-ctx.Done():
		}
		next.Stop()
		soon.Stop()
	}
}

// budget bounds one heartbeat or one look. A late heartbeat is better than none.
func (s self) budget() time.Duration {
	return min(max(s.cfg.LeaseTTL, 3*time.Second), 20*time.Second)
}

// Beat writes a heartbeat. What came of it is Unheard from then on.
func (c *Cluster) Beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(tree.Urgent(ctx), c.budget())
	defer cancel()
	err := c.cfg.Conn.With(ctx, "write the heartbeat", func(e *export.Export) error { return c.beat(ctx, e, NodeUp) })
	c.peers.mu.Lock()
	c.peers.own.unheard = err
	c.peers.mu.Unlock()
	return err
}

// Unheard is why this node's newest heartbeat could not be written, nil if it was.
func (ps *peers) Unheard() error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.own.unheard
}

// Look looks at the other nodes once.
func (c *Cluster) Look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.budget())
	defer cancel()
	seen := false
	err := c.cfg.Conn.With(ctx, "look at the other nodes", func(e *export.Export) error {
		if err := c.Poll(ctx, e); err != nil {
			return err
		}
		seen = true
		all, err := Pauses(ctx, e.FS)
		if err == nil {
			c.peers.setPauses(all)
		}
		return c.passOver(ctx, e, "the times that are missing cannot be read", export.PausesFile, err)
	})
	if !seen {
		c.peers.lose() // what others did meanwhile is not known
	}
	return err
}

// tidied is how many names have their turn at the same time.
const tidied = 16

// Tidy saves what of this node's leases could not be saved before, and takes back
// what an earlier boot has left. It does as much as ctx lets it, and goes on there
// the next time.
func (c *Cluster) Tidy(ctx context.Context, e *export.Export) error {
	_, err := c.saving.Round(ctx, c.uses.unsaved(), tidied, func(ctx context.Context, name string) error {
		c.flush(ctx, e, name)
		return nil
	})
	if err != nil || !c.Named() {
		return err
	}
	names, err := LeasedNames(ctx, e.FS)
	if err == nil {
		_, err = c.dropping.Round(ctx, names, tidied, func(ctx context.Context, name string) error {
			err := c.dropOld(ctx, e, name)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return c.passOver(ctx, e, "leases of an earlier boot cannot be taken back", name, err)
		})
	}
	return err
}

// goodbye is the last heartbeat.
func (c *Cluster) goodbye() {
	e := c.cfg.Conn.Current()
	if e == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	for _, name := range c.uses.unsaved() {
		c.flush(ctx, e, name)
	}
	state := NodeStopped
	if len(c.uses.names()) > 0 { // in use, or not given back
		state = NodeUnattended
	}
	if err := c.beat(ctx, e, state); err != nil {
		c.cfg.Report("the last heartbeat was not written", map[string]any{"err": err})
	}
}

// note reports an error of one item, once.
func (c *Cluster) note(event, item string, err error) {
	c.cfg.Faults.Note(c.cfg.Report, event, item, err)
}

// passOver notes the result for one item among many, and reports an
// error of that item, once. It returns an error that ends the work on all.
func (c *Cluster) passOver(ctx context.Context, e *export.Export, event, item string, err error) error {
	return export.PassOver(ctx, e.FS, c.cfg.Faults, c.cfg.Report, event, item, err)
}

package cluster

import (
	"context"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
)

// Config is what a Cluster is made with. Fields without a default are required.
type Config struct {
	_ struct{}

	Conn    *export.Conn
	Node    string // this node's name
	Boot    string // this boot's id; leases of an earlier boot are dropped
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

	turns  turns // one operation per volume name on this node, held across the network
	mine   ownLocks
	faults problem.Faults
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
	}
}

// Incarnation is the random id of this start.
func (c *Cluster) Incarnation() string { return c.incarnation }

// Turn waits for the turn of a volume name on this node: one operation at a
// time. The function that it returns gives the turn back.
func (c *Cluster) Turn(ctx context.Context, name string) (end func(), err error) {
	return c.turns.take(ctx, name)
}

// roundTimeout bounds one round.
const roundTimeout = 20 * time.Second

// Run beats every third of the lease TTL and looks at the other nodes, until
// ctx ends. Then it says goodbye: with containers still running, "unattended".
// after is called with what came of each round, and must not block.
func (c *Cluster) Run(ctx context.Context, after func(error)) {
	for {
		err := c.Round(ctx)
		after(err)
		wait := c.cfg.LeaseTTL / 3
		if err != nil || !c.Named() {
			wait = min(wait, 2*time.Second)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			c.goodbye()
			return
		}
	}
}

// Round beats once, looks at the other nodes once, and saves what could not be
// saved before.
func (c *Cluster) Round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	seen := false
	err := c.cfg.Conn.With(ctx, "keep in touch", func(e *export.Export) error {
		if err := c.beat(ctx, e, NodeUp); err != nil {
			return err
		}
		if c.Named() {
			if err := c.dropOldLeases(ctx, e); err != nil {
				return err
			}
		}
		if err := c.Poll(ctx, e); err != nil {
			return err
		}
		seen = true
		c.Flush(ctx, e)
		return nil
	})
	if !seen {
		c.peers.lose() // what others did meanwhile is not known
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
	c.Flush(ctx, e)
	state := NodeStopped
	if len(c.uses.names()) > 0 { // in use, or not given back
		state = NodeUnattended
	}
	if err := c.beat(ctx, e, state); err != nil {
		c.cfg.Report("the last heartbeat was not written", map[string]any{"err": err})
	}
}

// passOver notes the result for one item among many, and reports an
// error of that item, once. It returns an error that ends the work on all.
func (c *Cluster) passOver(ctx context.Context, e *export.Export, event, item string, err error) error {
	if export.Ends(ctx, e.FS, err) {
		return err
	}
	c.faults.Note(c.cfg.Report, event, item, err)
	return nil
}

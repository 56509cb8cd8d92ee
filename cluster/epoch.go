package cluster

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Epoch is .berth/leases/NAME/epoch.N: the N-th node that may write an
// access=single volume. Whoever made the highest one holds the volume.
//
//	{"version":1,"id":"9f2c51b07d3e4a68","state":"held","node":"n1","boot":"5be1…","since":"2026-11-23T05:30:00Z"}
type Epoch struct {
	Version int       `json:"version"`
	ID      string    `json:"id"` // random
	State   State     `json:"state"`
	Node    string    `json:"node"`
	Boot    string    `json:"boot"` // of that node: a reboot ends all that wrote
	Since   time.Time `json:"since"`

	number uint64
}

// Fits implements export.Record.
func (p *Epoch) Fits(string) error {
	if p.ID == "" || p.State != Held && p.State != Free || !export.IsName(p.Node) {
		return export.Unfit("says nothing of who holds the volume")
	}
	return cmp.Or(export.CheckVersion(p.Version), export.CheckTime(p.Since))
}

func epochs(volume string) series {
	return series{path.Join(export.LeaseDir, volume), export.EpochPrefix}
}

// held tells whether a volume whose highest epoch this is has a holder.
func (p *Epoch) held() bool { return p != nil && p.State != Free }

// num is the epoch's number, 0 for none.
func (p *Epoch) num() uint64 {
	if p == nil {
		return 0
	}
	return p.number
}

// mark is the epoch's number and id, 0 and "" for none.
func (p *Epoch) mark() mark {
	if p == nil {
		return mark{}
	}
	return mark{p.number, p.ID}
}

// readEpoch returns the highest epoch of a volume, nil if there is none.
func readEpoch(ctx context.Context, fsys tree.FS, name string) (*Epoch, error) {
	p, number, err := top[Epoch](ctx, fsys, epochs(name))
	if export.IsBroken(err) {
		return nil, problem.New(problem.InUse, fmt.Sprintf("nothing was changed; if nobody uses the volume: 'berth volume repair %s'", name),
			"who holds volume %q (%s) is not readable: %v", name, epochs(name).path(number), export.Why(err)).Because(err)
	}
	if err != nil || number == 0 {
		return nil, err
	}
	p.number = number
	return p, nil
}

// A Holder is whoever may write a single-writer volume now.
type Holder struct {
	Node, Boot string
	Epoch      uint64 // 0: only its lease says so, as berth wrote before there were epochs
}

// Holder returns who holds a volume, nil for nobody.
func (c *Cluster) Holder(ctx context.Context, e *export.Export, name string) (*Holder, error) {
	h, _, err := c.holder(ctx, e, name)
	return h, err
}

// holder returns who holds a volume, nil for nobody, and its highest epoch. It
// looks at the heartbeats afterwards, so that the holder is at least as new in
// them.
func (c *Cluster) holder(ctx context.Context, e *export.Export, name string) (*Holder, *Epoch, error) {
	p, err := readEpoch(ctx, e.FS, name)
	if err != nil {
		return nil, nil, err
	}
	if err := c.Poll(ctx, e); err != nil {
		return nil, nil, err
	}
	if p.held() {
		return &Holder{p.Node, p.Boot, p.number}, p, nil
	}
	if p != nil {
		return nil, p, nil
	}
	leases, err := readLeases(ctx, e.FS, name)
	for _, l := range leases {
		if l.Node != c.cfg.Node {
			return &Holder{l.Node, l.Boot, 0}, nil, err
		}
	}
	return nil, nil, err
}

// hold makes this node the holder of a single-writer volume, or says who is:
// silent is the holder if it can be taken over from, "" otherwise. The lease is
// written.
func (c *Cluster) hold(ctx context.Context, e *export.Export, name string) (silent string, err error) {
	if err := c.checkIdentity(ctx, e); err != nil {
		return "", err
	}
	for {
		h, highest, err := c.holder(ctx, e, name)
		if err == nil {
			err = c.settled()
		}
		if err != nil {
			return "", err
		}
		before := ""
		if h != nil {
			if h.Node == c.cfg.Node && h.Boot == c.cfg.Boot {
				c.uses.noteEpoch(name, h.Epoch)
				return "", nil
			}
			if before = h.Node; !c.cannotWrite(h) {
				if life, _ := c.Life(h.Node); life == Expired && h.Node != c.cfg.Node {
					silent = h.Node
				}
				return silent, c.heldBy(name, h)
			}
		}
		mine := c.newEpoch(Held)
		ok, err := epochs(name).next(ctx, e, highest.mark(), mine)
		if err != nil {
			return "", err
		}
		if !ok {
			continue
		}
		c.uses.noteEpoch(name, highest.num()+1)
		if before != "" {
			if err := c.cfg.BreakLocks(ctx, name, before); err != nil {
				c.cfg.Report("locks that a node has left may still be there", map[string]any{"volume": name, "node": before, "err": err})
			}
		}
		return "", nil
	}
}

// StillHeld is asked last, when it is known which tree a Mount will answer: if
// the volume was taken over since this node made its epoch, that tree is
// another's.
func (c *Cluster) StillHeld(ctx context.Context, e *export.Export, name string) error {
	epoch := c.uses.unfenced(name)
	if epoch == 0 {
		return nil
	}
	p, err := readEpoch(ctx, e.FS, name)
	if err == nil && (p.num() != epoch || !p.held()) {
		err = problem.New(problem.InUse, "try again", "volume %q was taken over from this node while it was mounted", name)
	}
	return err
}

func (c *Cluster) newEpoch(state State) *Epoch {
	return &Epoch{Version: export.FormatVersion, ID: c.cfg.Conn.NewID(), State: state, Node: c.cfg.Node, Boot: c.cfg.Boot,
		Since: c.cfg.Now().UTC().Truncate(time.Second)}
}

// cannotWrite tells whether nothing of a holder can write any more, without anybody
// having to be kept out: its node has booted since, or its berth ended with
// nothing in use.
func (c *Cluster) cannotWrite(h *Holder) (never bool) {
	if h.Node == c.cfg.Node {
		return h.Boot != c.cfg.Boot // checkIdentity has seen that the name is ours
	}
	c.peer(h.Node, func(p *peer) {
		if !p.absent && !p.unread && p.beat.Boot != "" && !p.beat.Doubled {
			never = p.beat.State == NodeStopped || h.Boot != "" && p.beat.Boot != h.Boot
		}
	})
	return never
}

// CheckHolder refuses what would take a single-writer volume from another node
// that holds it and may still write. Taken over from, that node has a tree of
// its own.
func (c *Cluster) CheckHolder(ctx context.Context, e *export.Export, name string) error {
	h, _, err := c.holder(ctx, e, name)
	if err != nil || h == nil || h.Node == c.cfg.Node || c.cannotWrite(h) {
		return err
	}
	return c.heldBy(name, h)
}

// heldBy refuses a volume that another node holds.
func (c *Cluster) heldBy(name string, h *Holder) error {
	if h.Node == c.cfg.Node {
		return problem.New(problem.InUse, "try again in a moment", "volume %q is held by another node that calls itself %s", name, h.Node)
	}
	life, age := c.Life(h.Node)
	u := User{State: life, Age: age.Seconds()}
	switch life {
	case Expired:
		return problem.New(problem.InUse, fmt.Sprintf("make sure that %s is switched off, then type 'berth volume takeover %s --from %s'", h.Node, name, h.Node),
			"volume %q is access=single and was last held by %s, which is silent (%s)", name, h.Node, u.LastSign())
	case Unattended:
		return problem.New(problem.InUse, fmt.Sprintf("start berth there; or, if %s is switched off: 'berth volume takeover %s --from %s'", h.Node, name, h.Node),
			"volume %q is access=single and held by %s (%s)", name, h.Node, u.LastSign())
	}
	return problem.New(problem.InUse, fmt.Sprintf("stop it there first, or wait: a node that is silent for %s is taken over from; 'berth volume ps %s' shows who uses it", c.TTL(h.Node), name),
		"volume %q is access=single and held by %s (%s)", name, h.Node, u.LastSign())
}

// release gives a volume back, if this boot of this node holds it: what was
// written here is on the server first.
func (c *Cluster) release(ctx context.Context, e *export.Export, name string) error {
	p, err := readEpoch(ctx, e.FS, name)
	if err != nil || !p.held() || p.Node != c.cfg.Node || p.Boot != c.cfg.Boot && !c.Named() {
		return err
	}
	if p.Boot == c.cfg.Boot {
		if err := c.cfg.Flush(ctx); err != nil {
			return err
		}
	}
	return epochs(name).free(ctx, e.FS, p.number, p.ID)
}

// forgetHolds removes the epochs of a volume that is gone.
func (c *Cluster) forgetHolds(ctx context.Context, e *export.Export, name string, numbers []uint64) error {
	there, err := export.Exists(ctx, e.FS, name)
	if err != nil || there {
		return err
	}
	return c.end(ctx, e, epochs(name), numbers)
}

// Raise ends the hold that a takeover ends, which was that of the epoch: nobody
// holds the volume then, and whoever mounts it next makes an epoch of its own.
// The lease of the node from goes too.
func (c *Cluster) Raise(ctx context.Context, e *export.Export, name string, epoch uint64, from string) error {
	p, err := readEpoch(ctx, e.FS, name)
	if err != nil || p.num() > epoch {
		return err // done, by another node
	}
	ok, err := epochs(name).next(ctx, e, p.mark(), c.newEpoch(Free))
	if err != nil || !ok {
		return err
	}
	return removeLease(ctx, e.FS, name, from)
}

// TakenOver lists the volumes that were taken over while this node used them,
// each with the epoch of the uses that are not known to be fenced.
func (c *Cluster) TakenOver(ctx context.Context, e *export.Export) (map[string]uint64, error) {
	out := map[string]uint64{}
	for _, name := range c.uses.names() {
		epoch := c.uses.unfenced(name)
		if epoch == 0 {
			continue
		}
		p, err := readEpoch(ctx, e.FS, name)
		if err := c.passOver(ctx, e, "who holds a volume cannot be read", name, err); err != nil {
			return nil, err
		}
		if err != nil {
			continue
		}
		if p.num() > epoch || p.num() == epoch && (p.Node != c.cfg.Node || p.Boot != c.cfg.Boot) {
			out[name] = epoch
		}
	}
	return out, nil
}

// NoteFenced says that this node's uses of a volume in that epoch, or before,
// write to a trash item.
func (o *uses) NoteFenced(name string, epoch uint64, item string) {
	o.change(name, func(m map[string]Claim) {
		for id, u := range m {
			if u.Epoch != 0 && u.Epoch <= epoch && u.Fenced == "" {
				u.Fenced = item
				m[id] = u
			}
		}
	})
}

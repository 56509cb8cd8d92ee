package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
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

// Heartbeat is .berth/nodes/NODE.json, rewritten by its node every third of
// the TTL. Leases refer to it, so 200 volumes in use cost one heartbeat.
type Heartbeat struct {
	Version     int    `json:"version"`
	Node        string `json:"node"`
	Incarnation string `json:"incarnation"` // drawn at every start
	Boot        string `json:"boot"`
	// Host is where on that boot no other process has the name: Config.Sole's place.
	Host       string    `json:"host,omitempty"`
	Counter    uint64    `json:"counter"`
	TTLSeconds float64   `json:"ttl_seconds"`
	State      NodeState `json:"state"`
	Berth      string    `json:"berth"`
	Mount      string    `json:"mount,omitempty"`
	Generation int       `json:"generation,omitempty"` // of Mount
	Health     string    `json:"health"`
	Written    time.Time `json:"written"` // by the node's own clock; for people
	// Address is the node's as the server sees it; locks that it left there
	// are found by it.
	Address string `json:"address,omitempty"`
	// Doubled: another node beats under this name too, so the file says
	// nothing of either.
	Doubled bool `json:"doubled,omitempty"`
	// Locks is how the node locks volumes: "numbered", or "" for berth 0.1,
	// which does not see numbered locks.
	Locks string `json:"locks,omitempty"`
}

// Fits implements export.Record: the heartbeat is of the node that its name says.
func (h *Heartbeat) Fits(name string) error {
	if h.State != NodeUp && h.State != NodeUnattended && h.State != NodeStopped {
		return export.Unfit("has the state %q", h.State)
	}
	if !(h.TTLSeconds >= 0 && h.TTLSeconds <= mostTTL.Seconds()) || h.Generation < 0 {
		return export.Unfit("has values that no node writes")
	}
	return cmp.Or(export.CheckVersion(h.Version), export.CheckName("node", h.Node, strings.TrimSuffix(path.Base(name), ".json")), export.CheckTime(h.Written))
}

// mostTTL is the longest lease TTL of another node that is believed.
const mostTTL = 7 * 24 * time.Hour

// numbered is Heartbeat.Locks of this berth.
const numbered = "numbered"

// own is what this node knows of the heartbeat under its own name. It is
// guarded by peers.mu.
type own struct {
	counter uint64 // of our heartbeats
	wrote   bool   // we have written one since the start
	last    wrote  // the newest of them
	noticed wrote  // the one after which the export went back in time last
	// back is when this node saw that the export went back in time, zero for
	// never, and revert what it has not answered of that.
	back   time.Time
	revert *reverted
	watch  watch  // of the file
	place  string // Config.Sole's
	// admitted: what stood under our name when the export was opened was of this
	// boot, so its process has ended.
	admitted bool
	// unheard is why the newest heartbeat could not be written, nil if it was.
	unheard error
	// foreign is the heartbeat that stood under our name before our first one,
	// from another boot.
	foreign *peer
	// doubled is another incarnation under our name, "" for none, and quiet for
	// how long it was not seen.
	doubled string
	quiet   time.Duration
}

// beat writes our heartbeat in the given state, unless the name may be another
// machine's. It needs nothing but that one small write once this node has written
// before: all else that is found on the way is bounded, and its failure is no
// failure of the heartbeat.
func (c *Cluster) beat(ctx context.Context, e *export.Export, state NodeState) error {
	select {
	case c.beating <- struct{}{}:
		defer func() { <-c.beating }()
	case <-ctx.Done():
		return ctx.Err()
	}
	may, err := c.beforeBeat(ctx, e)
	if err != nil || !may {
		return err
	}
	mount, generation := c.cfg.MountPath()
	address, without := c.cfg.Address(), c.cfg.Degraded()
	c.peers.mu.Lock()
	c.peers.own.counter++
	doubled := c.peers.own.doubled != ""
	mine := Heartbeat{
		Version: export.FormatVersion, Node: c.cfg.Node, Incarnation: c.incarnation, Boot: c.cfg.Boot, Host: c.peers.own.place,
		Counter: c.peers.own.counter, TTLSeconds: c.cfg.LeaseTTL.Seconds(), State: state,
		Berth: c.cfg.Version, Mount: mount, Generation: generation, Written: c.cfg.Now().UTC(),
		Health: c.health(doubled, without), Address: address, Doubled: doubled, Locks: numbered,
	}
	c.peers.mu.Unlock()
	counter := mine.Counter // in the file
	at, err := c.writeBeat(ctx, e, mine)
	if tree.IsFull(err) {
		// A full export must not look like a dead node: the file's time is
		// enough of a change, if it is ours. A new incarnation has to write.
		name := export.NodePath(c.cfg.Node)
		var again Heartbeat
		readErr := export.Read(ctx, e.FS, name, &again)
		if readErr == nil && again.Incarnation == c.incarnation && again.State == state {
			at, _ = c.cfg.Conn.Time()
			counter = again.Counter
			err = e.FS.SetAttr(ctx, name, tree.SetAttr{Mtime: &at})
		} else {
			at, err = c.writeBeat(export.Spend(ctx), e, mine)
		}
	}
	if err != nil {
		return err
	}
	c.peers.mu.Lock()
	c.peers.own.wrote = true
	c.peers.own.last = wrote{counter, at}
	c.peers.mu.Unlock()
	return nil
}

// writeBeat puts a heartbeat in the place of the one before and returns its time.
// The clock is looked at before anybody sees the heartbeat: who starts now and
// finds one with a new time shall find written down that the clock was set.
func (c *Cluster) writeBeat(ctx context.Context, e *export.Export, mine Heartbeat) (at time.Time, err error) {
	tmp, err := e.Private(ctx, export.Encode(mine))
	if err != nil {
		return at, err
	}
	if at, err = e.SetClock(ctx, tmp); err == nil {
		c.followClock(ctx, e)
		name := export.NodePath(mine.Node)
		if err = e.Rename(ctx, tmp, name); errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, fs.ErrExist) {
			aside := name + ".wrong-" + e.NewID()
			if err = e.Rename(ctx, name, aside); err == nil {
				c.cfg.Report("a directory was in the place of this node's heartbeat; it was moved", map[string]any{"to": aside})
				err = e.Rename(ctx, tmp, name)
			}
		}
	}
	if err != nil {
		e.Discard(ctx, tmp)
	}
	return at, err
}

// beforeBeat looks at the file under our name, and tells whether we may write it.
// A file that cannot be read keeps nobody from writing it again.
func (c *Cluster) beforeBeat(ctx context.Context, e *export.Export) (may bool, err error) {
	aside, cancel := context.WithTimeout(ctx, sideBudget)
	defer cancel()
	begin, last := c.cfg.Now(), c.peers.lastWritten()
	first := last.at.IsZero()
	if first {
		aside = ctx // whose the name is has to be known
	}
	there, err := readPeer(aside, e.FS, c.cfg.Node)
	if err != nil {
		c.peers.loseOwn()
		if first {
			return false, err
		}
		return true, nil
	}
	if last.older(there, c.incarnation) {
		c.peers.noticeRevert(last, there)
		there = nil // what stands there is ours, from before
	}
	if err := c.answerRevert(aside, e); err != nil {
		c.note("what this node uses is said again later", c.cfg.Node, err)
	}
	if first {
		err := c.noteNobody(ctx, e)
		if err := c.passOver(ctx, e, "the time in which no node was there is not written down", export.PausesFile, err); err != nil {
			return false, err
		}
	}
	return c.ownName(begin, there), nil
}

func (ps *peers) health(doubled bool, without string) string {
	switch {
	case doubled:
		return "another node uses the name " + ps.cfg.Node
	case without != "":
		return "degraded: " + without
	}
	return "ok"
}

// ownName looks at the heartbeat that stands under our name, nil for none, in a
// look that began at begin, and tells whether we may write ours.
//
// A heartbeat from another boot is either our own earlier one, or another
// machine has the same name. It is ours when we have watched it be silent for
// longer than a living node ever is. Until then nothing is written, so that a
// machine that is started with a name that is taken disturbs nobody.
func (ps *peers) ownName(begin time.Time, there *peer) bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	o := &ps.own
	watched := o.watch.silence(begin, ps.cfg.Now(), ps.mostBetween())
	if there != nil && o.wrote && there.beat.Incarnation != ps.incarnation && there.beat.Incarnation != "" {
		ps.noteDouble(there.beat.Incarnation)
	} else if o.doubled != "" {
		if o.quiet += watched; o.quiet > 2*ps.cfg.LeaseTTL {
			o.doubled = ""
		}
	}
	if there == nil || o.wrote || o.doubled != "" || there.beat.Boot == ps.cfg.Boot || there.beat.State == NodeStopped {
		return true
	}
	switch {
	case o.foreign == nil:
		o.foreign = there
		return false
	case !o.foreign.same(there):
		ps.noteDouble(there.beat.Incarnation)
		return true
	}
	o.foreign.quiet += watched
	return o.foreign.quiet > ps.namePatience(there.beat)
}

// noteDouble says that two nodes share our name. The caller holds peers.mu.
func (ps *peers) noteDouble(incarnation string) {
	if ps.own.doubled == "" {
		ps.cfg.Report("another node uses the same name; set BERTH_NODE differently on one", map[string]any{"node": ps.cfg.Node})
	}
	ps.own.doubled, ps.own.quiet = incarnation, 0
}

// namePatience is how long a heartbeat under our name has to be silent before
// the name is ours: 1.5 times the longest pause of a living node.
func (ps *peers) namePatience(there Heartbeat) time.Duration { return ps.ttlIn(there) / 2 }

// nameEvery is how often a Mount that waits for our name looks.
const nameEvery = time.Second

// checkIdentity refuses to hold a volume under a name that may be another
// node's. After a boot that is not known at once: it waits as long as ctx lets
// it, since dockerd starts a container once.
func (c *Cluster) checkIdentity(ctx context.Context, e *export.Export) error {
	for {
		known, err := c.ourName(ctx, e)
		if known || err == nil {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, nameEvery)
		<-wait.Done()
		cancel()
		if end, ok := ctx.Deadline(); ctx.Err() != nil || ok && time.Until(end) < 2*nameEvery {
			return err
		}
	}
}

// ourName says why this node may not hold a volume under its name, and whether
// that is known for good.
func (c *Cluster) ourName(ctx context.Context, e *export.Export) (known bool, err error) {
	if err := c.sayHello(ctx, e); err != nil {
		return true, err
	}
	c.peers.mu.Lock()
	defer c.peers.mu.Unlock()
	o := &c.peers.own
	switch {
	case o.doubled != "":
		return true, problem.New(problem.InUse, "set BERTH_NODE to another name on one of them", "the volume is access=single, and two nodes call themselves %s", c.cfg.Node)
	case !o.wrote:
		left := c.namePatience(o.foreign.beat) - o.foreign.quiet
		return false, problem.New(problem.InUse, fmt.Sprintf("it is known in %s; try again", max(left, time.Second).Round(time.Second)),
			"the volume is access=single, and a heartbeat of %s from another boot is too new to be sure that no other node has that name", c.cfg.Node)
	}
	return true, nil
}

// sayHello writes the first heartbeat, if that has not been done and may be: what
// the others find under our name belongs to this process then, and not to the one
// before.
func (c *Cluster) sayHello(ctx context.Context, e *export.Export) error {
	c.peers.mu.Lock()
	wrote := c.peers.own.wrote
	c.peers.mu.Unlock()
	if wrote {
		return nil
	}
	return c.beat(ctx, e, NodeUp)
}

// ErrUnsettled says that another process may have this node's name, and that it will
// be known which: see Admit.
var ErrUnsettled error = unsettled{}

type unsettled struct{}

func (unsettled) Error() string { return "whose the node's name is will be known soon" }

// Admit refuses the export while another process of this boot has our name: both
// would write one lease. That a process in another place than ours (Config.Sole)
// has ended is known when its heartbeat is silent for longer than a living node
// ever is; until that or its next heartbeat, the error matches ErrUnsettled.
func (c *Cluster) Admit(ctx context.Context, e *export.Export) error {
	place, other, err := c.cfg.Sole(e.ID)
	if err != nil {
		return err
	}
	if other != "" {
		return c.namesake("it is " + other)
	}
	begin := c.cfg.Now()
	there, err := readPeer(ctx, e.FS, c.cfg.Node)
	if err != nil {
		c.peers.loseOwn()
		return err
	}
	c.peers.mu.Lock()
	defer c.peers.mu.Unlock()
	o := &c.peers.own
	o.place, o.admitted = place, there == nil || there.beat.Boot == c.cfg.Boot
	if there == nil || o.wrote || there.beat.State != NodeUp ||
		there.beat.Boot != c.cfg.Boot || there.beat.Host == "" || there.beat.Host == place {
		return nil
	}
	watched := o.watch.silence(begin, c.cfg.Now(), c.mostBetween())
	beats := o.foreign != nil && !o.foreign.same(there)
	if o.foreign == nil || beats {
		o.foreign, watched = there, 0
	}
	o.foreign.quiet += watched
	switch {
	case beats:
		return c.namesake("it is in another network namespace")
	case c.namePatience(there.beat) < o.foreign.quiet:
		return nil
	}
	return c.namesake("it is in another network namespace, or was killed there less than half a lease ago").Because(ErrUnsettled)
}

// namesake refuses the export while another process has our name.
func (s self) namesake(who string) *problem.Error {
	return problem.New(problem.InUse, "stop one of the two, or set BERTH_NODE to another name on one", "another berth on this host calls itself %s on this export (%s)", s.cfg.Node, who)
}

// Named tells whether our name is known to be ours alone.
func (ps *peers) Named() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.own.wrote && ps.own.doubled == ""
}

// maxBeat bounds what is read of a heartbeat, in bytes: it has a few hundred.
const maxBeat = 64 << 10

// readPeer reads the heartbeat of a node, nil if there is none. A file that cannot
// be read, and whose time the export gives, is a node that is there and says
// nothing.
func readPeer(ctx context.Context, fsys tree.FS, node string) (*peer, error) {
	name, p := export.NodePath(node), &peer{}
	data, err := tree.ReadFile(ctx, fsys, name, maxBeat)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil && ctx.Err() != nil {
		return nil, err
	}
	if err != nil || json.Unmarshal(data, &p.beat) != nil {
		p.beat = Heartbeat{}
	}
	attr, err := fsys.Stat(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	p.mtime = attr.Mtime
	return p, err
}

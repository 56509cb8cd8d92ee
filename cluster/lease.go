package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Lease is .berth/leases/NAME/NODE.json: this node uses the volume. NAME may
// be a view, NAME@SNAPSHOT. It is written by its node only and is as alive as
// that node's heartbeat.
type Lease struct {
	Version     int              `json:"version"`
	Volume      string           `json:"volume"`
	Node        string           `json:"node"`
	Boot        string           `json:"boot"`
	Incarnation string           `json:"incarnation"`
	Since       time.Time        `json:"since"`
	Mounts      map[string]Claim `json:"mounts"` // by the id that dockerd drew

	unsaved bool // the file on the export is older than this
}

// Fits implements export.Record: the lease is of the name and the node that its
// place says.
func (l *Lease) Fits(name string) error {
	dir, file := path.Split(name)
	volume, _, _ := strings.Cut(path.Base(dir), "@")
	node := strings.TrimSuffix(file, ".json")
	switch {
	case !export.IsName(volume) || l.Volume != path.Base(dir):
		return export.Unfit("belongs to volume %q", l.Volume)
	case l.Boot == "" || len(l.Mounts) == 0:
		return export.Unfit("says nothing of who uses the volume")
	}
	times := []time.Time{l.Since}
	for _, u := range l.Mounts {
		if u.Count < 1 || u.Count > mostUses || u.Generation < 0 || u.Fenced != "" && !export.IsItem(u.Fenced) {
			return export.Unfit("has a use that nobody makes")
		}
		times = append(times, u.Since)
	}
	return cmp.Or(export.CheckVersion(l.Version), export.CheckName("node", l.Node, node), export.CheckTime(times...))
}

// mostUses is far above what one container counts.
const mostUses = 1 << 30

// Claim is one container's use of a volume. dockerd repeats Mount with one id
// (docker cp does), so a claim counts.
type Claim struct {
	Count      int       `json:"count"`
	Since      time.Time `json:"since"`
	Generation int       `json:"generation"`      // of the node's mount that was answered
	Epoch      uint64    `json:"epoch,omitempty"` // of an access=single volume
	// Fenced is the trash item that this claim's container writes to, since
	// the volume was taken over from this node.
	Fenced string `json:"fenced,omitempty"`
}

// Claiming is a new use of a volume or view by this node, on its way. It has
// the turn of the name until it ends.
type Claiming struct {
	c        *Cluster
	name, id string
	claim    Claim
	endTurn  func()
}

// Claim begins a use of a volume or view under dockerd's id. generation is the
// node's mount of the export that will be answered. The use counts from here
// on, in memory: of many at once, the lease of the first has them all, and the
// others write none. The caller ends the Claiming.
func (c *Cluster) Claim(ctx context.Context, name, id string, generation int) (*Claiming, error) {
	g := &Claiming{c: c, name: name, id: id, claim: Claim{Count: 1, Since: c.cfg.Now().UTC(), Generation: generation}}
	c.addClaim(name, id, g.claim)
	if err := g.takeTurn(ctx); err != nil {
		c.subClaim(name, id)
		return nil, err
	}
	return g, nil
}

func (g *Claiming) takeTurn(ctx context.Context) (err error) {
	if g.endTurn, err = g.c.turns.take(ctx, g.name); err != nil {
		return err
	}
	if !g.c.claimed(g.name, g.id) {
		g.c.addClaim(g.name, g.id, g.claim) // dropped by an operation that had the turn
	}
	return nil
}

// End gives the turn back. After err the use is taken back first.
func (g *Claiming) End(ctx context.Context, err error) {
	if err != nil {
		g.c.subClaim(g.name, g.id)
		if e := g.c.cfg.Conn.Current(); e != nil {
			g.c.flushLease(ctx, e, g.name)
		}
	}
	if g.endTurn != nil {
		g.endTurn()
	}
}

// Save writes the lease.
func (g *Claiming) Save(ctx context.Context, e *export.Export) error {
	return g.c.SaveLease(ctx, e, g.name)
}

// Acquire makes this node a user of the volume, and its holder if check says
// that the volume is access=single. check looks for the volume itself; it may
// be called twice.
//
// The lease is written first and an operation looked for afterwards: an
// operation does it the other way round, so one of the two sees the other.
// Looking before the lease is there would prove nothing. A volume whose holder
// is silent is taken over; everything is looked at anew afterwards, since
// another operation may have had its turn.
func (g *Claiming) Acquire(ctx context.Context, e *export.Export, check func() (single bool, err error)) error {
	for tookOver := false; ; tookOver = true {
		if err := g.Save(ctx, e); err != nil {
			return err
		}
		if err := g.yieldToLock(ctx, e); err != nil {
			return err
		}
		single, err := check()
		if err != nil || !single {
			return err
		}
		silent, err := g.c.hold(ctx, e, g.name)
		if silent == "" || tookOver || g.c.cfg.TakeOver == nil {
			return err
		}
		if err := g.takeOver(ctx, silent); err != nil {
			return err
		}
	}
}

// takeOver has the volume taken over. That is an operation on the volume, which
// takes the turn for itself.
func (g *Claiming) takeOver(ctx context.Context, from string) error {
	g.endTurn()
	g.endTurn = nil
	err := g.c.cfg.TakeOver(ctx, g.name, from)
	if turnErr := g.takeTurn(ctx); err == nil {
		err = turnErr
	}
	return err
}

// yieldToLock waits for short operations to end. Meanwhile our lease is in
// their way, so it is taken back and written again afterwards.
func (g *Claiming) yieldToLock(ctx context.Context, e *export.Export) error {
	for {
		l, err := ReadLock(ctx, e.FS, g.name)
		if err != nil || l == nil {
			return err
		}
		was, _ := g.c.subClaim(g.name, g.id)
		err = g.Save(ctx, e)
		if err == nil {
			wait, cancel := context.WithTimeout(ctx, lockWait)
			err = g.c.waitLock(wait, e, g.name)
			cancel()
		}
		was.Count = 1
		g.c.addClaim(g.name, g.id, was)
		if err == nil {
			err = g.Save(ctx, e)
		}
		if err != nil {
			return err
		}
	}
}

// Unclaim takes back one use of a volume or view under id: in memory at once,
// on the export as soon as that is possible. Unknown ids are fine.
func (c *Cluster) Unclaim(ctx context.Context, name, id string) {
	if _, ok := c.subClaim(name, id); !ok {
		return
	}
	e := c.cfg.Conn.Current()
	if e == nil {
		return
	}
	wait, cancel := context.WithTimeout(ctx, flushBudget)
	defer cancel()
	end, err := c.turns.take(wait, name)
	if err != nil {
		return // an operation has the turn; Run saves the lease
	}
	defer end()
	c.flushLease(ctx, e, name)
}

// UnclaimAll forgets every use of a name by this node, in memory.
func (o *uses) UnclaimAll(name string) {
	if _, ok := o.copy(name); ok {
		o.change(name, func(m map[string]Claim) { clear(m) })
	}
}

// UnclaimOld takes back, in memory, this node's uses of a name that are at
// least older old. It returns how many those are, and how many are younger and
// stay. With dryRun it only counts. The caller has the turn.
func (o *uses) UnclaimOld(name string, older time.Duration, dryRun bool) (gone, young int) {
	l, ok := o.copy(name)
	if !ok {
		return 0, 0
	}
	var old []string
	for id, u := range l.Mounts {
		if o.cfg.Now().Sub(u.Since) >= older {
			old = append(old, id)
		}
	}
	if len(old) > 0 && !dryRun {
		o.change(name, func(m map[string]Claim) {
			for _, id := range old {
				delete(m, id)
			}
		})
	}
	return len(old), len(l.Mounts) - len(old)
}

// flushBudget is how long a request waits for a lease to be taken back.
const flushBudget = time.Second

// releaseBudget is how long it waits for the data to be on an export that
// answers, before a single-writer volume is given back.
const releaseBudget = 10 * time.Second

// flushLease saves a lease as far as that is possible now; Run does it again.
func (c *Cluster) flushLease(ctx context.Context, e *export.Export, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushBudget)
	defer cancel()
	if err := c.cfg.Conn.Observe(ctx, e, c.SaveLease(ctx, e, name)); err != nil {
		c.cfg.Report("a lease was not saved; it is when the export answers", map[string]any{"volume": name, "err": err})
	}
}

// flush writes a lease that changed while the export was away, or while its name
// was not free.
func (c *Cluster) flush(ctx context.Context, e *export.Export, name string) {
	wait, cancel := context.WithTimeout(ctx, flushBudget)
	defer cancel()
	end, err := c.turns.take(wait, name)
	if err != nil {
		return
	}
	defer end()
	c.flushLease(ctx, e, name)
}

// SaveLease makes the file on the export say what memory says. The caller has
// the turn of the name. A lease without mounts is a file to remove.
func (c *Cluster) SaveLease(ctx context.Context, e *export.Export, name string) error {
	l, ok := c.uses.copy(name)
	if !ok || !l.unsaved {
		return nil
	}
	ctx = export.Spend(ctx) // a container that cleans up has to start
	if taken, err := c.leaseOfNamesake(ctx, e, name); err != nil || taken {
		// We do not write our lease before our node's name is confirmed. Until
		// then the lease of the other boot counts.
		return err
	}
	if len(l.Mounts) == 0 {
		if err := removeLease(ctx, e.FS, name, c.cfg.Node); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseBudget)
		defer cancel()
		if err := c.release(ctx, e, name); err != nil {
			return err
		}
		c.uses.saved(name, l)
		return nil
	}
	file := export.LeasePath(name, c.cfg.Node)
	err := inDirectory(ctx, e, path.Dir(file), func() error { return e.Replace(ctx, file, l) })
	if err == nil {
		c.uses.saved(name, l)
	}
	return unreadableLeases(name, err)
}

// leaseOfNamesake tells whether a lease under our name may be of another node
// that calls itself the same, and that it is not known yet.
func (c *Cluster) leaseOfNamesake(ctx context.Context, e *export.Export, name string) (bool, error) {
	if c.Named() {
		return false, nil
	}
	var there Lease
	err := export.Read(ctx, e.FS, export.LeasePath(name, c.cfg.Node), &there)
	if err != nil && !export.IsBroken(err) {
		return false, export.Absent(err)
	}
	c.peers.mu.Lock()
	defer c.peers.mu.Unlock()
	doubled := c.peers.own.doubled
	return err == nil && (there.Boot != c.cfg.Boot || doubled != "" && there.Incarnation == doubled), nil
}

// removeLease removes a node's lease of a name, and the name's directory if it
// was the last: other nodes may have theirs in it.
func removeLease(ctx context.Context, fsys tree.FS, name, node string) error {
	if err := export.Absent(fsys.Remove(ctx, export.LeasePath(name, node))); err != nil {
		return err
	}
	_ = fsys.Rmdir(ctx, path.Join(export.LeaseDir, name))
	return nil
}

// RemoveLeases removes every node's lease of a name that is gone.
func RemoveLeases(ctx context.Context, fsys tree.FS, name string) error {
	nodes, err := LeaseNodes(ctx, fsys, name)
	if err != nil {
		return err
	}
	for _, node := range nodes {
		err := removeLease(ctx, fsys, name, node)
		if errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.EPERM) {
			continue // a directory: it keeps nobody from anything
		}
		if err != nil {
			return err
		}
	}
	_ = fsys.Rmdir(ctx, path.Join(export.LeaseDir, name)) // one left empty by a node that died
	return nil
}

// unknownUse stands for the uses in a lease of this node that it cannot read.
// 'berth volume release' takes it back.
const unknownUse = "unreadable-lease"

// Load reads what this node left on the export: an earlier process of this boot
// has containers that go on, an earlier boot has none. It reads once; memory is
// newer afterwards.
func (c *Cluster) Load(ctx context.Context, e *export.Export) error {
	if c.uses.loaded() {
		return nil
	}
	names, err := LeasedNames(ctx, e.FS)
	if export.IsBroken(err) {
		return nil // no operation goes on where nobody knows who uses a volume
	}
	if err != nil {
		return err
	}
	left := make([]*Lease, len(names))
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for i, name := range names {
		g.Go(guard.Func(func() error {
			l := &Lease{}
			err := export.Read(within, e.FS, export.LeasePath(name, c.cfg.Node), l)
			if export.Ends(within, e.FS, err) {
				return err
			}
			if export.IsBroken(err) {
				// Containers of this boot may use the volume: until somebody says that
				// none does, it is in use.
				now := c.cfg.Now().UTC()
				l, err = &Lease{Version: export.FormatVersion, Volume: name, Node: c.cfg.Node, Boot: c.cfg.Boot, Since: now,
					Mounts: map[string]Claim{unknownUse: {Count: 1, Since: now}}}, nil
			}
			if err == nil && l.Boot == c.cfg.Boot {
				left[i] = l
			}
			return nil
		}))
	}
	if err := g.Wait(); err != nil {
		return err
	}
	c.uses.load(slices.DeleteFunc(left, func(l *Lease) bool { return l == nil }))
	return nil
}

// dropOld removes what an earlier boot of this node left on the export of a name,
// and gives back the volume if it held it. Only for a node that is sure of its
// name: they may be another's otherwise.
//
// It also gives back what this boot holds and nobody uses: a LINK or WRITE may
// arrive long after whoever sent it has given up.
func (c *Cluster) dropOld(ctx context.Context, e *export.Export, name string) error {
	if _, used := c.uses.copy(name); used {
		return nil
	}
	var numbers []uint64
	nodes, ours := 0, false
	err := e.FS.ReadDir(ctx, path.Join(export.LeaseDir, name), func(d tree.Entry) error {
		if node, ok := strings.CutSuffix(d.Name, ".json"); ok {
			nodes++
			ours = ours || node == c.cfg.Node
		} else if n, ok := epochs(name).number(d.Name); ok {
			numbers = append(numbers, n)
		}
		return nil
	})
	if err = export.Absent(err); err == nil && (ours || len(numbers) > 0) {
		err = c.dropOldLease(ctx, e, name)
	}
	if err == nil && len(numbers) > 0 && nodes == 0 {
		slices.Sort(numbers)
		err = c.forgetHolds(ctx, e, name, numbers)
	}
	return err
}

func (c *Cluster) dropOldLease(ctx context.Context, e *export.Export, name string) error {
	wait, cancel := context.WithTimeout(ctx, flushBudget)
	defer cancel()
	end, err := c.turns.take(wait, name)
	if err != nil {
		return export.Absent(ctx.Err()) // an operation has the turn; the next round does it
	}
	defer end()
	if _, used := c.uses.copy(name); used {
		return nil
	}
	ctx = export.Spend(ctx)
	if err := removeLease(ctx, e.FS, name, c.cfg.Node); err != nil {
		return err
	}
	return c.release(ctx, e, name)
}

// LeasedNames lists the volumes and views that any node has, or had, a lease of.
func LeasedNames(ctx context.Context, fsys tree.FS) ([]string, error) {
	names, err := export.Pick(ctx, fsys, export.LeaseDir, func(d tree.Entry) (string, bool) { return d.Name, d.Kind == tree.Directory })
	return names, export.Absent(err)
}

// LeaseNodes lists the nodes that have a lease of a name, sorted.
func LeaseNodes(ctx context.Context, fsys tree.FS, name string) ([]string, error) {
	nodes, err := export.Pick(ctx, fsys, path.Join(export.LeaseDir, name), func(d tree.Entry) (string, bool) { return strings.CutSuffix(d.Name, ".json") })
	slices.Sort(nodes)
	return nodes, unreadableLeases(name, export.Absent(err))
}

// unreadableLeases says what to do where something else is in the place of the
// directory of leases. Other errors pass.
func unreadableLeases(name string, err error) error {
	if !errors.Is(err, syscall.ENOTDIR) && !errors.Is(err, syscall.ELOOP) {
		return err
	}
	volume, _, _ := strings.Cut(name, "@")
	return problem.New(problem.Failed, fmt.Sprintf("nothing was changed; if nobody uses the volume: 'berth volume repair %s'", volume),
		"who uses volume %q (%s) is not readable: %v", name, path.Join(export.LeaseDir, name), export.Why(err)).Because(err)
}

// readLeases reads every node's lease of a name. A broken one counts as held:
// the safe side.
func readLeases(ctx context.Context, fsys tree.FS, name string) ([]*Lease, error) {
	nodes, err := LeaseNodes(ctx, fsys, name)
	if err != nil {
		return nil, err
	}
	var out []*Lease
	for _, node := range nodes {
		l := &Lease{}
		err := export.Read(ctx, fsys, export.LeasePath(name, node), l)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if export.IsBroken(err) {
			l, err = &Lease{Volume: name, Node: node}, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, l)
	}
	return out, nil
}

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
	"sync"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/several"
	"github.com/casit/berth/tree"
)

// Op is an operation that changes a volume as a whole.
type Op string

// The operations that lock a volume.
const (
	OpCreate   Op = "create"
	OpRemove   Op = "remove"
	OpUndelete Op = "trash restore"
	OpClone    Op = "clone"
	OpSet      Op = "set"
	OpRepair   Op = "repair"
	OpImport   Op = "import"
	OpRestore  Op = "restore"
	OpUndo     Op = "undo"
	OpTakeover Op = "takeover"
)

// Fits implements export.Record: the lock is of the volume that its name says, and
// its item lies where that operation puts one. What an operation means that only a
// newer berth knows, checkOp refuses.
func (l *Lock) Fits(name string) error {
	volume, numbered := path.Base(name), false
	if dir := path.Base(path.Dir(name)); path.Dir(name) != export.LockDir {
		volume, numbered = strings.TrimSuffix(dir, lockMark), true
	}
	states := []State{Held, Free}
	if !numbered {
		states = []State{"", Held}
	}
	err := cmp.Or(export.CheckVersion(l.Version), export.CheckName("volume", l.Volume, volume), export.CheckTime(l.Since))
	switch {
	case err != nil:
		return err
	case l.ID == "" || !slices.Contains(states, l.State) || !export.IsName(l.Node):
		return export.Unfit("says nothing of who has it")
	case l.Work != "" && !export.IsItem(l.Work, l.Op.items()...):
		return export.Unfit("names %q, which no %s makes", l.Work, l.Op)
	}
	return nil
}

// items are the prefixes of the items that an operation makes; none for any.
func (o Op) items() []string {
	switch {
	case o == OpClone:
		return []string{export.JobPrefix, "clone-"} // the latter of berth 0.1
	case o.HasJob():
		return []string{export.JobPrefix}
	}
	return nil
}

// ops is what this berth can finish for a node that died.
var ops = []Op{OpCreate, OpRemove, OpUndelete, OpClone, OpSet, OpRepair, OpImport, OpRestore, OpUndo, OpTakeover}

// Long tells operations that may take minutes: nobody waits for them.
func (o Op) Long() bool { return o == OpClone || o.HasJob() }

// HasJob tells operations that a journal describes.
func (o Op) HasJob() bool { return o == OpRestore || o == OpUndo || o == OpTakeover }

// Swaps tells operations in which a volume's directory is away for a moment.
func (o Op) Swaps() bool { return o == OpUndelete || o.HasJob() }

// moves tells operations that take a tree away, or bring another in its place.
func (o Op) moves() bool { return o == OpRemove || o.Swaps() }

// Lock is .berth/locks/NAME@/N: an operation on that name is under way, and
// whose. Whoever made the highest number has the lock. A volume's name has no
// "@", so that berth 0.1, which keeps a lock in the file .berth/locks/NAME,
// takes the directory for none.
type Lock struct {
	Version     int       `json:"version"`
	ID          string    `json:"id"`              // random
	State       State     `json:"state,omitempty"` // none in a lock of berth 0.1
	Op          Op        `json:"op"`
	Volume      string    `json:"volume"`
	Node        string    `json:"node"`
	Incarnation string    `json:"incarnation"`
	Since       time.Time `json:"since"`
	// Work is the trash or staging item of the operation, "" if it has none.
	Work string `json:"work,omitempty"`
	// Reads is the version that a clone copies, VOLUME@SNAPSHOT, "" if it is of
	// a volume as it is.
	Reads string `json:"reads,omitempty"`
	// Finishes: the node ends what a dead owner of the lock before began. That
	// is short, whatever the operation.
	Finishes bool `json:"finishes,omitempty"`

	number uint64 // 0: of berth 0.1
}

// held tells whether somebody has a volume's lock, whose highest number this is.
func (l *Lock) held() bool { return l != nil && l.State != Free }

// lockMark stands behind a volume's name in the name of the directory of its
// locks.
const lockMark = "@"

func locks(volume string) series { return series{path.Join(export.LockDir, volume+lockMark), ""} }

// Busy is the answer to a request that meets a lock.
func (l *Lock) Busy() error {
	return problem.New(problem.InUse, "try again in a moment; 'berth volume ps' shows what is under way",
		"%s of volume %q is under way on %s", l.Op, l.Volume, l.Node)
}

// checkOp refuses to finish what only a newer berth understands.
func (l *Lock) checkOp() error {
	if slices.Contains(ops, l.Op) {
		return nil
	}
	return problem.New(problem.InUse, fmt.Sprintf("upgrade berth on this node; if it is the newest: 'berth volume repair %s'", l.Volume), "volume %q is locked by an operation this berth does not know (%q, on %s)", l.Volume, l.Op, l.Node)
}

// lockWait is how long a request waits for a short operation to end, and
// lockEvery how often it looks.
const (
	lockWait  = 20 * time.Second
	lockEvery = 50 * time.Millisecond
)

// ownLocks is the ids of the locks that are at work in this process. What
// stands on the export under our incarnation and is not among them is left: its
// LINK arrived after its caller had given up, or it could not be given back.
type ownLocks struct {
	mu  sync.Mutex // guards ids
	ids map[string]bool
}

func (o *ownLocks) add(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ids == nil {
		o.ids = map[string]bool{}
	}
	o.ids[id] = true
}

func (o *ownLocks) remove(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.ids, id)
}

func (o *ownLocks) has(id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ids[id]
}

// Locking is a lock that this node has.
type Locking struct {
	c *Cluster
	e *export.Export
	l *Lock
}

// Lock takes the lock of a volume: Op, Volume, Work and Reads are the caller's.
// The caller has the turn of the name. What a dead owner began is finished
// first; one that is alive is waited for a while, since most operations take
// milliseconds. A clone or restore takes longer and is reported at once.
//
// While berth on another node is too old to see the lock, what takes a tree
// away or brings another in its place is refused.
func (c *Cluster) Lock(ctx context.Context, e *export.Export, l Lock) (*Locking, error) {
	if err := c.sayHello(ctx, e); err != nil {
		return nil, err
	}
	if l.Op.moves() {
		if err := c.Poll(ctx, e); err != nil {
			return nil, err
		}
		if err := c.checkOlder(); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		highest, err := c.waitNumbered(ctx, e, l.Volume)
		if err != nil {
			return nil, err
		}
		g, err := c.takeLock(ctx, e, l, highest)
		if err != nil {
			return nil, err
		}
		if g == nil {
			continue // somebody was faster
		}
		if err := g.finishEarlier(ctx); err != nil {
			g.Unlock(ctx)
			return nil, err
		}
		old, err := readEarlier(ctx, e.FS, l.Volume)
		if err == nil && old == nil {
			return g, nil
		}
		// Berth 0.1 is at work.
		g.Unlock(ctx)
		if err == nil {
			err = c.waitLock(ctx, e, l.Volume)
		}
		if err != nil {
			return nil, err
		}
	}
}

// waitNumbered waits until nobody has the numbered lock of a volume, and
// returns the highest, nil if there is none.
func (c *Cluster) waitNumbered(ctx context.Context, e *export.Export, volume string) (*Lock, error) {
	for {
		highest, err := readNumbered(ctx, e.FS, volume)
		if err != nil || !highest.held() {
			return highest, err
		}
		if err := c.waitLock(ctx, e, volume); err != nil {
			return nil, err
		}
	}
}

// takeLock makes the lock after the highest one, which is nil if there is none.
// It returns nil if another node was faster.
func (c *Cluster) takeLock(ctx context.Context, e *export.Export, l Lock, highest *Lock) (*Locking, error) {
	from := mark{}
	if highest != nil {
		from = mark{highest.number, highest.ID}
	}
	l.Version, l.ID, l.State, l.number = export.FormatVersion, c.cfg.Conn.NewID(), Held, from.number+1
	l.Node, l.Incarnation, l.Since = c.cfg.Node, c.incarnation, c.cfg.Now().UTC()
	g := &Locking{c, e, &l}
	c.mine.add(l.ID)
	ok, err := locks(l.Volume).next(ctx, e, from, &l)
	if err != nil {
		g.Unlock(ctx) // it may have been made all the same
		return nil, err
	}
	if !ok {
		c.mine.remove(l.ID)
		return nil, nil
	}
	return g, nil
}

// ID is the lock's own.
func (g *Locking) ID() string { return g.l.ID }

// Unlock gives the lock back, also after the request's time is over. A lock
// that cannot be given back is found as one that nobody is at work under.
func (g *Locking) Unlock(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	_ = locks(g.l.Volume).free(export.Spend(ctx), g.e.FS, g.l.number, g.l.ID)
	g.c.mine.remove(g.l.ID)
}

// Leave leaves the lock to be finished like a dead node's: the operation was
// not completed.
func (g *Locking) Leave() { g.c.mine.remove(g.l.ID) }

// SetWork writes the trash or staging item of the operation into the lock, so
// that whoever finds the lock of a dead node knows where to look. It is an
// error if the lock was lost meanwhile.
func (g *Locking) SetWork(ctx context.Context, work string) error {
	highest, err := readNumbered(ctx, g.e.FS, g.l.Volume)
	if err != nil {
		return err
	}
	if highest == nil || highest.ID != g.l.ID {
		return problem.New(problem.InUse, "try again", "the lock of volume %q was lost", g.l.Volume)
	}
	g.l.Work = work
	return g.e.Replace(ctx, locks(g.l.Volume).path(g.l.number), g.l)
}

// waitLock returns nil when a lock is gone, after finishing what its dead
// owner began, and the lock's Busy error when it stays.
func (c *Cluster) waitLock(ctx context.Context, e *export.Export, volume string) error {
	for begin := c.cfg.Now(); ; {
		l, err := ReadLock(ctx, e.FS, volume)
		if err != nil || l == nil {
			return err
		}
		if c.Abandoned(l) {
			if err := c.finish(ctx, e, l); err != nil {
				return err
			}
			continue
		}
		if l.Op.Long() && !l.Finishes {
			return l.Busy()
		}
		select {
		case <-time.After(lockEvery):
		case <-ctx.Done():
			return l.Busy()
		}
		// The owner may have died since the last look.
		if c.cfg.Now().Sub(begin) > c.cfg.LeaseTTL/3 {
			_ = c.Poll(ctx, e)
		}
	}
}

// Abandoned tells whether nobody works under this lock any more.
func (c *Cluster) Abandoned(l *Lock) bool {
	if l.Node == c.cfg.Node && l.Incarnation == c.incarnation {
		return !c.mine.has(l.ID)
	}
	return c.Ended(l.Node, l.Incarnation)
}

// ReadLock returns the lock of a volume, nil if there is none.
func ReadLock(ctx context.Context, fsys tree.FS, volume string) (*Lock, error) {
	l, err := readNumbered(ctx, fsys, volume)
	if err != nil || l.held() {
		return l, err
	}
	return readEarlier(ctx, fsys, volume)
}

// readNumbered returns the highest numbered lock of a volume, also if it is
// free, nil if there is none.
func readNumbered(ctx context.Context, fsys tree.FS, volume string) (*Lock, error) {
	l, number, err := top[Lock](ctx, fsys, locks(volume))
	if export.IsBroken(err) {
		return nil, unreadable(volume, locks(volume).path(number), err)
	}
	if err != nil || number == 0 {
		return nil, err
	}
	l.number = number
	return l, nil
}

// readEarlier returns a lock of berth 0.1, nil if there is none.
func readEarlier(ctx context.Context, fsys tree.FS, volume string) (*Lock, error) {
	var l Lock
	err := export.Read(ctx, fsys, export.LockPath(volume), &l)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if export.IsBroken(err) {
		return nil, unreadable(volume, export.LockPath(volume), err)
	}
	return &l, err
}

func unreadable(volume, file string, why error) error {
	return problem.New(problem.Failed, fmt.Sprintf("nothing was changed; if no berth command is at work on the volume: 'berth volume repair %s'", volume),
		"the lock of volume %q (%s) is not readable: %v", volume, file, export.Why(why)).Because(why)
}

// finish ends what the dead owner of a lock began. Any node may do so: it takes
// the next number, with the same operation and work, so that one of several
// nodes does it at a time, and the next one goes on if that node dies too.
func (c *Cluster) finish(ctx context.Context, e *export.Export, dead *Lock) error {
	if err := dead.checkOp(); err != nil {
		return err
	}
	ctx = export.Spend(ctx) // a removal, or what has no way back
	highest, earlier := dead, dead.number == 0
	if earlier {
		var err error
		if highest, err = readNumbered(ctx, e.FS, dead.Volume); err != nil || highest.held() {
			return err // somebody is at it
		}
	}
	g, err := c.takeLock(ctx, e, Lock{Op: dead.Op, Volume: dead.Volume, Work: dead.Work, Finishes: true}, highest)
	if err != nil || g == nil {
		return err
	}
	if earlier {
		err = g.finishEarlier(ctx)
	} else if err = c.cfg.Finish(ctx, e, g.l); err == nil {
		c.reportFinished(dead)
	}
	if err != nil {
		g.Leave()
		return err
	}
	g.Unlock(ctx)
	return nil
}

// finishEarlier ends what a dead owner of a lock of berth 0.1 began, under our
// lock of the same volume. That lock knows no state, so its file is removed:
// the numbered lock keeps every node from it that would know better.
func (g *Locking) finishEarlier(ctx context.Context) error {
	c, fsys, volume := g.c, g.e.FS, g.l.Volume
	old, err := readEarlier(ctx, fsys, volume)
	if err != nil || old == nil || !c.Abandoned(old) {
		return err
	}
	if err := old.checkOp(); err != nil {
		return err
	}
	if err := c.cfg.Finish(ctx, g.e, old); err != nil {
		return err
	}
	if again, err := readEarlier(ctx, fsys, volume); err != nil || again == nil || again.ID != old.ID {
		return err
	}
	if err := export.Absent(fsys.Remove(ctx, export.LockPath(volume))); err != nil {
		return err
	}
	c.reportFinished(old)
	return nil
}

func (c *Cluster) reportFinished(l *Lock) {
	c.cfg.Report("finished an operation whose owner died", map[string]any{"op": string(l.Op), "volume": l.Volume, "node": l.Node})
}

// unfinished and unforgotten are the events of a volume whose locks stay.
const (
	unfinished  = "an operation whose owner died cannot be finished; it is tried again"
	unforgotten = "the locks of an operation that was over long ago stay"
)

// finishWithin bounds the work on one operation whose owner died: each is a few
// renames, and may be repeated.
const finishWithin = 5 * time.Second

// FinishDead finishes the operations of nodes that died, and removes the last
// traces of those that were over long ago. An operation that cannot be finished
// keeps no other; those that could not be finished before come last.
func (c *Cluster) FinishDead(ctx context.Context, e *export.Export) error {
	all, err := Locks(ctx, e.FS)
	if err != nil {
		return err
	}
	faulty := func(l *Lock) int { return min(1, len(c.cfg.Faults.Reason(unfinished, l.Volume))) }
	slices.SortStableFunc(all, func(a, b *Lock) int { return faulty(a) - faulty(b) })
	var panics several.Errors
	for _, l := range all {
		if !c.Abandoned(l) {
			continue
		}
		one, end := context.WithTimeout(ctx, finishWithin)
		err := guard.Run(func() error { return c.finish(one, e, l) })
		end()
		if guard.Stack(err) != "" {
			panics.Add(err)
		} else if err := c.passOver(ctx, e, unfinished, l.Volume, err); err != nil {
			return err
		}
	}
	return errors.Join(panics.Err(), forgetDone(ctx, c, e))
}

// forgetDone removes the last traces of operations that were over long ago. How old
// they are tells the ctime, which is the server's and which nobody can set.
func forgetDone(ctx context.Context, c *Cluster, e *export.Export) error {
	var old []string
	err := e.FS.ReadDirPlus(ctx, export.LockDir, func(d tree.EntryPlus) error {
		volume, numbered := strings.CutSuffix(d.Name, lockMark)
		if age, ok := c.Age(d.Attr.Ctime); ok && numbered && age > goneFor {
			old = append(old, volume)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, v := range old {
		if err := c.passOver(ctx, e, unforgotten, v, forgetLocks(ctx, c, e, v)); err != nil {
			return err
		}
	}
	return nil
}

// Stuck lists the locks of dead owners whose operation this node could not finish
// when it tried last.
func (c *Cluster) Stuck(ctx context.Context, e *export.Export) ([]export.Fault, error) {
	all, err := Locks(ctx, e.FS)
	var out []export.Fault
	for _, l := range all {
		if why := c.cfg.Faults.Reason(unfinished, l.Volume); why != "" && c.Abandoned(l) {
			file := export.LockPath(l.Volume)
			if l.number > 0 {
				file = locks(l.Volume).path(l.number)
			}
			out = append(out, export.Fault{Path: file, Volume: l.Volume, Work: l.Work, Why: export.Unfit("%s", why)})
		}
	}
	return out, err
}

// forgetLocks removes the numbers of a volume whose lock was given back long
// ago.
func forgetLocks(ctx context.Context, c *Cluster, e *export.Export, volume string) error {
	l, err := readNumbered(ctx, e.FS, volume)
	if l.held() || err != nil {
		return nil // reported when the volume is asked for
	}
	numbers, err := locks(volume).numbers(ctx, e.FS)
	switch {
	case err != nil:
		return err
	case len(numbers) == 0:
		_ = e.FS.Rmdir(ctx, locks(volume).dir)
		return nil
	case l == nil || numbers[len(numbers)-1] != l.number:
		return nil
	}
	return c.end(ctx, e, locks(volume), numbers)
}

// Locks lists the locks of the whole export. Those that cannot be read are left
// out: they are reported when their volume is asked for.
func Locks(ctx context.Context, fsys tree.FS) ([]*Lock, error) {
	seen := map[string]bool{}
	volumes, err := export.Pick(ctx, fsys, export.LockDir, func(d tree.Entry) (string, bool) {
		volume := strings.TrimSuffix(d.Name, lockMark)
		was := seen[volume]
		seen[volume] = true
		return volume, !was && !strings.HasPrefix(d.Name, ".")
	})
	if err != nil && !export.IsBroken(err) {
		return nil, export.Absent(err)
	}
	var out []*Lock
	for _, v := range volumes {
		l, err := ReadLock(ctx, fsys, v)
		if export.Ends(ctx, fsys, err) {
			return nil, err
		}
		if err == nil && l != nil {
			out = append(out, l)
		}
	}
	return out, nil
}

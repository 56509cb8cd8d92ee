package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
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

// long tells operations that may take minutes: nobody waits for them.
func (o Op) long() bool { return o == OpClone || o.hasJob() }

// hasJob tells operations that a journal describes.
func (o Op) hasJob() bool { return o == OpRestore || o == OpUndo || o == OpTakeover }

// swaps tells operations in which a volume's directory is away for a moment.
func (o Op) swaps() bool { return o == OpUndelete || o.hasJob() }

// Lock is .berth/locks/NAME: an operation on that name is under way, and whose.
// It is made by LINK, so one node in the whole swarm has it.
type Lock struct {
	Version     int       `json:"version"`
	ID          string    `json:"id"` // random
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
}

// busy is the answer to a request that meets a lock.
func (l *Lock) busy() error {
	return problem.New(problem.InUse, "try again in a moment; 'berth volume ps' shows what is under way",
		"%s of volume %q is under way on %s", l.Op, l.Volume, l.Node)
}

// lockWait is how long a request waits for a short operation to end, and how
// often it looks.
const (
	lockWait  = 20 * time.Second
	lockEvery = 50 * time.Millisecond
)

// lock takes the lock of a name for op. The caller holds names.hold(name). A
// lock whose owner died is finished first; one that is alive is waited for a
// while, since most operations take milliseconds. Another node's clone or
// restore takes longer and is reported at once.
func (s *Store) lock(ctx context.Context, e *export.Export, op Op, name, work string) (release func(), err error) {
	return s.lockReading(ctx, e, op, name, work, "")
}

// lockReading is lock by an operation that copies a version.
func (s *Store) lockReading(ctx context.Context, e *export.Export, op Op, name, work, reads string) (release func(), err error) {
	l := &Lock{Version: export.FormatVersion, ID: s.conn.NewID(), Op: op, Volume: name, Node: s.cfg.Node,
		Incarnation: s.incarnation, Since: s.cfg.Now().UTC(), Work: work, Reads: reads}
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for {
		err := e.Publish(ctx, export.LockPath(name), l)
		if err == nil {
			return func() { s.unlock(ctx, e, l) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			// It may have been made all the same.
			s.unlock(ctx, e, l)
			return nil, err
		}
		if err := s.waitLock(ctx, e, name); err != nil {
			return nil, err
		}
	}
}

// waitLock returns nil when a lock is gone, after finishing what its dead
// owner began, and the lock's busy error when it stays.
func (s *Store) waitLock(ctx context.Context, e *export.Export, name string) error {
	for {
		l, err := readLock(ctx, e.FS, name)
		if err != nil || l == nil {
			return err
		}
		if s.abandoned(l) {
			if err := s.finish(ctx, e, l); err != nil {
				return err
			}
			continue
		}
		if l.Op.long() {
			return l.busy()
		}
		select {
		case <-time.After(lockEvery):
		case <-ctx.Done():
			return l.busy()
		}
		// The owner may have died since the last poll.
		if s.cfg.Now().Sub(l.Since) > s.cfg.LeaseTTL/3 {
			_ = s.poll(ctx, e)
		}
	}
}

// unlock removes our own lock, also after the request's time is over. A lock
// that cannot be removed now is remembered as abandoned and finished later.
func (s *Store) unlock(ctx context.Context, e *export.Export, l *Lock) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	there, err := readLock(ctx, e.FS, l.Volume)
	if err == nil && there != nil && there.ID == l.ID {
		err = export.Absent(e.FS.Remove(ctx, export.LockPath(l.Volume)))
	}
	if err != nil {
		s.orphans.Store(l.ID, true)
	}
}

// abandoned tells whether nobody works under this lock any more.
func (s *Store) abandoned(l *Lock) bool {
	if _, ours := s.orphans.Load(l.ID); ours {
		return true
	}
	return s.gone(l.Node, l.Incarnation)
}

// readLock returns the lock of name, nil if there is none.
func readLock(ctx context.Context, fsys tree.FS, name string) (*Lock, error) {
	var l Lock
	err := export.Read(ctx, fsys, export.LockPath(name), &l)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if export.IsBroken(err) {
		return nil, problem.New(problem.Failed, fmt.Sprintf("nothing was changed; if no berth command is at work, move %s away on the export", export.LockPath(name)),
			"the lock of volume %q is not readable", name)
	}
	return &l, err
}

// finish ends what a dead owner of a lock began, and takes its lock away. Any
// node may do so, several at once: each step is a RENAME that one of them wins.
func (s *Store) finish(ctx context.Context, e *export.Export, l *Lock) error {
	var err error
	switch l.Op {
	case OpRemove:
		err = s.finishRemove(ctx, e, l)
	case OpUndelete:
		err = s.finishUndelete(ctx, e, l)
	case OpClone:
		err = s.undoClone(ctx, e, l.Volume, l.Work)
	case OpRestore, OpUndo, OpTakeover:
		err = s.finishJob(ctx, e, l)
	case OpCreate, OpSet, OpRepair, OpImport:
		// Each of their steps leaves a state that the next request understands.
	default:
		return problem.New(problem.InUse, "upgrade berth on this node", "volume %q is locked by an operation this berth does not know (%q, on %s)", l.Volume, l.Op, l.Node)
	}
	if err != nil {
		return err
	}
	s.cfg.Report("finished an operation whose owner died", map[string]any{"op": string(l.Op), "volume": l.Volume, "node": l.Node})
	return s.breakLock(ctx, e, l)
}

// breakLock takes a dead owner's lock away: renamed first, so that of several
// nodes one does it. A fresh lock caught by mistake is put back by LINK.
func (s *Store) breakLock(ctx context.Context, e *export.Export, l *Lock) error {
	aside := path.Join(export.StagingDir, export.TmpPrefix+s.conn.NewID())
	if err := e.FS.Rename(ctx, export.LockPath(l.Volume), aside); err != nil {
		return export.Absent(err)
	}
	var caught Lock
	if err := export.Read(ctx, e.FS, aside, &caught); err == nil && caught.ID != l.ID {
		if err := e.FS.Link(ctx, aside, export.LockPath(l.Volume)); err != nil {
			return err
		}
	}
	return export.Absent(e.FS.Remove(ctx, aside))
}

// locks lists the locks of the whole export.
func (s *Store) locks(ctx context.Context, e *export.Export) ([]*Lock, error) {
	names, err := export.Pick(ctx, e.FS, export.LockDir, func(d tree.Entry) (string, bool) { return d.Name, !strings.HasPrefix(d.Name, ".") })
	if err != nil {
		return nil, export.Absent(err)
	}
	var out []*Lock
	for _, n := range names {
		l, err := readLock(ctx, e.FS, n)
		// One that cannot be read is reported when its volume is asked for.
		if err == nil && l != nil {
			out = append(out, l)
		}
	}
	return out, nil
}

// Operations lists what is under way on volume, or on all for "".
func (s *Store) Operations(ctx context.Context, volume string) ([]Lock, error) {
	out := []Lock{}
	err := s.with(ctx, "list the operations", func(e *export.Export) error {
		all, err := s.locks(ctx, e)
		for _, l := range all {
			if volume == "" || l.Volume == volume {
				out = append(out, *l)
			}
		}
		return err
	})
	return out, err
}

// Cloning lists the locks of clones that copy a version, on all nodes: those
// of nodes that died copy no more.
func (s *Store) Cloning(ctx context.Context) (out []Lock, err error) {
	err = s.with(ctx, "list the clones", func(e *export.Export) error {
		if err := s.poll(ctx, e); err != nil {
			return err
		}
		all, err := s.locks(ctx, e)
		for _, l := range all {
			if l.Reads != "" && !s.abandoned(l) {
				out = append(out, *l)
			}
		}
		return err
	})
	return out, err
}

// swapping lists the volumes that exist although their directory may be away
// for a moment: a restore, from a snapshot or the trash, has begun.
func (s *Store) swapping(ctx context.Context, e *export.Export) ([]string, error) {
	all, err := s.locks(ctx, e)
	var out []string
	for _, l := range all {
		if l.Op.swaps() {
			out = append(out, l.Volume)
		}
	}
	return out, err
}

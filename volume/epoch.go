package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Epoch is .berth/leases/NAME/epoch.N: the N-th node that may write an
// access=single volume. Whoever made the highest one by LINK holds the volume,
// until it says so in that very file, through the file's handle: what it
// releases can never be a successor's.
//
//	{"version":1,"id":"9f2c51b07d3e4a68","state":"held","node":"n1","boot":"5be1…","since":"2026-11-23T05:30:00Z"}
type Epoch struct {
	Version int        `json:"version"`
	ID      string     `json:"id"` // random
	State   EpochState `json:"state"`
	Node    string     `json:"node"`
	Boot    string     `json:"boot"` // of that node: a reboot ends all that wrote
	Since   time.Time  `json:"since"`

	number uint64
}

// EpochState tells whether an epoch's maker still holds the volume. The words
// have one length, since one is written over the other.
type EpochState string

// The states of an epoch.
const (
	EpochHeld EpochState = "held"
	EpochFree EpochState = "free"
)

// held tells whether a volume whose highest epoch this is has a holder.
func (p *Epoch) held() bool { return p != nil && p.State != EpochFree }

// num is the epoch's number, 0 for none.
func (p *Epoch) num() uint64 {
	if p == nil {
		return 0
	}
	return p.number
}

// readEpoch returns the highest epoch of a volume, nil if there is none.
func readEpoch(ctx context.Context, fsys tree.FS, name string) (*Epoch, error) {
	for {
		_, numbers, err := leaseFiles(ctx, fsys, name)
		if err != nil || len(numbers) == 0 {
			return nil, err
		}
		p := &Epoch{}
		for _, n := range numbers {
			p.number = max(p.number, n)
		}
		err = export.Read(ctx, fsys, export.EpochPath(name, p.number), p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // there are higher ones by now
		case export.IsBroken(err):
			return nil, problem.New(problem.InUse, fmt.Sprintf("nothing was changed; if nobody uses the volume, move %s away on the export", export.EpochPath(name, p.number)),
				"who holds volume %q is not readable", name)
		}
		return p, err
	}
}

// A holder is whoever may write a single-writer volume now.
type holder struct {
	node, boot string
	epoch      uint64 // 0: only its lease says so, as berth wrote before there were epochs
}

// holderOf returns who holds a volume, nil for nobody, and its highest epoch.
// It asks the other nodes' heartbeats afterwards, so that whoever holds it is
// at least as new in them.
func (s *Store) holderOf(ctx context.Context, e *export.Export, name string) (*holder, *Epoch, error) {
	top, err := readEpoch(ctx, e.FS, name)
	if err != nil {
		return nil, nil, err
	}
	if err := s.poll(ctx, e); err != nil {
		return nil, nil, err
	}
	if top.held() {
		return &holder{top.Node, top.Boot, top.number}, top, nil
	}
	if top != nil {
		return nil, top, nil
	}
	leases, err := readLeases(ctx, e.FS, name)
	for _, l := range leases {
		if l.Node != s.cfg.Node {
			return &holder{l.Node, l.Boot, 0}, nil, err
		}
	}
	return nil, nil, err
}

// hold makes this node the holder of a single-writer volume, or says who is.
// The lease is written. before is the node whose hold had ended without being
// given back, "" for none: it may have left locks on the server.
func (s *Store) hold(ctx context.Context, e *export.Export, name string) (before string, err error) {
	if err := s.checkIdentity(ctx, e); err != nil {
		return "", err
	}
	for {
		h, top, err := s.holderOf(ctx, e, name)
		if err != nil {
			return "", err
		}
		before = ""
		if h != nil {
			if h.node == s.cfg.Node && h.boot == s.cfg.Boot {
				s.noteEpoch(name, h.epoch)
				return "", nil
			}
			if before = h.node; !s.over(h) {
				return "", s.heldBy(name, h)
			}
		}
		mine := s.newEpoch(EpochHeld, top.num()+1)
		err = e.Publish(ctx, export.EpochPath(name, mine.number), mine)
		if errors.Is(err, fs.ErrExist) {
			continue // somebody was faster
		}
		if err != nil {
			return "", err
		}
		// Of a number that was used and removed long ago nobody is the holder.
		if top, err = readEpoch(ctx, e.FS, name); err != nil {
			return "", err
		}
		if top.num() == mine.number {
			s.noteEpoch(name, mine.number)
			s.forgetEpochs(ctx, e, name, mine.number)
			return before, nil
		}
	}
}

// stillHeld is asked last, when it is known which tree a Mount will answer: if
// the volume was taken over since this node made its epoch, that tree is
// another's.
func (s *Store) stillHeld(ctx context.Context, e *export.Export, name string) error {
	epoch := s.leases.unfenced(name)
	if epoch == 0 {
		return nil
	}
	top, err := readEpoch(ctx, e.FS, name)
	if err == nil && (top.num() != epoch || !top.held()) {
		err = problem.New(problem.InUse, "try again", "volume %q was taken over from this node while it was mounted", name)
	}
	return err
}

func (s *Store) newEpoch(state EpochState, number uint64) *Epoch {
	return &Epoch{Version: export.FormatVersion, ID: s.conn.NewID(), State: state, Node: s.cfg.Node, Boot: s.cfg.Boot,
		Since: s.cfg.Now().UTC().Truncate(time.Second), number: number}
}

// over tells whether nothing of a holder can write any more, without anybody
// having to be kept out: its node has booted since, or its berth ended with
// nothing in use.
func (s *Store) over(h *holder) bool {
	if h.node == s.cfg.Node {
		return h.boot != s.cfg.Boot // checkIdentity has seen that the name is ours
	}
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	p := s.peers.byName[h.node]
	if p == nil || p.absent || p.beat.Boot == "" || p.beat.Doubled {
		return false
	}
	return p.beat.State == NodeStopped || h.boot != "" && p.beat.Boot != h.boot
}

// SilentHolder is the cause of a refusal: the volume's holder has been silent
// for its whole lease, so the volume can be taken over from it.
type SilentHolder struct{ Volume, Node string }

func (h *SilentHolder) Error() string { return h.Node + " is silent" }

// heldBy refuses a volume that another node holds.
func (s *Store) heldBy(name string, h *holder) error {
	if h.node == s.cfg.Node {
		return problem.New(problem.InUse, "try again in a moment", "volume %q is held by another node that calls itself %s", name, h.node)
	}
	life, age := s.life(h.node)
	u := User{State: life, Age: age.Seconds()}
	switch life {
	case Expired:
		err := problem.New(problem.InUse, fmt.Sprintf("make sure that %s is switched off, then type 'berth volume takeover %s --from %s'", h.node, name, h.node),
			"volume %q is access=single and was last held by %s, which is silent (%s)", name, h.node, u.heartbeat())
		err.Because(&SilentHolder{name, h.node})
		return err
	case Unattended:
		return problem.New(problem.InUse, fmt.Sprintf("start berth there; or, if %s is switched off: 'berth volume takeover %s --from %s'", h.node, name, h.node),
			"volume %q is access=single and held by %s (%s)", name, h.node, u.heartbeat())
	}
	return problem.New(problem.InUse, fmt.Sprintf("stop it there first, or wait: a node that is silent for %s is taken over from; 'berth volume ps %s' shows who uses it", s.ttlOf(h.node), name),
		"volume %q is access=single and held by %s (%s)", name, h.node, u.heartbeat())
}

// forgetEpochs removes epochs far below the highest one. A node that makes a
// number anew sees that it is not the highest.
func (s *Store) forgetEpochs(ctx context.Context, e *export.Export, name string, top uint64) {
	_, numbers, err := leaseFiles(ctx, e.FS, name)
	if err != nil {
		return
	}
	for _, n := range numbers {
		if n+keptEpochs < top {
			_ = e.FS.Remove(ctx, export.EpochPath(name, n))
		}
	}
}

// keptEpochs is how many ended epochs stay, for people who look.
const keptEpochs = 3

// release gives a volume back, if this boot of this node holds it: what was
// written here is on the server first.
func (s *Store) release(ctx context.Context, e *export.Export, name string) error {
	top, err := readEpoch(ctx, e.FS, name)
	if err != nil || !top.held() || top.Node != s.cfg.Node || top.Boot != s.cfg.Boot && !s.named() {
		return err
	}
	if top.Boot == s.cfg.Boot {
		if err := s.cfg.Flush(ctx); err != nil {
			return err
		}
	}
	return s.free(ctx, e, name, top)
}

// free writes into an epoch's own file that its maker holds it no more.
func (s *Store) free(ctx context.Context, e *export.Export, name string, p *Epoch) error {
	f, err := e.FS.Open(ctx, export.EpochPath(name, p.number))
	if err != nil {
		return export.Absent(err) // there are higher ones by now
	}
	defer f.Close()
	data := make([]byte, export.MaxFile)
	n, err := f.ReadAt(ctx, data, 0)
	if err != nil && err != io.EOF {
		return err
	}
	var there Epoch
	if json.Unmarshal(data[:n], &there) != nil || there.ID != p.ID {
		return nil // another file under that number
	}
	text := strings.Replace(string(data[:n]), `"state":"`+string(EpochHeld)+`"`, `"state":"`+string(EpochFree)+`"`, 1)
	if _, err := f.WriteAt(ctx, []byte(text), 0); err != nil {
		return err
	}
	return f.Sync(ctx)
}

// goneFor is how long the epochs of a volume that is gone stay: their numbers
// go on in a volume of that name that is made or brought back meanwhile, so
// that a LINK which comes late is never the highest.
const goneFor = 24 * time.Hour

// forgetHolds removes the epochs of a volume that is gone.
func (s *Store) forgetHolds(ctx context.Context, e *export.Export, name string, numbers []uint64) error {
	there, err := export.Exists(ctx, e.FS, name)
	if err != nil || there {
		return err
	}
	top, err := e.FS.Stat(ctx, export.EpochPath(name, slices.Max(numbers)))
	now, ok := s.conn.Time()
	if err != nil || !ok || now.Sub(top.Mtime) < goneFor {
		return export.Absent(err)
	}
	for _, n := range numbers {
		if err := export.Absent(e.FS.Remove(ctx, export.EpochPath(name, n))); err != nil {
			return err
		}
	}
	_ = e.FS.Rmdir(ctx, path.Join(export.LeaseDir, name))
	return nil
}

// raise ends the hold that a takeover ends: nobody holds the volume then, and
// whoever mounts it next makes an epoch of its own.
func (s *Store) raise(ctx context.Context, e *export.Export, j *Job) error {
	name := j.Items[0].Volume
	top, err := readEpoch(ctx, e.FS, name)
	if err != nil || top.num() > j.Epoch {
		return err // done, by another node
	}
	if err := export.Mkdir(ctx, e.FS, path.Join(export.LeaseDir, name)); err != nil {
		return err
	}
	err = e.Publish(ctx, export.EpochPath(name, j.Epoch+1), s.newEpoch(EpochFree, 0))
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return removeLease(ctx, e.FS, name, j.From)
}

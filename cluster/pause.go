package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Pause is a time that is missing on an export: it was brought back to an
// earlier state (a revert of the whole FlexVol), or no node was there. What was
// to be deleted after a while gets that time back.
type Pause struct {
	Kind    PauseKind `json:"kind"`
	From    time.Time `json:"from"` // all times in the export's time
	To      time.Time `json:"to"`   // when a node was there again
	Noticed string    `json:"noticed_by"`
}

// PauseKind says why time is missing.
type PauseKind string

// The kinds of a pause.
const (
	// Reverted: files of berth were older than what this node had written.
	Reverted PauseKind = "reverted"
	// NobodyThere: no node had written for longer than nobodyAfter.
	NobodyThere PauseKind = "nobody-there"
	// Unknown: the list of pauses is not readable.
	Unknown PauseKind = "unknown"
)

// nobodyAfter is after which silence of all nodes the time of the trash stood
// still: a FlexVol may have been reverted while no berth ran.
const nobodyAfter = time.Hour

// keptPauses is how many pauses are remembered.
const keptPauses = 20

// pauses is .berth/pauses.json.
type pauses struct {
	Version int     `json:"version"`
	Pauses  []Pause `json:"pauses"`
}

// Fits implements export.Record.
func (p *pauses) Fits(string) error {
	for _, one := range p.Pauses {
		if one.To.Before(one.From) {
			return export.Unfit("has a pause that ends before it begins")
		}
		if err := export.CheckTime(one.From, one.To); err != nil {
			return err
		}
	}
	return export.CheckVersion(p.Version)
}

// Pauses lists the times that are missing on an export, oldest first. If nobody can
// read them, all time until the file was written is missing: no pause can be longer,
// so that nothing is deleted too early.
func Pauses(ctx context.Context, fsys tree.FS) ([]Pause, error) {
	var p pauses
	err := export.Read(ctx, fsys, export.PausesFile, &p)
	if !export.IsBroken(err) {
		return p.Pauses, export.Absent(err)
	}
	a, err := fsys.Stat(ctx, export.PausesFile)
	return []Pause{{Kind: Unknown, To: a.Mtime.UTC()}}, export.Absent(err)
}

// CheckPauses is an error for which export.IsBroken is true if the list of pauses is
// not readable.
func CheckPauses(ctx context.Context, fsys tree.FS) error {
	return export.Absent(export.Read(ctx, fsys, export.PausesFile, &pauses{}))
}

// KeepPauses writes a list of pauses.
func KeepPauses(ctx context.Context, e *export.Export, all []Pause) error {
	return e.Replace(ctx, export.PausesFile, pauses{export.FormatVersion, all[max(0, len(all)-keptPauses):]})
}

// mostMissing bounds what is counted with.
const mostMissing = 50 * 365 * 24 * time.Hour

// Missing is how much of the time since then is missing.
func Missing(all []Pause, since time.Time) (d time.Duration) {
	for _, p := range all {
		if begin := later(p.From, since); p.To.After(begin) {
			d = min(d+min(p.To.Sub(begin), mostMissing), mostMissing)
		}
	}
	return d
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pause writes down that time is missing, unless another node has.
func (c *Cluster) pause(ctx context.Context, e *export.Export, p Pause) error {
	all, err := Pauses(ctx, e.FS)
	if err != nil {
		return err
	}
	for _, known := range all {
		if !known.To.Before(p.From) && known.From.Before(p.To) && known.Kind == p.Kind && p.To.Sub(known.To) < 2*c.cfg.LeaseTTL {
			return nil
		}
	}
	all = append(all, p)
	return KeepPauses(ctx, e, all)
}

// wrote is what this node has written last under its own name.
type wrote struct {
	counter uint64
	at      time.Time // of the file, in the export's time; zero for nothing yet
}

// lastWritten is to be asked before the file is read: what is written meanwhile
// is newer.
func (ps *peers) lastWritten() wrote {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return ps.own.last
}

// older tells whether there, the heartbeat under our name, nil for none, is older
// than what this node had written before it was read. Another machine of the
// same name writes later than we did; nobody writes earlier.
func (w wrote) older(there *peer, incarnation string) bool {
	switch {
	case w.at.IsZero():
		return false
	case there == nil:
		return true
	case there.beat.Incarnation == incarnation:
		return there.beat.Counter < w.counter
	}
	return there.beat.Node != "" && there.mtime.Before(w.at)
}

// wentBack is called when the export is older than what this node has written.
// Nothing of what the other files say is believed against memory: this node
// says again what it uses, and that it holds what it holds. It does so once: until
// the next heartbeat is written, every look sees that the export is older.
func (c *Cluster) wentBack(ctx context.Context, e *export.Export, last wrote, there *peer) error {
	c.peers.mu.Lock()
	noticed := c.peers.own.noticed == last
	c.peers.mu.Unlock()
	if noticed {
		return nil
	}
	ctx = export.Spend(ctx) // also on a full export: others rely on what follows
	now, err := e.AskTime(ctx)
	if err != nil {
		return err
	}
	back := time.Time{}
	if there != nil {
		back = there.mtime.UTC()
	}
	if back.IsZero() || back.After(last.at) {
		back = last.at
	}
	c.cfg.Report("the export went back in time: restart all containers that use its volumes", map[string]any{"from": last.at.UTC(), "to": back})
	if err := c.pause(ctx, e, Pause{Kind: Reverted, From: back, To: now.UTC(), Noticed: c.cfg.Node}); err != nil {
		return err
	}
	c.uses.resave()
	for name, epoch := range c.uses.held() {
		if err := c.passOver(ctx, e, "a volume is not held again", name, c.holdAgain(ctx, e, name, epoch)); err != nil {
			return err
		}
	}
	c.peers.mu.Lock()
	c.peers.own.noticed = last
	c.peers.own.back = c.cfg.Now()
	c.peers.mu.Unlock()
	return nil
}

// holdAgain makes this node's epoch of a volume again, under its old number: a
// node that took the volume later has a higher one, and makes it again too.
func (c *Cluster) holdAgain(ctx context.Context, e *export.Export, name string, epoch uint64) error {
	s := epochs(name)
	numbers, err := s.numbers(ctx, e.FS)
	if err != nil || len(numbers) > 0 && numbers[len(numbers)-1] >= epoch {
		return err
	}
	err = inDirectory(ctx, e, s.dir, func() error { return e.Publish(ctx, s.path(epoch), c.newEpoch(Held)) })
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// settled refuses a single-writer volume for a while after the export went back:
// the other nodes have to say first what they hold.
func (c *Cluster) settled() error {
	c.peers.mu.Lock()
	defer c.peers.mu.Unlock()
	if left := c.cfg.LeaseTTL - c.cfg.Now().Sub(c.peers.own.back); !c.peers.own.back.IsZero() && left > 0 {
		return problem.New(problem.InUse, fmt.Sprintf("try again in %s", max(left, time.Second).Round(time.Second)),
			"the export went back in time just now, and the other nodes have not yet said which access=single volumes they hold")
	}
	return nil
}

// noteNobody writes down the time in which no node was there, before this one
// writes for the first time.
func (c *Cluster) noteNobody(ctx context.Context, e *export.Export) error {
	seen, err := readPeers(ctx, e.FS)
	if err != nil || len(seen) == 0 {
		return err
	}
	var newest time.Time
	for _, p := range seen {
		newest = later(newest, p.mtime)
	}
	ctx = export.Spend(ctx)
	now, err := e.AskTime(ctx)
	if err != nil || now.Sub(newest) < nobodyAfter {
		return err
	}
	return c.pause(ctx, e, Pause{Kind: NobodyThere, From: newest.UTC(), To: now.UTC(), Noticed: c.cfg.Node})
}

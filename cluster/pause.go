package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Pause is a time that is missing on an export: it was brought back to an
// earlier state (a revert of the whole FlexVol), no node was there, or the
// server's clock was put forward. What was to be deleted after a while gets that
// time back.
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
	// ClockSet: the server's clock was put forward or, where To is before From,
	// back. The latter is no missing time, but what has happened before has times
	// that are still to come.
	ClockSet PauseKind = "clock-set"
)

// nobodyAfter is after which silence of all nodes the time of the trash stood
// still: a FlexVol may have been reverted while no berth ran.
const nobodyAfter = time.Hour

// keptPauses is how many pauses are remembered.
const keptPauses = 50

// pauses is .berth/pauses.json.
type pauses struct {
	Version int     `json:"version"`
	Pauses  []Pause `json:"pauses"`
}

// Fits implements export.Record.
func (p *pauses) Fits(string) error {
	for _, one := range p.Pauses {
		if one.back() && one.Kind != ClockSet {
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

// KeepPauses writes a list of pauses down.
func (ps *peers) KeepPauses(ctx context.Context, e *export.Export, all []Pause) error {
	all = all[max(0, len(all)-keptPauses):]
	if err := e.Replace(ctx, export.PausesFile, pauses{export.FormatVersion, all}); err != nil {
		return err
	}
	ps.setPauses(all)
	return nil
}

// mostMissing bounds what is counted with.
const mostMissing = 50 * 365 * 24 * time.Hour

// Missing is how much of the time between since and now is missing. A pause that
// ends after now counts for nothing: the clock that said so was put right. It is
// negative for what has happened before a clock was put back, if since is still to
// come.
func Missing(all []Pause, since, now time.Time) (d time.Duration) {
	soon := now.Add(time.Minute) // nodes read the clock at different times
	future := since.After(soon)
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b Pause) int { return a.From.Compare(b.From) })
	for _, p := range all {
		if p.back() && future && !since.After(p.From) {
			d -= p.From.Sub(p.To)
		}
		if p.back() || p.To.After(soon) {
			continue
		}
		if begin := later(p.From, since); p.To.After(begin) {
			d = min(d+min(p.To.Sub(begin), mostMissing), mostMissing)
			since = p.To // two pauses may be about one time
		}
	}
	return d
}

// back tells a clock that was put back.
func (p Pause) back() bool { return p.To.Before(p.From) }

// again tells whether another node has written p down as known.
func (p Pause) again(known Pause, within time.Duration) bool {
	switch {
	case known.Kind != p.Kind:
		return false
	case p.Kind == ClockSet:
		return known.From.Sub(p.From).Abs() < within && known.To.Sub(p.To).Abs() < within
	}
	return !known.To.Before(p.From) && known.From.Before(p.To) && p.To.Sub(known.To) < within
}

// steps are the pauses in which no time went by at all.
func steps(all []Pause) []Pause {
	return slices.DeleteFunc(slices.Clone(all), func(p Pause) bool { return p.Kind != ClockSet })
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Age is for how long something of the export is as it is, by a time that the
// export gave it and without the times that are missing. ok is false as long as
// nobody has asked the export for its time.
func (ps *peers) Age(since time.Time) (age time.Duration, ok bool) {
	now, ok := ps.cfg.Conn.Time()
	ps.mu.Lock()
	defer ps.mu.Unlock()
	return now.Sub(since) - Missing(ps.pauses, since, now), ok
}

// followClock writes down that the server's clock was put forward or back, before
// this node believes it.
func (c *Cluster) followClock(ctx context.Context, e *export.Export) {
	step, ok := c.cfg.Conn.Step()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(export.Spend(ctx), sideBudget)
	defer cancel()
	err := c.pause(ctx, e, Pause{Kind: ClockSet, From: step.From.UTC(), To: step.To.UTC(), Noticed: c.cfg.Node})
	c.note("that the server's clock was set cannot be written down; its time is not followed", export.PausesFile, err)
	if err != nil {
		return
	}
	c.cfg.Report("the server's clock was set: what is in the trash stays for as long as it would have", map[string]any{"from": step.From.UTC(), "to": step.To.UTC()})
	c.cfg.Conn.Follow(step)
}

// pause writes down that time is missing, unless another node has.
func (c *Cluster) pause(ctx context.Context, e *export.Export, p Pause) error {
	all, err := Pauses(ctx, e.FS)
	if err != nil {
		return err
	}
	for _, known := range all {
		if p.again(known, 2*c.cfg.LeaseTTL) {
			return nil
		}
	}
	all = append(all, p)
	return c.KeepPauses(ctx, e, all)
}

func (ps *peers) setPauses(all []Pause) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.pauses = all
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

// reverted is that the export was brought back to an earlier state, as this node
// has noticed and not yet answered.
type reverted struct{ from, to time.Time }

// noticeRevert is called when the export is older than what this node has
// written. Until the next heartbeat is written, every look sees that: it is
// noticed once.
func (ps *peers) noticeRevert(last wrote, there *peer) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.own.noticed == last {
		return
	}
	to := last.at
	if there != nil && there.mtime.Before(to) {
		to = there.mtime
	}
	ps.own.noticed, ps.own.back, ps.own.revert = last, ps.cfg.Now(), &reverted{last.at.UTC(), to.UTC()}
	ps.cfg.Report("the export went back in time: restart all containers that use its volumes", map[string]any{"from": last.at.UTC(), "to": to.UTC()})
}

// answerRevert does what is to be done after a revert. Nothing of what the other
// files say is believed against memory: this node says again what it uses, and
// that it holds what it holds.
func (c *Cluster) answerRevert(ctx context.Context, e *export.Export) error {
	c.peers.mu.Lock()
	r := c.peers.own.revert
	c.peers.mu.Unlock()
	if r == nil {
		return nil
	}
	ctx = export.Spend(ctx) // also on a full export: others rely on what follows
	now, err := e.AskTime(ctx)
	if err != nil {
		return err
	}
	if err := c.pause(ctx, e, Pause{Kind: Reverted, From: r.to, To: now.UTC(), Noticed: c.cfg.Node}); err != nil {
		return err
	}
	c.uses.resave()
	for name, epoch := range c.uses.held() {
		if err := c.passOver(ctx, e, "a volume is not held again", name, c.holdAgain(ctx, e, name, epoch)); err != nil {
			return err
		}
	}
	c.peers.mu.Lock()
	if c.peers.own.revert == r {
		c.peers.own.revert = nil
	}
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
func (ps *peers) settled() error {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	left := ps.cfg.LeaseTTL - ps.cfg.Now().Sub(ps.own.back)
	if ps.own.revert != nil || !ps.own.back.IsZero() && left > 0 {
		return problem.New(problem.InUse, fmt.Sprintf("try again in %s", max(left, time.Second).Round(time.Second)),
			"the export went back in time just now, and the other nodes have not yet said which access=single volumes they hold")
	}
	return nil
}

// noteNobody writes down the time in which no node was there, before this one
// writes for the first time.
func (c *Cluster) noteNobody(ctx context.Context, e *export.Export) error {
	seen, _, err := c.look(ctx, e.FS)
	if err != nil {
		return err
	}
	var newest time.Time
	for _, s := range seen {
		if s.peer != nil {
			newest = later(newest, s.peer.mtime)
		}
	}
	if newest.IsZero() {
		return nil
	}
	ctx = export.Spend(ctx)
	now, err := e.AskTime(ctx)
	if err != nil || now.Sub(newest) < nobodyAfter {
		return err
	}
	return c.pause(ctx, e, Pause{Kind: NobodyThere, From: newest.UTC(), To: now.UTC(), Noticed: c.cfg.Node})
}

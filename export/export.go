package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/tree"
)

// record is .berth/export.json: who this export is.
//
//	{"version":1,"id":"9f2c51b07d3e4a68"}
type record struct {
	Version int    `json:"version"`
	ID      string `json:"id"`
}

// Fits implements Record. A newer version is told by who identifies the export.
func (r *record) Fits(string) error {
	if !IsName(r.ID) {
		return Unfit("has no id")
	}
	return nil
}

// readRecord reads who an export is; want is who it ought to be, "" for anybody. One
// damaged file must not cost every volume: where it is broken, or says another id than
// the one that is wanted, its copy counts if that is better.
func readRecord(ctx context.Context, fsys tree.FS, want string) (rec record, err error) {
	err = Read(ctx, fsys, recordFile, &rec)
	if IsBroken(err) || err == nil && want != "" && rec.ID != want {
		var again record
		if Read(ctx, fsys, recordCopy, &again) == nil && (want == "" || again.ID == want) {
			return again, nil
		}
	}
	return rec, err
}

// IsRecord tells the two files that say who an export is.
func IsRecord(name string) bool { return name == recordFile || name == recordCopy }

// CheckRecords returns what is wrong with these files of the export with that id.
func CheckRecords(ctx context.Context, fsys tree.FS, id string) map[string]error {
	out := map[string]error{}
	for _, name := range []string{recordFile, recordCopy} {
		var rec record
		out[name] = Read(ctx, fsys, name, &rec)
		if out[name] == nil && rec.ID != id {
			out[name] = Unfit("says that the export is %q", rec.ID)
		}
	}
	return out
}

// WriteRecords writes the files that say who the export is where they are wrong.
func (e *Export) WriteRecords(ctx context.Context) error {
	var failed error
	for name, err := range CheckRecords(ctx, e.FS, e.ID) {
		if err != nil {
			failed = errors.Join(failed, e.Replace(ctx, name, record{FormatVersion, e.ID}))
		}
	}
	return failed
}

// Export is one opened export whose identity was verified.
type Export struct {
	FS tree.FS
	ID string

	rand  io.Reader
	clock *clock
	now   func() time.Time
}

// Confirm makes sure that this still is the export, before what is missing is
// believed to be gone: a directory that was emptied, or deleted while somebody
// has it open, keeps its handle and has nothing in it.
func (e *Export) Confirm(ctx context.Context) error {
	rec, err := readRecord(ctx, e.FS, e.ID)
	if err == nil && rec.ID == e.ID {
		return nil
	}
	if err == nil || errors.Is(err, fs.ErrNotExist) || IsBroken(err) {
		return fmt.Errorf("%w: its id is not there", tree.ErrAway)
	}
	return err
}

// lacksControl tells an error about a control file or directory that ought to
// be there.
func lacksControl(err error) bool {
	p := (*fs.PathError)(nil)
	return errors.Is(err, fs.ErrNotExist) && errors.As(err, &p) && strings.HasPrefix(p.Path, Dir+"/")
}

// initialize gives a new export its id. Of several nodes one wins.
func (e *Export) initialize(ctx context.Context, rec *record) error {
	if err := e.makeControlDirs(ctx); err != nil {
		return err
	}
	err := e.Publish(ctx, recordFile, rec)
	if errors.Is(err, fs.ErrExist) {
		return Read(ctx, e.FS, recordFile, rec)
	}
	return err
}

// ControlDirs are the directories that every export has.
var ControlDirs = []string{Dir, MetaDir, NodeDir, LeaseDir, LockDir, StagingDir, TrashDir, AuditDir}

// losesNothing are those of them in whose place an empty one does no harm: nodes write
// their heartbeats again, and what else is in them nobody works by.
var losesNothing = []string{NodeDir, StagingDir, AuditDir}

func (e *Export) makeControlDirs(ctx context.Context) error {
	for _, dir := range ControlDirs {
		a, err := e.FS.Stat(ctx, dir)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = Mkdir(ctx, e.FS, dir)
		case err == nil && a.Kind != tree.Directory && slices.Contains(losesNothing, dir):
			_, err = e.Renew(ctx, dir)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Renew makes a control directory in the place of what is none, which stays beside
// it, and returns where.
func (e *Export) Renew(ctx context.Context, dir string) (aside string, err error) {
	aside = path.Join(Dir, "damaged-"+path.Base(dir)+"-"+e.NewID())
	if err := e.FS.Rename(ctx, dir, aside); err != nil {
		return "", Absent(err) // another node did it
	}
	return aside, Mkdir(ctx, e.FS, dir)
}

// AskTime sets the export's clock by the time that it gives a new file, and
// returns that time.
func (e *Export) AskTime(ctx context.Context) (time.Time, error) {
	name, err := e.Private(ctx, nil)
	if err != nil {
		return time.Time{}, err
	}
	defer e.Discard(ctx, name)
	return e.SetClock(ctx, name)
}

// SetClock sets the export's clock by the time of a file that was written a
// moment ago, and returns that time. Our clock is read after the write, so the
// export's is never ahead.
func (e *Export) SetClock(ctx context.Context, name string) (time.Time, error) {
	now := e.now()
	attr, err := e.FS.Stat(ctx, name)
	if err == nil {
		e.clock.set(attr.Mtime, now)
	}
	return attr.Mtime, err
}

// clock is the export's time, read from the times it gives our own
// heartbeat, so that nodes with wrong clocks agree.
type clock struct {
	mu sync.Mutex // guards the fields
	// server is what the export said when our clock, with its monotonic part,
	// said local.
	server, local time.Time
	step          Step
	stepAt        time.Time // by our clock, when step.To was read
}

// Step is a server's clock that was put forward or back: the export's time would
// have been From, and was To. The zero value is none.
type Step struct{ From, To time.Time }

// leastStep is how far the export's time is from what has gone by before that is
// a Step. Less may be a server that is late with its answers.
const leastStep = time.Minute

// set takes what the server says, unless its clock was put forward or back: then
// what waits for a time to come would be over at once, or never.
func (c *clock) set(server, local time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.local.IsZero() {
		if from := c.server.Add(local.Sub(c.local)); server.Sub(from).Abs() > leastStep {
			c.step, c.stepAt = Step{from, server}, local
			return
		}
	}
	c.server, c.local, c.step = server, local, Step{}
}

// follow takes a step.
func (c *clock) follow(step Step) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.step == step {
		c.server, c.local, c.step = step.To, c.stepAt, Step{}
	}
}

// at returns the export's time at our time now; ok is false before the first
// heartbeat.
func (c *clock) at(now time.Time) (t time.Time, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.local.IsZero() {
		return now, false
	}
	return c.server.Add(now.Sub(c.local)), true
}

package export

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"syscall"
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Config is what a Conn is made with. Fields without a default are required.
type Config struct {
	_ struct{}

	URL  string                                     // the export as the settings name it; for messages
	Open func(ctx context.Context) (tree.FS, error) // opens the export's root
	ID   string                                     // the export id to insist on; "" trusts Known, "new" forgets it

	// Known is the export id that an earlier run has seen, "" for none.
	// Learned is told of the id of every export that is opened. Defaults: none,
	// nobody.
	Known   func() string
	Learned func(id string)
	// Ready is called with an identified export before anybody uses it; its
	// error ends the attempt. Default: nothing to do.
	Ready func(ctx context.Context, e *Export) error

	Now  func() time.Time // default time.Now
	Rand io.Reader        // default crypto/rand
}

// Conn keeps one export open, and opens it again when it was away. All methods
// may be called concurrently.
type Conn struct {
	cfg   Config
	clock clock

	mu      sync.Mutex // guards the fields below, never held across the network
	cur     *Export
	attempt chan struct{} // closed when the running attempt to connect ends
	err     error         // of the last attempt
	at      time.Time     // when it ended
}

// New returns a Conn that connects on first use.
func New(cfg Config) *Conn {
	if cfg.Known == nil {
		cfg.Known = func() string { return "" }
	}
	if cfg.Learned == nil {
		cfg.Learned = func(string) {}
	}
	if cfg.Ready == nil {
		cfg.Ready = func(context.Context, *Export) error { return nil }
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	return &Conn{cfg: cfg}
}

// connectTimeout bounds one attempt to open and identify the export.
const connectTimeout = 15 * time.Second

// Connect returns the export, opening it if need be. One attempt runs at a
// time, apart from any request, since opening a dead filer cannot be
// interrupted; a request waits for it as long as its context lets it.
func (c *Conn) Connect(ctx context.Context) (*Export, error) {
	c.mu.Lock()
	if c.cur != nil {
		defer c.mu.Unlock()
		return c.cur, nil
	}
	if c.attempt == nil && c.err != nil && c.cfg.Now().Sub(c.at) < time.Second {
		defer c.mu.Unlock()
		return nil, c.err
	}
	if c.attempt == nil {
		c.attempt = make(chan struct{})
		go c.try(c.attempt)
	}
	done := c.attempt
	c.mu.Unlock()

	select {
	case <-done:
	case <-ctx.Done():
		return nil, c.Explain("open the export", ctx.Err())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cur != nil {
		return c.cur, nil
	}
	return nil, c.err
}

func (c *Conn) try(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	e, err := c.open(ctx)
	c.mu.Lock()
	c.cur, c.err, c.at, c.attempt = e, c.Explain("open the export", err), c.cfg.Now(), nil
	c.mu.Unlock()
	close(done)
}

// open opens and identifies the export.
func (c *Conn) open(ctx context.Context) (*Export, error) {
	fsys, err := c.cfg.Open(ctx)
	if err != nil {
		return nil, err
	}
	e := c.On(fsys)
	if err = c.identify(ctx, e); err == nil {
		err = c.cfg.Ready(ctx, e)
	}
	if err != nil {
		fsys.Close()
		return nil, err
	}
	return e, nil
}

// identify reads the export's id and refuses an export that is not the known
// one: an unmounted host mount is an empty directory, and must not be filled.
// Only an export of which nothing is known yet is given an id.
func (c *Conn) identify(ctx context.Context, e *Export) error {
	known := c.cfg.ID
	if known == "" {
		known = c.cfg.Known()
	}
	if known == "new" {
		known = ""
	}
	rec, err := readRecord(ctx, e.FS, known)
	if errors.Is(err, fs.ErrNotExist) {
		if known != "" {
			return problem.New(problem.Unreachable,
				fmt.Sprintf("mount it again and berth goes on by itself; if a new, empty export is meant, set BERTH_EXPORT=%s?id=new", problem.BareURL(c.cfg.URL)),
				"the export %s is away: its id %s is not there, so the directory is another one or its mount is missing; berth fills nothing", c.cfg.URL, known)
		}
		rec = record{Version: FormatVersion, ID: e.NewID()}
		if err = e.initialize(ctx, &rec); err != nil {
			return fmt.Errorf("prepare the export %s: %w", c.cfg.URL, err)
		}
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return err
	case errors.Is(err, syscall.EIO):
		return problem.New(problem.Failed, "look at 'dmesg' of the machine with the disk; berth goes on by itself when the filesystem is mended and mounted again",
			"%s on the export %s cannot be read: %v", recordFile, c.cfg.URL, syscall.EIO)
	case IsBroken(err):
		return problem.New(problem.Failed, "restore that file from a snapshot of the export; the volumes' data is untouched", "%s on the export %s is not readable", recordFile, c.cfg.URL)
	case err != nil:
		return err
	case rec.Version != FormatVersion:
		return problem.New(problem.Failed, "upgrade berth on this node", "the export %s has format version %d, this berth knows %d", c.cfg.URL, rec.Version, FormatVersion)
	case known != "" && known != rec.ID:
		return problem.New(problem.Unreachable,
			fmt.Sprintf("mount the right one; if this one is meant, set BERTH_EXPORT=%s?id=%s", problem.BareURL(c.cfg.URL), rec.ID),
			"the export %s is away: another export (id %s) is in its place, this node knows %s", c.cfg.URL, rec.ID, known)
	}
	if err := e.makeControlDirs(ctx); err != nil && !errors.Is(err, syscall.EROFS) {
		return err
	}
	e.ID = rec.ID
	if there, err := Exists(ctx, e.FS, recordCopy); err == nil && !there {
		_ = e.Publish(ctx, recordCopy, rec) // the next node makes it where there is no room now
	}
	c.cfg.Learned(rec.ID)
	return nil
}

// Observe drops the export when err says that it is no longer what was opened,
// so that the next call opens what is there by then. It returns err. One name of a
// volume may be stale, or a dead mount: then the export stays, and what others read
// from it goes on.
func (c *Conn) Observe(ctx context.Context, e *Export, err error) error {
	gone := errors.Is(err, tree.ErrAway)
	if !gone && (errors.Is(err, syscall.ESTALE) || errors.Is(err, syscall.ENOTCONN)) {
		gone = Ends(context.WithoutCancel(ctx), e.FS, err)
	}
	if gone {
		c.mu.Lock()
		if c.cur == e {
			c.cur, c.err = nil, nil
			// Calls still in flight keep their handle a while.
			time.AfterFunc(2*time.Minute, func() { e.FS.Close() })
		}
		c.mu.Unlock()
	}
	return err
}

// With runs one request on the export: connected, its failures observed and
// explained in the words of what.
func (c *Conn) With(ctx context.Context, what string, f func(e *Export) error) error {
	e, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	if err = f(e); lacksControl(err) {
		if away := e.Confirm(ctx); away != nil {
			err = away
		}
	}
	return c.Explain(what, e.WhatIsFull(ctx, c.Observe(ctx, e, err)))
}

// Explain returns err in the words of problem.Explain, nil for nil.
func (c *Conn) Explain(what string, err error) error { return problem.Explain(c.cfg.URL, what, err) }

// Current returns the export if it is open, nil otherwise. It never waits.
func (c *Conn) Current() *Export {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cur
}

// On returns the export whose filesystem is fsys: one that Connect has opened.
func (c *Conn) On(fsys tree.FS) *Export {
	return &Export{FS: fsys, rand: c.cfg.Rand, clock: &c.clock, now: c.cfg.Now}
}

// Time returns the export's time as of this moment, so that nodes with wrong
// clocks agree; ok is false as long as nobody has asked the export for it, and
// t is this node's time then.
func (c *Conn) Time() (t time.Time, ok bool) { return c.clock.at(c.cfg.Now()) }

// Step returns the step of the export's clock that Time does not follow yet. It
// follows after Follow, which is to be called when the step is written down for
// all that waits for a time to come.
func (c *Conn) Step() (step Step, ok bool) {
	c.clock.mu.Lock()
	defer c.clock.mu.Unlock()
	return c.clock.step, c.clock.step != Step{}
}

// Follow has Time take a step, unless the clock was put right meanwhile.
func (c *Conn) Follow(step Step) { c.clock.follow(step) }

// NewID returns a random name of 16 hexadecimal digits.
func (c *Conn) NewID() string { return NewID(c.cfg.Rand) }

// Close ends use of the export. The Conn must not be used afterwards.
func (c *Conn) Close() error {
	c.mu.Lock()
	e := c.cur
	c.cur, c.err = nil, problem.New(problem.Unreachable, "", "berth is stopping")
	c.at = c.cfg.Now().Add(time.Hour)
	c.mu.Unlock()
	if e == nil {
		return nil
	}
	return e.FS.Close()
}

// Away is the error of an export that cannot be opened at all.
func Away(url string, err error) error {
	return problem.New(problem.Unreachable, "make or mount its directory; berth goes on by itself within seconds",
		"the export %s cannot be opened: %v", url, err).Because(err)
}

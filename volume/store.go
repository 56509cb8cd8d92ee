package volume

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Config is what a Store is made with. Fields without a default are required.
type Config struct {
	_ struct{}

	URL  string                                     // the export as the settings name it; for messages and the hint
	Open func(ctx context.Context) (tree.FS, error) // opens the export's root
	ID   string                                     // the export id to insist on; "" trusts the hint, "new" forgets it
	Node string                                     // this node's name
	Boot string                                     // this boot's id; leases of an earlier boot are dropped

	LeaseTTL time.Duration // default 90 s
	TrashTTL time.Duration // default 168 h
	HintPath string        // where known names survive a restart; "" keeps none
	Version  string        // of berth, for the heartbeat

	// Report is told of what happened outside a request: one line for the log.
	// Default: nobody.
	Report func(event string, fields map[string]any)
	// MountPath is where this node has the export now, and the mount's
	// generation, for the heartbeat.
	MountPath func() (path string, generation int)

	// Flush puts on the server what containers of this node have written, before
	// a single-writer volume is given back. Default: nothing to do.
	Flush func(ctx context.Context) error

	// Address is this node's as the server sees it, "" if it is not known.
	Address func() string

	// Degraded says what this node does without, "" for nothing; for the
	// heartbeat's health.
	Degraded func() string

	Now  func() time.Time // default time.Now; its monotonic part measures silence
	Rand io.Reader        // default crypto/rand
}

// Store is the volumes of one export as one node sees and changes them. All
// methods may be called concurrently and on several nodes at once.
type Store struct {
	cfg         Config
	incarnation string // of this start; whoever writes under our node name with another one is not us

	names keyed // one operation per volume name on this node, held across the network

	hintMu sync.Mutex // held while the hint is written

	connMu  sync.Mutex // guards the fields below, never held across the network
	cur     *export
	attempt chan struct{} // closed when the running attempt to connect ends
	connErr error
	connAt  time.Time

	index  index
	peers  peers
	leases ownLeases
	jobs   jobs
	polled polled
	audits keyed
	clock  serverClock

	// orphans are the ids of our own locks that we could not remove.
	orphans sync.Map
	// unsaved are our jobs that failed where that could not be written down,
	// as on a full export: id to reason.
	unsaved sync.Map

	faults faults // of single items, as of this node's last attempt

	trashTTL atomic.Int64 // in force: it may change while jobs run

	wake     chan struct{} // asks Run for a tick now
	health   string        // what Run reported last; Run's own
	sweeping sync.Mutex    // held by the one sweep, across the network
}

// export is one opened export whose identity was verified.
type export struct {
	fs tree.FS
	id string
}

// New returns a Store that connects on first use. Run keeps it alive.
func New(cfg Config) *Store {
	if cfg.LeaseTTL == 0 {
		cfg.LeaseTTL = 90 * time.Second
	}
	if cfg.TrashTTL == 0 {
		cfg.TrashTTL = 168 * time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Report == nil {
		cfg.Report = func(string, map[string]any) {}
	}
	if cfg.MountPath == nil {
		cfg.MountPath = func() (string, int) { return "", 0 }
	}
	if cfg.Flush == nil {
		cfg.Flush = func(context.Context) error { return nil }
	}
	if cfg.Address == nil {
		cfg.Address = func() string { return "" }
	}
	if cfg.Degraded == nil {
		cfg.Degraded = func() string { return "" }
	}
	s := &Store{cfg: cfg, wake: make(chan struct{}, 1)}
	s.SetTrashTTL(cfg.TrashTTL)
	s.incarnation = s.newID()
	s.index.init()
	s.peers.byName = map[string]*peer{}
	s.leases.byName, s.leases.early = map[string]*Lease{}, map[string]map[string]int{}
	s.jobs.byName = map[string]*job{}
	s.loadHint()
	return s
}

// connectTimeout bounds one attempt to open and identify the export.
const connectTimeout = 15 * time.Second

// connect returns the export, opening it if need be. One attempt runs at a
// time, apart from any request, since opening a dead filer cannot be
// interrupted; a request waits for it as long as its context lets it.
func (s *Store) connect(ctx context.Context) (*export, error) {
	s.connMu.Lock()
	if s.cur != nil {
		defer s.connMu.Unlock()
		return s.cur, nil
	}
	if s.attempt == nil && s.connErr != nil && s.cfg.Now().Sub(s.connAt) < time.Second {
		defer s.connMu.Unlock()
		return nil, s.connErr
	}
	if s.attempt == nil {
		s.attempt = make(chan struct{})
		go s.tryConnect(s.attempt)
	}
	done := s.attempt
	s.connMu.Unlock()

	select {
	case <-done:
	case <-ctx.Done():
		return nil, s.explain("open the export", ctx.Err())
	}
	s.connMu.Lock()
	defer s.connMu.Unlock()
	if s.cur != nil {
		return s.cur, nil
	}
	return nil, s.connErr
}

func (s *Store) tryConnect(done chan struct{}) {
	ctx, cancel := context.WithTimeout(context.Background(), connectTimeout)
	defer cancel()
	e, err := s.open(ctx)
	s.connMu.Lock()
	s.cur, s.connErr, s.connAt, s.attempt = e, s.explain("open the export", err), s.cfg.Now(), nil
	s.connMu.Unlock()
	close(done)
}

// open opens and identifies the export and reads what this node left there.
func (s *Store) open(ctx context.Context) (*export, error) {
	fsys, err := s.cfg.Open(ctx)
	if err != nil {
		return nil, err
	}
	e := &export{fs: fsys}
	if e.id, err = s.identify(ctx, fsys); err == nil {
		err = s.loadOwnLeases(ctx, e)
	}
	if err != nil {
		fsys.Close()
		return nil, err
	}
	s.index.invalidate()
	return e, nil
}

// observe drops the export when err says that it is no longer what was opened,
// so that the next call opens what is there now. It returns err.
func (s *Store) observe(e *export, err error) error {
	if err != nil && (errors.Is(err, tree.ErrAway) || errors.Is(err, syscall.ESTALE) || errors.Is(err, syscall.ENOTCONN)) {
		s.connMu.Lock()
		if s.cur == e {
			s.cur, s.connErr = nil, nil
			// Calls still in flight keep their handle a while.
			time.AfterFunc(2*time.Minute, func() { e.fs.Close() })
		}
		s.connMu.Unlock()
	}
	return err
}

// with runs one request on the export: connected, its failures observed and
// explained in the words of what, the names it learned saved for the next start.
func (s *Store) with(ctx context.Context, what string, f func(e *export) error) error {
	e, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if err = f(e); lacksControl(err) {
		if away := s.confirm(ctx, e); away != nil {
			err = away
		}
	}
	err = s.observe(e, err)
	s.saveHint()
	return s.explain(what, err)
}

// FS returns the connected export's filesystem.
func (s *Store) FS(ctx context.Context) (tree.FS, error) {
	e, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	return e.fs, nil
}

// ExportID returns the id of the export, "" before it was ever seen.
func (s *Store) ExportID() string { return s.index.knownID() }

// InUse tells whether this node uses any volume.
func (s *Store) InUse() bool { return s.leases.inUse() }

// Away is the error of an export that cannot be opened at all.
func Away(url string, err error) error {
	return problem.New(problem.Unreachable, "make or mount its directory; berth goes on by itself within seconds",
		"the export %s cannot be opened: %v", url, err).Because(err)
}

// Close ends use of the export. The Store must not be used afterwards.
func (s *Store) Close() error {
	s.connMu.Lock()
	e := s.cur
	s.cur, s.connErr = nil, problem.New(problem.Unreachable, "", "berth is stopping")
	s.connAt = s.cfg.Now().Add(time.Hour)
	s.connMu.Unlock()
	if e == nil {
		return nil
	}
	return e.fs.Close()
}

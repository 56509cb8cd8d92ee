package volume

import (
	"context"
	"crypto/rand"
	"io"
	"sync"
	"time"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cache"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/sweep"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume/index"
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

	// TakeOver takes a single-writer volume over from a node that was silent for
	// its whole lease, when this node mounts it. Default: the Mount is refused.
	TakeOver func(ctx context.Context, volume, from string) error
	// BreakLocks is called when this node mounts a single-writer volume that
	// another node has not given back: that node may have left file locks on the
	// server. Default: nothing to do.
	BreakLocks func(ctx context.Context, volume, node string) error

	// DeleteTree has the server delete a directory of the export with all below
	// it; after an error the rest is deleted over NFS. The error matches
	// errors.ErrUnsupported where the server is not asked. Default: it is not.
	DeleteTree func(ctx context.Context, dir string) error
	// CloneFile has the server make a file of one in a snapshot and says whether
	// it did; otherwise it is copied, and warn is told why. Default: it is copied.
	CloneFile func(ctx context.Context, src, dst string, warn func(string)) bool

	// Degraded says what this node does without, "" for nothing; for the
	// heartbeat's health.
	Degraded func() string

	// Sole takes this node's name on an export for this process; see
	// cluster.Config. Default: the name is ours.
	Sole func(exportID string) (place, other string, err error)

	Now  func() time.Time // default time.Now; its monotonic part measures silence
	Rand io.Reader        // default crypto/rand
}

// Store is the volumes of one export as one node sees and changes them. All
// methods may be called concurrently and on several nodes at once.
type Store struct {
	// Cluster is the nodes of the export, and who of them holds what.
	Cluster *cluster.Cluster
	Trash   *Trash
	Audit   *audit.Trail // who did what
	Cache   *cache.Cache // what need not be found out again
	// Jobs are the operations that exchange trees of volumes.
	Jobs *job.Jobs

	cfg  Config
	conn *export.Conn

	index  known
	clones clones
	polled polled

	hints   hints
	sweeper *sweep.Sweeper

	lastRemoved lastRemoved

	reports

	tasks sync.WaitGroup // what upkeep has begun, and Run waits for

	wake   chan struct{} // asks Run for upkeep now
	health string        // what Run reported last; Run's own
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
	s := &Store{cfg: cfg, index: known{Index: index.New[Meta]()}, wake: make(chan struct{}, 1), reports: reports{report: cfg.Report}}
	s.hints, s.clones.s = hints{s: s, gate: newGate()}, s
	s.conn = export.New(export.Config{URL: cfg.URL, Open: cfg.Open, ID: cfg.ID, Now: cfg.Now, Rand: cfg.Rand,
		Known: s.index.ID, Learned: s.hints.learn, Ready: s.ready})
	s.Trash = &Trash{s: s}
	s.sweeper = sweep.New(sweep.Config{Conn: s.conn, Report: cfg.Report, DeleteTree: cfg.DeleteTree})
	s.Audit, s.Cache = audit.New(s.conn, cfg.Node, cfg.Report), cache.New(s.conn)
	s.Cluster = cluster.New(cluster.Config{Conn: s.conn, Node: cfg.Node, Boot: cfg.Boot, Version: cfg.Version, LeaseTTL: cfg.LeaseTTL,
		Now: cfg.Now, Report: cfg.Report, MountPath: cfg.MountPath, Flush: cfg.Flush, Address: cfg.Address, Degraded: cfg.Degraded,
		TakeOver: cfg.TakeOver, BreakLocks: cfg.BreakLocks, Sole: cfg.Sole, Finish: s.finish, Faults: &s.faults})
	s.Jobs = newJobs(s)
	s.Trash.SetTTL(cfg.TrashTTL)
	s.hints.load()
	return s
}

// ready reads what this node left on the export, before anybody uses it.
func (s *Store) ready(ctx context.Context, e *export.Export) error {
	if err := s.Cluster.Admit(ctx, e); err != nil {
		return err
	}
	if err := s.Cluster.Load(ctx, e); err != nil {
		return err
	}
	s.index.Invalidate()
	return nil
}

// with is conn.With; the names that the request learned are saved for the next
// start before it is answered.
func (s *Store) with(ctx context.Context, what string, f func(e *export.Export) error) error {
	err := s.conn.With(ctx, what, f)
	s.hints.save(ctx)
	return err
}

// FS returns the connected export's filesystem.
func (s *Store) FS(ctx context.Context) (tree.FS, error) {
	e, err := s.conn.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return e.FS, nil
}

// ExportID returns the id of the export, "" before it was ever seen.
func (s *Store) ExportID() string { return s.index.ID() }

// Close ends use of the export. The Store must not be used afterwards.
func (s *Store) Close() error { return s.conn.Close() }

package simulator

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator/flexvol"
)

// Config describes the cluster that the simulator plays.
type Config struct {
	_ struct{}

	// Root is the directory that is the FlexVol. It must exist. Required.
	Root string

	// SVM, Volume and Junction name the SVM, the FlexVol and its junction path in
	// the SVM's namespace, e.g. svm1, docker_vols, /docker_vols. Required.
	SVM, Volume, Junction string

	// User and PasswordFile are the login. The file is read for each request, so
	// the password can be rotated. Required.
	User, PasswordFile string

	// Role is what the user may do; nil means everything.
	Role []ontap.Privilege

	// WebAccess is explicit if a custom role logs in only after `vserver services web
	// access create` names it, as releases differ; "" adds that by itself.
	WebAccess string

	// MaxFailedLogins locks an account made through the API or the shell after so
	// many wrong passwords in a row; 0 never does.
	MaxFailedLogins int

	// ClientCAFile is the PEM file of the authorities for clients' certificates; with
	// it, one may log in to an account of the method certificate whose name is the
	// certificate's common name. "" asks for no certificate.
	ClientCAFile string

	// Version is one of Releases; "" is DefaultRelease. The simulator refuses what
	// that release lacks as it does.
	Version string

	// Ageless gives the release the endpoints and fields of all others too. No ONTAP
	// is like that: it is for tests that walk through all that a client can say.
	Ageless bool

	// RestoreSpelling is which of the two documented bodies directory-restore takes:
	// vserver (the default: vserver, volume, snapshot, path, restore_path) or svm
	// (svm, volume.name, snapshot.name, source_path, restore_path).
	RestoreSpelling string

	// LockLengths is string or number: how the numbers of a byte_lock are shown. ""
	// is string from 9.19.1 on, as the newest reference shows them, and number before.
	LockLengths string

	// Style of the volume, flexvol (the default) or flexgroup.
	Style string

	// Address is the IP address of the SVM's NFS interface; "" means 127.0.0.1.
	Address string

	// OtherSVMs are further SVMs with an empty volume of the same name and
	// junction path, and NFS interfaces on 127.0.1.1, 127.0.1.2 and so on.
	OtherSVMs []string

	// StateFile keeps uuids, snapshots' records and export policies over a
	// restart; "" means in memory only.
	StateFile string

	// Pool is a directory for the volumes that POST and FlexClone make, each a
	// directory there; without it they are refused.
	Pool string

	// MaxSnapshots is the limit of the FlexVol; 0 means ONTAP's 1023.
	MaxSnapshots int

	// Immutable makes the files of a copied snapshot immutable (chattr +i), so
	// that even root cannot write into them. It needs root and a filesystem with
	// that flag. Deleting the snapshot through REST clears the flag first.
	Immutable bool

	// NoWaiting answers every asynchronous change with 202 and its job, as if
	// nothing ever ended within return_timeout.
	NoWaiting bool

	// Now and Random are the clock and the source of uuids; nil means the real ones.
	Now    func() time.Time
	Random io.Reader

	// Log hears of every request after its answer; it may be nil. It may be called
	// concurrently.
	Log func(Entry)
}

// Entry is one request as Config.Log sees it.
type Entry struct {
	Method, URI string
	Status      int
	Note        string // the reason of a refusal, or the fault
	Took        time.Duration
}

// Simulator is a running or ready cluster. It is an http.Handler; Listen
// serves it over HTTPS. All methods may be called concurrently.
type Simulator struct {
	cfg     Config
	version ontap.Version
	dir     *flexvol.Dir
	schemas map[string]schema // what the release documents; constant
	listen  *listener

	mu     sync.Mutex // guards all below; never held across the directory or the network
	world  world
	dirs   map[string]*flexvol.Dir // content of the volumes in Pool, by uuid
	jobs   []*job
	faults []*Fault
	role   []ontap.Privilege
	locks  []ontap.Lock
	events []map[string]any // EMS messages that clients sent

	pageSize int // records on a page at most; 0 is no limit but the query's

	switched atomic.Bool // MetroCluster: see Operator.Switchover

	changing sync.Mutex     // one change of the directory at a time; taken before mu
	running  sync.WaitGroup // jobs
	closed   chan struct{}  // closed by Close: stuck jobs give up
	once     sync.Once
}

var versionPattern = regexp.MustCompile(`^9\.(\d{1,2})\.(\d)$`)

// New opens the directory, reads the state file and adopts the snapshots that
// lie in Root/.snapshot. It serves nothing yet.
func New(cfg Config) (*Simulator, error) {
	for name, value := range map[string]string{"root": cfg.Root, "svm": cfg.SVM, "volume": cfg.Volume,
		"junction": cfg.Junction, "user": cfg.User, "password file": cfg.PasswordFile} {
		if value == "" {
			return nil, fmt.Errorf("simulator: %s is not set", name)
		}
	}
	if !strings.HasPrefix(cfg.Junction, "/") {
		return nil, errors.New("simulator: junction must begin with /")
	}
	s := &Simulator{cfg: cfg, closed: make(chan struct{})}
	s.cfg.Version = orString(cfg.Version, "9.16.1")
	s.cfg.Style = orString(cfg.Style, "flexvol")
	s.cfg.Address = orString(cfg.Address, "127.0.0.1")
	if cfg.MaxSnapshots == 0 {
		s.cfg.MaxSnapshots = ontap.MaxSnapshots
	}
	if cfg.Now == nil {
		s.cfg.Now = time.Now
	}
	if cfg.Random == nil {
		s.cfg.Random = rand.Reader
	}
	if s.cfg.LockLengths == "" {
		s.cfg.LockLengths = "number"
		if CompareReleases(s.cfg.Version, "9.19.1") >= 0 {
			s.cfg.LockLengths = "string"
		}
	}
	if s.cfg.LockLengths != "string" && s.cfg.LockLengths != "number" {
		return nil, fmt.Errorf("simulator: lock lengths %q is not string or number", s.cfg.LockLengths)
	}
	s.cfg.RestoreSpelling = orString(cfg.RestoreSpelling, "vserver")
	if s.cfg.RestoreSpelling != "vserver" && s.cfg.RestoreSpelling != "svm" {
		return nil, fmt.Errorf("simulator: restore spelling %q is not vserver or svm", cfg.RestoreSpelling)
	}
	if cfg.WebAccess != "" && cfg.WebAccess != "explicit" {
		return nil, fmt.Errorf("simulator: web access %q is not explicit or empty", cfg.WebAccess)
	}
	if net.ParseIP(s.cfg.Address) == nil {
		return nil, errors.New("simulator: address is not an IP address")
	}
	numbers := versionPattern.FindStringSubmatch(s.cfg.Version)
	if numbers == nil {
		return nil, fmt.Errorf("simulator: version %q is not like 9.16.1", s.cfg.Version)
	}
	s.version = ontap.Version{Generation: 9}
	fmt.Sscan(numbers[1], &s.version.Major)
	fmt.Sscan(numbers[2], &s.version.Minor)
	s.schemas = s.cfg.schemasOf()
	s.role = cfg.Role
	if s.role == nil {
		s.role = []ontap.Privilege{{Path: "/api", Access: ontap.AccessAll}}
	}
	var err error
	if s.dir, err = flexvol.Open(s.cfg.Root, cfg.Immutable); err != nil {
		return nil, err
	}
	if err := errors.Join(s.load(), s.showSnapshots()); err != nil {
		s.dir.Close()
		return nil, err
	}
	return s, nil
}

// Close stops serving, ends stuck jobs, waits for running jobs and closes the
// directory. Snapshots stay.
func (s *Simulator) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closed)
		if s.listen != nil {
			err = s.listen.close()
		}
		s.running.Wait()
		s.dir.Close()
		for _, dir := range s.dirs {
			dir.Close()
		}
	})
	return err
}

// Engine says how snapshots are made in Root: btrfs, reflink or copy.
func (s *Simulator) Engine() string { return s.dir.Engine }

// SetRole changes what the user may do.
func (s *Simulator) SetRole(role []ontap.Privilege) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.role = role
}

// AddLock makes a client hold a lock. Its Path begins at the SVM's root; an
// empty UUID is drawn.
func (s *Simulator) AddLock(l ontap.Lock) ontap.Lock {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.UUID == "" {
		l.UUID = s.uuid()
	}
	s.locks = append(s.locks, l)
	return l
}

// Own gives a snapshot owners, e.g. snapmirror. Without owners the snapshot can be
// deleted again.
func (s *Simulator) Own(snapshot string, owners ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.world.snapshot(snapshot); found != nil {
		found.Owners = owners
	}
}

// Set changes the settings of an administrator, and hides or shows .snapshot by
// them.
func (s *Simulator) Set(change func(*Settings)) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	s.mu.Lock()
	change(&s.world.Settings)
	err := s.save()
	s.mu.Unlock()
	return errors.Join(err, s.showSnapshots())
}

// showSnapshots hides or shows .snapshot as the settings say. The caller holds
// changing, or is New.
func (s *Simulator) showSnapshots() error {
	s.mu.Lock()
	hide := !s.world.Settings.SnapshotDirectory || s.world.Settings.HideSnapshot
	s.mu.Unlock()
	return s.dir.Hide(hide)
}

// Events returns the EMS messages that clients have sent.
func (s *Simulator) Events() []map[string]any {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]map[string]any(nil), s.events...)
}

// uuid draws a random UUID (RFC 9562, version 4).
func (s *Simulator) uuid() string {
	var b [16]byte
	if _, err := io.ReadFull(s.cfg.Random, b[:]); err != nil {
		panic("simulator: no randomness: " + err.Error()) // crypto/rand never fails; a test's reader must not
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (s gate) passwordIs(password string) bool {
	raw, err := os.ReadFile(s.cfg.PasswordFile)
	return err == nil && password != "" && strings.TrimRight(string(raw), "\r\n") == password
}

func orString(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

var _ http.Handler = (*Simulator)(nil)

// UUIDs returns the uuids of the FlexVol and of its SVM.
func (s *Simulator) UUIDs() (volume, svm string) {
	return s.world.VolumeUUID, s.world.SVMUUIDs[s.cfg.SVM]
}

// SetPageSize limits every page of a collection to n records; 0 ends the limit.
func (s *Simulator) SetPageSize(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pageSize = n
}

package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/casit/berth/tree"
)

// Lease is .berth/leases/NAME/NODE.json: this node uses the volume. NAME may
// be a view, NAME@SNAPSHOT. It is written by its node only and is as alive as
// that node's heartbeat.
type Lease struct {
	Version     int              `json:"version"`
	Volume      string           `json:"volume"`
	Node        string           `json:"node"`
	Boot        string           `json:"boot"`
	Incarnation string           `json:"incarnation"`
	Since       time.Time        `json:"since"`
	Mounts      map[string]Claim `json:"mounts"` // by the id that dockerd drew

	unsaved bool // the file on the export is older than this
}

// Claim is one container's use of a volume. dockerd repeats Mount with one id
// (docker cp does), so a claim counts.
type Claim struct {
	Count      int       `json:"count"`
	Since      time.Time `json:"since"`
	Generation int       `json:"generation"` // of the node's mount that was answered
}

// ownLeases is this node's leases, true in memory and saved on the export.
type ownLeases struct {
	mu     sync.Mutex // guards byName and the leases in it, never held across the network
	byName map[string]*Lease
}

func leasePath(name, node string) string { return path.Join(leaseDir, name, node+".json") }

// Mounted is what a Mount may use.
type Mounted struct {
	Path     string // below the export
	ReadOnly bool   // a view: nothing may be written
	// FileID is the server's id of the directory that Path is now, 0 for a
	// view. A kernel may still know an earlier one under that name.
	FileID uint64
}

// Mount records that this node uses ref under id and returns where the data
// is. generation is the node's mount of the export that will be answered. The
// lease is on the export before Mount returns. It may be repeated.
func (s *Store) Mount(ctx context.Context, volume, id string, generation int) (Mounted, error) {
	ref, err := ParseRef(volume)
	if err != nil {
		return Mounted{}, err
	}
	what := "mount " + ref.String()
	// Claimed before the wait for the volume's turn: of many mounts at once,
	// the first one's lease has them all, and the others write none.
	c := Claim{Count: 1, Since: s.cfg.Now().UTC(), Generation: generation}
	s.addClaim(ref.String(), id, c)
	release, err := s.names.hold(ctx, ref.String())
	if err != nil {
		s.subClaim(ref.String(), id)
		return Mounted{}, s.explain(what, err)
	}
	defer release()
	if !s.claimed(ref.String(), id) {
		s.addClaim(ref.String(), id, c) // dropped by the one whose turn it was
	}
	m := Mounted{Path: ref.Path(), ReadOnly: ref.Snapshot != ""}
	err = s.with(ctx, what, func(e *export) (err error) {
		if err = s.claim(ctx, e, ref, id); err == nil && !m.ReadOnly {
			m.FileID, err = fileID(ctx, e.fs, m.Path)
		}
		return err
	})
	if err != nil {
		s.subClaim(ref.String(), id)
		s.saveLater(ctx, ref.String())
	}
	return m, err
}

// claim writes the lease, then looks for an operation on the volume, for the
// volume itself and for other holders of a single one. The caller withdraws if
// it must not be used: an operation does it the other way round, so one of the
// two sees the other. Looking before the lease is there would prove nothing.
func (s *Store) claim(ctx context.Context, e *export, ref Ref, id string) error {
	name := ref.String()
	if err := s.saveLease(ctx, e, name); err != nil {
		return err
	}
	if ref.Snapshot != "" {
		return s.checkView(ctx, e, ref)
	}
	if err := s.yieldToLock(ctx, e, name, id); err != nil {
		return err
	}
	return s.checkMountable(ctx, e, name)
}

// checkMountable refuses what is no whole volume, or is held by another node.
func (s *Store) checkMountable(ctx context.Context, e *export, name string) error {
	if err := s.checkDirectory(ctx, e, name); err != nil {
		return err
	}
	meta, err := readMeta(ctx, e.fs, name)
	if err != nil {
		return err
	}
	s.index.put(name, entry{meta: meta, read: true})
	if meta != nil && meta.Options.Get("access") == "single" {
		return s.checkSingle(ctx, e, name)
	}
	return nil
}

// yieldToLock waits for short operations to end. Meanwhile our lease is in
// their way, so it is taken back and written again afterwards.
func (s *Store) yieldToLock(ctx context.Context, e *export, name, id string) error {
	for {
		l, err := readLock(ctx, e.fs, name)
		if err != nil || l == nil {
			return err
		}
		c, _ := s.subClaim(name, id)
		err = s.saveLease(ctx, e, name)
		if err == nil {
			wait, cancel := context.WithTimeout(ctx, lockWait)
			err = s.waitLock(wait, e, name)
			cancel()
		}
		c.Count = 1
		s.addClaim(name, id, c)
		if err == nil {
			err = s.saveLease(ctx, e, name)
		}
		if err != nil {
			return err
		}
	}
}

// checkSingle refuses a single-writer volume that another node holds, at once.
func (s *Store) checkSingle(ctx context.Context, e *export, name string) error {
	if s.nameDoubled() {
		return errorf(InUse, "set BERTH_NODE to another name on one of them", "volume %q is access=single, and two nodes call themselves %s", name, s.cfg.Node)
	}
	others, err := s.othersUsing(ctx, e, name)
	if err != nil || len(others) == 0 {
		return err
	}
	u := others[0]
	if u.State == Expired {
		return errorf(InUse, fmt.Sprintf("make sure that %s is switched off, then type 'berth volume takeover %s --from %s'", u.Node, name, u.Node),
			"volume %q is access=single and was last held by %s, which is silent (%s)", name, u.Node, u.heartbeat())
	}
	return errorf(InUse, fmt.Sprintf("stop it there first, or wait; 'berth volume ps %s' shows by whom", name),
		"volume %q is access=single and held by %s (%s)", name, u.Node, u.heartbeat())
}

// Unmount takes back one use of volume under id. It succeeds while the export
// is away: the lease is corrected there when it is back. Unknown ids are fine.
func (s *Store) Unmount(ctx context.Context, volume, id string) error {
	ref, err := ParseRef(volume)
	if err != nil {
		return err
	}
	name := ref.String()
	release, err := s.names.hold(ctx, name)
	if err != nil {
		return s.explain("unmount "+name, err)
	}
	defer release()
	if _, ok := s.subClaim(name, id); ok {
		s.saveLater(ctx, name)
	}
	return nil
}

// saveLater saves a lease that has lost a claim: now if the export is there,
// else when it is back.
func (s *Store) saveLater(ctx context.Context, name string) {
	s.connMu.Lock()
	e := s.cur
	s.connMu.Unlock()
	if e != nil {
		s.flushLease(ctx, e, name)
	}
}

// flushBudget is how long a request waits for a lease to be taken back.
const flushBudget = time.Second

// flushLease saves a lease as far as that is possible now; Run does it again.
func (s *Store) flushLease(ctx context.Context, e *export, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushBudget)
	defer cancel()
	if err := s.observe(e, s.saveLease(ctx, e, name)); err != nil {
		s.cfg.Report("a lease was not saved; it is when the export answers", map[string]any{"volume": name, "err": err})
	}
}

// saveLease makes the file on the export say what memory says. The caller
// holds names.hold(name). A lease without mounts is a file to remove.
func (s *Store) saveLease(ctx context.Context, e *export, name string) error {
	l, ok := s.leases.copy(name)
	if !ok || !l.unsaved {
		return nil
	}
	if len(l.Mounts) == 0 {
		if err := removeLease(ctx, e.fs, name, s.cfg.Node); err != nil {
			return err
		}
		s.leases.saved(name, l)
		return nil
	}
	file := leasePath(name, s.cfg.Node)
	err := s.replace(ctx, e.fs, file, l)
	for try := 0; errors.Is(err, fs.ErrNotExist) && try < 10; try++ {
		// Another node may take the empty directory away in between.
		if err = mkdir(ctx, e.fs, path.Dir(file)); err == nil {
			err = s.replace(ctx, e.fs, file, l)
		}
	}
	if err == nil {
		s.leases.saved(name, l)
	}
	return err
}

// removeLease removes a node's lease of a name, and the name's directory if it
// was the last: other nodes may have theirs in it.
func removeLease(ctx context.Context, fsys tree.FS, name, node string) error {
	if err := absent(fsys.Remove(ctx, leasePath(name, node))); err != nil {
		return err
	}
	_ = fsys.Rmdir(ctx, path.Join(leaseDir, name))
	return nil
}

// loadOwnLeases reads what this node left on the export: an earlier process of
// this boot has containers that go on, an earlier boot has none.
func (s *Store) loadOwnLeases(ctx context.Context, e *export) error {
	names, err := leasedNames(ctx, e.fs)
	if err != nil {
		return absent(err)
	}
	for _, name := range names {
		if _, ok := s.leases.copy(name); ok {
			continue // memory is newer
		}
		var l Lease
		err := readControl(ctx, e.fs, leasePath(name, s.cfg.Node), &l)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil && !isBroken(err):
			return err
		case err != nil || l.Boot != s.cfg.Boot || l.Volume != name:
			if err := removeLease(ctx, e.fs, name, s.cfg.Node); err != nil && !errors.Is(err, syscall.EROFS) {
				return err
			}
		default:
			s.leases.load(name, &l)
		}
	}
	return nil
}

func leasedNames(ctx context.Context, fsys tree.FS) (names []string, err error) {
	err = fsys.ReadDir(ctx, leaseDir, func(d tree.Entry) error {
		if d.Kind == tree.Directory {
			names = append(names, d.Name)
		}
		return nil
	})
	return names, err
}

// readLeases reads every node's lease of a name. A broken one counts as held:
// the safe side.
func readLeases(ctx context.Context, fsys tree.FS, name string) ([]*Lease, error) {
	var nodes []string
	err := fsys.ReadDir(ctx, path.Join(leaseDir, name), func(d tree.Entry) error {
		if node, ok := strings.CutSuffix(d.Name, ".json"); ok {
			nodes = append(nodes, node)
		}
		return nil
	})
	if err != nil {
		return nil, absent(err)
	}
	slices.Sort(nodes)
	var out []*Lease
	for _, node := range nodes {
		l := &Lease{}
		err := readControl(ctx, fsys, leasePath(name, node), l)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil && !isBroken(err) {
			return nil, err
		}
		l.Volume, l.Node = name, node
		out = append(out, l)
	}
	return out, nil
}

// change applies f to this node's claims on name.
func (s *Store) change(name string, f func(map[string]Claim)) {
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	l := s.leases.byName[name]
	if l == nil {
		l = &Lease{Version: formatVersion, Volume: name, Node: s.cfg.Node, Boot: s.cfg.Boot, Mounts: map[string]Claim{}}
		s.leases.byName[name] = l
	}
	if len(l.Mounts) == 0 {
		l.Since = s.cfg.Now().UTC()
	}
	f(l.Mounts)
	l.Incarnation, l.unsaved = s.incarnation, true
}

// addClaim adds c.Count uses of name under id; the first one's time and
// generation stay.
func (s *Store) addClaim(name, id string, c Claim) {
	s.change(name, func(m map[string]Claim) {
		if was, ok := m[id]; ok {
			was.Count += c.Count
			c = was
		}
		m[id] = c
	})
}

// subClaim takes one use back and returns the claim as it was.
func (s *Store) subClaim(name, id string) (was Claim, ok bool) {
	if !s.claimed(name, id) {
		return Claim{}, false
	}
	s.change(name, func(m map[string]Claim) {
		was, ok = m[id]
		if c := was; c.Count > 1 {
			c.Count--
			m[id] = c
		} else {
			delete(m, id)
		}
	})
	return was, ok
}

// claimed tells whether this node uses name under id.
func (s *Store) claimed(name, id string) bool {
	l, ok := s.leases.copy(name)
	return ok && l.Mounts[id].Count > 0
}

func (o *ownLeases) load(name string, l *Lease) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l.Mounts == nil {
		l.Mounts = map[string]Claim{}
	}
	l.unsaved = len(l.Mounts) == 0
	o.byName[name] = l
}

// dropClaims forgets every use of name by this node.
func (s *Store) dropClaims(name string) {
	if _, ok := s.leases.copy(name); ok {
		s.change(name, func(m map[string]Claim) { clear(m) })
	}
}

// copy returns a snapshot of the lease of name.
func (o *ownLeases) copy(name string) (*Lease, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l, ok := o.byName[name]
	if !ok {
		return nil, false
	}
	c := *l
	c.Mounts = maps.Clone(l.Mounts)
	return &c, true
}

// saved says that the export has the lease as it was when copied.
func (o *ownLeases) saved(name string, as *Lease) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.byName[name]
	if l == nil || !maps.Equal(l.Mounts, as.Mounts) {
		return
	}
	l.unsaved = false
	if len(l.Mounts) == 0 {
		delete(o.byName, name)
	}
}

// names lists what this node uses, or has to tidy up.
func (o *ownLeases) names() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.byName))
}

// inUse tells whether this node uses anything.
func (o *ownLeases) inUse() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.byName {
		if len(l.Mounts) > 0 {
			return true
		}
	}
	return false
}

// Generations returns the mount generations that claims of this node refer to.
func (s *Store) Generations() []int {
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	var out []int
	for _, l := range s.leases.byName {
		for _, c := range l.Mounts {
			if !slices.Contains(out, c.Generation) {
				out = append(out, c.Generation)
			}
		}
	}
	slices.Sort(out)
	return out
}

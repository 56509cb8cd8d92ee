package volume

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
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
	Generation int       `json:"generation"`      // of the node's mount that was answered
	Epoch      uint64    `json:"epoch,omitempty"` // of an access=single volume
	// Fenced is the trash item that this claim's container writes to, since
	// the volume was taken over from this node.
	Fenced string `json:"fenced,omitempty"`
}

// ownLeases is this node's leases, true in memory and saved on the export.
type ownLeases struct {
	mu     sync.Mutex // guards the fields and the leases in them, never held across the network
	byName map[string]*Lease
	// read: the leases of an earlier process of this boot are in byName. Until
	// then early counts, by name and id, the uses that Unmount took back and
	// that may be of an earlier process.
	read  bool
	early map[string]map[string]int
}

// Mounted is what a Mount may use.
type Mounted struct {
	Path     string // below the export
	ReadOnly bool   // a view: nothing may be written
	// FileID is the server's id of the directory that Path is now, 0 for a
	// view. A kernel may still know an earlier one under that name.
	FileID uint64
	// Before is the node that held an access=single volume and has not given
	// it back, "" for none: it may have left locks on the server.
	Before string
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
		return Mounted{}, s.conn.Explain(what, err)
	}
	defer release()
	if !s.claimed(ref.String(), id) {
		s.addClaim(ref.String(), id, c) // dropped by the one whose turn it was
	}
	m := Mounted{Path: ref.Path(), ReadOnly: ref.Snapshot != ""}
	err = s.with(ctx, what, func(e *export.Export) (err error) {
		if m.Before, err = s.claim(ctx, e, ref, id); err == nil && !m.ReadOnly {
			if m.FileID, err = fileID(ctx, e.FS, m.Path); err == nil {
				err = s.stillHeld(ctx, e, ref.Name)
			}
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
func (s *Store) claim(ctx context.Context, e *export.Export, ref Ref, id string) (before string, err error) {
	name := ref.String()
	if err := s.saveLease(ctx, e, name); err != nil {
		return "", err
	}
	if ref.Snapshot != "" {
		return "", s.checkView(ctx, e, ref)
	}
	if err := s.yieldToLock(ctx, e, name, id); err != nil {
		return "", err
	}
	return s.checkMountable(ctx, e, name)
}

// checkMountable refuses what is no whole volume, or is held by another node.
// A single-writer volume is this node's from here on.
func (s *Store) checkMountable(ctx context.Context, e *export.Export, name string) (before string, err error) {
	if err := s.checkDirectory(ctx, e, name); err != nil {
		return "", err
	}
	meta, err := readMeta(ctx, e.FS, name)
	if err != nil {
		return "", err
	}
	s.index.put(name, entry{meta: meta, read: true})
	if meta.single() {
		return s.hold(ctx, e, name)
	}
	return "", nil
}

// yieldToLock waits for short operations to end. Meanwhile our lease is in
// their way, so it is taken back and written again afterwards.
func (s *Store) yieldToLock(ctx context.Context, e *export.Export, name, id string) error {
	for {
		l, err := readLock(ctx, e.FS, name)
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
		return s.conn.Explain("unmount "+name, err)
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
	e := s.conn.Current()
	if e != nil {
		s.flushLease(ctx, e, name)
	}
}

// flushBudget is how long a request waits for a lease to be taken back.
const flushBudget = time.Second

// releaseBudget is how long it waits for the data to be on an export that
// answers, before a single-writer volume is given back.
const releaseBudget = 10 * time.Second

// flushLease saves a lease as far as that is possible now; Run does it again.
func (s *Store) flushLease(ctx context.Context, e *export.Export, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushBudget)
	defer cancel()
	if err := s.conn.Observe(e, s.saveLease(ctx, e, name)); err != nil {
		s.cfg.Report("a lease was not saved; it is when the export answers", map[string]any{"volume": name, "err": err})
	}
}

// saveLease makes the file on the export say what memory says. The caller
// holds names.hold(name). A lease without mounts is a file to remove.
func (s *Store) saveLease(ctx context.Context, e *export.Export, name string) error {
	l, ok := s.leases.copy(name)
	if !ok || !l.unsaved {
		return nil
	}
	if taken, err := s.leaseOfNamesake(ctx, e, name); err != nil || taken {
		return err // ours is written when the name is ours; until then this one stands for it
	}
	if len(l.Mounts) == 0 {
		if err := removeLease(ctx, e.FS, name, s.cfg.Node); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseBudget)
		defer cancel()
		if err := s.release(ctx, e, name); err != nil {
			return err
		}
		s.leases.saved(name, l)
		return nil
	}
	file := export.LeasePath(name, s.cfg.Node)
	err := e.Replace(ctx, file, l)
	for try := 0; errors.Is(err, fs.ErrNotExist) && try < 10; try++ {
		// Another node may take the empty directory away in between.
		if err = export.Mkdir(ctx, e.FS, path.Dir(file)); err == nil {
			err = e.Replace(ctx, file, l)
		}
	}
	if err == nil {
		s.leases.saved(name, l)
	}
	return err
}

// leaseOfNamesake tells whether a lease under our name may be of another node
// that calls itself the same, and that it is not known yet.
func (s *Store) leaseOfNamesake(ctx context.Context, e *export.Export, name string) (bool, error) {
	if s.named() {
		return false, nil
	}
	var there Lease
	err := export.Read(ctx, e.FS, export.LeasePath(name, s.cfg.Node), &there)
	if err != nil && !export.IsBroken(err) {
		return false, export.Absent(err)
	}
	return err == nil && there.Boot != s.cfg.Boot, nil
}

// removeLease removes a node's lease of a name, and the name's directory if it
// was the last: other nodes may have theirs in it.
func removeLease(ctx context.Context, fsys tree.FS, name, node string) error {
	if err := export.Absent(fsys.Remove(ctx, export.LeasePath(name, node))); err != nil {
		return err
	}
	_ = fsys.Rmdir(ctx, path.Join(export.LeaseDir, name))
	return nil
}

// loadOwnLeases reads what this node left on the export: an earlier process of
// this boot has containers that go on, an earlier boot has none.
func (s *Store) loadOwnLeases(ctx context.Context, e *export.Export) error {
	if s.leases.loaded() {
		return nil // memory is newer
	}
	names, err := leasedNames(ctx, e.FS)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var left []*Lease
	for _, name := range names {
		l := &Lease{}
		err := export.Read(ctx, e.FS, export.LeasePath(name, s.cfg.Node), l)
		if err != nil && problem.OfExport(err) {
			return err
		}
		if err == nil && l.current(s, name) {
			left = append(left, l)
		}
	}
	s.leases.load(left)
	return nil
}

// current tells a lease that this boot of this node wrote.
func (l *Lease) current(s *Store, name string) bool {
	return l.Boot == s.cfg.Boot && l.Volume == name
}

// dropOldLeases removes what an earlier boot of this node left on the export,
// and gives back the volumes that it held. Only for a node that is sure of its
// name: they may be another's otherwise.
//
// It also gives back what this boot holds and nobody uses: a LINK or WRITE may
// arrive long after whoever sent it has given up.
func (s *Store) dropOldLeases(ctx context.Context, e *export.Export) error {
	names, err := leasedNames(ctx, e.FS)
	if err != nil {
		return export.Absent(err)
	}
	for _, name := range names {
		if _, used := s.leases.copy(name); used {
			continue
		}
		nodes, epochs, err := leaseFiles(ctx, e.FS, name)
		if err == nil && (len(epochs) > 0 || slices.Contains(nodes, s.cfg.Node)) {
			err = s.dropOldLease(ctx, e, name)
		}
		if err == nil && len(epochs) > 0 && len(nodes) == 0 {
			err = s.forgetHolds(ctx, e, name, epochs)
		}
		if err := s.passOver("leases of an earlier boot cannot be taken back", name, err); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) dropOldLease(ctx context.Context, e *export.Export, name string) error {
	release, err := s.names.hold(ctx, name)
	if err != nil {
		return err
	}
	defer release()
	if _, used := s.leases.copy(name); used {
		return nil
	}
	if err := removeLease(ctx, e.FS, name, s.cfg.Node); err != nil {
		return err
	}
	return s.release(ctx, e, name)
}

func leasedNames(ctx context.Context, fsys tree.FS) ([]string, error) {
	return export.Pick(ctx, fsys, export.LeaseDir, func(d tree.Entry) (string, bool) { return d.Name, d.Kind == tree.Directory })
}

// readLeases reads every node's lease of a name. A broken one counts as held:
// the safe side.
func readLeases(ctx context.Context, fsys tree.FS, name string) ([]*Lease, error) {
	nodes, _, err := leaseFiles(ctx, fsys, name)
	if err != nil {
		return nil, err
	}
	var out []*Lease
	for _, node := range nodes {
		l := &Lease{}
		err := export.Read(ctx, fsys, export.LeasePath(name, node), l)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil && !export.IsBroken(err) {
			return nil, err
		}
		l.Volume, l.Node = name, node
		out = append(out, l)
	}
	return out, nil
}

// leaseFiles lists what stands in the lease directory of a name: nodes,
// sorted, and numbers of epochs.
func leaseFiles(ctx context.Context, fsys tree.FS, name string) (nodes []string, epochs []uint64, err error) {
	err = fsys.ReadDir(ctx, path.Join(export.LeaseDir, name), func(d tree.Entry) error {
		if node, ok := strings.CutSuffix(d.Name, ".json"); ok {
			nodes = append(nodes, node)
		}
		if text, ok := strings.CutPrefix(d.Name, export.EpochPrefix); ok {
			if n, err := strconv.ParseUint(text, 10, 64); err == nil && n > 0 {
				epochs = append(epochs, n)
			}
		}
		return nil
	})
	slices.Sort(nodes)
	return nodes, epochs, export.Absent(err)
}

// change applies f to this node's claims on name.
func (s *Store) change(name string, f func(map[string]Claim)) {
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	l := s.leases.byName[name]
	if l == nil {
		l = &Lease{Version: export.FormatVersion, Volume: name, Node: s.cfg.Node, Boot: s.cfg.Boot, Mounts: map[string]Claim{}}
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
		s.leases.takeEarly(name, id)
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

// loaded tells whether the leases of an earlier process are in memory.
func (o *ownLeases) loaded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.read
}

// takeEarly notes a use that was taken back before the leases of an earlier
// process were read.
func (o *ownLeases) takeEarly(name, id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.read {
		return
	}
	if o.early[name] == nil {
		o.early[name] = map[string]int{}
	}
	o.early[name][id]++
}

// load adds the leases of an earlier process of this boot to what this one was
// asked for meanwhile.
func (o *ownLeases) load(left []*Lease) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range left {
		was, early := o.byName[l.Volume], o.early[l.Volume]
		if l.Mounts == nil {
			l.Mounts = map[string]Claim{}
		}
		for id, n := range early {
			if c := l.Mounts[id]; c.Count > n {
				c.Count -= n
				l.Mounts[id] = c
			} else {
				delete(l.Mounts, id)
			}
		}
		l.unsaved = was != nil || len(early) > 0 || len(l.Mounts) == 0
		if was != nil {
			for id, c := range was.Mounts {
				if earlier, ok := l.Mounts[id]; ok {
					earlier.Count += c.Count
					c = earlier
				}
				l.Mounts[id] = c
			}
			l.Incarnation = was.Incarnation
		}
		o.byName[l.Volume] = l
	}
	o.read, o.early = true, nil
}

// dropClaims forgets every use of name by this node.
func (s *Store) dropClaims(name string) {
	if _, ok := s.leases.copy(name); ok {
		s.change(name, func(m map[string]Claim) { clear(m) })
	}
}

// noteEpoch says in which epoch the new claims on name are.
func (s *Store) noteEpoch(name string, epoch uint64) {
	s.leases.mu.Lock()
	defer s.leases.mu.Unlock()
	if l := s.leases.byName[name]; l != nil {
		for id, c := range l.Mounts {
			if c.Epoch == 0 && c.Fenced == "" {
				c.Epoch = epoch
				l.Mounts[id] = c
			}
		}
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

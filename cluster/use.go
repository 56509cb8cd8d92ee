package cluster

import (
	"maps"
	"slices"
	"sync"

	"github.com/casit/berth/export"
)

// uses is this node's leases, true in memory and saved on the export.
type uses struct {
	self

	mu     sync.Mutex // guards the fields and the leases in them, never held across the network
	byName map[string]*Lease
	// read: the leases of an earlier process of this boot are in byName. Until
	// then early counts, by name and id, the uses that were taken back and that
	// may be of an earlier process.
	read  bool
	early map[string]map[string]int
}

// change applies f to this node's claims on name.
func (o *uses) change(name string, f func(map[string]Claim)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.byName[name]
	if l == nil {
		l = &Lease{Version: export.FormatVersion, Volume: name, Node: o.cfg.Node, Boot: o.cfg.Boot, Mounts: map[string]Claim{}}
		o.byName[name] = l
	}
	if len(l.Mounts) == 0 {
		l.Since = o.cfg.Now().UTC()
	}
	f(l.Mounts)
	l.Incarnation, l.unsaved = o.incarnation, true
}

// addClaim adds u.Count uses of name under id; the first one's time and
// generation stay.
func (o *uses) addClaim(name, id string, u Claim) {
	o.change(name, func(m map[string]Claim) {
		if was, ok := m[id]; ok {
			was.Count += u.Count
			u = was
		}
		m[id] = u
	})
}

// subClaim takes one use back and returns the claim as it was.
func (o *uses) subClaim(name, id string) (was Claim, ok bool) {
	if !o.claimed(name, id) {
		o.takeEarly(name, id)
		return Claim{}, false
	}
	o.change(name, func(m map[string]Claim) {
		was, ok = m[id]
		if u := was; u.Count > 1 {
			u.Count--
			m[id] = u
		} else {
			delete(m, id)
		}
	})
	return was, ok
}

// claimed tells whether this node uses name under id.
func (o *uses) claimed(name, id string) bool {
	l, ok := o.copy(name)
	return ok && l.Mounts[id].Count > 0
}

// Claims is this node's uses of a name by dockerd's ids, empty for none.
func (o *uses) Claims(name string) map[string]Claim {
	l, ok := o.copy(name)
	if !ok {
		return nil
	}
	return l.Mounts
}

// InUse tells whether this node uses anything.
func (o *uses) InUse() bool {
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
func (o *uses) Generations() []int {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []int
	for _, l := range o.byName {
		for _, u := range l.Mounts {
			if !slices.Contains(out, u.Generation) {
				out = append(out, u.Generation)
			}
		}
	}
	slices.Sort(out)
	return out
}

// loaded tells whether the leases of an earlier process are in memory.
func (o *uses) loaded() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.read
}

// takeEarly notes a use that was taken back before the leases of an earlier
// process were read.
func (o *uses) takeEarly(name, id string) {
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
func (o *uses) load(left []*Lease) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range left {
		was, early := o.byName[l.Volume], o.early[l.Volume]
		if l.Mounts == nil {
			l.Mounts = map[string]Claim{}
		}
		for id, n := range early {
			if u := l.Mounts[id]; u.Count > n {
				u.Count -= n
				l.Mounts[id] = u
			} else {
				delete(l.Mounts, id)
			}
		}
		l.unsaved = was != nil || len(early) > 0 || len(l.Mounts) == 0
		if was != nil {
			for id, u := range was.Mounts {
				if earlier, ok := l.Mounts[id]; ok {
					earlier.Count += u.Count
					u = earlier
				}
				l.Mounts[id] = u
			}
			l.Incarnation = was.Incarnation
		}
		o.byName[l.Volume] = l
	}
	o.read, o.early = true, nil
}

// noteEpoch says in which epoch the new claims on name are.
func (o *uses) noteEpoch(name string, epoch uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.byName[name]; l != nil {
		for id, u := range l.Mounts {
			if u.Epoch == 0 && u.Fenced == "" {
				u.Epoch = epoch
				l.Mounts[id] = u
			}
		}
	}
}

// unfenced is the epoch of this node's newest claims on name that are not known
// to be fenced, 0 for none.
func (o *uses) unfenced(name string) (epoch uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.byName[name]; l != nil {
		for _, u := range l.Mounts {
			if u.Fenced == "" {
				epoch = max(epoch, u.Epoch)
			}
		}
	}
	return epoch
}

// copy returns a snapshot of the lease of name.
func (o *uses) copy(name string) (*Lease, bool) {
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
func (o *uses) saved(name string, as *Lease) {
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

// unsaved are the names of which the export has an older lease than this node.
func (o *uses) unsaved() (names []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for name, l := range o.byName {
		if l.unsaved {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// resave says that the export may have older leases than this node.
func (o *uses) resave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, l := range o.byName {
		l.unsaved = true
	}
}

// Unsave says that the export has not this node's lease of a name.
func (o *uses) Unsave(name string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if l := o.byName[name]; l != nil {
		l.unsaved = true
	}
}

// held are the single-writer volumes that this node holds, with the epochs.
func (o *uses) held() map[string]uint64 {
	out := map[string]uint64{}
	for _, name := range o.names() {
		if epoch := o.unfenced(name); epoch > 0 {
			out[name] = epoch
		}
	}
	return out
}

// names lists what this node uses, or has to tidy up.
func (o *uses) names() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.byName))
}

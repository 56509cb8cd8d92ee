package volume

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// index is the names of all volumes in memory, so that Get and List cost at
// most one GETATTR of the export's root.
type index struct {
	flight singleflight.Group // one listing at a time

	mu      sync.Mutex // guards all below, never held across the network
	id      string     // of the export, "" before it was ever seen
	names   map[string]*entry
	mtime   time.Time // of the root when names were listed
	settled bool      // mtime was old enough then to be a proof
	listed  bool      // names came from the export, not from the hint
	dirty   bool      // the hint is older than id and names
	metaAt  time.Time // mtime of .berth/volumes when cached metadata was read

	// meanwhile is what put and drop said while a listing was read: it may be
	// newer than the listing. nil while none is.
	meanwhile map[string]bool
}

// entry is what is remembered of one volume.
type entry struct {
	meta    *Meta // nil: adopted, or not read yet
	metaErr error // the metadata is broken
	read    bool  // meta and metaErr are valid
}

// settleTime is how old a directory's mtime must be for a listing made after
// it to be complete, given clocks and timestamps of one second.
const settleTime = 2 * time.Second

func (x *index) init() { x.names = map[string]*entry{} }

func (x *index) knownID() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.id
}

func (x *index) setID(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.id != id {
		x.id, x.dirty = id, true
	}
}

func (x *index) restore(id string, names []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.id = id
	for _, n := range names {
		x.names[n] = &entry{}
	}
}

// unsaved returns what the hint should say, and whether it says so already.
func (x *index) unsaved() (id string, names []string, changed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.dirty {
		return "", nil, false
	}
	x.dirty = false
	return x.id, slices.Sorted(maps.Keys(x.names)), true
}

func (x *index) keepUnsaved() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dirty = true
}

// invalidate makes the next question ask the export.
func (x *index) invalidate() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settled, x.mtime, x.metaAt = false, time.Time{}, time.Time{}
	for _, e := range x.names {
		e.read = false
	}
}

// known returns a copy of what is remembered of name.
func (x *index) known(name string) (entry, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.names[name]
	if !ok {
		return entry{}, false
	}
	return *e, true
}

// anything tells whether List has something to answer from.
func (x *index) anything() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.listed || len(x.names) > 0
}

func (x *index) all() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Sorted(maps.Keys(x.names))
}

// current tells whether the names are true for a root with this mtime.
func (x *index) current(mtime time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.listed && x.settled && x.mtime.Equal(mtime)
}

// put remembers that name exists, with its metadata if read.
func (x *index) put(name string, e entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.names[name]; !ok {
		x.dirty = true
	}
	x.names[name] = &e
	if x.meanwhile != nil {
		x.meanwhile[name] = true
	}
}

func (x *index) drop(name string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if _, ok := x.names[name]; ok {
		delete(x.names, name)
		x.dirty = true
	}
	if x.meanwhile != nil {
		x.meanwhile[name] = false
	}
}

// listing says that a listing begins, which replace or nothing will end.
func (x *index) listing() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.meanwhile = map[string]bool{}
}

// replace takes a listing made while the root's mtime was mtime.
func (x *index) replace(names []string, mtime time.Time, settled bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	next := make(map[string]*entry, len(names))
	for _, n := range names {
		e, ok := x.names[n]
		if !ok {
			e, x.dirty = &entry{}, true
		}
		next[n] = e
	}
	for n, is := range x.meanwhile {
		delete(next, n)
		if is {
			next[n] = x.names[n]
		}
	}
	x.meanwhile = nil
	x.dirty = x.dirty || len(next) != len(x.names)
	x.names, x.mtime, x.settled, x.listed = next, mtime, settled, true
}

// forgetMeta drops cached metadata once the metadata directory has changed:
// another node made, set or repaired something.
func (x *index) forgetMeta(mtime time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.metaAt.Equal(mtime) {
		return
	}
	x.metaAt = mtime
	for _, e := range x.names {
		e.read = false
	}
}

// refresh makes the index true: one GETATTR of the root, and a listing if that
// shows a change.
func (s *Store) refresh(ctx context.Context, e *export.Export) error {
	root, err := e.FS.Stat(ctx, ".")
	if err != nil {
		return err
	}
	if s.index.current(root.Mtime) {
		return nil
	}
	result := s.index.flight.DoChan("list", func() (any, error) {
		// Apart from the request that asked: others wait for it too.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		return nil, s.relist(ctx, e)
	})
	select {
	case r := <-result:
		return r.Err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) relist(ctx context.Context, e *export.Export) error {
	s.index.listing()
	root, err := e.FS.Stat(ctx, ".")
	if err != nil {
		return err
	}
	server, ok := s.conn.Time()
	settled := ok && server.Sub(root.Mtime) >= settleTime
	names, err := listVolumes(ctx, e.FS)
	if err == nil {
		err = e.Confirm(ctx)
	}
	if err != nil {
		return err
	}
	// A volume whose swap is under way may have no directory for a moment.
	swapped, err := swapping(ctx, e)
	if err != nil {
		return err
	}
	for _, n := range swapped {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	s.index.replace(names, root.Mtime, settled)
	return nil
}

// listVolumes reads the root: every plain directory with a volume's name,
// except Convoy's own beside its metadata.
func listVolumes(ctx context.Context, fsys tree.FS) ([]string, error) {
	names, err := export.Pick(ctx, fsys, ".", func(d tree.Entry) (string, bool) {
		return d.Name, d.Kind == tree.Directory && export.IsName(d.Name)
	})
	if err != nil {
		return nil, err
	}
	if !slices.Contains(names, ConvoyDir) {
		return names, nil
	}
	convoy, err := isConvoyShare(ctx, fsys)
	if export.Ends(ctx, fsys, err) {
		return nil, err
	}
	if convoy { // a directory of that name that cannot be read hides no volume
		names = slices.DeleteFunc(names, isConvoyName)
	}
	return names, nil
}

// isConvoyName tells the directories that are Convoy's own on its share.
func isConvoyName(name string) bool {
	return name == ConvoyDir || strings.HasSuffix(name, ".tmp")
}

// isConvoyShare tells whether config/ holds Convoy's metadata.
func isConvoyShare(ctx context.Context, fsys tree.FS) (bool, error) {
	found := errors.New("found")
	err := fsys.ReadDir(ctx, ConvoyDir, func(d tree.Entry) error {
		if _, ok := ConvoyVolume(d.Name); ok {
			return found
		}
		return nil
	})
	if errors.Is(err, found) {
		return true, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return false, err
}

// checkPlace refuses a name that is Convoy's on this share.
func checkPlace(ctx context.Context, fsys tree.FS, name string) error {
	if !isConvoyName(name) {
		return nil
	}
	convoy, err := isConvoyShare(ctx, fsys)
	if err != nil {
		return err
	}
	if convoy {
		return problem.New(problem.Invalid, "take another name", "%q belongs to Rancher Convoy, whose metadata is in %s/ on this export", name, ConvoyDir)
	}
	return nil
}

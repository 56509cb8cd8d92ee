// Package index keeps the names of all volumes in memory, with their metadata once it
// was read. It asks nobody: its user lists the export and says what a listing found.
//
//	x := index.New[Meta]()
//	x.Listing()                     // a listing begins
//	x.Put("blog", index.Entry[Meta]{}) // meanwhile somebody makes a volume
//	x.Replace(names, mtime, settled)   // the listing is read; blog stays
//
// It does not promise that a name is there: Current tells for which mtime of the
// export's root the names are true.
package index

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// New returns an Index that knows nothing.
func New[M any]() *Index[M] { return &Index[M]{names: map[string]*Entry[M]{}} }

// Index is the names of all volumes in memory, so that Get and List cost at
// most one GETATTR of the export's root.
type Index[M any] struct {
	mu      sync.Mutex // guards all below, never held across the network
	id      string     // of the export, "" before it was ever seen
	names   map[string]*Entry[M]
	mtime   time.Time // of the root when names were listed
	settled bool      // mtime was old enough then to be a proof
	listed  bool      // names came from the export, not from the hint
	dirty   bool      // the hint is older than id and names
	metaAt  time.Time // mtime of .berth/volumes when cached metadata was read

	// meanwhile is what put and drop said while a listing was read: it may be
	// newer than the listing. nil while none is.
	meanwhile map[string]bool
}

// Entry is what is remembered of one volume.
type Entry[M any] struct {
	Meta *M    // nil: adopted, or not read yet
	Err  error // the metadata is broken
	Read bool  // Meta and Err are valid
}

func (x *Index[M]) ID() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.id
}

func (x *Index[M]) SetID(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.id != id {
		x.id, x.dirty = id, true
	}
}

func (x *Index[M]) Restore(id string, names []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.id = id
	for _, n := range names {
		x.names[n] = &Entry[M]{}
	}
}

// unsaved returns what the hint should say, and whether it says so already.
func (x *Index[M]) Unsaved() (id string, names []string, changed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.dirty {
		return "", nil, false
	}
	x.dirty = false
	return x.id, slices.Sorted(maps.Keys(x.names)), true
}

func (x *Index[M]) KeepUnsaved() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dirty = true
}

// invalidate makes the next question ask the export.
func (x *Index[M]) Invalidate() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.settled, x.mtime, x.metaAt = false, time.Time{}, time.Time{}
	for _, e := range x.names {
		e.Read = false
	}
}

// known returns a copy of what is remembered of name.
func (x *Index[M]) Known(name string) (Entry[M], bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e, ok := x.names[name]
	if !ok {
		return Entry[M]{}, false
	}
	return *e, true
}

// anything tells whether List has something to answer from.
func (x *Index[M]) Anything() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.listed || len(x.names) > 0
}

func (x *Index[M]) All() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Sorted(maps.Keys(x.names))
}

// current tells whether the names are true for a root with this mtime.
func (x *Index[M]) Current(mtime time.Time) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.listed && x.settled && x.mtime.Equal(mtime)
}

// put remembers that name exists, with its metadata if read.
func (x *Index[M]) Put(name string, e Entry[M]) {
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

func (x *Index[M]) Drop(name string) {
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
func (x *Index[M]) Listing() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.meanwhile = map[string]bool{}
}

// replace takes a listing made while the root's mtime was mtime.
func (x *Index[M]) Replace(names []string, mtime time.Time, settled bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	next := make(map[string]*Entry[M], len(names))
	for _, n := range names {
		e, ok := x.names[n]
		if !ok {
			e, x.dirty = &Entry[M]{}, true
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
func (x *Index[M]) ForgetMeta(mtime time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.metaAt.Equal(mtime) {
		return
	}
	x.metaAt = mtime
	for _, e := range x.names {
		e.Read = false
	}
}

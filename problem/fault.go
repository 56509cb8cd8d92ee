package problem

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// Fault is an item that could not be worked on when that was tried last.
type Fault struct {
	Event  string // what that means
	Item   string
	Reason string
}

// Faults is what could not be done with single items among many, and goes on
// being tried. The zero value has none. Its methods may be called concurrently.
type Faults struct {
	mu  sync.Mutex // guards why
	why map[faultKey]noted
}

type faultKey struct{ event, item string }

type noted struct {
	reason string
	at     time.Time
}

// rememberedFor is how long a fault counts of which nobody speaks any more: its item
// may be gone, and others may have mended it.
const rememberedFor = 15 * time.Minute

// Note notes what came of the work on an item, and reports an error of that item
// once.
func (f *Faults) Note(report func(event string, fields map[string]any), event, item string, err error) {
	if f.set(faultKey{event, item}, err) {
		report(event, map[string]any{"item": item, "err": err})
	}
}

// set tells whether err is new for its key; nil forgets what was there.
func (f *Faults) set(key faultKey, err error) (news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.why, key)
		return false
	}
	if f.why == nil {
		f.why = map[faultKey]noted{}
	}
	news = f.why[key].reason != err.Error()
	f.why[key] = noted{err.Error(), time.Now()}
	return news
}

// Reason is the error of an item that Note was told of last, "" for none.
func (f *Faults) Reason(event, item string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.why[faultKey{event, item}].reason
}

// List returns what could not be done in the last while, sorted by event and item.
func (f *Faults) List() []Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Fault{}
	for key, n := range f.why {
		if time.Since(n.at) > rememberedFor {
			delete(f.why, key)
			continue
		}
		out = append(out, Fault{key.event, key.item, n.reason})
	}
	slices.SortFunc(out, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Event, b.Event), cmp.Compare(a.Item, b.Item))
	})
	return out
}

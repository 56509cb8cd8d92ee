package problem

import "sync"

// Faults is what could not be done with single items among many, and goes on
// being tried. The zero value has none.
type Faults struct {
	mu  sync.Mutex // guards why
	why map[string]string
}

// Note notes what came of the work on an item, and reports an error of that item
// once.
func (f *Faults) Note(report func(event string, fields map[string]any), event, item string, err error) {
	if f.set(event+" "+item, err) {
		report(event, map[string]any{"item": item, "err": err})
	}
}

// set tells whether err is new for its key; nil forgets what was there.
func (f *Faults) set(key string, err error) (news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.why, key)
		return false
	}
	if f.why == nil {
		f.why = map[string]string{}
	}
	news = f.why[key] != err.Error()
	f.why[key] = err.Error()
	return news
}

// Reason is the error of an item that Note was told of last, "" for none.
func (f *Faults) Reason(event, item string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.why[event+" "+item]
}

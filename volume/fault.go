package volume

import (
	"sync"

	"github.com/casit/berth/problem"
)

// faults is what could not be done with single volumes and items, and goes on
// being tried.
type faults struct {
	mu  sync.Mutex // guards why
	why map[string]string
}

// set notes why an item could not be worked on, nil if it could. It tells
// whether that is new.
func (f *faults) set(item string, err error) (news bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.why, item)
		return false
	}
	if f.why == nil {
		f.why = map[string]string{}
	}
	news = f.why[item] != err.Error()
	f.why[item] = err.Error()
	return news
}

func (f *faults) reason(item string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.why[item]
}

// passOver notes what came of the work on one item among many, and reports an
// error of that item, once. It returns an error that ends the work on all.
func (s *Store) passOver(event, item string, err error) error {
	if err != nil && problem.OfExport(err) {
		return err
	}
	if s.faults.set(event+" "+item, err) {
		s.cfg.Report(event, map[string]any{"item": item, "err": err})
	}
	return nil
}

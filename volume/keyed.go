package volume

import (
	"context"
	"sync"
)

// keyed is a mutex per name. Waiting ends with the context.
type keyed struct {
	mu    sync.Mutex // guards names, held for map access only
	names map[string]*keyedLock
}

type keyedLock struct {
	free chan struct{} // holds one token while nobody has the lock
	refs int
}

// hold takes the lock of name; the returned function gives it back.
func (k *keyed) hold(ctx context.Context, name string) (release func(), err error) {
	k.mu.Lock()
	if k.names == nil {
		k.names = map[string]*keyedLock{}
	}
	l := k.names[name]
	if l == nil {
		l = &keyedLock{free: make(chan struct{}, 1)}
		l.free <- struct{}{}
		k.names[name] = l
	}
	l.refs++
	k.mu.Unlock()

	drop := func() {
		k.mu.Lock()
		if l.refs--; l.refs == 0 {
			delete(k.names, name)
		}
		k.mu.Unlock()
	}
	select {
	case <-l.free:
		return func() { l.free <- struct{}{}; drop() }, nil
	case <-ctx.Done():
		drop()
		return nil, ctx.Err()
	}
}

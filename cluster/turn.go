package cluster

import (
	"context"
	"sync"
)

// turns is a mutex per name. Waiting ends with the context.
type turns struct {
	mu    sync.Mutex // guards names, held for map access only
	names map[string]*turn
}

type turn struct {
	free chan struct{} // holds one token while nobody has the turn
	refs int
}

// take waits for the turn of a name; the function that it returns gives the
// turn back.
func (k *turns) take(ctx context.Context, name string) (end func(), err error) {
	k.mu.Lock()
	if k.names == nil {
		k.names = map[string]*turn{}
	}
	t := k.names[name]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		k.names[name] = t
	}
	t.refs++
	k.mu.Unlock()

	drop := func() {
		k.mu.Lock()
		if t.refs--; t.refs == 0 {
			delete(k.names, name)
		}
		k.mu.Unlock()
	}
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; drop() }, nil
	case <-ctx.Done():
		drop()
		return nil, ctx.Err()
	}
}

package bound

import (
	"context"
	"sync/atomic"
)

// Turns let so many calls run at once, and so many more wait in the order in which
// they came.
type Turns struct {
	running chan struct{}
	inside  atomic.Int64 // those that run or wait
	most    int64
}

// NewTurns returns turns for that many calls.
func NewTurns(running, waiting int) *Turns {
	return &Turns{running: make(chan struct{}, running), most: int64(running + waiting)}
}

// Take waits for a turn until ctx ends. It is not ok if ctx ended before, or if as
// many wait already as may; otherwise the caller calls release at its end.
func (t *Turns) Take(ctx context.Context) (release func(), ok bool) {
	if t.inside.Add(1) > t.most {
		t.inside.Add(-1)
		return nil, false
	}
	select {
	case t.running <- struct{}{}:
		return func() {
			<-t.running
			t.inside.Add(-1)
		}, true
	case <-ctx.Done():
		t.inside.Add(-1)
		return nil, false
	}
}

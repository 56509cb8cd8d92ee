package volume

import "context"

// gate lets one through at a time. Waiting ends with the context, unlike that
// for a mutex: who is inside may be waiting for the network or a disk.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

// enter waits until nobody is inside; the caller leaves.
func (g gate) enter(ctx context.Context) error {
	if g.tryEnter() {
		return nil
	}
	select {
	case g <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tryEnter enters if nobody is inside.
func (g gate) tryEnter() bool {
	select {
	case g <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g gate) leave() { <-g }

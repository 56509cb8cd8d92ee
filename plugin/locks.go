package plugin

import (
	"context"
	"sync"
	"time"

	"github.com/casit/berth/nfs"
)

// lockGrace is how long after the start rpc.statd may take to come up.
const lockGrace = 60 * time.Second

// lockService knows whether NFSv3 locks work on this host. Without them a
// database's lock is refused (ENOLCK), so berth mounts with nolock then, and
// says so.
type lockService struct {
	started time.Time
	ready   func(context.Context) bool

	mu    sync.Mutex // guards works
	works bool       // seen once; a statd that goes away later changes no mount
}

func newLockService() *lockService {
	return &lockService{started: time.Now(), ready: nfs.LocksReady}
}

// look asks the host until it has said yes.
func (l *lockService) look(ctx context.Context) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.works {
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		l.works = l.ready(ctx)
	}
	return l.works
}

// wait returns whether locks work, giving rpc.statd its time after a start.
func (l *lockService) wait(ctx context.Context) bool {
	for {
		if l.look(ctx) {
			return true
		}
		left := time.Until(l.started.Add(lockGrace))
		if left <= 0 {
			return false
		}
		select {
		case <-time.After(min(left, time.Second)):
		case <-ctx.Done():
			return false
		}
	}
}

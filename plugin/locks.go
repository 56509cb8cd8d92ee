package plugin

import (
	"context"
	"sync"
	"sync/atomic"
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

	without atomic.Bool // the last mount was made without locks
}

func newLockService() *lockService {
	return &lockService{started: time.Now(), ready: nfs.LocksReady}
}

// nolock decides for a mount: true where locks cannot work.
func (l *lockService) nolock(ctx context.Context) bool {
	l.without.Store(!l.wait(ctx))
	return l.without.Load()
}

// degraded says so while it lasts.
func (l *lockService) degraded() string {
	if l.without.Load() {
		return "no file locks between nodes, since rpc.statd does not answer here; install nfs-common"
	}
	return ""
}

// ask asks the host until it has said yes.
func (l *lockService) ask(ctx context.Context) bool {
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
		if l.ask(ctx) {
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

package plugin

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/nfs"
)

// lockGrace is how long after the plugin's start rpc.statd may take to come up.
const lockGrace = 60 * time.Second

// lockService knows whether NFSv3 locks work on this host. Without them a
// database's lock is refused (ENOLCK), so berth mounts with nolock then, and
// says so.
type lockService struct {
	started time.Time
	ready   func(context.Context) bool
	tasks   *tasks

	asking singleflight.Group // all that wait share one question
	works  atomic.Bool        // seen once; a statd that goes away later changes no mount

	without atomic.Bool // the last mount was made without locks
}

func newLockService(t *tasks) *lockService {
	return &lockService{started: time.Now(), ready: nfs.LocksReady, tasks: t}
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
	if l.works.Load() {
		return true
	}
	answer := l.asking.DoChan("", func() (any, error) {
		defer l.tasks.begin("ask rpc.statd")()
		// Apart from the request that asked: others wait for the answer too.
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		return nil, guard.Run(func() error {
			l.works.Store(l.ready(ctx))
			return nil
		})
	})
	select {
	case <-answer:
	case <-ctx.Done():
	}
	return l.works.Load()
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

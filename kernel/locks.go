package kernel

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/nfs"
)

// lockGrace is the time after the plugin's start in which rpc.statd may come up.
const lockGrace = 60 * time.Second

// Locks knows whether NFSv3 locks work on this host. Without rpc.statd the
// kernel refuses a database's lock (ENOLCK), so berth then mounts with nolock and
// says so.
type Locks struct {
	started time.Time
	ready   func(context.Context) bool
	tasks   *guard.Tasks

	asking singleflight.Group // concurrent Mounts share one question
	works  atomic.Bool        // rpc.statd has answered once; its later end changes no mount

	without atomic.Bool // the last mount was made without locks
}

// NewLocks returns what is known at the start of the plugin. What it asks is one of t.
func NewLocks(t *guard.Tasks) *Locks {
	return &Locks{started: time.Now(), ready: nfs.LocksReady, tasks: t}
}

// Refused says that a mount needs the option nolock.
func (l *Locks) Refused(ctx context.Context) bool {
	l.without.Store(!l.wait(ctx))
	return l.without.Load()
}

// Degraded is the message while the last mount has no locks, else "".
func (l *Locks) Degraded() string {
	if l.without.Load() {
		return "no file locks between nodes, since rpc.statd does not answer here; install nfs-common"
	}
	return ""
}

// ask says whether rpc.statd has answered, now or earlier.
func (l *Locks) ask(ctx context.Context) bool {
	if l.works.Load() {
		return true
	}
	answer := l.asking.DoChan("", func() (any, error) {
		defer l.tasks.Begin("ask rpc.statd")()
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

// wait says whether locks work. Within lockGrace it waits for rpc.statd.
func (l *Locks) wait(ctx context.Context) bool {
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

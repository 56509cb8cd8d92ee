package kernel

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/guard"
)

// Flusher makes this node's kernel write its dirty pages to the server. syncfs(2)
// cannot be interrupted, so a goroutine calls it; requests share that goroutine.
type Flusher struct {
	Root  func() (path string, generation int) // the node's mount
	Tasks *guard.Tasks

	mu      sync.Mutex // guards running
	running *flushing
}

type flushing struct {
	done chan struct{}
	err  error
}

// Flush returns when all earlier writes are on the server, or ctx ends.
func (f *Flusher) Flush(ctx context.Context) error {
	// A flush that is running may have missed the latest writes.
	f.mu.Lock()
	before := f.running
	f.mu.Unlock()
	if before != nil {
		if err := before.wait(ctx); ctx.Err() != nil {
			return err
		}
	}
	f.mu.Lock()
	if f.running == nil {
		f.running = &flushing{done: make(chan struct{})}
		go f.run(f.running, f.Tasks.Begin("flush"))
	}
	now := f.running
	f.mu.Unlock()
	return now.wait(ctx)
}

func (w *flushing) wait(ctx context.Context) error {
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return fmt.Errorf("put what was written on the server: %w", ctx.Err())
	}
}

func (f *Flusher) run(w *flushing, end func()) {
	defer end()
	w.err = guard.Run(func() error {
		if root, _ := f.Root(); root != "" {
			return syncNFS(root)
		}
		return nil
	})
	f.mu.Lock()
	f.running = nil
	f.mu.Unlock()
	close(w.done)
}

// syncNFS is syncfs(2) for an NFS mount. A local filesystem needs none: all its
// users share one cache.
func syncNFS(root string) error {
	dir, err := os.Open(root)
	if err != nil {
		return err
	}
	defer dir.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil || st.Type != unix.NFS_SUPER_MAGIC {
		return err
	}
	return os.NewSyscallError("syncfs", unix.Syncfs(int(dir.Fd())))
}

// LocalAddress is the address from which this node reaches an NFS server, "" if
// the node cannot tell now. It sends nothing to the server.
func LocalAddress(host string) string {
	dialer := net.Dialer{Timeout: 2 * time.Second}
	c, err := dialer.Dial("udp", net.JoinHostPort(host, "2049"))
	if err != nil {
		return ""
	}
	defer c.Close()
	address, _, _ := net.SplitHostPort(c.LocalAddr().String())
	return address
}

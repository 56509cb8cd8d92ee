package netns

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Dial connects from the host to an address, as net.Dialer.DialContext does.
// The address is numeric: names are the machine's.
func (h *Host) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	namespace, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", h.init.Process.Pid))
	if err != nil {
		return nil, err
	}
	defer namespace.Close()
	var c net.Conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		// A socket belongs to the namespace of the thread that makes it. Never
		// unlocked: the thread ends with this goroutine.
		runtime.LockOSThread()
		if err = unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err == nil {
			c, err = new(net.Dialer).DialContext(ctx, network, address)
		}
	}()
	<-done
	return c, err
}

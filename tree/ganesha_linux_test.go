package tree_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs/ganeshatest"
	"github.com/casit/berth/tree/treetest"
)

// BenchmarkWireGanesha is BenchmarkWire against nfs-ganesha on a tmpfs, in
// namespaces of its own: all that runs there ends with it.
func BenchmarkWireGanesha(b *testing.B) {
	if why := ganeshatest.Missing(); why != "" {
		treetest.Skip(b, why)
	}
	if !ganeshatest.Inside(b) {
		return
	}
	const export = "/run/export" // on a tmpfs
	require.NoError(b, os.MkdirAll(export, 0o755))
	target := ganeshatest.Start(b, ganeshatest.Export{Dir: export}).Target(export)
	for _, latency := range []time.Duration{0, time.Millisecond} {
		b.Run(latency.String(), func(b *testing.B) {
			tap := &tap{}
			engines(b, target, tap.dial, func() int { return int(tap.calls.Load()) }, func() {
				tap.latency.Store(int64(latency))
				debug.FreeOSMemory()
				// The peak begins anew (proc_pid_clear_refs(5)): making the tree does not count.
				require.NoError(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0))
			})
			b.ReportMetric(peak(b), "MiB-peak")
			require.NoError(b, exec.Command("rm", "-rf", export+"/all", export+"/part").Run())
		})
	}
}

// peak is the largest resident size since clear_refs was written, in MiB.
func peak(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var kilobytes float64
	_, err = fmt.Sscan(after, &kilobytes)
	require.NoError(b, err)
	return kilobytes / 1024
}

// tap counts the calls that go over its connections, and delays their answers.
type tap struct {
	calls   atomic.Int64
	latency atomic.Int64 // nanoseconds
}

func (t *tap) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &tapped{Conn: nc, tap: t, late: make(chan late, 64)}
	go c.fill()
	return c, nil
}

// tapped is a connection of a tap.
type tapped struct {
	net.Conn
	tap  *tap
	skip int    // bytes of the current record that are still to come
	head []byte // of the next record's mark
	late chan late
	now  late // being handed out
}

// late is what was read, and when it is to be handed out.
type late struct {
	buf  *[8 << 10]byte
	data []byte // of buf
	due  time.Time
	err  error
}

// buffers keeps a tap's memory out of what is measured.
var buffers = sync.Pool{New: func() any { return new([8 << 10]byte) }}

// Write counts records (RFC 5531 §11).
func (c *tapped) Write(p []byte) (int, error) {
	for b := p; len(b) > 0; {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			b, c.skip = b[n:], c.skip-n
			continue
		}
		n := min(4-len(c.head), len(b))
		if c.head, b = append(c.head, b[:n]...), b[n:]; len(c.head) == 4 {
			mark := binary.BigEndian.Uint32(c.head)
			if mark&(1<<31) != 0 {
				c.tap.calls.Add(1)
			}
			c.skip, c.head = int(mark&^(1<<31)), nil
		}
	}
	return c.Conn.Write(p)
}

// fill reads until the connection ends.
func (c *tapped) fill() {
	for {
		buf := buffers.Get().(*[8 << 10]byte)
		n, err := c.Conn.Read(buf[:])
		c.late <- late{buf, buf[:n], time.Now().Add(time.Duration(c.tap.latency.Load())), err}
		if err != nil {
			close(c.late)
			return
		}
	}
}

// Read hands out what is due.
func (c *tapped) Read(p []byte) (int, error) {
	for len(c.now.data) == 0 {
		if c.now.err != nil {
			return 0, c.now.err
		}
		if c.now.buf != nil {
			buffers.Put(c.now.buf)
		}
		l, ok := <-c.late
		if !ok {
			return 0, net.ErrClosed
		}
		time.Sleep(time.Until(l.due))
		c.now = l
	}
	n := copy(p, c.now.data)
	c.now.data = c.now.data[n:]
	return n, nil
}

package nfs

import (
	"context"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// listen accepts connections on loopback and drops them.
func listen(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { nc.Close() })
		}
	}()
	return l.Addr().String()
}

func port(nc net.Conn) int { return nc.LocalAddr().(*net.TCPAddr).Port }

// mayBindLow tells whether this process may have ports below 1024.
func mayBindLow() bool {
	for p := maxPrivilegedPort; p >= minPrivilegedPort; p-- {
		l, err := net.Listen("tcp", hostPort("127.0.0.1", p))
		if err == nil {
			l.Close()
			return true
		}
		if bindRefused(err) {
			return false
		}
	}
	return false
}

func TestSourcePort(t *testing.T) {
	address := listen(t)
	d := dialer{privileged: true, timeout: 10 * time.Second}
	nc, err := d.dial(t.Context(), 0, address)
	require.NoError(t, err)
	first := port(nc)
	if mayBindLow() {
		require.GreaterOrEqual(t, first, 512)
		require.Less(t, first, 1024)
	}
	other, err := d.dial(t.Context(), 1, address)
	require.NoError(t, err)
	defer other.Close()
	require.NotEqual(t, first, port(other))

	// The same port again, if the connection is really gone.
	require.NoError(t, nc.(*net.TCPConn).SetLinger(0))
	require.NoError(t, nc.Close())
	nc, err = d.dial(t.Context(), 0, address)
	require.NoError(t, err)
	defer nc.Close()
	require.Equal(t, first, port(nc))

	// And another one if it is taken.
	nc2, err := d.dial(t.Context(), 0, address)
	require.NoError(t, err)
	defer nc2.Close()
	require.NotEqual(t, first, port(nc2))

	d = dialer{timeout: 10 * time.Second}
	nc, err = d.dial(t.Context(), 0, address)
	require.NoError(t, err)
	defer nc.Close()
	require.GreaterOrEqual(t, port(nc), 1024)
}

func TestSourcePortRefused(t *testing.T) {
	require.True(t, bindRefused(&net.OpError{Op: "dial", Err: os.NewSyscallError("bind", syscall.EACCES)}))
	require.False(t, bindRefused(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EACCES)}))
	require.True(t, portTaken(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}))

	// What is refused by the server is not tried from other ports.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.Close()
	d := dialer{privileged: true, timeout: 10 * time.Second}
	_, err = d.dial(context.Background(), 0, l.Addr().String())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestAServerThatMovedIsFoundByItsName(t *testing.T) {
	address := listen(t)
	_, text, err := net.SplitHostPort(address)
	require.NoError(t, err)
	number, err := net.LookupPort("tcp", text)
	require.NoError(t, err)
	moved := &location{host: "localhost", port: number, address: hostPort("127.0.0.2", number)}
	d := (&Config{Unprivileged: true, DialTimeout: 5 * time.Second}).complete()
	for range 2 {
		nc, err := moved.dial(t.Context(), d.dialer(), 0)
		require.NoError(t, err)
		require.NoError(t, nc.Close())
		require.Equal(t, address, moved.address)
	}
	gone := &location{host: "localhost.invalid", port: number, address: hostPort("127.0.0.2", number)}
	_, err = gone.dial(t.Context(), d.dialer(), 0)
	require.ErrorContains(t, err, "127.0.0.2", "the address that was good is the one to complain of")
}

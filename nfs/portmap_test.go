package nfs_test

import (
	"context"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
)

// Ports are asked for where the URL does not give them, over IPv4 and IPv6.
func TestRPCBind(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil && host == "::1" {
			continue // no IPv6 here
		}
		require.NoError(t, err)
		s := nfstest.Serve(l)
		defer s.Close()
		cfg := &nfs.Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			if strings.HasSuffix(address, ":111") {
				address = l.Addr().String() // for rpcbind, which has a port of its own
			}
			var d net.Dialer
			return d.DialContext(ctx, network, address)
		}}
		c, err := nfs.Dial(t.Context(), nfs.Target{Host: host, Path: "/export"}, cfg)
		require.NoError(t, err, host)
		require.NoError(t, c.Null(t.Context()))
		require.NoError(t, c.Close())
		_, err = nfs.Exports(t.Context(), nfs.Target{Host: host}, cfg)
		require.NoError(t, err)
	}
}

func TestServerWithoutRPCBind(t *testing.T) {
	s := nfstest.New(t)
	cfg := &nfs.Config{Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		switch {
		case strings.HasSuffix(address, ":111"):
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		case strings.HasSuffix(address, ":2049"):
			address = s.Addr().String()
		}
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}}
	_, err := nfs.Dial(t.Context(), nfs.Target{Host: "127.0.0.1", Path: "/export"}, cfg)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.ErrorContains(t, err, "needs mountport=PORT in the URL")
	// NFS itself is usually where it always is.
	c, err := nfs.Dial(t.Context(), nfs.Target{Host: "127.0.0.1", Path: "/export", MountPort: s.Addr().Port}, cfg)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

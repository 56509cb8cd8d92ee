package nfs_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
)

func TestStatsCountWhatHappened(t *testing.T) {
	const statusJukebox = 10008
	s := nfstest.New(t)
	stats := new(nfs.Stats)
	cfg := impatient()
	cfg.Stats = stats
	ctx, c := dial(t, s, "/", cfg)
	was := stats.Counted()
	require.Equal(t, int64(1), was.Calls["getattr"].Count, "Dial asks for the root's attributes")
	require.Equal(t, int64(1), was.Connected, "the connection to MOUNT does not count")

	s.On(nfstest.Getattr, 2, nfstest.Fault{Lose: true})
	s.On(nfstest.Lookup, 1, nfstest.Fault{Status: statusJukebox})
	s.On(nfstest.Access, 1, nfstest.Fault{Close: true})
	_, err := c.Getattr(ctx, c.Root())
	require.NoError(t, err)
	_, err = c.Lookup(ctx, c.Root(), "nothing")
	require.Error(t, err)
	_, _, err = c.Access(ctx, c.Root(), nfs.AccessRead)
	require.NoError(t, err)

	got := stats.Counted()
	require.Equal(t, int64(2), got.Calls["getattr"].Count, "one call, however often it was sent")
	require.GreaterOrEqual(t, got.Calls["getattr"].Took, 2*cfg.ReplyTimeout)
	require.Equal(t, int64(2), got.Calls["lookup"].Count, "what the server puts off is another call")
	require.Equal(t, int64(1), got.Jukebox)
	require.GreaterOrEqual(t, got.Resent, int64(3))
	require.GreaterOrEqual(t, got.Connected, int64(2))
	require.Zero(t, got.InFlight)
	for _, calls := range got.Calls {
		require.LessOrEqual(t, calls.Buckets[30*time.Second], calls.Count)
		require.LessOrEqual(t, calls.Buckets[time.Millisecond], calls.Buckets[time.Second])
	}
}

func TestStatsOfASilentServer(t *testing.T) {
	s := nfstest.New(t)
	stats := new(nfs.Stats)
	_, c := dial(t, s, "/", &nfs.Config{Stats: stats})
	s.On(nfstest.Getattr, -1, nfstest.Fault{Lose: true})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 5)
	for range 5 {
		go func() {
			_, err := c.Getattr(ctx, c.Root())
			done <- err
		}()
	}
	require.Eventually(t, func() bool { return stats.Counted().InFlight == 5 }, hang, time.Millisecond)
	cancel()
	for range 5 {
		require.ErrorIs(t, <-done, context.Canceled)
	}
	require.Zero(t, stats.Counted().InFlight)
	require.Equal(t, int64(6), stats.Counted().Calls["getattr"].Count, "given up, and counted")
}

func TestStatsCountFailedConnections(t *testing.T) {
	s := nfstest.New(t)
	stats := new(nfs.Stats)
	var away atomic.Bool
	_, c := dial(t, s, "/", &nfs.Config{Stats: stats, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if away.Load() {
			return nil, errors.New("the server is away")
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}})
	require.Zero(t, stats.Counted().Refused)
	away.Store(true)
	s.On(nfstest.Null, 1, nfstest.Fault{Close: true})
	done := make(chan error, 1)
	go func() { done <- c.Null(t.Context()) }()
	require.Eventually(t, func() bool { return stats.Counted().Refused > 0 }, hang, time.Millisecond)
	away.Store(false)
	require.NoError(t, <-done)
	require.Equal(t, int64(2), stats.Counted().Connected)
}

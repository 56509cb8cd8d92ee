package nfs_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
)

// No connection ever carries more than 128 calls, whatever is asked for.
func TestInFlight(t *testing.T) {
	for asked, want := range map[int]int{0: 64, 3: 3, 1000: 128} {
		s := nfstest.New(t)
		ctx, c := dial(t, s, "/", &nfs.Config{InFlight: asked})
		before := s.Calls(nfstest.Any)
		s.On(nfstest.Getattr, -1, nfstest.Fault{Lose: true})
		short, cancel := context.WithCancel(ctx)
		var wait sync.WaitGroup
		for range 2*want + 100 {
			wait.Go(func() {
				if _, err := c.Getattr(short, c.Root()); !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		}
		for s.Calls(nfstest.Any) < before+2*want {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(20 * time.Millisecond) // for more to arrive, if there were more
		perConn := map[int]int{}
		for _, call := range s.Log()[before:] {
			perConn[call.Conn]++
		}
		require.Len(t, perConn, 2)
		for _, n := range perConn {
			require.Equal(t, want, n)
		}
		cancel()
		wait.Wait()
		s.Reset()
		require.NoError(t, c.Null(ctx))
	}
}

// sluice is a way to a server that takes nothing while it is shut.
type sluice struct {
	mu   sync.Mutex // guards open
	open chan struct{}
}

func (s *sluice) shut() { s.mu.Lock(); s.open = make(chan struct{}); s.mu.Unlock() }

type sluiced struct {
	net.Conn
	*sluice
}

func (s *sluice) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	return sluiced{nc, s}, err
}

func (s sluiced) Write(p []byte) (int, error) {
	s.mu.Lock()
	open := s.open
	s.mu.Unlock()
	if open != nil {
		<-open
	}
	return s.Conn.Write(p)
}

// What waits to be written is bounded: senders wait for room, as long as their
// contexts allow.
func TestPeerThatTakesNothing(t *testing.T) {
	s := nfstest.New(t)
	var way sluice
	ctx, c := dial(t, s, "/", &nfs.Config{Connections: 1, Dial: way.dial})
	made, err := c.Create(ctx, c.Root(), "f", nfs.Unchecked, nfs.SetAttr{})
	require.NoError(t, err)
	way.shut()
	data := randomBytes(64 << 10)
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	var wait sync.WaitGroup
	for range 64 {
		wait.Go(func() {
			if _, err := c.Write(short, made.Object, 0, data, nfs.FileSync); !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for i := range 64 {
		wait.Go(func() {
			if _, err := c.Write(ctx, made.Object, uint64(i)<<16, data, nfs.FileSync); err != nil {
				t.Error(err)
			}
		})
	}
	time.Sleep(20 * time.Millisecond)
	close(way.open)
	wait.Wait()
	info, err := s.Stat("/f")
	require.NoError(t, err)
	require.EqualValues(t, 64<<16, info.Size)
}

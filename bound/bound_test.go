package bound

import (
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// server tells that "/slow" has begun, and answers it when slow is closed, all else at once, on so many
// connections.
func server(t *testing.T, most int, begun, slow chan struct{}) (dial func() net.Conn) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			begun <- struct{}{}
			<-slow
		}
		_, _ = io.WriteString(w, "ok")
	})}
	Connections(srv, most)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })
	return func() net.Conn {
		c, err := net.Dial("unix", socket)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close() })
		require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
		return c
	}
}

func ask(c net.Conn, path string) error {
	_, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
	return err
}

// answered says whether an answer comes, rather than the end.
func answered(c net.Conn) bool {
	n, _ := c.Read(make([]byte, 4096))
	return n > 0
}

func TestTheLongestQuietConnectionMakesRoom(t *testing.T) {
	dial := server(t, 3, nil, nil)
	never, used, later := dial(), dial(), dial()
	require.NoError(t, ask(later, "/"))
	require.True(t, answered(later))
	require.NoError(t, ask(used, "/"))
	require.True(t, answered(used))
	for _, goes := range []net.Conn{never, later, used} {
		c := dial()
		require.NoError(t, ask(c, "/"))
		require.True(t, answered(c))
		require.False(t, answered(goes), "it was quiet for longest")
	}
}

func TestARequestIsNeverCutOff(t *testing.T) {
	begun, slow := make(chan struct{}), make(chan struct{})
	dial := server(t, 2, begun, slow)
	one, two := dial(), dial()
	require.NoError(t, ask(one, "/slow"))
	require.NoError(t, ask(two, "/slow"))
	<-begun
	<-begun
	require.Eventually(t, func() bool {
		c := dial()
		return ask(c, "/") != nil || !answered(c)
	}, time.Minute, time.Millisecond, "there is no room while both are under way")
	close(slow)
	require.True(t, answered(one))
	require.True(t, answered(two))
	require.Eventually(t, func() bool { // their handlers have ended
		c := dial()
		return ask(c, "/") == nil && answered(c)
	}, time.Minute, time.Millisecond)
}

func TestTurns(t *testing.T) {
	turns := NewTurns(2, 1)
	ctx, cancel := context.WithCancel(t.Context())
	one, ok := turns.Take(ctx)
	require.True(t, ok)
	_, ok = turns.Take(ctx)
	require.True(t, ok)
	var waits sync.WaitGroup
	waits.Go(func() {
		_, ok := turns.Take(ctx)
		require.True(t, ok)
	})
	require.Eventually(t, func() bool { return turns.inside.Load() == 3 }, time.Minute, time.Millisecond)
	_, ok = turns.Take(ctx)
	require.False(t, ok, "as many wait as may")
	one()
	waits.Wait()
	cancel()
	_, ok = turns.Take(ctx)
	require.False(t, ok, "who does not wait any more")
	require.EqualValues(t, 2, turns.inside.Load())
}

func TestMemoryIsGivenBack(t *testing.T) {
	// The runtime alone would do it in two minutes.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before := held()
	garbage := make([][]byte, 64)
	for i := range garbage {
		garbage[i] = make([]byte, 1<<20)
	}
	require.Greater(t, held(), before+32<<20)
	garbage = nil
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go Memory(ctx, 10*time.Millisecond)
	require.Eventually(t, func() bool { return held() < before+32<<20 }, time.Minute, 10*time.Millisecond)
}

package plugin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/guard"
	"github.com/casit/berth/nfs/nfstest"
)

// goroutines are the stacks of this package's goroutines but the tests'.
func goroutines() (ours []string) {
	buf := make([]byte, 4<<20)
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "berth/plugin.") && !strings.Contains(stack, "testing.tRunner") && !strings.Contains(stack, "_test.go") {
			ours = append(ours, stack)
		}
	}
	return ours
}

// requireNoGoroutines gives goroutines that are at their last instruction the
// time for it.
func requireNoGoroutines(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); len(goroutines()) > 0; time.Sleep(time.Millisecond) {
		require.Less(t, time.Now(), end, "%q", goroutines())
	}
}

func TestTheEndWaitsForWhatItStarted(t *testing.T) {
	s := serve(t, map[string]string{"BERTH_METRICS": "127.0.0.1:0"})
	s.ok("Create", map[string]any{"Name": "site1"})
	s.ok("Mount", map[string]any{"Name": "site1", "ID": "a"})
	s.metricsURL("")
	require.NotEmpty(t, goroutines())
	s.stop()
	requireNoGoroutines(t)
}

func TestTheEndIsBoundedWhateverHangs(t *testing.T) {
	h := hold(t, nil)
	h.restoring()
	h.server.On(nfstest.Any, -1, nfstest.Fault{Lose: true})
	h.server.Hook(func(nfstest.Call) nfstest.Fault { return nfstest.Fault{Lose: true} })
	hung := make(chan error, 1)
	go func() {
		_, err := h.http.Post("http://x/VolumeDriver.Create", contentType, strings.NewReader(`{"Name":"new"}`))
		hung <- err
	}()
	h.hangs = true
	h.cancel()
	select { // endLimit and what comes on top of it, with room for a slow machine
	case <-h.over:
	case <-time.After(10 * endLimit):
		require.Fail(t, "berth serve does not end")
	}
	<-hung
}

// The export before answers nothing any more: the next one does all the same.
func TestTheNextSessionWaitsForNoDeadExport(t *testing.T) {
	server := nfstest.New(t)
	server.Mkdir("/vols/site1")
	s := serve(t, map[string]string{"BERTH_EXPORT": ""})
	s.configure(server.URL("/vols"))
	s.ok("Create", map[string]any{"Name": "known"})
	server.Hook(func(nfstest.Call) nfstest.Fault { return nfstest.Fault{Lose: true} })
	asked := make(chan struct{})
	go func() { // a request of the session that ends
		defer close(asked)
		r, err := s.http.Post("http://x/VolumeDriver.Create", contentType, strings.NewReader(`{"Name":"new"}`))
		if err == nil {
			r.Body.Close()
		}
	}()
	s.write(map[string]string{"BERTH_EXPORT": "file://" + s.dir})
	s.logs("settings in force", "file://"+s.dir)
	for _, verb := range []string{"Create", "Mount", "List", "Get", "Path", "Unmount", "Remove"} {
		began := time.Now()
		s.ok(verb, map[string]any{"Name": "site2", "ID": "a"})
		require.Less(t, time.Since(began), shortLimit, verb)
	}
	<-asked
	require.DirExists(t, filepath.Join(s.dir, ".berth/volumes"))
}

func TestQuickChangesOfTheIdentityEndInOrder(t *testing.T) {
	s := serve(t, map[string]string{"BERTH_NODE": "", "BERTH_LEASE_TTL": ""})
	for _, node := range []string{"a", "b", "c", "d"} {
		s.write(map[string]string{"BERTH_NODE": node})
		s.logs("settings in force", "node="+node)
	}
	s.ok("Create", map[string]any{"Name": "site1"})
	require.Equal(t, "d", s.about().Node)
	require.NotContains(t, s.log.String(), "not left cleanly")
	s.stop()
	requireNoGoroutines(t)
}

func TestAPanicEndsOneRequest(t *testing.T) {
	log := &lockedBuffer{}
	to := logrus.New()
	to.SetOutput(log)
	s := New(Config{Log: to, Getenv: func(string) string { return "" }, Reload: time.Millisecond})
	answer := httptest.NewRecorder()
	route(s, "Boom", shortLimit, false, func(context.Context, Empty) (Empty, error) {
		var ss *session
		return Empty{}, ss.err
	})(answer, httptest.NewRequest(http.MethodPost, "/Berth.Boom", nil))
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Contains(t, string(body), "berth has a bug")
	require.Contains(t, log.String(), "request panicked")
	require.Contains(t, log.String(), "session_test.go", "the stack")
	require.Contains(t, log.String(), "op=Boom")

	// "No such volume" would be a wrong answer.
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = new(session).lookup(ctx, "site1")
	require.ErrorIs(t, err, errNoAnswer)
}

func TestAGoroutineThatPanicsBeginsAgain(t *testing.T) {
	log := &lockedBuffer{}
	to := logrus.New()
	to.SetOutput(log)
	s := New(Config{Log: to, Reload: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	var own guard.Tasks
	var began atomic.Int32
	again := make(chan struct{})
	s.keep(ctx, &own, "the upkeep", func(ctx context.Context) {
		if began.Add(1) == 1 {
			panic("boom")
		}
		close(again)
		<-ctx.Done()
	})
	<-again
	require.Contains(t, log.String(), "the upkeep panicked and begins again")
	require.Contains(t, log.String(), "session_test.go", "the stack")
	cancel()
	require.NoError(t, own.Wait(t.Context()))
}

func TestTasks(t *testing.T) {
	var own guard.Tasks
	require.NoError(t, own.Wait(t.Context()))
	require.ErrorContains(t, own.Run(t.Context(), "x", func() error { panic("boom") }), "boom")
	failed := errors.New("failed")
	require.ErrorIs(t, own.Run(t.Context(), "x", func() error { return failed }), failed)

	hangs := make(chan struct{})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, own.Run(gone, "hangs", func() error {
		<-hangs
		return nil
	}), context.Canceled)
	end, ok := own.Admit("request")
	require.True(t, ok)
	own.Close()
	_, ok = own.Admit("request")
	require.False(t, ok)
	require.ErrorContains(t, own.Wait(gone), `still at work: ["hangs" "request"]`)
	close(hangs)
	end()
	require.NoError(t, own.Wait(t.Context()))
}

func TestTasksConcurrently(t *testing.T) {
	var own guard.Tasks
	var running atomic.Int32
	waited := make(chan struct{})
	for range 50 {
		go func() {
			for {
				end, ok := own.Admit("request")
				if !ok {
					return
				}
				running.Add(1)
				runtime.Gosched()
				running.Add(-1)
				end()
			}
		}()
	}
	go func() {
		own.Close()
		_ = own.Wait(context.Background())
		close(waited)
	}()
	<-waited
	require.Zero(t, running.Load())
}

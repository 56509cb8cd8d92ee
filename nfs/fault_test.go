package nfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
)

// impatient sends unanswered calls again soon. Correctness does not depend on
// it being long enough.
func impatient() *nfs.Config { return &nfs.Config{ReplyTimeout: 200 * time.Millisecond} }

// cuts are the ways to lose an answer: the request was carried out or not, the
// connection went away or not.
var cuts = map[string]nfstest.Fault{
	"done, cut":      {Close: true},
	"done, silent":   {Drop: true},
	"done, half":     {Truncate: true},
	"not done, cut":  {Lose: true, Close: true},
	"not done, lost": {Lose: true},
}

// eachCut runs fn once for each way to lose an answer, on a server of its own,
// without and with a reply cache.
func eachCut(t *testing.T, fn func(t *testing.T, s *nfstest.Server, lose nfstest.Fault)) {
	for name, f := range cuts {
		for _, cache := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, cache %v", name, cache), func(t *testing.T) {
				t.Parallel()
				s := nfstest.New(t)
				s.SetReplyCache(cache)
				fn(t, s, f)
			})
		}
	}
}

func TestLostAnswersAreAskedForAgainUnderTheirXID(t *testing.T) {
	eachCut(t, func(t *testing.T, s *nfstest.Server, lose nfstest.Fault) {
		ctx, c := dial(t, s, "/", impatient())
		s.On(nfstest.Getattr, 2, lose)
		_, err := c.Getattr(ctx, c.Root())
		require.NoError(t, err)
		xids := map[uint32]int{}
		for _, call := range s.Log() {
			if call.Proc == nfstest.Getattr {
				xids[call.XID]++
			}
		}
		require.Len(t, xids, 2) // Dial's own, and this one
		require.Equal(t, s.Calls(nfstest.Getattr), xids[s.Log()[len(s.Log())-1].XID]+1)
		require.GreaterOrEqual(t, s.Calls(nfstest.Getattr), 4)
	})
}

func TestRepeatedRequestsAreReadRight(t *testing.T) {
	set := nfs.SetAttr{Set: nfs.SetMode, Mode: 0o640}
	eachCut(t, func(t *testing.T, s *nfstest.Server, lose nfstest.Fault) {
		s.WriteFile("/old", []byte("x"))
		s.Mkdir("/olddir")
		ctx, c := dial(t, s, "/", impatient())
		dir := c.Root()
		for _, p := range []nfstest.Proc{nfstest.Mkdir, nfstest.Create, nfstest.Symlink, nfstest.Mknod, nfstest.Link,
			nfstest.Rename, nfstest.Remove, nfstest.Rmdir} {
			s.On(p, 1, lose)
		}
		m, err := c.Mkdir(ctx, dir, "dir", set)
		require.NoError(t, err)
		require.False(t, m.Object.IsZero())
		m, err = c.Create(ctx, dir, "file", nfs.Guarded, set)
		require.NoError(t, err)
		require.False(t, m.Object.IsZero())
		s.On(nfstest.Create, 1, lose)
		_, err = c.CreateExclusive(ctx, dir, "exclusive", nfs.Verifier{7})
		require.NoError(t, err)
		_, err = c.Symlink(ctx, dir, "symlink", "to", nfs.SetAttr{})
		require.NoError(t, err)
		_, err = c.Mknod(ctx, dir, "null", nfs.TypeChr, 1, 3, set)
		require.NoError(t, err)

		old := lookup(t, ctx, c, "old")
		_, err = c.Link(ctx, old, dir, "hard")
		require.NoError(t, err)
		a, err := c.Getattr(ctx, old)
		require.NoError(t, err)
		_, err = c.Rename(ctx, dir, "old", dir, "renamed", a.FileID)
		require.NoError(t, err)
		_, err = c.Remove(ctx, dir, "renamed")
		require.NoError(t, err)
		_, err = c.Rmdir(ctx, dir, "olddir")
		require.NoError(t, err)
		require.ElementsMatch(t, []string{"dir", "file", "exclusive", "symlink", "null", "hard"}, s.Names("/"))
		info, err := s.Stat("/hard")
		require.NoError(t, err)
		require.EqualValues(t, 1, info.Nlink)
	})
}

// What a repetition finds need not be the work of its first sending.
func TestRepeatedRequestsDoNotClaimTheWorkOfOthers(t *testing.T) {
	lose := nfstest.Fault{Close: true}
	s := nfstest.New(t)
	s.WriteFile("/a", []byte("a"))
	s.WriteFile("/b", []byte("b"))
	ctx, c := dial(t, s, "/", nil)
	dir := c.Root()
	a := lookup(t, ctx, c, "a")
	for _, p := range []nfstest.Proc{nfstest.Link, nfstest.Create, nfstest.Mkdir, nfstest.Symlink, nfstest.Mknod} {
		s.On(p, 1, lose)
	}
	_, err := c.Link(ctx, a, dir, "b")
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = c.Create(ctx, dir, "b", nfs.Guarded, nfs.SetAttr{})
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = c.Mkdir(ctx, dir, "b", nfs.SetAttr{})
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = c.Symlink(ctx, dir, "b", "to", nfs.SetAttr{})
	require.ErrorIs(t, err, fs.ErrExist)
	_, err = c.Mknod(ctx, dir, "b", nfs.TypeFIFO, 0, 0, nfs.SetAttr{})
	require.ErrorIs(t, err, fs.ErrExist)

	// RENAME of a name that never was, onto one that is another object.
	s.On(nfstest.Rename, 3, lose)
	_, err = c.Rename(ctx, dir, "absent", dir, "b", 12345)
	require.ErrorIs(t, err, fs.ErrNotExist)
	var e *nfs.Error
	require.ErrorAs(t, err, &e)
	require.True(t, e.Replayed)
	s.Reset()

	// Without the file id it stays in doubt.
	s.On(nfstest.Rename, 1, lose)
	_, err = c.Rename(ctx, dir, "a", dir, "b", 0)
	require.ErrorAs(t, err, &e)
	require.True(t, e.Replayed)
	require.ErrorContains(t, err, "the first may have succeeded")
}

func TestAnswersInAnyOrderAndTwice(t *testing.T) {
	s := nfstest.New(t)
	for i := range 50 {
		s.WriteFile(fmt.Sprint("/f", i), []byte(fmt.Sprint(i)))
	}
	ctx, c := dial(t, s, "/", &nfs.Config{Connections: 1})
	var n atomic.Int64
	s.Hook(func(nfstest.Call) nfstest.Fault {
		switch i := n.Add(1); {
		case i%3 == 0:
			return nfstest.Fault{Duplicates: 2}
		case i%3 == 1:
			return nfstest.Fault{Delay: time.Duration(i%7) * time.Millisecond}
		case i < 2000:
			return nfstest.Fault{Fragments: int(i % 20)}
		}
		return nfstest.Fault{}
	})
	var wait sync.WaitGroup
	for i := range 50 {
		wait.Go(func() {
			for range 10 {
				res, err := c.Lookup(ctx, c.Root(), fmt.Sprint("f", i))
				if err != nil {
					t.Error(err)
					return
				}
				p := make([]byte, 10)
				r, err := c.Read(ctx, res.Object, 0, p)
				if err != nil || string(p[:r.N]) != fmt.Sprint(i) {
					t.Errorf("file %d has %q, %v", i, p[:r.N], err)
				}
			}
		})
	}
	wait.Wait()
	// The first answer overtaken by the second.
	s.Reset()
	s.On(nfstest.Getattr, 1, nfstest.Fault{Late: true})
	first := make(chan error)
	before := s.Calls(nfstest.Getattr)
	go func() {
		_, err := c.Getattr(ctx, c.Root())
		first <- err
	}()
	for s.Calls(nfstest.Getattr) == before {
		runtime.Gosched()
	}
	require.NoError(t, c.Null(ctx))
	require.NoError(t, <-first)
}

func TestJukeboxIsAskedAgainUnderANewXID(t *testing.T) {
	s := nfstest.New(t)
	ctx, c := dial(t, s, "/", nil)
	s.On(nfstest.Mkdir, 2, nfstest.Fault{Status: 10008})
	_, err := c.Mkdir(ctx, c.Root(), "d", nfs.SetAttr{})
	require.NoError(t, err)
	xids := map[uint32]bool{}
	for _, call := range s.Log() {
		if call.Proc == nfstest.Mkdir {
			xids[call.XID] = true
		}
	}
	require.Len(t, xids, 3)

	s.On(nfstest.Getattr, -1, nfstest.Fault{Status: 10008})
	short, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for before := s.Calls(nfstest.Getattr); s.Calls(nfstest.Getattr) < before+3; {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err = c.Getattr(short, c.Root())
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, syscall.EAGAIN)
}

func TestBadAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		fault nfstest.Fault
		text  string
	}{
		"oversized":   {nfstest.Fault{Oversize: 1 << 30}, "a record of 1073741824 bytes"},
		"cut short":   {nfstest.Fault{Short: true}, "cut short"},
		"garbage":     {nfstest.Fault{AcceptStat: 4}, "GARBAGE_ARGS"},
		"unavailable": {nfstest.Fault{AcceptStat: 3}, "PROC_UNAVAIL"},
		"denied":      {nfstest.Fault{AuthStat: 5}, "credentials too weak"},
	} {
		t.Run(name, func(t *testing.T) {
			s := nfstest.New(t)
			ctx, c := dial(t, s, "/", nil)
			s.On(nfstest.Getattr, 1, test.fault)
			_, err := c.Getattr(ctx, c.Root())
			require.ErrorContains(t, err, test.text)
			var rpc *nfs.RPCError
			if errors.As(err, &rpc) {
				require.Equal(t, test.fault.AuthStat != 0, errors.Is(err, fs.ErrPermission))
			} else {
				require.ErrorIs(t, err, nfs.ErrBadReply)
			}
			// The client goes on.
			_, err = c.Getattr(ctx, c.Root())
			require.NoError(t, err)
		})
	}
}

func TestContextEndsACall(t *testing.T) {
	s := nfstest.New(t)
	ctx, c := dial(t, s, "/", nil)
	s.On(nfstest.Getattr, -1, nfstest.Fault{Lose: true})
	short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err := c.Getattr(short, c.Root())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, err = c.Getattr(gone, c.Root())
	require.ErrorIs(t, err, context.Canceled)

	// Slots of calls that were given up are free again.
	s.Reset()
	for range 300 {
		require.NoError(t, c.Null(ctx))
	}
}

func TestTimeoutBoundsEachCall(t *testing.T) {
	s := nfstest.New(t)
	ctx, c := dial(t, s, "/", &nfs.Config{Timeout: 100 * time.Millisecond})
	s.On(nfstest.Getattr, 1, nfstest.Fault{Lose: true})
	_, err := c.Getattr(ctx, c.Root())
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// gate is a way to a server that can be shut.
type gate struct {
	shut  atomic.Bool
	dials atomic.Int64
}

func (g *gate) dial(ctx context.Context, network, address string) (net.Conn, error) {
	g.dials.Add(1)
	if g.shut.Load() {
		return nil, syscall.ECONNREFUSED
	}
	var d net.Dialer
	return d.DialContext(ctx, network, address)
}

func TestServerAwayAndBack(t *testing.T) {
	s := nfstest.New(t)
	var g gate
	ctx, c := dial(t, s, "/", &nfs.Config{Dial: g.dial})
	g.shut.Store(true)
	s.Disconnect()
	short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	_, err := c.Getattr(short, c.Root())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "connection refused")

	// Calls that wait go on when the server is back.
	before := g.dials.Load()
	done := make(chan error)
	for range 200 {
		go func() {
			_, err := c.Getattr(ctx, c.Root())
			done <- err
		}()
	}
	for g.dials.Load() < before+2 {
		time.Sleep(time.Millisecond)
	}
	g.shut.Store(false)
	for range 200 {
		require.NoError(t, <-done)
	}
}

func TestCloseEndsCallsAndGoroutines(t *testing.T) {
	s := nfstest.New(t)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	defer cancel()
	target, err := nfs.ParseTarget(s.URL("/"))
	require.NoError(t, err)
	c, err := nfs.Dial(ctx, target, &nfs.Config{InFlight: 2})
	require.NoError(t, err)
	s.On(nfstest.Getattr, -1, nfstest.Fault{Lose: true})
	done := make(chan error)
	for range 20 {
		go func() {
			_, err := c.Getattr(ctx, c.Root())
			done <- err
		}()
	}
	for s.Calls(nfstest.Getattr) < 5 { // Dial's, and two per connection
		time.Sleep(time.Millisecond)
	}
	require.NoError(t, c.Close())
	for range 20 {
		require.ErrorIs(t, <-done, nfs.ErrClosed)
	}
	require.NoError(t, c.Close())
	s.Close()
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(time.Millisecond) // the test's own goroutines
	}
	buf := make([]byte, 1<<20)
	require.Fail(t, "goroutines are left", "%s", buf[:runtime.Stack(buf, true)])
}

func TestStoreOnAServerThatForgets(t *testing.T) {
	for name, forget := range map[string]func(*nfstest.Server){
		"restart": (*nfstest.Server).Restart,
		"quiet":   (*nfstest.Server).Forget,
	} {
		t.Run(name, func(t *testing.T) {
			s := nfstest.New(t)
			ctx, c := dial(t, s, "/", &nfs.Config{Transfer: 4096})
			made, err := c.Create(ctx, c.Root(), "f", nfs.Unchecked, nfs.SetAttr{})
			require.NoError(t, err)
			data := randomBytes(300_000)
			src := &forgetful{data: data, at: 150_000, forget: func() { forget(s) }}
			res, err := c.Store(ctx, made.Object, src, nfs.Range{Length: int64(len(data))})
			require.NoError(t, err)
			require.EqualValues(t, len(data), res.Bytes)
			require.Positive(t, res.Resent)
			s.Restart() // what is left is what was on stable storage
			got, err := s.ReadFile("/f")
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, got))
		})
	}
	s := nfstest.New(t)
	ctx, c := dial(t, s, "/", &nfs.Config{Transfer: 4096})
	made, err := c.Create(ctx, c.Root(), "f", nfs.Unchecked, nfs.SetAttr{})
	require.NoError(t, err)
	s.SetSpace(8192)
	_, err = c.Store(ctx, made.Object, bytes.NewReader(make([]byte, 100_000)), nfs.Range{Length: 100_000})
	require.ErrorIs(t, err, syscall.ENOSPC)
	_, err = c.Store(ctx, made.Object, strings.NewReader("short"), nfs.Range{Length: 100})
	require.ErrorContains(t, err, "reading the source")
}

// forgetful is a source in the middle of which the server forgets, once.
type forgetful struct {
	data   []byte
	at     int64
	forget func()
	once   sync.Once
}

func (f *forgetful) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.at {
		f.once.Do(f.forget)
	}
	return bytes.NewReader(f.data).ReadAt(p, off)
}

// A long run of everything at once, with every kind of fault: what was answered
// is what is there.
func TestManyFaultsAtOnce(t *testing.T) {
	s := nfstest.New(t)
	ctx, c := dial(t, s, "/", &nfs.Config{ReplyTimeout: 100 * time.Millisecond, InFlight: 8, Transfer: 4096})
	faults := []nfstest.Fault{
		{Close: true}, {Drop: true}, {Truncate: true}, {Lose: true}, {Lose: true, Close: true},
		{Duplicates: 1}, {Delay: time.Millisecond}, {Late: true}, {Fragments: 7}, {Status: 10008},
	}
	var n atomic.Uint64
	s.Hook(func(nfstest.Call) nfstest.Fault {
		if i := n.Add(1); i%23 == 0 {
			return faults[i/23%uint64(len(faults))]
		}
		return nfstest.Fault{}
	})
	var wait sync.WaitGroup
	for w := range 16 {
		wait.Go(func() {
			data := randomBytes(10_000 + w)
			for i := range 6 {
				name := fmt.Sprintf("w%d-%d", w, i)
				if err := oneFile(ctx, c, c.Root(), name, data); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	s.Reset()
	s.Restart()
	require.Len(t, s.Names("/"), 16*6)
	for w := range 16 {
		want := randomBytes(10_000 + w)
		for i := range 6 {
			got, err := s.ReadFile(fmt.Sprintf("/w%d-%d", w, i))
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got))
		}
	}
}

// oneFile makes a file, fills it, and renames it to its name.
func oneFile(ctx context.Context, c *nfs.Client, dir nfs.Handle, name string, data []byte) error {
	m, err := c.Create(ctx, dir, name+".tmp", nfs.Guarded, nfs.SetAttr{Set: nfs.SetMode, Mode: 0o600})
	if err != nil {
		return err
	}
	if _, err := c.Store(ctx, m.Object, bytes.NewReader(data), nfs.Range{Length: int64(len(data))}); err != nil {
		return err
	}
	a, err := c.Getattr(ctx, m.Object)
	if err != nil {
		return err
	}
	_, err = c.Rename(ctx, dir, name+".tmp", dir, name, a.FileID)
	return err
}

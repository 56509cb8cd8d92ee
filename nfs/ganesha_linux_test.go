package nfs_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
)

// dialTarget is dial for a server that is not nfstest's.
func dialTarget(t testing.TB, target nfs.Target, cfg *nfs.Config) (context.Context, *nfs.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hang)
	t.Cleanup(cancel)
	if cfg == nil {
		cfg = &nfs.Config{}
	}
	cfg.Credentials = root
	c, err := nfs.Dial(ctx, target, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return ctx, c
}

// The client against nfs-ganesha, in namespaces of the test's own.
func TestGanesha(t *testing.T) {
	if !inNamespaces(t, "-test.run=^TestGanesha$") {
		return
	}
	g := startGanesha(t)
	t.Run("procedures", func(t *testing.T) {
		ctx, c := dialTarget(t, g.target("/run/export"), nil)
		d, err := c.Mkdir(ctx, c.Root(), "procedures", nfs.SetAttr{})
		require.NoError(t, err)
		everyProcedure(t, ctx, c, d.Object)
	})
	t.Run("rpcbind", func(t *testing.T) {
		for _, host := range []string{"127.0.0.1", "::1", "localhost"} {
			ctx, c := dialTarget(t, nfs.Target{Host: host, Path: "/run/export"}, nil)
			require.NoError(t, c.Null(ctx), host)
			list, err := nfs.Exports(ctx, nfs.Target{Host: host}, nil)
			require.NoError(t, err)
			require.Len(t, list, 2)
		}
	})
	t.Run("below the export", func(t *testing.T) {
		require.NoError(t, os.MkdirAll("/run/export/a/b/c", 0o755))
		ctx, c := dialTarget(t, g.target("/run/export/a/b"), nil)
		_, err := c.Lookup(ctx, c.Root(), "c")
		require.NoError(t, err)
		_, err = nfs.Dial(ctx, g.target("/run/export/a/absent"), nil)
		require.ErrorIs(t, err, fs.ErrNotExist)
		_, err = nfs.Dial(ctx, g.target("/nowhere"), nil)
		require.ErrorIs(t, err, fs.ErrPermission) // ganesha does not tell
	})
	t.Run("root squash", func(t *testing.T) {
		require.NoError(t, os.WriteFile("/run/squashed/secret", []byte("x"), 0o600))
		ctx, c := dialTarget(t, g.target("/run/squashed"), nil)
		_, err := c.Read(ctx, lookup(t, ctx, c, "secret"), 0, make([]byte, 1))
		require.ErrorIs(t, err, fs.ErrPermission)
		_, err = c.Mkdir(ctx, c.Root(), "d", nfs.SetAttr{})
		require.ErrorIs(t, err, syscall.EACCES)
	})
	t.Run("locks", func(t *testing.T) { locks(t, g) })
	t.Run("source ports", sourcePorts)
	t.Run("large directory", func(t *testing.T) { largeDirectory(t, g) })
	t.Run("lost connections", func(t *testing.T) { lostConnections(t, g) })
	t.Run("crash", func(t *testing.T) { crash(t, g) })
}

// Two owners of one file, the second on the same host.
func locks(t *testing.T, g *ganesha) {
	ctx, c := dialTarget(t, g.target("/run/export"), nil)
	made, err := c.Create(ctx, c.Root(), "locked", nfs.Guarded, nfs.SetAttr{})
	require.NoError(t, err)
	services, err := nfs.RPCBind(ctx, nfs.Target{Host: "127.0.0.1"}, nil)
	require.NoError(t, err)
	require.Equal(t, nfs.Services{NFS: g.port, Mount: g.mount, NLM: g.locker}, services)
	l, err := nfs.DialLocks(ctx, nfs.Target{Host: "127.0.0.1"}, nil)
	require.NoError(t, err)
	host, err := os.Hostname()
	require.NoError(t, err)
	one, two := nfs.LockOwner{Caller: host, Handle: "one", SVID: 1}, nfs.LockOwner{Caller: host, Handle: "two", SVID: 2}
	answer := func(want nfs.LockStatus) func(nfs.LockStatus, error) {
		return func(got nfs.LockStatus, err error) {
			t.Helper()
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
	// Without rpc.statd, the server cannot watch us.
	answer(nfs.LockNoLocks)(l.Lock(ctx, made.Object, one))
	startStatd(t)
	answer(nfs.LockGranted)(l.Lock(ctx, made.Object, one))
	answer(nfs.LockGranted)(l.Lock(ctx, made.Object, one)) // repeated
	answer(nfs.LockDenied)(l.Lock(ctx, made.Object, two))
	s, holder, err := l.Test(ctx, made.Object, two)
	answer(nfs.LockDenied)(s, err)
	require.Equal(t, nfs.LockOwner{Handle: "one", SVID: 1}, holder)
	answer(nfs.LockGranted)(l.Unlock(ctx, made.Object, one))
	s, _, err = l.Test(ctx, made.Object, two)
	answer(nfs.LockGranted)(s, err)
	answer(nfs.LockGranted)(l.Lock(ctx, made.Object, two))
	answer(nfs.LockGranted)(l.Unlock(ctx, made.Object, two))
	require.NoError(t, nfs.LocksMissing(ctx))
}

// startStatd starts the service that watches the holders of locks.
func startStatd(t *testing.T) {
	for _, dir := range []string{"sm", "sm.bak"} {
		require.NoError(t, os.MkdirAll("/var/lib/nfs/"+dir, 0o700))
	}
	require.Error(t, nfs.LocksMissing(t.Context()))
	start(t, "rpc.statd", "-F", "--no-notify")
	require.Eventually(t, func() bool { return nfs.LocksReady(t.Context()) }, time.Minute, 20*time.Millisecond)
}

// With all ports below 1024 for itself, the test can take them all.
func sourcePorts(t *testing.T) {
	s := nfstest.New(t)
	used := func() (ports []int) {
		for _, call := range s.Log() {
			ports = append(ports, call.Port)
		}
		return ports
	}
	dial(t, s, "/", nil)
	for _, port := range used() {
		require.GreaterOrEqual(t, port, 512)
		require.Less(t, port, 1024)
	}
	before := len(used())
	for port := 512; port < 1024; port++ {
		if l, err := net.Listen("tcp", fmt.Sprintf("0.0.0.0:%d", port)); err == nil {
			defer l.Close()
		}
	}
	dial(t, s, "/", nil)
	for _, port := range used()[before:] {
		require.GreaterOrEqual(t, port, 1024)
	}
}

func largeDirectory(t *testing.T, g *ganesha) {
	ctx, c := dialTarget(t, g.target("/run/export"), nil)
	d, err := c.Mkdir(ctx, c.Root(), "large", nfs.SetAttr{Set: nfs.SetMode, Mode: 0o755})
	require.NoError(t, err)
	var wait sync.WaitGroup
	for w := range 32 {
		wait.Go(func() {
			for i := w; i < 2000; i += 32 {
				if _, err := c.Create(ctx, d.Object, fmt.Sprintf("file-%04d", i), nfs.Guarded, nfs.SetAttr{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	there, err := os.ReadDir("/run/export/large")
	require.NoError(t, err)
	require.Len(t, there, 2000)
	got := map[string]bool{}
	require.NoError(t, c.List(ctx, d.Object, func(e *nfs.Entry) error {
		require.False(t, got[e.Name])
		require.Equal(t, nfs.TypeReg, e.Attr.Type)
		require.False(t, e.Handle.IsZero())
		got[e.Name] = true
		return nil
	}))
	require.Len(t, got, 2000)
	names := map[string]bool{}
	require.NoError(t, c.ListNames(ctx, d.Object, func(e *nfs.Entry) error { names[e.Name] = true; return nil }))
	require.True(t, maps.Equal(got, names))
}

// wires are connections that can be cut.
type wires struct {
	mu   sync.Mutex // guards open
	open []net.Conn
}

func (w *wires) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err == nil {
		w.mu.Lock()
		w.open = append(w.open, nc)
		w.mu.Unlock()
	}
	return nc, err
}

func (w *wires) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, nc := range w.open {
		nc.Close()
	}
	w.open = nil
}

func lostConnections(t *testing.T, g *ganesha) {
	var w wires
	ctx, c := dialTarget(t, g.target("/run/export"), &nfs.Config{Dial: w.dial})
	d, err := c.Mkdir(ctx, c.Root(), "lost", nfs.SetAttr{Set: nfs.SetMode, Mode: 0o755})
	require.NoError(t, err)
	var calls atomic.Int64
	var wait sync.WaitGroup
	data := randomBytes(100_000)
	for i := range 16 {
		wait.Go(func() {
			for n := range 5 {
				name := fmt.Sprintf("f%d-%d", i, n)
				if err := oneFile(ctx, c, d.Object, name, data); err != nil {
					t.Error(err)
				}
				if calls.Add(1)%8 == 0 {
					w.cut()
				}
			}
		})
	}
	wait.Wait()
	// ganesha has no memory of calls over other connections: one that was sent
	// again may be carried out the first time at last, when its file has been
	// renamed, and makes an empty one; where the RENAME was sent again, too, that
	// one may take the file's place. What is never there is half a file.
	there, err := filepath.Glob("/run/export/lost/*[0-9]")
	require.NoError(t, err)
	require.Len(t, there, 16*5)
	var empty []string
	for _, name := range there {
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		if len(got) == 0 {
			empty = append(empty, name)
			continue
		}
		require.True(t, bytes.Equal(data, got), "%s: %d bytes", name, len(got))
	}
	require.LessOrEqual(t, len(empty), 1, "%v: two calls of one file that were each carried out twice, and late, are rare", empty)
}

func crash(t *testing.T, g *ganesha) {
	ctx, c := dialTarget(t, g.target("/run/export"), &nfs.Config{Transfer: 4096})
	made, err := c.Create(ctx, c.Root(), "crash", nfs.Guarded, nfs.SetAttr{Set: nfs.SetMode, Mode: 0o600})
	require.NoError(t, err)
	data := randomBytes(1 << 20)
	src := &forgetful{data: data, at: 1 << 19, forget: func() {
		// ganesha's verifier is the second in which it started.
		g.kill()
		for up := g.since.Unix(); time.Now().Unix() <= up; {
			time.Sleep(10 * time.Millisecond)
		}
		g.start()
	}}
	res, err := c.Store(ctx, made.Object, src, nfs.Range{Length: int64(len(data))})
	require.NoError(t, err)
	require.Positive(t, res.Resent)
	got, err := os.ReadFile("/run/export/crash")
	require.NoError(t, err)
	require.True(t, slices.Equal(data, got))
}

// benchmarkGanesha is the flood of BenchmarkFlood against nfs-ganesha.
func benchmarkGanesha(b *testing.B) {
	if !inNamespaces(b, "-test.run=^$", "-test.bench=^BenchmarkFlood$/^ganesha$") {
		return
	}
	g := startGanesha(b)
	_, c := dialTarget(b, g.target("/run/export"), nil)
	floods(b, c, c.Root())
}

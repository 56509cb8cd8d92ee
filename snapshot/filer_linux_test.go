package snapshot

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/ganeshatest"
	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/ontap/simulator/simulatortest"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
	"github.com/casit/berth/volume"
)

// flexvol is the directory that nfs-ganesha serves and that the simulator
// takes for its FlexVol.
const flexvol = "/run/flexvol"

// filer is a world whose export is served over NFS, by a server that makes
// snapshots when it is asked to through REST.
type filer struct {
	*world
	sim    *simulator.Simulator
	client *ontap.Client
	server *ganeshatest.Server
	wire   meter
	rest   atomic.Int64 // requests
	lax    []string     // options of rsync for what the server does not do
}

// inFiler runs the calling test where a filer can be started. It is false in
// the process that has run the test in another one.
func inFiler(tb testing.TB) bool {
	tb.Helper()
	if why := ganeshatest.Missing(); why != "" {
		treetest.Skip(tb, why)
	}
	for _, tool := range []string{"rsync", "tar"} {
		if _, err := exec.LookPath(tool); err != nil {
			treetest.Skip(tb, tool+", which compares trees independently, is not installed")
		}
	}
	return ganeshatest.Inside(tb)
}

// newFiler starts a filer of a size in MiB.
func newFiler(tb testing.TB, size int, change ...func(*simulator.Config)) *filer {
	tb.Helper()
	require.NoError(tb, os.MkdirAll(flexvol, 0o755))
	require.NoError(tb, unix.Mount("tmpfs", flexvol, "tmpfs", 0, fmt.Sprintf("mode=755,size=%dm", size)))
	f := &filer{server: ganeshatest.Start(tb, ganeshatest.Export{Dir: flexvol})}

	password, ca := filepath.Join(tb.TempDir(), "password"), filepath.Join(tb.TempDir(), "ca.pem")
	require.NoError(tb, os.WriteFile(password, []byte("s3cret-Horse\n"), 0o600))
	cfg := simulator.Config{Root: flexvol, SVM: "svm1", Volume: "docker_vols", Junction: flexvol, User: "berth", PasswordFile: password, Version: simulatortest.Release(tb),
		Log: func(simulator.Entry) { f.rest.Add(1) }}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	f.sim, err = simulator.New(cfg)
	require.NoError(tb, err)
	tb.Cleanup(func() { f.sim.Close() })
	require.NoError(tb, f.sim.Listen("127.0.0.1:0", ca))
	f.client, err = ontap.New(ontap.Config{Address: f.sim.Address(), User: "berth", PasswordFile: password, CAFile: ca})
	require.NoError(tb, err)

	f.world = worldOn(tb, flexvol, "n1", func(cfg *volume.Config) {
		cfg.URL = "nfs://filer" + flexvol
		cfg.Open = func(ctx context.Context) (tree.FS, error) {
			return tree.OpenWire(ctx, f.server.Target(flexvol), &nfs.Config{Dial: f.wire.dial})
		}
	})
	f.Versions = New(Config{Volumes: f.store, Tuning: Tuning{Filer: netapp.New(f.client, "svm1", "127.0.0.1", flexvol)}})
	f.probe()
	return f
}

// restoring makes a filer that has the call of an engine, or has it not.
func restoring(engine Engine) func(*simulator.Config) {
	return func(cfg *simulator.Config) {
		switch has := simulator.CompareReleases(cfg.Version, "9.15.1") >= 0 && simulator.CompareReleases(cfg.Version, "9.17.1") < 0; {
		case engine == EngineFiler && !has:
			cfg.Version = "9.16.1"
		case engine != EngineFiler && has:
			cfg.Version = "9.14.1"
		}
	}
}

// export is the FlexVol.
func (f *filer) export() ontap.Export {
	f.t.Helper()
	x, err := f.client.ExportGet(ctx, "svm1", []netip.Addr{netip.MustParseAddr("127.0.0.1")}, flexvol)
	require.NoError(f.t, err)
	return x
}

// probe looks whether the server sets the times of symlinks, as it says.
func (f *filer) probe() {
	f.t.Helper()
	when := time.Unix(1_500_000_000, 0)
	require.NoError(f.t, f.store.With(ctx, "probe", func(fsys tree.FS) error {
		if err := fsys.Symlink(ctx, "nowhere", ".probe", tree.SetAttr{}); err != nil {
			return err
		}
		return fsys.SetAttr(ctx, ".probe", tree.SetAttr{Mtime: &when})
	}))
	info, err := os.Lstat(f.path(".probe"))
	require.NoError(f.t, err)
	require.NoError(f.t, os.Remove(f.path(".probe")))
	if !info.ModTime().Equal(when) {
		f.lax = []string{"--omit-link-times"}
	}
}

// take makes a snapshot as berth does.
func (f *filer) take(name string) {
	f.t.Helper()
	made, err := f.Create(ctx, CreateRequest{Name: name})
	require.NoError(f.t, err)
	require.Equal(f.t, ByFiler, made.By)
	require.DirExists(f.t, f.path(".snapshot", name))
}

// same requires that two trees below the FlexVol are the same, by tools that
// know nothing of berth.
func (f *filer) same(want, got string) {
	f.t.Helper()
	require.Empty(f.t, different(f.t, f.path(want), f.path(got), f.lax...))
	f.sameData(want, got)
}

// sameData leaves the comparing to tar, which does not read holes. It looks at
// hard links too.
func (f *filer) sameData(want, got string) {
	f.t.Helper()
	pack := exec.Command("tar", "-C", f.path(want), "--format=pax", "--sparse", "--numeric-owner", "-cf", "-", ".")
	check := exec.Command("tar", "-C", f.path(got), "--numeric-owner", "--compare", "-f", "-")
	var out, packOut bytes.Buffer
	pack.Stderr, check.Stderr, check.Stdout = &packOut, &out, &out
	var err error
	check.Stdin, err = pack.StdoutPipe()
	require.NoError(f.t, err)
	require.NoError(f.t, pack.Start())
	checkErr := check.Run()
	require.NoError(f.t, pack.Wait(), packOut.String())
	require.NoError(f.t, checkErr, out.String())
	require.Empty(f.t, out.String())
}

// meter counts what goes over NFS.
type meter struct {
	calls [32]atomic.Int64 // by procedure
	bytes atomic.Int64     // both ways
	mu    sync.Mutex       // guards hook
	hook  func(proc uint32)
}

// Numbers of NFS (RFC 1813 §3).
const (
	procRead  = 6
	procWrite = 7

	programNFS = 100003
)

// before has fn called before each call goes out, by many goroutines.
func (m *meter) before(fn func(proc uint32)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.hook = fn
}

func (m *meter) reset() {
	for i := range m.calls {
		m.calls[i].Store(0)
	}
	m.bytes.Store(0)
}

func (m *meter) total() (n int64) {
	for i := range m.calls {
		n += m.calls[i].Load()
	}
	return n
}

func (m *meter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &metered{Conn: nc, m: m}, nil
}

// metered is a connection of a meter.
type metered struct {
	net.Conn
	m    *meter
	head []byte // what is known of the record that goes out
	skip int    // bytes of it that are still to come
}

func (c *metered) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.m.bytes.Add(int64(n))
	return n, err
}

// Write reads the procedure out of each call: mark, xid, CALL, RPC version,
// program, version, procedure (RFC 5531 §9, §11).
func (c *metered) Write(p []byte) (int, error) {
	const head = 7 * 4
	for b := p; len(b) > 0; {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			b, c.skip = b[n:], c.skip-n
			continue
		}
		n := min(head-len(c.head), len(b))
		c.head, b = append(c.head, b[:n]...), b[n:]
		if len(c.head) < head {
			continue
		}
		word := func(i int) uint32 { return binary.BigEndian.Uint32(c.head[4*i:]) }
		c.skip = int(word(0)&^(1<<31)) - (head - 4)
		if word(4) == programNFS {
			c.m.call(word(6))
		}
		c.head = c.head[:0]
	}
	n, err := c.Conn.Write(p)
	c.m.bytes.Add(int64(n))
	return n, err
}

func (m *meter) call(proc uint32) {
	m.calls[proc%uint32(len(m.calls))].Add(1)
	m.mu.Lock()
	hook := m.hook
	m.mu.Unlock()
	if hook != nil {
		hook(proc)
	}
}

// size is how large a site is.
type size struct{ dirs, perDir int }

// wordpress makes a volume like a WordPress: mostly small files in many
// directories, and whatever else a tree can have.
func (f *filer) wordpress(name string, s size) {
	f.t.Helper()
	require.NoError(f.t, f.store.Create(ctx, name, map[string]string{"uid": "33", "gid": "33", "mode": "2775"}))
	began := time.Unix(1_600_000_000, 987_654_321)
	text := bytes.Repeat([]byte("<?php // silence is golden\n"), 200)
	var made []string
	for d := range s.dirs {
		dir := f.path(name, fmt.Sprintf("wp-content/%02d/plugin%04d", d%40, d))
		require.NoError(f.t, os.MkdirAll(dir, 0o755))
		for i := range s.perDir {
			file := filepath.Join(dir, fmt.Sprintf("class-%d.php", i))
			require.NoError(f.t, os.WriteFile(file, text[:(d*37+i*911)%len(text)], 0o644))
			when := began.Add(time.Duration(d*s.perDir+i) * time.Second)
			require.NoError(f.t, os.Chtimes(file, when, when))
			made = append(made, file)
		}
	}
	for _, file := range made {
		require.NoError(f.t, os.Lchown(file, 33, 33))
	}
	odd := f.path(name, "odd")
	require.NoError(f.t, os.Mkdir(odd, 0o755))
	for _, n := range []string{"new\nline", "bad\xff\xfe", strings.Repeat("x", 255), " ", "-rf", "*", "\\", "ü\x1b[31m"} {
		require.NoError(f.t, os.WriteFile(filepath.Join(odd, n), []byte(n), 0o640))
	}
	for i, n := range []string{"hard1", "hard2", "wp-content/hard3"} {
		if i == 0 {
			f.write(name+"/"+n, "one inode")
			continue
		}
		require.NoError(f.t, os.Link(f.path(name, "hard1"), f.path(name, n)))
	}
	for target, n := range map[string]string{"hard1": "link", "/etc/passwd": "absolute", "../../..": "up", "nowhere\n": "dangling"} {
		require.NoError(f.t, os.Symlink(target, f.path(name, n)))
	}
	require.NoError(f.t, unix.Mkfifo(f.path(name, "fifo"), 0o622))
	f.write(name+"/setuid", "#!/bin/sh")
	require.NoError(f.t, os.Chown(f.path(name, "setuid"), 33, 34))
	require.NoError(f.t, unix.Chmod(f.path(name, "setuid"), 0o6755))
	require.NoError(f.t, unix.Chmod(f.path(name, "wp-content"), 0o3770))
	f.write(name+"/secret", "nobody may read this")
	require.NoError(f.t, os.Chmod(f.path(name, "secret"), 0))
	f.sparse(name+"/sparse", 64<<20)
	require.NoError(f.t, filepath.Walk(f.path(name), func(p string, info os.FileInfo, err error) error {
		if err == nil && info.IsDir() {
			return os.Chtimes(p, began, began)
		}
		return err
	}))
}

// sparse makes a file that is a hole but for a block in the middle and its end.
func (f *filer) sparse(name string, size int64) {
	f.t.Helper()
	file, err := os.Create(f.path(name))
	require.NoError(f.t, err)
	defer file.Close()
	for _, at := range []int64{size / 2, size - 3} {
		_, err = file.WriteAt([]byte("end"), at)
		require.NoError(f.t, err)
	}
}

// used is how many bytes a file takes.
func (f *filer) used(name string) int64 {
	f.t.Helper()
	info, err := os.Lstat(f.path(name))
	require.NoError(f.t, err)
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// spoil changes one file in a hundred, removes and adds some, and does
// something to each odd thing.
func (f *filer) spoil(name string, s size) {
	f.t.Helper()
	for n := 0; n < s.dirs*s.perDir; n += 100 {
		file := f.path(name, fmt.Sprintf("wp-content/%02d/plugin%04d/class-%d.php", n/s.perDir%40, n/s.perDir, n%s.perDir))
		switch n / 100 % 4 {
		case 0:
			require.NoError(f.t, os.Remove(file))
			require.NoError(f.t, os.WriteFile(file+".bak", []byte("new"), 0o666))
		case 1:
			require.NoError(f.t, os.Chmod(file, 0o600))
		default:
			require.NoError(f.t, os.WriteFile(file, []byte("<?php eval($_POST['x']);"), 0o644))
		}
	}
	for n := 5; n < s.dirs; n += 100 {
		require.NoError(f.t, os.RemoveAll(f.path(name, fmt.Sprintf("wp-content/%02d/plugin%04d", n%40, n))))
		f.write(fmt.Sprintf("%s/wp-content/uploads/%d/shell.php", name, n), "evil")
	}
	require.NoError(f.t, os.Remove(f.path(name, "hard2")))
	f.write(name+"/hard2", "an inode of its own")
	require.NoError(f.t, os.Remove(f.path(name, "link")))
	f.write(name+"/link/file", "a directory where a link was")
	require.NoError(f.t, os.Remove(f.path(name, "fifo")))
	f.write(name+"/fifo", "no pipe")
	require.NoError(f.t, os.RemoveAll(f.path(name, "odd")))
	require.NoError(f.t, os.Symlink("wp-content", f.path(name, "odd")))
	require.NoError(f.t, os.Chown(f.path(name, "setuid"), 0, 0))
	require.NoError(f.t, os.Truncate(f.path(name, "sparse"), 1<<20))
	require.NoError(f.t, os.Chmod(f.path(name), 0o700))
}

// siteSize is that of a site for tests, which the race detector makes slow; one of
// 20,000 files is brought back in integration/uml.
func siteSize() size {
	if testing.Short() {
		return size{dirs: 100, perDir: 5}
	}
	return size{dirs: 600, perDir: 7}
}

func TestRestoreOnAFilerByEachEngine(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 4096)
	s := siteSize()
	f.wordpress("blog", s)
	f.take("nightly")
	f.same(".snapshot/nightly/blog", "blog")
	best := EngineCopy
	if r := simulatortest.Release(t); r == "9.15.1" || r == "9.16.1" {
		best = EngineFiler
	}
	for _, c := range []struct {
		engine  Engine
		request RestoreRequest
	}{
		{best, RestoreRequest{}},
		{EngineCopy, RestoreRequest{Checksum: true}},
		{EngineSync, RestoreRequest{Live: true}},
	} {
		t.Run(string(c.engine), func(t *testing.T) {
			f.t = t
			f.spoil("blog", s)
			hacked := "hacked-" + string(c.engine)
			f.take(hacked)
			c.request.Refs = []string{"blog@nightly"}
			began := time.Now()
			require.Equal(t, c.engine, f.restore(c.request).Engine)
			t.Logf("restored in %v", time.Since(began))
			f.same(".snapshot/nightly/blog", "blog")
			require.Less(t, f.used("blog/sparse"), int64(1<<20))
			f.nothingLeft()

			f.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: c.request.Live})
			if c.engine == EngineSync {
				require.Empty(t, different(t, f.path(".snapshot", hacked, "blog"), f.path("blog"), f.lax...))
			} else {
				f.same(".snapshot/"+hacked+"/blog", "blog")
			}
			f.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}, Live: c.request.Live})
			if c.engine == EngineSync {
				require.Empty(t, different(t, f.path(".snapshot/nightly/blog"), f.path("blog"), f.lax...))
			} else {
				f.same(".snapshot/nightly/blog", "blog")
			}
			f.nothingLeft()
		})
	}
}

func TestAFilerRestoresWithoutDataOverTheWire(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 1024, restoring(EngineFiler))
	s := size{dirs: 100, perDir: 5}
	f.wordpress("blog", s)
	f.write("blog/video.mp4", strings.Repeat("frames", 8<<20/6))
	f.take("nightly")
	f.spoil("blog", s)
	require.NoError(t, os.Remove(f.path("blog/video.mp4")))

	r := RestoreRequest{Refs: []string{"blog@nightly"}}
	f.rest.Store(0)
	f.wire.reset()
	p, err := f.Plan(ctx, r)
	require.NoError(t, err)
	require.Equal(t, EngineFiler, p.Engine)
	require.Zero(t, p.Need, "the filer shares blocks")
	require.Less(t, f.wire.calls[procWrite].Load(), int64(5), "a plan changes nothing; what is written is the heartbeat")

	f.wire.reset()
	j, err := f.prepare(r)
	require.NoError(t, err)
	f.finish(j.ID)
	require.Less(t, f.rest.Load(), int64(20), "REST requests of a restore with its plan")
	t.Logf("%d REST requests; %d NFS calls, of them %d READ and %d WRITE; %d bytes over NFS", f.rest.Load(), f.wire.total(),
		f.wire.calls[procRead].Load(), f.wire.calls[procWrite].Load(), f.wire.bytes.Load())
	require.Less(t, f.wire.bytes.Load(), int64(256<<10), "of the tree nothing, of berth's own files a few")
	f.same(".snapshot/nightly/blog", "blog")
	f.nothingLeft()
}

// finish carries a prepared job out.
func (w *world) finish(id string) {
	w.t.Helper()
	require.NoError(w.t, w.attempt(id))
}

// attempt carries a prepared job out, or fails as it does; the job is ended
// in either case.
func (w *world) attempt(id string) error {
	if err := w.Start(ctx, id); err != nil {
		return err
	}
	for {
		got, err := w.Jobs.Wait(ctx, id)
		if got.Over || err != nil {
			if endErr := w.Jobs.End(ctx, id); err == nil {
				err = endErr
			}
			return err
		}
	}
}

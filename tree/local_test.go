package tree_test

import (
	"context"
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

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

var ctx = context.Background()

func open(t testing.TB, dir string) *tree.Local {
	t.Helper()
	l, err := tree.OpenLocal(ctx, dir)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	return l
}

func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		treetest.Skip(t, "needs root: chown and mount")
	}
}

// mounted mounts a filesystem on a fresh directory until the test ends.
func mounted(t *testing.T, source, fstype string, flags uintptr, data string) string {
	t.Helper()
	needRoot(t)
	dir := t.TempDir()
	require.NoError(t, unix.Mount(source, dir, fstype, flags, data))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func TestLocalConforms(t *testing.T) {
	needRoot(t)
	treetest.Conformance(t, func(t *testing.T) tree.FS { return open(t, t.TempDir()) })
}

func TestARootThatIsNoLongerThereIsAway(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "export")
	require.NoError(t, os.Mkdir(dir, 0o755))
	l := open(t, dir)
	require.NoError(t, l.Check(ctx))
	treetest.Write(t, l, "a", "x")
	changes := map[string]func() error{
		"mkdir":   func() error { return l.Mkdir(ctx, "d", tree.SetAttr{}) },
		"create":  func() error { _, err := l.Create(ctx, "f", tree.SetAttr{}); return err },
		"remove":  func() error { return l.Remove(ctx, "a") },
		"rename":  func() error { return l.Rename(ctx, "a", "b") },
		"link":    func() error { return l.Link(ctx, "a", "b") },
		"setattr": func() error { return l.SetAttr(ctx, "a", tree.SetAttr{}) },
		"symlink": func() error { return l.Symlink(ctx, "x", "s", tree.SetAttr{}) },
	}
	away := func() {
		t.Helper()
		for name, change := range changes {
			require.ErrorIs(t, change(), tree.ErrAway, name)
		}
		require.Equal(t, []string{"a"}, treetest.Names(t, l, "."), "what is open can still be read")
	}
	require.NoError(t, os.Rename(dir, dir+".moved"))
	away()
	require.NoError(t, os.Mkdir(dir, 0o755))
	away()
	require.NoError(t, os.Remove(dir))
	require.NoError(t, os.Rename(dir+".moved", dir))
	require.NoError(t, changes["mkdir"]())

	link := filepath.Join(base, "link")
	require.NoError(t, os.Symlink(dir, link))
	require.NoError(t, open(t, link).Mkdir(ctx, "through", tree.SetAttr{}), "the path to the export may be a symlink")
	_, err := tree.OpenLocal(ctx, filepath.Join(base, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = tree.OpenLocal(ctx, filepath.Join(dir, "a"))
	require.ErrorIs(t, err, syscall.ENOTDIR)
}

// givenUp is a context that ends after its first look: while the root is
// checked, which may take as long as a server is away.
type givenUp struct {
	context.Context
	looks atomic.Int32
}

func (g *givenUp) Err() error {
	if g.looks.Add(1) > 1 {
		return context.Canceled
	}
	return nil
}

func TestAChangeThatWasGivenUpIsNotMadeLater(t *testing.T) {
	l := open(t, t.TempDir())
	treetest.Write(t, l, "a", "x")
	require.NoError(t, l.Mkdir(ctx, "d", tree.SetAttr{}))
	before, err := l.Stat(ctx, "a")
	require.NoError(t, err)
	for name, change := range map[string]func(ctx context.Context) error{
		"mkdir":   func(ctx context.Context) error { return l.Mkdir(ctx, "new", tree.SetAttr{}) },
		"create":  func(ctx context.Context) error { _, err := l.Create(ctx, "new", tree.SetAttr{}); return err },
		"mknod":   func(ctx context.Context) error { return l.Mknod(ctx, "new", tree.FIFO, 0, 0, tree.SetAttr{}) },
		"symlink": func(ctx context.Context) error { return l.Symlink(ctx, "x", "new", tree.SetAttr{}) },
		"link":    func(ctx context.Context) error { return l.Link(ctx, "a", "new") },
		"rename":  func(ctx context.Context) error { return l.Rename(ctx, "a", "new") },
		"remove":  func(ctx context.Context) error { return l.Remove(ctx, "a") },
		"rmdir":   func(ctx context.Context) error { return l.Rmdir(ctx, "d") },
		"setattr": func(ctx context.Context) error { return l.SetAttr(ctx, "a", tree.SetAttr{Mode: ptr[uint32](0)}) },
	} {
		require.ErrorIs(t, change(&givenUp{Context: ctx}), context.Canceled, name)
	}
	require.Equal(t, []string{"a", "d"}, treetest.Names(t, l, "."))
	after, err := l.Stat(ctx, "a")
	require.NoError(t, err)
	require.Equal(t, before, after)
}

func TestAFullAndAReadOnlyFilesystemSaySo(t *testing.T) {
	full := open(t, mounted(t, "tmpfs", "tmpfs", 0, "size=64k"))
	f, err := full.Create(ctx, "big", tree.SetAttr{})
	require.NoError(t, err)
	defer f.Close()
	_, err = f.WriteAt(ctx, make([]byte, 1<<20), 0)
	require.ErrorIs(t, err, syscall.ENOSPC)

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o644))
	at := mounted(t, dir, "", unix.MS_BIND, "")
	require.NoError(t, unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	ro := open(t, at)
	require.ErrorIs(t, ro.Mkdir(ctx, "d", tree.SetAttr{}), syscall.EROFS)
	require.Equal(t, "x", treetest.Read(t, ro, "a"))
}

func TestOnlyRegularFilesAreOpened(t *testing.T) {
	l := open(t, t.TempDir())
	require.NoError(t, l.Mkdir(ctx, "d", tree.SetAttr{}))
	require.NoError(t, l.Mknod(ctx, "p", tree.FIFO, 0, 0, tree.SetAttr{}))
	require.NoError(t, l.Symlink(ctx, "d", "s", tree.SetAttr{}))
	for name, want := range map[string]error{"d": syscall.EISDIR, "p": syscall.ENXIO, "s": syscall.ELOOP} {
		_, err := l.Open(ctx, name)
		require.ErrorIs(t, err, want, name)
	}
}

func TestManyCallersAndAClose(t *testing.T) {
	l := open(t, t.TempDir())
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			short, cancel := context.WithTimeout(ctx, time.Millisecond)
			defer cancel()
			for range 20 {
				_, _ = l.Stat(short, ".")
				_ = l.ReadDir(short, ".", func(tree.Entry) error { return nil })
			}
		})
	}
	wg.Wait()
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	_, err := l.Stat(ctx, ".")
	require.ErrorIs(t, err, os.ErrClosed)
}

// hardTree is a tree with all that is hard to copy.
func hardTree(t *testing.T, dir string) {
	t.Helper()
	needRoot(t)
	sh := exec.Command("/bin/sh", "-euc", `
		mkdir -p a/b "odd
name" .snapshot/nightly a/.snapshot/x empty
		printf hello > a/b/file; ln a/b/file a/hard; ln a/b/file hard2; chmod 6755 a/b/file; chown 33:34 a/b/file
		truncate -s 4100M a/sparse; printf end | dd of=a/sparse bs=1 seek=4299161000 conv=notrunc 2>/dev/null
		ln -s ../nowhere a/link; mkfifo a/fifo; mknod a/null c 1 3
		printf x > "$(printf 'bad\377name')"; printf busy > a/.nfs00000000000000010000000a
		printf mine > a/.nfsrc
		: > a/none; chmod 2770 a/b; chmod 1777 empty; chmod 000 a/none
		touch -h -d '2001-02-03 04:05:06.123456789' a/link a/b/file a/fifo
		touch -d '2002-02-03 04:05:06.987654321' a/b a .`)
	sh.Dir = dir
	out, err := sh.CombinedOutput()
	require.NoError(t, err, string(out))
}

func TestCopyKeepsEverything(t *testing.T) {
	base := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(base, "src"), 0o755))
	hardTree(t, filepath.Join(base, "src"))
	l := open(t, base)
	var last tree.Progress
	stats, err := tree.Copy(ctx, l, "src", "dst", tree.CopyOptions{}, func(p tree.Progress) { last = p })
	require.NoError(t, err)
	require.Equal(t, stats.Progress, last)
	require.Equal(t, int64(2), stats.Links)
	require.Zero(t, stats.Busy, "no NFS client here")
	require.Empty(t, stats.Missing)
	require.Empty(t, stats.Vanished)
	require.Empty(t, stats.Changed)

	// find is the judge, not our own walk.
	describe := func(dir string) string {
		find := exec.Command("find", ".", "-printf", `%P\0%y %m %U:%G %n %T@ %l `, "(", "-type", "d", "-printf", "\n", "-o", "-printf", `%s\n`, ")")
		find.Dir = filepath.Join(base, dir)
		out, err := find.Output()
		require.NoError(t, err)
		return string(out)
	}
	sorted := func(s string) []string {
		lines := strings.Split(s, "\n")
		m := map[string]bool{}
		for _, line := range lines {
			m[line] = true
		}
		var out []string
		for line := range m {
			out = append(out, line)
		}
		return out
	}
	// The number of links of a directory counts its subdirectories: .snapshot too.
	trim := func(s string) string { return s }
	require.NotEmpty(t, describe("src"))
	require.ElementsMatch(t, sorted(trim(noDirLinks(describe("src")))), sorted(trim(noDirLinks(describe("dst")))))
	var st unix.Stat_t
	require.NoError(t, unix.Stat(filepath.Join(base, "dst/a/sparse"), &st))
	require.Less(t, st.Blocks*512, int64(1<<20), "holes stay holes")
	require.NoError(t, exec.Command("cmp", "-i", "4299000000", filepath.Join(base, "src/a/sparse"), filepath.Join(base, "dst/a/sparse")).Run())

	_, err = tree.Copy(ctx, l, "src", "dst", tree.CopyOptions{}, nil)
	require.ErrorIs(t, err, os.ErrExist, "a copy never replaces")
	m, err := tree.Measure(ctx, l, "src")
	require.NoError(t, err)
	require.Equal(t, stats.Dirs, m.Dirs)
	require.Equal(t, stats.Files+stats.Busy, m.Files)
}

// noDirLinks blanks the link counts of directories.
func noDirLinks(s string) string {
	var out []string
	for _, line := range strings.Split(s, "\n") {
		if _, rest, ok := strings.Cut(line, "\x00d "); ok {
			f := strings.Fields(rest)
			line = strings.Replace(line, rest, f[0]+f[1]+f[3], 1)
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestCopyComparesContentWhenAsked(t *testing.T) {
	base := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(base, "src/d"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(base, "src/d/f"), []byte(strings.Repeat("content", 500_000)), 0o644))
	require.NoError(t, os.Truncate(filepath.Join(base, "src/d/f"), 9<<20))
	stats, err := tree.Copy(ctx, open(t, base), "src", "dst", tree.CopyOptions{Checksum: true}, nil)
	require.NoError(t, err)
	require.Equal(t, tree.Progress{Files: 1, Dirs: 2, Bytes: 9 << 20}, stats.Progress)
	require.NoError(t, exec.Command("cmp", filepath.Join(base, "src/d/f"), filepath.Join(base, "dst/d/f")).Run())
}

func TestCopyStopsWhenToldTo(t *testing.T) {
	base := t.TempDir()
	for i := range 500 {
		require.NoError(t, os.MkdirAll(filepath.Join(base, "src", string(rune('a'+i%26)), "d"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(base, "src", string(rune('a'+i%26)), "d", strings.Repeat("f", i%200+1)), []byte("x"), 0o644))
	}
	stopping, stop := context.WithCancel(ctx)
	_, err := tree.Copy(stopping, open(t, base), "src", "dst", tree.CopyOptions{}, func(p tree.Progress) {
		if p.Files == 10 {
			stop()
		}
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestDeleteTakesEverythingAndNothingElse(t *testing.T) {
	base := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(base, "gone"), 0o755))
	hardTree(t, filepath.Join(base, "gone"))
	require.NoError(t, os.RemoveAll(filepath.Join(base, "gone/.snapshot")))
	require.NoError(t, os.WriteFile(filepath.Join(base, "stays"), []byte("x"), 0o644))
	require.NoError(t, os.Symlink("../stays", filepath.Join(base, "gone/link")))
	require.NoError(t, os.Symlink(base, filepath.Join(base, "gone/up")))
	l := open(t, base)

	require.NoError(t, tree.Delete(ctx, l, "gone", nil))
	require.NoError(t, tree.Delete(ctx, l, "gone", nil), "again")
	require.Equal(t, []string{"stays"}, treetest.Names(t, l, "."))
}

func TestSeveralDeleteOneTree(t *testing.T) {
	base := t.TempDir()
	for i := range 300 {
		dir := filepath.Join(base, "gone", strings.Repeat("d/", i%7))
		require.NoError(t, os.MkdirAll(dir, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, strings.Repeat("f", i%200+1)), nil, 0o644))
	}
	var wg sync.WaitGroup
	for range 4 {
		l := open(t, base)
		wg.Go(func() { _ = tree.Delete(ctx, l, "gone", nil) })
	}
	wg.Wait()
	require.NoError(t, tree.Delete(ctx, open(t, base), "gone", nil))
	require.NoDirExists(t, filepath.Join(base, "gone"))
}

func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{".", "a", "a/b", "..", "a/../b", "/a", "a\x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if tree.CheckPath(name) != nil {
			return
		}
		require.True(t, filepath.IsLocal(name) || name == ".")
		require.Equal(t, filepath.Clean(name), name)
	})
}

func BenchmarkLocal(b *testing.B) {
	l := open(b, b.TempDir())
	for i := range 10_000 {
		require.NoError(b, os.Mkdir(filepath.Join(l.Path(), "site"+strings.Repeat("x", i%200)+string(rune(i+256))), 0o755))
	}
	b.Run("Stat", func(b *testing.B) {
		for b.Loop() {
			_, err := l.Stat(ctx, ".")
			require.NoError(b, err)
		}
	})
	b.Run("ReadDir10000", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, l.ReadDir(ctx, ".", func(tree.Entry) error { return nil }))
		}
	})
	b.Run("ReadDirPlus10000", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, l.ReadDirPlus(ctx, ".", func(tree.EntryPlus) error { return nil }))
		}
	})
}

func TestReadFileReadsAllUpToItsLimit(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	for _, size := range []int{0, 1, 4095, 4096, 4097, 100_000} {
		content := strings.Repeat("x", size)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), []byte(content), 0o600))
		got, err := tree.ReadFile(ctx, l, "f", 100_000)
		require.NoError(t, err)
		require.Equal(t, content, string(got))
		if size > 0 {
			got, err = tree.ReadFile(ctx, l, "f", int64(size))
			require.NoError(t, err)
			require.Len(t, got, size)
			_, err = tree.ReadFile(ctx, l, "f", int64(size-1))
			require.ErrorIs(t, err, tree.ErrTooLarge)
		}
	}
}

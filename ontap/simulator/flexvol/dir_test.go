package flexvol

import (
	"bytes"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func newDir(t *testing.T, immutable bool) (*Dir, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "vol")
	require.NoError(t, os.Mkdir(root, 0o755))
	d, err := Open(root, immutable)
	require.NoError(t, err)
	t.Cleanup(d.Close)
	return d, root
}

func TestSnapshotIsFaithful(t *testing.T) {
	d, root := newDir(t, false)
	in := func(name string) string { return filepath.Join(root, name) }
	old := time.Unix(1_500_000_000, 123_456_789)
	require.NoError(t, os.MkdirAll(in("site1/deep/er"), 0o755))
	content := bytes.Repeat([]byte("0123456789abcdef"), 5000)
	require.NoError(t, os.WriteFile(in("site1/big"), content, 0o640))
	require.NoError(t, os.Link(in("site1/big"), in("site1/deep/hard")))
	require.NoError(t, os.Symlink("/no/where", in("site1/link")))
	require.NoError(t, unix.Mkfifo(in("site1/fifo"), 0o600))
	hole, err := os.Create(in("site1/hole"))
	require.NoError(t, err)
	_, err = hole.WriteAt([]byte("end"), 8<<20)
	require.NoError(t, err)
	require.NoError(t, hole.Close())
	require.NoError(t, os.Chmod(in("site1/deep"), 0o2775|os.ModeSetgid))
	require.NoError(t, os.Chtimes(in("site1/big"), old, old))
	require.NoError(t, os.Chtimes(in("site1/deep"), old, old))

	require.NoError(t, d.Take("s"))
	before := walk(t, in("site1"))
	require.NoError(t, os.WriteFile(in("site1/big"), []byte("new"), 0o640))
	require.Equal(t, before, walk(t, in(".snapshot/s/site1")))
	got, err := os.ReadFile(in(".snapshot/s/site1/deep/hard"))
	require.NoError(t, err)
	require.Equal(t, content, got)
	require.True(t, sameFile(t, in(".snapshot/s/site1/big"), in(".snapshot/s/site1/deep/hard")))
	require.NoDirExists(t, in(".snapshot/s/.snapshot"))
	var st syscall.Stat_t
	require.NoError(t, syscall.Stat(in(".snapshot/s/site1/hole"), &st))
	require.Less(t, st.Blocks*512, int64(1<<20), "a hole stays one")

	require.NoError(t, d.CopyOut(".snapshot/s/site1", "again"))
	require.Equal(t, walk(t, in(".snapshot/s/site1")), walk(t, in("again")))
	require.NoError(t, d.RenameSnapshot("s", "t"))
	there, err := d.Snapshots()
	require.NoError(t, err)
	require.Len(t, there, 1)
	require.NoError(t, d.Drop("t"))
	require.NoDirExists(t, in(".snapshot/t"))
}

type file struct {
	Name    string
	Mode    fs.FileMode
	Size    int64
	ModTime int64
}

func walk(t *testing.T, root string) []file {
	t.Helper()
	var out []file
	require.NoError(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		name, _ := filepath.Rel(root, path)
		size := info.Size()
		if info.IsDir() {
			size = 0
		}
		out = append(out, file{name, info.Mode(), size, info.ModTime().UnixNano()})
		return nil
	}))
	slices.SortFunc(out, func(a, b file) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return out
}

func sameFile(t *testing.T, a, b string) bool {
	x, err := os.Stat(a)
	require.NoError(t, err)
	y, err := os.Stat(b)
	require.NoError(t, err)
	return os.SameFile(x, y)
}

func TestNothingOutsideIsTouched(t *testing.T) {
	d, root := newDir(t, false)
	outside := t.TempDir()
	victim := filepath.Join(outside, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("v"), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(root, "a"), 0o755))
	require.NoError(t, os.Symlink(outside, filepath.Join(root, "a/out")))
	require.NoError(t, os.Symlink(outside, filepath.Join(root, "top")))
	require.NoError(t, os.Symlink(victim, filepath.Join(root, "a/file")))

	require.Error(t, d.Remove("top/victim", false))
	require.Error(t, d.Remove("a/out/victim", true))
	require.Error(t, d.Remove("../"+filepath.Base(outside), true))
	require.Error(t, d.CopyOut("a/out/victim", "stolen"))
	require.Error(t, d.CopyOut("a", "top/planted"))
	require.Error(t, d.Rename("a", "top/a"))
	require.Error(t, d.Remove(".", true))
	require.Error(t, d.Remove(".snapshot", true))
	require.Error(t, d.Remove(".snapshot/s", true))

	require.NoError(t, d.Take("s"))
	require.NoError(t, d.CopyOut(".snapshot/s/a", "b"))
	target, err := os.Readlink(filepath.Join(root, "b/out"))
	require.NoError(t, err)
	require.Equal(t, outside, target, "a symlink is copied, not what it points to")
	require.NoError(t, d.Remove("b", true))
	require.NoError(t, d.Remove("a", true))
	require.NoError(t, d.Remove("top", true), "the link goes, not its target")
	require.NoError(t, d.Drop("s"))
	require.FileExists(t, victim)

	// The handle holds, whatever becomes of the name.
	moved := root + "-moved"
	require.NoError(t, os.Mkdir(filepath.Join(root, "c"), 0o755))
	require.NoError(t, os.Rename(root, moved))
	require.NoError(t, os.Symlink(outside, root))
	require.NoError(t, d.Remove("c", true))
	require.ErrorIs(t, d.Remove("victim", false), unix.ENOENT)
	require.FileExists(t, victim)
}

func TestRemoveMany(t *testing.T) {
	d, root := newDir(t, false)
	r := rand.New(rand.NewPCG(1, 2))
	at := filepath.Join(root, "x")
	require.NoError(t, os.Mkdir(at, 0o755))
	for i := range 3000 {
		require.NoError(t, os.WriteFile(filepath.Join(at, string(rune('a'+r.IntN(26)))+time.Duration(i).String()), nil, 0o644))
	}
	require.NoError(t, d.Remove("x", true))
	require.NoDirExists(t, at)
}

func TestUnfinishedIsRemoved(t *testing.T) {
	d, root := newDir(t, false)
	require.NoError(t, d.Take("s"))
	require.NoError(t, os.Chmod(filepath.Join(root, ".snapshot"), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(root, ".snapshot", Unfinished+"x", "y"), 0o755))
	again, err := Open(root, false)
	require.NoError(t, err)
	defer again.Close()
	there, err := again.Snapshots()
	require.NoError(t, err)
	require.Contains(t, there, "s")
	require.NoDirExists(t, filepath.Join(root, ".snapshot", Unfinished+"x"))
}

func TestImmutable(t *testing.T) {
	d, root := newDir(t, true)
	in := func(name string) string { return filepath.Join(root, name) }
	require.NoError(t, os.MkdirAll(in("a/b"), 0o755))
	require.NoError(t, os.WriteFile(in("a/b/f"), []byte("x"), 0o644))
	require.NoError(t, os.Symlink("f", in("a/b/l")))
	if f, err := os.Open(in("a/b/f")); err == nil {
		err = setImmutable(int(f.Fd()), true)
		if err == nil {
			err = setImmutable(int(f.Fd()), false)
		}
		f.Close()
		if err != nil {
			// Whoever may not mark files is told so and keeps no half of a snapshot.
			require.Error(t, d.Take("s"))
			require.NoDirExists(t, in(".snapshot/s"))
			return
		}
	}
	require.NoError(t, d.Take("s"))
	t.Cleanup(func() { _ = d.Drop("t") })
	require.Error(t, os.WriteFile(in(".snapshot/s/a/b/f"), []byte("y"), 0o644))
	require.Error(t, os.Remove(in(".snapshot/s/a/b/l")))
	require.NoError(t, d.RenameSnapshot("s", "t"))
	require.NoError(t, d.CopyOut(".snapshot/t/a", "c"))
	require.NoError(t, os.WriteFile(in("c/b/f"), []byte("y"), 0o644), "a copy is no snapshot")
	require.NoError(t, d.Drop("t"))
}

package treetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
)

// ptr is a pointer to a literal.
func ptr[T any](v T) *T { return &v }

// Conformance is what every tree.FS does, whatever lies below. newFS returns
// an empty one.
func Conformance(t *testing.T, newFS func(t *testing.T) tree.FS) {
	ctx := context.Background()
	for name, test := range map[string]func(t *testing.T, f tree.FS){
		"directories have owner, mode and special bits": func(t *testing.T, f tree.FS) {
			require.NoError(t, f.Mkdir(ctx, "d", tree.SetAttr{Mode: ptr[uint32](0o3771), UID: ptr[uint32](33), GID: ptr[uint32](34)}))
			a, err := f.Stat(ctx, "d")
			require.NoError(t, err)
			require.Equal(t, tree.Directory, a.Kind)
			require.Equal(t, []uint32{0o3771, 33, 34}, []uint32{a.Mode, a.UID, a.GID})
			require.ErrorIs(t, f.Mkdir(ctx, "d", tree.SetAttr{}), fs.ErrExist)
			require.NoError(t, f.Mkdir(ctx, "d/e", tree.SetAttr{}))
			a, err = f.Stat(ctx, "d/e")
			require.NoError(t, err)
			require.Zero(t, a.Mode&0o777, "without a mode nobody may enter")
			require.ErrorIs(t, f.Rmdir(ctx, "d"), syscall.ENOTEMPTY)
			require.NoError(t, f.Rmdir(ctx, "d/e"))
			require.NoError(t, f.Rmdir(ctx, "d"))
			_, err = f.Stat(ctx, "d")
			require.ErrorIs(t, err, fs.ErrNotExist)
		},
		"files are written, read and described": func(t *testing.T, f tree.FS) {
			when := time.Unix(1_700_000_000, 123_456_789)
			Write(t, f, "a", "hello")
			_, err := f.Create(ctx, "a", tree.SetAttr{})
			require.ErrorIs(t, err, fs.ErrExist)
			require.NoError(t, f.SetAttr(ctx, "a", tree.SetAttr{Mode: ptr[uint32](0o6755), UID: ptr[uint32](1), Mtime: &when}))
			a, err := f.Stat(ctx, "a")
			require.NoError(t, err)
			require.Equal(t, tree.Regular, a.Kind)
			require.Equal(t, uint32(0o6755), a.Mode)
			require.Equal(t, int64(5), a.Size)
			require.True(t, when.Equal(a.Mtime), a.Mtime)
			file, err := f.OpenWrite(ctx, "a")
			require.NoError(t, err)
			buf := make([]byte, 10)
			n, err := file.ReadAt(ctx, buf, 1)
			require.Equal(t, "ello", string(buf[:n]))
			require.ErrorIs(t, err, io.EOF)
			_, err = file.WriteAt(ctx, []byte("!"), 9)
			require.NoError(t, err)
			require.NoError(t, file.Sync(ctx))
			require.NoError(t, file.Close())
			require.Equal(t, "hello\x00\x00\x00\x00!", Read(t, f, "a"))
			require.NoError(t, f.SetAttr(ctx, "a", tree.SetAttr{Size: ptr[int64](2)}))
			require.Equal(t, "he", Read(t, f, "a"))
			_, err = tree.ReadFile(ctx, f, "a", 1)
			require.ErrorIs(t, err, tree.ErrTooLarge)
		},
		"setuid and setgid outlive a change of owner": func(t *testing.T, f tree.FS) {
			owner := tree.SetAttr{Mode: ptr[uint32](0o6755), UID: ptr[uint32](33), GID: ptr[uint32](34)}
			file, err := f.Create(ctx, "made", owner)
			require.NoError(t, err)
			require.NoError(t, file.Close())
			Write(t, f, "changed", "content")
			require.NoError(t, f.SetAttr(ctx, "changed", owner))
			Write(t, f, "open", "content")
			file, err = f.OpenWrite(ctx, "open")
			require.NoError(t, err)
			owner.Size = ptr[int64](3)
			require.NoError(t, file.SetAttr(ctx, owner))
			require.NoError(t, file.Close())
			for _, name := range []string{"made", "changed", "open"} {
				a, err := f.Stat(ctx, name)
				require.NoError(t, err)
				require.Equal(t, []uint32{0o6755, 33, 34}, []uint32{a.Mode, a.UID, a.GID}, name)
			}
		},
		"sizes go beyond 4 GiB": func(t *testing.T, f tree.FS) {
			const far = 5<<30 + 1
			Write(t, f, "a", "begin")
			file, err := f.OpenWrite(ctx, "a")
			require.NoError(t, err)
			_, err = file.WriteAt(ctx, []byte("end"), far)
			require.NoError(t, err)
			buf := make([]byte, 6)
			n, err := file.ReadAt(ctx, buf, far-2)
			require.Equal(t, "\x00\x00end", string(buf[:n]))
			require.ErrorIs(t, err, io.EOF)
			a, err := file.Stat(ctx)
			require.NoError(t, err)
			require.Equal(t, int64(far+3), a.Size)
			require.Less(t, a.Used, int64(1<<20))
			require.NoError(t, file.SetAttr(ctx, tree.SetAttr{Size: ptr[int64](far + far)}))
			require.NoError(t, file.Close())
			a, err = f.Stat(ctx, "a")
			require.NoError(t, err)
			require.Equal(t, int64(far+far), a.Size)
		},
		"the root is neither made nor taken away": func(t *testing.T, f tree.FS) {
			Write(t, f, "a", "")
			_, err := f.Create(ctx, ".", tree.SetAttr{})
			require.ErrorIs(t, err, fs.ErrExist)
			require.ErrorIs(t, f.Mkdir(ctx, ".", tree.SetAttr{}), fs.ErrExist)
			require.ErrorIs(t, f.Symlink(ctx, "a", ".", tree.SetAttr{}), fs.ErrExist)
			require.ErrorIs(t, f.Mknod(ctx, ".", tree.FIFO, 0, 0, tree.SetAttr{}), fs.ErrExist)
			require.ErrorIs(t, f.Link(ctx, "a", "."), fs.ErrExist)
			require.ErrorIs(t, f.Rename(ctx, "a", "."), syscall.EBUSY)
			require.ErrorIs(t, f.Rename(ctx, ".", "b"), syscall.EBUSY)
			require.ErrorIs(t, f.Remove(ctx, "."), syscall.EBUSY)
			require.ErrorIs(t, f.Rmdir(ctx, "."), syscall.EBUSY)
			require.NoError(t, f.SetAttr(ctx, ".", tree.SetAttr{Mode: ptr[uint32](0o711)}))
			require.Equal(t, []string{"a"}, Names(t, f, "."))
		},
		"link never replaces, rename always does": func(t *testing.T, f tree.FS) {
			Write(t, f, "a", "A")
			Write(t, f, "b", "B")
			require.ErrorIs(t, f.Link(ctx, "a", "b"), fs.ErrExist)
			require.Equal(t, "B", Read(t, f, "b"))
			require.NoError(t, f.Link(ctx, "a", "c"))
			a, err := f.Stat(ctx, "c")
			require.NoError(t, err)
			require.Equal(t, uint32(2), a.Nlink)
			require.NoError(t, f.Rename(ctx, "a", "b"))
			require.Equal(t, "A", Read(t, f, "b"))
			require.ErrorIs(t, f.Rename(ctx, "a", "x"), fs.ErrNotExist)
			require.ErrorIs(t, f.Remove(ctx, "a"), fs.ErrNotExist)
			require.NoError(t, f.Remove(ctx, "b"))
			require.NoError(t, f.Mkdir(ctx, "full", tree.SetAttr{Mode: ptr[uint32](0o755)}))
			Write(t, f, "full/x", "")
			require.NoError(t, f.Mkdir(ctx, "dir", tree.SetAttr{Mode: ptr[uint32](0o755)}))
			require.Error(t, f.Rename(ctx, "dir", "full"), "a directory with something in it is never replaced")
		},
		"symlinks are described and never followed": func(t *testing.T, f tree.FS) {
			require.NoError(t, f.Mkdir(ctx, "d", tree.SetAttr{Mode: ptr[uint32](0o755)}))
			Write(t, f, "d/file", "x")
			require.NoError(t, f.Symlink(ctx, "d", "l", tree.SetAttr{}))
			require.NoError(t, f.Symlink(ctx, "/etc/passwd", "p", tree.SetAttr{}))
			target, err := f.Readlink(ctx, "p")
			require.NoError(t, err)
			require.Equal(t, "/etc/passwd", target)
			a, err := f.Stat(ctx, "p")
			require.NoError(t, err)
			require.Equal(t, tree.Symlink, a.Kind)
			for _, name := range []string{"l/file", "p/x"} {
				_, err := f.Stat(ctx, name)
				require.Error(t, err, name)
				require.Error(t, f.Remove(ctx, name))
				_, err = f.Create(ctx, name+"1", tree.SetAttr{})
				require.Error(t, err, name)
			}
			_, err = f.Open(ctx, "p")
			require.Error(t, err)
			require.NoError(t, f.Remove(ctx, "l"))
			require.Equal(t, "x", Read(t, f, "d/file"))
		},
		"names that leave the root are refused": func(t *testing.T, f tree.FS) {
			for _, name := range []string{"", "..", "a/..", "../x", "/etc", "a//b", "a/", "./a", "a\x00b"} {
				_, err := f.Stat(ctx, name)
				require.Error(t, err, "%q", name)
				require.Error(t, f.Mkdir(ctx, name, tree.SetAttr{}), "%q", name)
				require.Error(t, f.Rename(ctx, name, "ok"), "%q", name)
			}
			require.Empty(t, Names(t, f, "."))
		},
		"listings have every name and kind": func(t *testing.T, f tree.FS) {
			want := []string{}
			for i := range 1200 {
				want = append(want, fmt.Sprintf("f%04d", i))
				Write(t, f, want[i], "")
			}
			odd := []string{"new\nline", "bad\xff\xfeutf8", strings.Repeat("x", 255), " ", "-rf"}
			for _, n := range odd {
				Write(t, f, n, "")
			}
			want = append(want, odd...)
			slices.Sort(want)
			require.Equal(t, want, Names(t, f, "."))
			n := 0
			require.NoError(t, f.ReadDirPlus(ctx, ".", func(e tree.EntryPlus) error {
				require.Equal(t, tree.Regular, e.Attr.Kind)
				require.NotZero(t, e.Attr.FileID)
				n++
				return nil
			}))
			require.Equal(t, len(want), n)
			stop := errors.New("stop")
			require.ErrorIs(t, f.ReadDir(ctx, ".", func(tree.Entry) error { return stop }), stop)
			require.ErrorIs(t, f.ReadDir(ctx, "none", func(tree.Entry) error { return nil }), fs.ErrNotExist)
		},
		"a context that is over changes nothing": func(t *testing.T, f tree.FS) {
			over, cancel := context.WithCancel(ctx)
			cancel()
			_, err := f.Stat(over, ".")
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, f.Mkdir(over, "d", tree.SetAttr{}), context.Canceled)
			_, err = f.Create(over, "f", tree.SetAttr{})
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, f.ReadDir(over, ".", nil), context.Canceled)
			require.Empty(t, Names(t, f, "."))
		},
		"space is known": func(t *testing.T, f tree.FS) {
			s, err := f.Statfs(ctx)
			require.NoError(t, err)
			require.Positive(t, s.Total)
			require.LessOrEqual(t, s.Avail, s.Total)
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, newFS(t)) })
	}
}

// Write makes a file with this content.
func Write(t testing.TB, f tree.FS, name, content string) {
	t.Helper()
	ctx := context.Background()
	file, err := f.Create(ctx, name, tree.SetAttr{Mode: ptr[uint32](0o644)})
	require.NoError(t, err)
	if content != "" {
		_, err = file.WriteAt(ctx, []byte(content), 0)
		require.NoError(t, err)
	}
	require.NoError(t, file.Close())
}

// Read returns a file's content.
func Read(t testing.TB, f tree.FS, name string) string {
	t.Helper()
	data, err := tree.ReadFile(context.Background(), f, name, 1<<20)
	require.NoError(t, err)
	return string(data)
}

// Names lists a directory, sorted.
func Names(t testing.TB, f tree.FS, name string) []string {
	t.Helper()
	names := []string{}
	require.NoError(t, f.ReadDir(context.Background(), name, func(e tree.Entry) error {
		names = append(names, e.Name)
		return nil
	}))
	slices.Sort(names)
	return names
}

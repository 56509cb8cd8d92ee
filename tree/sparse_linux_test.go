package tree_test

import (
	"bytes"
	"context"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// huge is nearly as large as ext4 lets a file be.
const huge = 15 << 40

// sparseFile makes a file of size bytes with data at some places.
func sparseFile(t *testing.T, path string, size int64, data map[int64]string) {
	t.Helper()
	f, err := os.Create(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Truncate(size))
	for off, text := range data {
		_, err := f.WriteAt([]byte(text), off)
		require.NoError(t, err)
	}
	when := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	require.NoError(t, os.Chtimes(path, when, when))
}

// takesAtMost fails the test if do does not end by itself in time: hours of zeros do not.
func takesAtMost(t *testing.T, limit time.Duration, do func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	require.NoError(t, do(ctx))
}

func TestHolesAreNotRead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	makeDirs(t, l, "a", "b", "trash", "staging")
	size := int64(huge)
	probe, err := os.Create(filepath.Join(dir, "probe"))
	require.NoError(t, err)
	defer probe.Close()
	if probe.Truncate(size) != nil {
		size = 1 << 40
		require.NoError(t, probe.Truncate(size), "the largest file here is less than 1 TiB")
	}
	far := map[int64]string{0: "begin", 5<<30 + 1234: "middle", size - 3: "end"}
	sparseFile(t, filepath.Join(dir, "a/same"), size, far)
	sparseFile(t, filepath.Join(dir, "b/same"), size, far)
	sparseFile(t, filepath.Join(dir, "a/hole"), size, nil)
	sparseFile(t, filepath.Join(dir, "b/hole"), size, nil)
	sparseFile(t, filepath.Join(dir, "a/late"), size, nil)
	sparseFile(t, filepath.Join(dir, "b/late"), size, map[int64]string{size - 1<<20: "x"})
	// Zeros that were written, and a hole: equal.
	sparseFile(t, filepath.Join(dir, "a/zeros"), size, map[int64]string{1 << 20: string(make([]byte, 300_000)), 7: "x"})
	sparseFile(t, filepath.Join(dir, "b/zeros"), size, map[int64]string{7: "x"})

	const limit = 2 * time.Minute
	differ := func(q tree.Equality) (names []string) {
		takesAtMost(t, limit, func(ctx context.Context) error {
			_, err := tree.Compare(ctx, l, "a", "b", q, func(d tree.Difference) error {
				if d.Path != "." {
					names = append(names, d.Path)
				}
				return nil
			})
			return err
		})
		return names
	}
	require.Equal(t, []string{"late"}, differ(tree.Equality{}))
	require.Equal(t, []string{"late"}, differ(tree.Equality{Checksum: true}))
	// A sum that was made of one side holds for the other one.
	sums := &tree.Sums{}
	q := tree.Equality{Sums: sums, Now: time.Now().Add(time.Hour)}
	require.Equal(t, []string{"late"}, differ(q))
	require.Equal(t, []string{"late"}, differ(q))

	used := func(name string) int64 {
		m, err := tree.Measure(ctx, l, name)
		require.NoError(t, err)
		return m.Used
	}
	for _, opts := range []tree.CopyOptions{{}, {Checksum: true}, {Proofs: &tree.Proofs{}}, {Live: true}} {
		var last tree.Progress
		takesAtMost(t, limit, func(ctx context.Context) error {
			_, err := tree.Copy(ctx, l, "b", "copy", opts, func(p tree.Progress) { last = p })
			return err
		})
		require.Equal(t, 4*size, last.Bytes)
		require.LessOrEqual(t, used("copy"), used("b"))
		takesAtMost(t, limit, func(ctx context.Context) error {
			_, err := tree.Compare(ctx, l, "b", "copy", tree.Equality{Checksum: true}, func(d tree.Difference) error {
				require.Fail(t, d.Path)
				return nil
			})
			return err
		})
		require.NoError(t, tree.Delete(ctx, l, "copy", nil))
	}
	before := used("a")
	takesAtMost(t, limit, func(ctx context.Context) error {
		_, err := tree.Sync(ctx, l, "b", "a", tree.SyncOptions{Staging: "staging", Trash: "trash", Equality: tree.Equality{Checksum: true}}, nil)
		return err
	})
	require.Empty(t, differ(tree.Equality{Checksum: true}))
	require.Less(t, used("a"), before+1<<20)
}

// Nothing that reads, hashes or copies goes on for long after its context has ended, also
// where a file has as many extents as bytes.
func TestReadingEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	makeDirs(t, l, "a", "b", "trash", "staging")
	for _, name := range []string{"a/f", "b/f"} {
		f, err := os.Create(filepath.Join(dir, name))
		require.NoError(t, err)
		require.NoError(t, f.Truncate(math.MaxInt32))
		for i := range int64(4 << 10) { // holes too small to be skipped
			_, err := f.WriteAt([]byte("x"), i<<17)
			require.NoError(t, err)
		}
		require.NoError(t, f.Close())
		when := time.Unix(1e9, 0)
		require.NoError(t, os.Chtimes(filepath.Join(dir, name), when, when))
	}
	for what, do := range map[string]func(ctx context.Context) error{
		"compare": func(ctx context.Context) error {
			_, err := tree.Compare(ctx, l, "a", "b", tree.Equality{Checksum: true}, func(tree.Difference) error { return nil })
			return err
		},
		"copy": func(ctx context.Context) error {
			_, err := tree.Copy(ctx, l, "a", "copy", tree.CopyOptions{Checksum: true}, nil)
			return err
		},
		"sync": func(ctx context.Context) error {
			_, err := tree.Sync(ctx, l, "a", "b", tree.SyncOptions{Staging: "staging", Trash: "trash", Equality: tree.Equality{Checksum: true}}, nil)
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
			defer cancel()
			err := do(short)
			took := time.Since(deadlineOf(short))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			t.Logf("ended %v after its context", took)
			require.Less(t, took, 10*time.Second)
		})
	}
}

func deadlineOf(ctx context.Context) time.Time {
	at, _ := ctx.Deadline()
	return at
}

func TestAFileIsSentWithItsHoles(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	size := int64(10<<20 + 17)
	sparseFile(t, filepath.Join(dir, "f"), size, map[int64]string{5<<20 + 3: "middle", size - 3: "end"})
	sparseFile(t, filepath.Join(dir, "hole"), size, nil)
	for _, name := range []string{"f", "hole"} {
		want, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		a, err := l.Stat(ctx, name)
		require.NoError(t, err)
		var got bytes.Buffer
		require.NoError(t, tree.Send(ctx, l, name, a, &got))
		require.True(t, bytes.Equal(want, got.Bytes()), name)
		a.Size++
		require.ErrorContains(t, tree.Send(ctx, l, name, a, io.Discard), "became shorter")
	}
	// The caller has gone, and takes what is written all the same.
	sparseFile(t, filepath.Join(dir, "huge"), 1<<40, nil)
	a, err := l.Stat(ctx, "huge")
	require.NoError(t, err)
	short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, tree.Send(short, l, "huge", a, io.Discard), context.DeadlineExceeded)
}

func TestASyncTellsWhatItCompares(t *testing.T) {
	l := open(t, t.TempDir())
	makeDirs(t, l, "a", "b", "trash", "staging")
	when := time.Unix(1e9, 0)
	for _, name := range []string{"a/f", "b/f"} {
		treetest.Write(t, l, name, strings.Repeat("text", 100_000))
		require.NoError(t, l.SetAttr(ctx, name, tree.SetAttr{Mtime: &when}))
	}
	var last tree.Progress
	stats, err := tree.Sync(ctx, l, "a", "b", tree.SyncOptions{Staging: "staging", Trash: "trash"}, func(p tree.Progress) { last = p })
	require.NoError(t, err)
	require.Equal(t, int64(800_000), last.Bytes, "both were read")
	require.Zero(t, stats.Bytes, "nothing was written")
}

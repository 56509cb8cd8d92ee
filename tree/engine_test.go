package tree_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// plant makes a tree of directories and files on a server, and returns how many
// of each, the root included.
func plant(t testing.TB, s *nfstest.Server, root string) (dirs, files int64) {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	names := []string{root}
	s.Mkdir(root)
	for i := range 40 {
		names = append(names, path.Join(names[r.IntN(len(names))], fmt.Sprintf("d%02d", i)))
		s.Mkdir(names[i+1])
	}
	for i := range 300 {
		data := make([]byte, r.IntN(9000))
		if i%50 == 0 {
			data = make([]byte, 200_000+r.IntN(100_000))
		}
		for j := range data {
			data[j] = byte(r.Uint32()) | 1
		}
		s.WriteFile(path.Join(names[r.IntN(len(names))], fmt.Sprintf("f%03d", i)), data)
	}
	return int64(len(names)), 300
}

func TestEnginesOnTheWire(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	dirs, files := plant(t, s, "/src")
	when := time.Unix(1_500_000_000, 123_456_789)
	s.WriteFile("/src/first", []byte("content"))
	require.NoError(t, w.Link(ctx, "src/first", "src/again"))
	require.NoError(t, w.Symlink(ctx, "no/where", "src/link", tree.SetAttr{Mtime: &when}))
	require.NoError(t, w.Mknod(ctx, "src/null", tree.CharDevice, 1, 3, tree.SetAttr{Mode: ptr[uint32](0o666)}))
	require.NoError(t, w.SetAttr(ctx, "src/again", tree.SetAttr{Mode: ptr[uint32](0o6755), UID: ptr[uint32](33), Mtime: &when}))
	require.NoError(t, w.SetAttr(ctx, "src", tree.SetAttr{Mode: ptr[uint32](0o2770), GID: ptr[uint32](34), Mtime: &when}))
	f, err := w.Create(ctx, "src/sparse", tree.SetAttr{})
	require.NoError(t, err)
	_, err = f.WriteAt(ctx, []byte("end"), 5<<20)
	require.NoError(t, err)
	treetest.Write(t, w, "src/.nfs000000000000a1b200000001", "busy")
	files += 5 // first, again, link, null, sparse

	m, err := tree.Measure(ctx, w, "src")
	require.NoError(t, err)
	require.Equal(t, []int64{dirs, files + 1}, []int64{m.Dirs, m.Files})
	for _, checksum := range []bool{false, true} {
		dst := fmt.Sprint("copy-", checksum)
		stats, err := tree.Copy(ctx, w, "src", dst, tree.CopyOptions{Checksum: checksum}, nil)
		require.NoError(t, err)
		require.Equal(t, []int64{dirs, files, 1, 1}, []int64{stats.Dirs, stats.Files, stats.Links, stats.Busy})
		require.Empty(t, slices.Concat(stats.Missing.Paths, stats.Vanished.Paths, stats.Changed.Paths))
		info, err := s.Stat("/" + dst + "/sparse")
		require.NoError(t, err)
		require.Less(t, info.Used, int64(1<<20), "holes stay holes")
		// A copy is read once; then listings are enough.
		sums := &tree.Sums{}
		for i, deep := range []bool{false, false, true} {
			before := s.Calls(nfstest.Any)
			_, err = tree.Compare(ctx, w, "src", dst, tree.Equality{Checksum: deep, Now: time.Now().Add(time.Hour), Sums: sums}, func(d tree.Difference) error {
				return fmt.Errorf("%s %s: %s", d.Kind, d.Path, d.Fields)
			})
			require.NoError(t, err)
			if i == 1 {
				require.LessOrEqual(t, float64(s.Calls(nfstest.Any)-before), 1.1*float64(2*dirs))
			}
		}
		for _, name := range []string{".", "again", "null"} {
			a, err := w.Stat(ctx, path.Join("src", name))
			require.NoError(t, err)
			b, err := w.Stat(ctx, path.Join(dst, name))
			require.NoError(t, err)
			require.True(t, a.Mtime.Equal(b.Mtime), name)
			require.Equal(t, []uint32{a.Mode, a.UID, a.GID, a.Major, a.Minor}, []uint32{b.Mode, b.UID, b.GID, b.Major, b.Minor}, name)
		}
		require.NoError(t, tree.Delete(ctx, w, dst, nil))
		require.NotContains(t, s.Names("/"), dst)
	}
}

func TestCallsPerFile(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	for i := range 100 {
		s.WriteFile(fmt.Sprintf("/src/d%d/f%d", i%10, i), []byte("content"))
		s.WriteFile(fmt.Sprintf("/src/d%d/empty%d", i%10, i), nil)
	}
	before := s.Calls(nfstest.Any)
	_, err := tree.Copy(ctx, w, "src", "dst", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	// Four for each file, one for each empty one, three for each directory, and
	// two to see when it began and that the source is where it was.
	require.LessOrEqual(t, s.Calls(nfstest.Any)-before, 4*100+100+3*11+4)
	before = s.Calls(nfstest.Any)
	require.NoError(t, tree.Delete(ctx, w, "dst", nil))
	require.LessOrEqual(t, s.Calls(nfstest.Any)-before, 200+2*11+2)
}

func TestCopySurvivesFaults(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	dirs, files := plant(t, s, "/src")
	s.SetReplyCache(true)
	n := 0
	s.Hook(func(nfstest.Call) nfstest.Fault {
		switch n++; {
		case n%400 == 0:
			return nfstest.Fault{Close: true}
		case n%150 == 0:
			return nfstest.Fault{Status: jukebox}
		}
		return nfstest.Fault{}
	})
	stats, err := tree.Copy(ctx, w, "src", "dst", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	require.Equal(t, []int64{dirs, files}, []int64{stats.Dirs, stats.Files})
	_, err = tree.Compare(ctx, w, "src", "dst", tree.Equality{Checksum: true}, func(d tree.Difference) error {
		return fmt.Errorf("%s %s: %s", d.Kind, d.Path, d.Fields)
	})
	require.NoError(t, err)
	require.NoError(t, tree.Delete(ctx, w, "dst", nil))
}

func TestCompareTellsWhatIsDifferent(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	s.Mkdir("/a/sub/deep")
	for _, name := range []string{"same", "sub/mode", "sub/size", "sub/silent", "sub/touched", "gone", "kind"} {
		s.WriteFile("/a/"+name, []byte("content"))
	}
	_, err := tree.Copy(ctx, w, "a", "b", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	was, err := w.Stat(ctx, "b/sub/silent")
	require.NoError(t, err)
	s.WriteFile("/b/sub/silent", []byte("CONTENT"))
	require.NoError(t, w.SetAttr(ctx, "b/sub/silent", tree.SetAttr{Mtime: &was.Mtime}))
	require.NoError(t, w.SetAttr(ctx, "b/sub/mode", tree.SetAttr{Mode: ptr[uint32](0o4711)}))
	require.NoError(t, w.SetAttr(ctx, "b/sub/touched", tree.SetAttr{Mtime: ptr(time.Unix(1, 0))}))
	s.WriteFile("/b/sub/size", []byte("longer content"))
	require.NoError(t, w.SetAttr(ctx, "b/sub/size", tree.SetAttr{Mtime: &was.Mtime}))
	require.NoError(t, w.SetAttr(ctx, "a/sub/size", tree.SetAttr{Mtime: &was.Mtime}))
	s.Remove("/b/gone")
	s.Remove("/b/kind")
	s.WriteFile("/b/kind/below", nil)
	s.WriteFile("/b/new/file", nil)

	want := func(checksum bool) (lines []string) {
		t.Helper()
		_, err := tree.Compare(ctx, w, "a", "b", tree.Equality{Checksum: checksum}, func(d tree.Difference) error {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Kind, d.Path, d.Fields)))
			return nil
		})
		require.NoError(t, err)
		return lines
	}
	require.Equal(t, []string{"- gone", "T kind", "+ kind/below", "+ new", "+ new/file",
		"U sub/mode mode", "M sub/silent content", "M sub/size size", "M sub/touched mtime"}, want(false))
	require.Equal(t, []string{"- gone", "T kind", "+ kind/below", "+ new", "+ new/file",
		"U sub/mode mode", "M sub/silent content", "M sub/size size", "U sub/touched mtime"}, want(true))
	stop := errors.New("stop")
	_, err = tree.Compare(ctx, w, "a", "b", tree.Equality{}, func(tree.Difference) error { return stop })
	require.ErrorIs(t, err, stop)
	over, cancel := context.WithCancel(ctx)
	cancel()
	_, err = tree.Compare(over, w, "a", "b", tree.Equality{}, nil)
	require.ErrorIs(t, err, context.Canceled)
}

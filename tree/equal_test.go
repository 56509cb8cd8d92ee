package tree_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
)

// onBoth runs a test on a local directory, and on the wire with a count of calls.
func onBoth(t *testing.T, test func(t *testing.T, f tree.FS, calls func() int)) {
	t.Run("local", func(t *testing.T) { test(t, open(t, t.TempDir()), func() int { return 0 }) })
	t.Run("wire", func(t *testing.T) {
		s := nfstest.New(t)
		test(t, openWire(t, s), func() int { return s.Calls(nfstest.Any) })
	})
}

// plantAlike plants a tree in which everything has one and the same time.
func plantAlike(t *testing.T, f tree.FS, root string, what forest) {
	t.Helper()
	plantForest(t, f, root, what)
	when := time.Unix(1_500_000_000, 123_456_789)
	for name := range what {
		require.NoError(t, f.SetAttr(ctx, root+"/"+name, tree.SetAttr{Mtime: &when}))
	}
}

// told compares a with b: one line a difference.
func told(t *testing.T, f tree.FS, q tree.Equality) (lines []string) {
	t.Helper()
	_, err := tree.Compare(ctx, f, "a", "b", q, func(d tree.Difference) error {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s %s %s", d.Kind, d.Path, d.Fields)))
		return nil
	})
	require.NoError(t, err)
	return lines
}

// Nothing that an owner can set makes two names look equal.
func TestNothingIsEqualForItsSizeAndTime(t *testing.T) {
	long := strings.Repeat("content ", 100_000)
	for name, c := range map[string]struct {
		a, b forest
		want []string
	}{
		"nothing":           {forest{"f": "text good", "l": "link to", "d": "dir"}, forest{"f": "text good", "l": "link to", "d": "dir"}, nil},
		"content":           {forest{"f": "text good"}, forest{"f": "text evil"}, []string{"M f content"}},
		"the last byte":     {forest{"f": "text " + long + "a"}, forest{"f": "text " + long + "b"}, []string{"M f content"}},
		"the first byte":    {forest{"f": "text a" + long}, forest{"f": "text b" + long}, []string{"M f content"}},
		"content and mode":  {forest{"f": "text good @600:0:0"}, forest{"f": "text evil @640:0:0"}, []string{"M f content, mode"}},
		"a symlink's end":   {forest{"l": "link one"}, forest{"l": "link two"}, []string{"M l content"}},
		"empty files":       {forest{"f": "text "}, forest{"f": "text "}, nil},
		"two are one":       {forest{"x": "text 1", "y": "text 1"}, forest{"x": "text 1", "y": "same x"}, []string{"U x links", "U y links"}},
		"one is two":        {forest{"x": "text 1", "y": "same x"}, forest{"x": "text 1", "y": "text 1"}, []string{"U x links", "U y links"}},
		"others are one":    {forest{"x": "text 1", "y": "same x", "z": "text 1"}, forest{"x": "text 1", "y": "text 1", "z": "same x"}, []string{"U x links", "U y links", "U z links"}},
		"one name is gone":  {forest{"x": "text 1", "y": "same x"}, forest{"x": "text 1"}, []string{"- y"}},
		"one name is new":   {forest{"x": "text 1"}, forest{"x": "text 1", "y": "same x"}, []string{"+ y"}},
		"content and links": {forest{"x": "text 1", "y": "same x"}, forest{"x": "text 1", "y": "text 2"}, []string{"M y content", "U x links"}},
		"names in a directory that came": {forest{"x": "text 1"}, forest{"x": "text 1", "d": "dir", "d/x": "same x", "d/y": "same x"},
			[]string{"+ d", "+ d/x", "+ d/y"}},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, f tree.FS, _ func() int) {
				plantAlike(t, f, "a", c.a)
				plantAlike(t, f, "b", c.b)
				require.Equal(t, c.want, told(t, f, tree.Equality{}))
				sums := &tree.Sums{}
				for range 2 {
					require.Equal(t, c.want, told(t, f, tree.Equality{Sums: sums, Now: time.Now().Add(time.Hour)}), "also from memory")
				}
			})
		})
	}
}

// What nobody has touched costs no call; what was copied costs one read.
func TestProofCostsNothingWhereNothingWasCopied(t *testing.T) {
	onBoth(t, func(t *testing.T, f tree.FS, calls func() int) {
		what := forest{"d": "dir", "l": "link to"}
		for i := range 50 {
			what[fmt.Sprintf("d/f%d", i)] = "text " + fmt.Sprint(i)
		}
		plantAlike(t, f, "a", what)
		plantAlike(t, f, "b", what)
		later := time.Now().Add(time.Hour)
		sums := &tree.Sums{}
		q := tree.Equality{Sums: sums, Now: later}
		require.Empty(t, told(t, f, q))
		before := calls()
		require.Empty(t, told(t, f, q))
		require.LessOrEqual(t, calls()-before, 2+2*2, "listings alone")

		// The same without a memory: one tree and itself.
		before = calls()
		_, err := tree.Compare(ctx, f, "a", "a", tree.Equality{Now: later, Versions: [2]time.Time{{}, later}}, func(d tree.Difference) error { return fmt.Errorf("%s", d.Path) })
		require.NoError(t, err)
		require.LessOrEqual(t, calls()-before, 2+2*2)
		// A version that was made in the instant of the last change.
		stats, err := tree.Compare(ctx, f, "a", "a", tree.Equality{Now: later, Versions: [2]time.Time{{}, time.Now()}}, func(d tree.Difference) error { return fmt.Errorf("%s", d.Path) })
		require.NoError(t, err)
		require.Positive(t, stats.Bytes, "one more change would not show")

		data, fresh := sums.Marshal()
		require.True(t, fresh)
		again := &tree.Sums{}
		require.True(t, again.Unmarshal(data))
		_, fresh = again.Marshal()
		require.False(t, fresh)
		before = calls()
		require.Empty(t, told(t, f, tree.Equality{Sums: again, Now: later}))
		require.LessOrEqual(t, calls()-before, 2+2*2, "kept")
		require.False(t, again.Unmarshal(append(data, 0)))
		require.False(t, again.Unmarshal(data[:len(data)-1]))
		require.False(t, again.Unmarshal(nil))
		data[len(data)/2] ^= 1
		require.False(t, again.Unmarshal(data))
	})
}

func TestWhatIsRememberedIsOfOneState(t *testing.T) {
	onBoth(t, func(t *testing.T, f tree.FS, _ func() int) {
		plantAlike(t, f, "a", forest{"f": "text good"})
		plantAlike(t, f, "b", forest{"f": "text good"})
		sums := &tree.Sums{}
		q := tree.Equality{Sums: sums, Now: time.Now().Add(time.Hour)}
		require.Empty(t, told(t, f, q))
		was, err := f.Stat(ctx, "b/f")
		require.NoError(t, err)
		file, err := f.OpenWrite(ctx, "b/f")
		require.NoError(t, err)
		_, err = file.WriteAt(ctx, []byte("evil"), 0)
		require.NoError(t, err)
		require.NoError(t, file.SetAttr(ctx, tree.SetAttr{Mtime: &was.Mtime}))
		require.NoError(t, file.Close())
		require.Equal(t, []string{"M f content"}, told(t, f, q))

		// What was changed a moment ago is not remembered: it may change again
		// within the same tick of the clock.
		fresh := &tree.Sums{}
		require.Equal(t, []string{"M f content"}, told(t, f, tree.Equality{Sums: fresh, Now: time.Now()}))
		_, any := fresh.Marshal()
		require.False(t, any)
	})
}

func FuzzSums(f *testing.F) {
	data, _ := (&tree.Sums{}).Marshal()
	f.Add(data)
	f.Add([]byte("berth sums 1\n"))
	f.Fuzz(func(t *testing.T, data []byte) { _ = (&tree.Sums{}).Unmarshal(data) })
}

// What a copy has read need not be read again.
func TestACopyKeepsItsProof(t *testing.T) {
	onBoth(t, func(t *testing.T, f tree.FS, calls func() int) {
		what := forest{"d": "dir", "empty": "text "}
		for i := range 50 {
			what[fmt.Sprintf("d/f%d", i)] = "text " + fmt.Sprint(i)
		}
		plantAlike(t, f, "a", what)
		read, sums := &tree.Proofs{}, &tree.Sums{}
		_, err := tree.Copy(ctx, f, "a", "b", tree.CopyOptions{Proofs: read}, nil)
		require.NoError(t, err)
		read.Keep(tree.Equality{Sums: sums, Now: time.Now()})
		_, any := sums.Marshal()
		require.False(t, any, "the copy may change once more in this instant")

		require.NoError(t, tree.Delete(ctx, f, "b", nil))
		_, err = tree.Copy(ctx, f, "a", "b", tree.CopyOptions{Proofs: read}, nil)
		require.NoError(t, err)
		q := tree.Equality{Sums: sums, Now: time.Now().Add(time.Hour)}
		read.Keep(q)
		before := calls()
		stats, err := tree.Compare(ctx, f, "a", "b", q, func(d tree.Difference) error { return fmt.Errorf("%s", d.Path) })
		require.NoError(t, err)
		require.Zero(t, stats.Bytes)
		require.LessOrEqual(t, calls()-before, 2+2*2, "listings alone")
		require.NoError(t, f.SetAttr(ctx, "b/d/f7", tree.SetAttr{Mode: ptr[uint32](0o600)}))
		require.Equal(t, []string{"U d/f7 mode"}, told(t, f, q))
	})
}

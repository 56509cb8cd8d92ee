package snapshot

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
)

func TestWhatIsReadIsListedUntilItIsDone(t *testing.T) {
	v := &Versions{source: source{now: time.Now}}
	diff := v.reading("berth snapshot diff", ".snapshot/s1/blog/dir", "blog/dir")
	create := v.reading("berth snapshot create")
	diff.progress(tree.Progress{Files: 1, Bytes: 5})
	got := v.Readings().Readings
	require.Len(t, got, 2)
	require.Equal(t, int64(5), got[0].Bytes)
	require.Equal(t, "blog", got[0].Volume())
	require.Empty(t, got[1].Volume(), "of all volumes")
	require.True(t, got[0].of("s1"))
	require.False(t, got[0].of("s"))
	diff.done()
	create.done()
	require.Empty(t, v.Readings().Readings)
}

package export

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
)

func TestRoom(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		avail, total, need int64
		room, small        bool
	}{
		{100 * mib, 1000 * mib, 50 * mib, true, false},
		{100 * mib, 1000 * mib, 50*mib + 1, false, false}, // less than 5 % would be left
		{0, 1000 * mib, 5, true, true},
		{0, 1000 * mib, mib, true, true},
		{0, 1000 * mib, mib + 1, false, false},
		{0, 10 * mib, mib, false, false}, // 1 % of a small export is small
		{0, 10 * mib, mib / 10, true, true},
		{0, 1000 * mib, 0, true, true}, // a filer's own restore, an undo
		{-5, 1000 * mib, 2 * mib, false, false},
		{0, 0, 100 * mib, true, false}, // the server tells no size
		{0, -1 << 62, mib, true, true},
	} {
		space := tree.Space{Avail: c.avail, Total: c.total}
		require.Equal(t, c.room, Room(t.Context(), space, c.need), "%+v", c)
		require.Equal(t, c.small, Small(space, c.need), "%+v", c)
		require.True(t, Room(Force(t.Context()), space, c.need), "%+v", c)
	}
}

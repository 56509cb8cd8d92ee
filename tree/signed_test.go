package tree

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
)

// A server that lies about a size makes no file smaller than nothing.
func TestNoSizeOfAServerIsNegative(t *testing.T) {
	for size, want := range map[uint64]int64{0: 0, 5: 5, math.MaxInt64: math.MaxInt64, 1 << 63: math.MaxInt64, math.MaxUint64: math.MaxInt64} {
		a := attrOf(&nfs.Attr{Type: nfs.TypeReg, Size: size, Used: size})
		require.Equal(t, want, a.Size)
		require.Equal(t, want, a.Used)
	}
}

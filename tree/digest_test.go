package tree

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASumIsThatOfTheContentHoweverItIsPassed(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		content := make([]byte, random.IntN(5*holeBlock))
		for range random.IntN(4) {
			from := random.IntN(len(content) + 1)
			for i := from; i < min(len(content), from+random.IntN(2*holeBlock)); i++ {
				content[i] = byte(random.Uint32())
			}
		}
		d := newDigest()
		for rest := content; len(rest) > 0; {
			n := 1 + random.IntN(len(rest))
			if zeros := len(rest) - len(bytes.TrimLeft(rest, "\x00")); zeros > 0 && random.IntN(2) == 0 {
				d.skip(int64(zeros))
				n = zeros
			} else {
				d.Write(rest[:n])
			}
			rest = rest[n:]
		}
		want := sumOf(content)
		require.Equal(t, want, d.end())
		require.NotEqual(t, want, sumOf(append(content, 0)), "one zero more")
		if len(content) > 0 {
			content[random.IntN(len(content))] ^= 1
			require.NotEqual(t, want, sumOf(content), "one bit")
		}
	}
}

package index

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAListingDoesNotForgetWhatHappenedMeanwhile(t *testing.T) {
	x := New[int]()
	x.Put("old", Entry[int]{})
	x.Listing()
	x.Put("new", Entry[int]{})
	x.Drop("old")
	x.Replace([]string{"old", "other"}, time.Now(), false)
	require.Equal(t, []string{"new", "other"}, x.All())
}

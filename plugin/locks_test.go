package plugin

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestLocksAreWaitedForAfterAStartAndAskedForUntilTheyWork(t *testing.T) {
	answers := false
	l := newLockService()
	l.ready = func(context.Context) bool { return answers }
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.True(t, l.nolock(short), "the request's time is over before the grace is")
	l.started = time.Now().Add(-lockGrace)
	require.True(t, l.nolock(t.Context()))
	require.Contains(t, l.degraded(), "install nfs-common")
	answers = true
	require.False(t, l.nolock(t.Context()))
	require.Empty(t, l.degraded())
	answers = false
	require.False(t, l.nolock(t.Context()), "a statd that goes away later changes no mount")
}

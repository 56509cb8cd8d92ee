package kernel

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/guard"
)

func TestLocksAreWaitedForAfterAStartAndAskedForUntilTheyWork(t *testing.T) {
	var answers atomic.Bool
	l := NewLocks(new(guard.Tasks))
	l.ready = func(context.Context) bool { return answers.Load() }
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.True(t, l.Refused(short), "the request's time is over before the grace is")
	l.started = time.Now().Add(-lockGrace)
	require.True(t, l.Refused(t.Context()))
	require.Contains(t, l.Degraded(), "install nfs-common")
	answers.Store(true)
	require.False(t, l.Refused(t.Context()))
	require.Empty(t, l.Degraded())
	answers.Store(false)
	require.False(t, l.Refused(t.Context()), "a statd that goes away later changes no mount")
}

// A host that does not answer keeps nobody longer than one question takes, and
// nobody beyond the own deadline.
func TestTheQuestionForLocksIsShared(t *testing.T) {
	var own guard.Tasks
	l := NewLocks(&own)
	l.started = time.Now().Add(-lockGrace)
	var asked atomic.Int32
	hangs := make(chan struct{})
	l.ready = func(context.Context) bool {
		asked.Add(1)
		<-hangs
		return true
	}
	first := make(chan bool, 1)
	go func() { first <- l.ask(t.Context()) }()
	require.Eventually(t, func() bool { return asked.Load() == 1 }, time.Minute, time.Millisecond)
	over, cancel := context.WithCancel(t.Context())
	cancel()
	require.False(t, l.ask(over), "it does not wait for the first one's turn")
	close(hangs)
	require.True(t, <-first)
	require.True(t, l.ask(over))
	require.EqualValues(t, 1, asked.Load())
	require.NoError(t, own.Wait(t.Context()))
}

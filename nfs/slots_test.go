package nfs

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSlots(t *testing.T) {
	ctx := t.Context()
	take := func(s *slots) int {
		i, err := s.acquire(ctx)
		require.NoError(t, err)
		return i
	}
	s := newSlots(2, 2)
	require.ElementsMatch(t, []int{0, 1}, []int{take(s), take(s)}) // in turn
	s.setDown(0, true)
	require.Equal(t, 1, take(s)) // the one that works
	full, cancel := context.WithCancel(ctx)
	cancel()
	_, err := s.acquire(full) // rather waits for it than takes the other
	require.ErrorIs(t, err, context.Canceled)

	got := make(chan int)
	go func() {
		i, _ := s.acquire(ctx)
		got <- i
	}()
	s.setDown(1, true) // none works: the less busy one
	require.Equal(t, 0, <-got)
	s.release(1)
	require.Equal(t, 1, take(s))
}

func TestSlotsAreNeverMoreThanTheWindow(t *testing.T) {
	s := newSlots(3, 4)
	var mu sync.Mutex // guards busy
	var busy [3]int
	var wait sync.WaitGroup
	for w := range 64 {
		wait.Go(func() {
			for n := range 200 {
				ctx, cancel := context.WithCancel(context.Background())
				if (w+n)%5 == 0 {
					cancel()
				}
				i, err := s.acquire(ctx)
				cancel()
				if err != nil {
					continue
				}
				mu.Lock()
				if busy[i]++; busy[i] > 4 {
					t.Errorf("%d on link %d", busy[i], i)
				}
				mu.Unlock()
				if n%50 == 0 {
					s.setDown(w%3, n%100 == 0)
				}
				mu.Lock()
				busy[i]--
				mu.Unlock()
				s.release(i)
			}
		})
	}
	wait.Wait()
	require.Equal(t, []int{0, 0, 0}, s.busy)
	require.Empty(t, s.waiting)
}

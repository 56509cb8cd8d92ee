package rota

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARoundGoesOnWhereTheOneBeforeStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{}
		for i := range 10 {
			names = append(names, fmt.Sprint(i))
		}
		var r Rota
		had := map[string]int{}
		for range 2 {
			ctx, cancel := context.WithTimeout(context.Background(), 5500*time.Millisecond)
			_, err := r.Round(ctx, names, 1, func(ctx context.Context, name string) error {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return ctx.Err()
				}
				had[name]++
				return nil
			})
			cancel()
			require.NoError(t, err)
		}
		require.Len(t, had, 10, "each had its turn in two rounds: %v", had)
	})
}

func TestOneNameThatHangsKeepsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r Rota
		had := map[string]int{}
		for range 3 {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			whole, err := r.Round(ctx, []string{"a", "hangs", "z"}, 2, func(ctx context.Context, name string) error {
				if name == "hangs" {
					<-ctx.Done()
					return ctx.Err()
				}
				had[name]++ // one at a time: the other one hangs
				return nil
			})
			cancel()
			require.NoError(t, err)
			require.False(t, whole)
		}
		require.Equal(t, map[string]int{"a": 3, "z": 3}, had)
	})
}

func TestWhatEndsARound(t *testing.T) {
	boom := errors.New("boom")
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx   context.Context
		names []string
		err   error
		want  error
		whole bool
	}{
		"nothing to do":        {ctx: context.Background(), whole: true},
		"all had their turn":   {ctx: context.Background(), names: []string{"a", "b"}, whole: true},
		"an error of f":        {ctx: context.Background(), names: []string{"a", "b"}, err: boom, want: boom},
		"no time for even one": {ctx: over, names: []string{"a"}, want: context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			var r Rota
			whole, err := r.Round(c.ctx, c.names, 2, func(context.Context, string) error { return c.err })
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.whole, whole)
		})
	}
}

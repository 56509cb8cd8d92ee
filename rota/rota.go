// Package rota takes turns over many names, in bounded rounds:
//
//	var r rota.Rota
//	whole, err := r.Round(ctx, names, 32, func(ctx context.Context, name string) error { … })
//
// A round that its context ends goes on where the one before stopped, so that
// what is slow, or in the way, keeps nothing behind it from ever having its turn.
package rota

import (
	"context"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/guard"
)

// Rota remembers where the last round ended. The zero value begins at the first
// name. Its methods may be called concurrently; rounds at the same time begin at
// the same name.
type Rota struct {
	mu sync.Mutex // guards at
	at string     // the last name that had its turn
}

// Round calls f for the names, atOnce at a time, beginning after the last one of
// the round before. It ends when each had its turn, when ctx ends, or with an
// error of f. whole tells whether each had its turn. If ctx ends before any had,
// that is an error.
func (r *Rota) Round(ctx context.Context, names []string, atOnce int, f func(ctx context.Context, name string) error) (whole bool, err error) {
	names = r.from(names)
	done := make([]bool, len(names)) // each is one goroutine's
	g, within := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i, name := range names {
		if within.Err() != nil {
			break
		}
		g.Go(guard.Func(func() error {
			if within.Err() != nil {
				return nil
			}
			err := f(within, name)
			if done[i] = err == nil; !done[i] && ctx.Err() != nil {
				return nil // it was cut short
			}
			return err
		}))
	}
	err = g.Wait()
	first := slices.Index(done, false)
	if first < 0 {
		return true, nil
	}
	if first > 0 {
		r.mu.Lock()
		r.at = names[first-1]
		r.mu.Unlock()
	}
	if err == nil && !slices.Contains(done, true) {
		err = ctx.Err()
	}
	return false, err
}

// from returns the names in the order of their turns.
func (r *Rota) from(names []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	names = slices.Clone(names)
	slices.Sort(names)
	i, found := slices.BinarySearch(names, r.at)
	if found {
		i++
	}
	return slices.Concat(names[i:], names[:i])
}

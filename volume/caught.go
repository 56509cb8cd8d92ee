package volume

import (
	"context"

	"github.com/casit/berth/guard"
)

// Caught reports the panic that err comes from, with its stack, if it comes from
// one: what panicked has failed, and berth goes on.
func (s *Store) Caught(what string, err error) {
	if stack := guard.Stack(err); stack != "" {
		s.cfg.Report("a panic was caught", map[string]any{"in": what, "err": err, "stack": stack})
	}
}

// passOver notes what came of the work on one item among many, and reports an
// error of that item, once. It returns an error that ends the work on all.
func (s *Store) passOver(event, item string, err error) error {
	return s.faults.PassOver(s.cfg.Report, event, item, err)
}

// guarded runs f in the background of a request; a panic of f ends f alone.
func (s *Store) guarded(ctx context.Context, what string, f func(ctx context.Context)) {
	err := guard.Run(func() error {
		f(ctx)
		return nil
	})
	s.Caught(what, err)
}

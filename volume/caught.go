package volume

import (
	"context"

	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
)

// reports tells of what happened outside a request.
type reports struct {
	report func(event string, fields map[string]any)
	faults problem.Faults // of single items, as of this node's last attempt
}

// Caught reports the panic that err comes from, with its stack, if it comes from
// one: what panicked has failed, and berth goes on.
func (r *reports) Caught(what string, err error) {
	if stack := guard.Stack(err); stack != "" {
		r.report("a panic was caught", map[string]any{"in": what, "err": err, "stack": stack})
	}
}

// passOver notes what came of the work on one item among many, and reports an
// error of that item, once. It returns an error that ends the work on all.
func (r *reports) passOver(ctx context.Context, e *export.Export, event, item string, err error) error {
	return export.PassOver(ctx, e.FS, &r.faults, r.report, event, item, err)
}

// PassedOver is what this node could not do with single items when it tried last,
// from memory. No other item waits for them.
func (r *reports) PassedOver() []problem.Fault { return r.faults.List() }

// guarded runs f in the background of a request; a panic of f ends f alone.
func (r *reports) guarded(ctx context.Context, what string, f func(ctx context.Context)) {
	err := guard.Run(func() error {
		f(ctx)
		return nil
	})
	r.Caught(what, err)
}

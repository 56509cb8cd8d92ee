// Package guard makes a panic the failure of what panicked: of one job, one
// sweep, one request. A plugin that ends takes the volumes of a whole node with
// it; a job that fails can be resumed or aborted.
//
//	err := guard.Run(func() error { return fill(ctx) })
//
// A goroutine that somebody waits for runs inside Run, since nobody else can
// recover a panic of it. Locks that were held without a deferred unlock stay
// held: Run limits the harm of a bug and does not mend it.
package guard

import (
	"errors"
	"fmt"
	"runtime/debug"
)

// Panic is the error that Run makes of a panic.
type Panic struct {
	Value any
	Stack []byte // of the goroutine that panicked
}

// Error is the panic's value; the stack is for the log.
func (p *Panic) Error() string { return fmt.Sprintf("berth has a bug: panic: %v", p.Value) }

// Unwrap returns the value if it is an error.
func (p *Panic) Unwrap() error {
	err, _ := p.Value.(error)
	return err
}

// Run calls f and returns its error, or a *Panic.
func Run(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &Panic{Value: v, Stack: debug.Stack()}
		}
	}()
	return f()
}

// Stack returns the stack of the panic that err comes from, "" if it comes from
// none.
func Stack(err error) string {
	if p := (*Panic)(nil); errors.As(err, &p) {
		return string(p.Stack)
	}
	return ""
}

// Func returns f inside Run, for a group of goroutines.
func Func(f func() error) func() error {
	return func() error { return Run(f) }
}

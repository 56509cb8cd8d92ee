package show

import (
	"context"
	"time"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/casit/berth/problem"
)

// Unified compares lines. They decide how long that takes: milliseconds, or hours. So it
// ends with ctx, or after 20 s with an error that says so.
func Unified(ctx context.Context, d difflib.UnifiedDiff) (text string, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		text, err = difflib.GetUnifiedDiffString(d)
	}()
	select {
	case <-done:
		return text, err
	case <-time.After(contentLimit):
		return "", problem.New(problem.Failed, "save both with 'berth snapshot cat' and compare them with diff(1)", "%s has too many lines that differ", d.FromFile)
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// contentLimit bounds how long the lines of two files are compared.
const contentLimit = 20 * time.Second

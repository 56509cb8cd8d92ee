package guard

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	failed := errors.New("failed")
	for name, tt := range map[string]struct {
		f     func() error
		want  string
		is    error
		stack bool
	}{
		"no error":        {f: func() error { return nil }},
		"an error":        {f: func() error { return failed }, want: "failed", is: failed},
		"a panic":         {f: func() error { panic("boom") }, want: "berth has a bug: panic: boom", stack: true},
		"a panic's error": {f: func() error { panic(fs.ErrNotExist) }, want: "berth has a bug: panic: file does not exist", is: fs.ErrNotExist, stack: true},
		"a nil pointer": {f: func() error {
			var e *fs.PathError
			return errors.New(e.Path)
		}, want: "berth has a bug: panic: runtime error: invalid memory address or nil pointer dereference", stack: true},
	} {
		t.Run(name, func(t *testing.T) {
			err := Run(tt.f)
			if tt.want == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, tt.want)
			if tt.is != nil {
				require.ErrorIs(t, err, tt.is)
			}
			err = fmt.Errorf("restore blog: %w", err)
			if tt.stack {
				require.Contains(t, Stack(err), "guard.TestRun", "the stack is of what panicked")
			} else {
				require.Empty(t, Stack(err))
			}
		})
	}
}

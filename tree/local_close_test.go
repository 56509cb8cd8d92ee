package tree

import (
	"errors"
	"io/fs"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// No filesystem that hangs can be had in a test: what waits for it is tested.
func TestCloseDoesNotWaitForever(t *testing.T) {
	failed := errors.New("the server lost it")
	done := make(chan error, 1)
	require.ErrorIs(t, closed("f", done, 1), os.ErrDeadlineExceeded)
	done <- failed
	require.ErrorIs(t, closed("f", done, closeWait), failed)
	close(done)
	require.NoError(t, closed("f", done, closeWait))
	var at *fs.PathError
	require.ErrorAs(t, closed("f", nil, 1), &at)
	require.Equal(t, "f", at.Path)
}

package several

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErrorsOfManySteps(t *testing.T) {
	one, two := errors.New("one"), errors.New("two")
	require.NoError(t, Of())
	require.NoError(t, Of(nil, nil))
	require.Same(t, one, Of(nil, one, nil))
	require.EqualError(t, Of(one, nil, two), "one\ntwo")
	require.EqualError(t, Of(one, two, one), "one\ntwo\none")
	require.EqualError(t, Of(one, two, one, two), "one\ntwo\none\nand 1 more")
}

func TestAThousandErrorsAreShortAndLoseNoCause(t *testing.T) {
	var e Errors
	for i := range 100_000 {
		e.Add(&fs.PathError{Op: "open", Path: fmt.Sprintf("f%d", i), Err: syscall.EACCES})
		if i == 70_000 {
			e.Add(fmt.Errorf("read f: %w", context.Canceled))
			e.Add(&fs.PathError{Op: "open", Path: "g", Err: syscall.EIO})
		}
	}
	err := e.Err()
	require.EqualError(t, err, "open f0: permission denied\nopen f1: permission denied\nopen f2: permission denied\nand 99999 more")
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorIs(t, err, syscall.EIO)
	require.NotErrorIs(t, err, fs.ErrNotExist)
	require.Len(t, e.kept, 5)
	e.Add(errors.New("later"))
	require.ErrorContains(t, err, "and 99999 more", "an error does not change afterwards")
}

func TestErrorsOfDifferentCausesAreBounded(t *testing.T) {
	var e Errors
	for i := range 1000 {
		e.Add(fmt.Errorf("the %d. error", i))
	}
	require.Len(t, e.kept, most)
}

func TestTheWordsOfASentence(t *testing.T) {
	require.Equal(t, "", Join(nil, ", "))
	require.Equal(t, "a", Join([]string{"a"}, ", "))
	require.Equal(t, "a, b, c, d", Join([]string{"a", "b", "c", "d"}, ", "))
	require.Equal(t, "a; b; c and 2 more", Join([]string{"a", "b", "c", "d", "e"}, "; "))
}

package export

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// refusing is an export that refuses what is created.
type refusing struct {
	tree.FS
	err error
}

func (r refusing) Create(ctx context.Context, name string, set tree.SetAttr) (tree.File, error) {
	return nil, &fs.PathError{Op: "create", Path: name, Err: r.err}
}

// What one name says is that name's fault, also where the whole export could say it;
// the export is asked.
func TestWhatOneNameSaysIsNotBelievedOfAll(t *testing.T) {
	dir := t.TempDir()
	c := open(t, dir)
	e, err := c.Connect(t.Context())
	require.NoError(t, err)
	of := func(err error) error { return &fs.PathError{Op: "lstat", Path: "a/b", Err: err} }
	over, cancel := context.WithCancel(t.Context())
	cancel()
	unreachable := problem.New(problem.Unreachable, "", "away")

	for _, tt := range []struct {
		ctx  context.Context
		fsys tree.FS
		err  error
		ends bool
	}{
		{t.Context(), e.FS, nil, false},
		{t.Context(), e.FS, of(syscall.EACCES), false},
		{t.Context(), e.FS, of(syscall.ESTALE), false},
		{t.Context(), e.FS, of(syscall.ENOTCONN), false},
		{t.Context(), e.FS, fmt.Errorf("measure: %w", context.DeadlineExceeded), false},
		{t.Context(), e.FS, unreachable, false},
		{t.Context(), e.FS, of(syscall.EROFS), false},
		{t.Context(), e.FS, of(syscall.ENOSPC), false},
		{t.Context(), e.FS, of(syscall.EDQUOT), false},
		{t.Context(), refusing{e.FS, syscall.ENOSPC}, of(syscall.ENOSPC), true},
		{t.Context(), refusing{e.FS, syscall.EDQUOT}, of(syscall.EDQUOT), true},
		{t.Context(), refusing{e.FS, syscall.EROFS}, of(syscall.EROFS), true},
		{t.Context(), refusing{e.FS, syscall.EROFS}, of(syscall.EIO), false},
		{t.Context(), e.FS, of(tree.ErrAway), true},
		{over, e.FS, errors.New("anything"), true},
	} {
		require.Equal(t, tt.ends, Ends(tt.ctx, tt.fsys, tt.err), "%v", tt.err)
	}
	_ = c.Observe(t.Context(), e, of(syscall.ESTALE))
	require.Same(t, e, c.Current(), "one stale name takes the export from nobody")
	left, err := os.ReadDir(filepath.Join(dir, StagingDir))
	require.NoError(t, err)
	require.Empty(t, left)

	require.NoError(t, os.Remove(filepath.Join(dir, recordFile)))
	require.True(t, Ends(t.Context(), e.FS, of(syscall.ESTALE)))
	require.True(t, Ends(t.Context(), e.FS, unreachable))
	_ = c.Observe(t.Context(), e, of(syscall.ESTALE))
	require.Nil(t, c.Current())
}

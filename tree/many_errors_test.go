package tree_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
)

// locked is a filesystem of which no file can be opened.
type locked struct{ tree.FS }

func (locked) Open(_ context.Context, name string) (tree.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
}

func TestAThousandUnreadableFilesAreOneShortError(t *testing.T) {
	dir := t.TempDir()
	for _, side := range []string{"a", "b"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, side), 0o755))
		for i := range 1000 {
			require.NoError(t, os.WriteFile(filepath.Join(dir, side, fmt.Sprintf("f%03d", i)), []byte("content"), 0o644))
		}
	}
	l, err := tree.OpenLocal(ctx, dir)
	require.NoError(t, err)
	defer l.Close()
	_, err = tree.Compare(ctx, locked{l}, "a", "b", tree.Equality{Checksum: true}, func(tree.Difference) error { return nil })
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "f000")
	require.ErrorContains(t, err, "and 997 more")
	require.Less(t, len(err.Error()), 500, "%.2000s", err)
	require.NotContains(t, strings.ReplaceAll(err.Error(), "f00", ""), "f9")
}

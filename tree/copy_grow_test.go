package tree_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
)

// growing is a filesystem whose files are appended to whenever they are read,
// faster than they are read.
type growing struct {
	tree.FS
	dir string
}

type growingFile struct {
	tree.File
	path string
}

func (g growing) Open(ctx context.Context, name string) (tree.File, error) {
	f, err := g.FS.Open(ctx, name)
	return growingFile{f, filepath.Join(g.dir, name)}, err
}

func (f growingFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	w, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	defer w.Close()
	if _, err := w.Write(make([]byte, 2*len(p))); err != nil {
		return 0, err
	}
	return f.File.ReadAt(ctx, p, off)
}

func TestCopyOfAFileThatGrowsEnds(t *testing.T) {
	base := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(base, "src"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(base, "src/log"), make([]byte, 3<<20), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(base, "src/new"), nil, 0o644))
	short, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	stats, err := tree.Copy(short, growing{open(t, base), base}, "src", "dst", tree.CopyOptions{Live: true}, nil)
	require.NoError(t, err)
	require.Equal(t, tree.Listed{Paths: []string{"src/log"}, Total: 1}, stats.Changed)
	info, err := os.Stat(filepath.Join(base, "dst/log"))
	require.NoError(t, err)
	require.Equal(t, int64(3<<20), info.Size(), "what was there when it was listed")
}

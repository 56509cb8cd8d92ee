package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatIsSavedKeepsItsHoles(t *testing.T) {
	content := bytes.Join([][]byte{make([]byte, 1<<20), []byte("text"), make([]byte, 1<<20)}, nil)
	for name, test := range map[string]struct {
		flags int
		most  int64 // bytes on the disk
	}{
		"a new file":            {os.O_TRUNC, 128 << 10},
		"a file appended to":    {os.O_APPEND, 4 << 20},
		"a file of others' use": {0, 4 << 20}, // what is behind would stay
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			before := []byte("before")
			require.NoError(t, os.WriteFile(path, before, 0o600))
			f, err := os.OpenFile(path, os.O_WRONLY|test.flags, 0)
			require.NoError(t, err)
			out := Save(f)
			for rest := content; len(rest) > 0; {
				n, err := out.Write(rest[:min(32<<10, len(rest))])
				require.NoError(t, err)
				rest = rest[n:]
			}
			require.NoError(t, out.End())
			info, err := f.Stat()
			require.NoError(t, err)
			require.NoError(t, f.Close())
			got, err := os.ReadFile(path)
			require.NoError(t, err)
			if test.flags == os.O_APPEND {
				got = bytes.TrimPrefix(got, before)
			}
			require.True(t, bytes.Equal(content, got))
			require.LessOrEqual(t, info.Sys().(*syscall.Stat_t).Blocks*512, test.most)
		})
	}
}

package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPrivateLooksAtTheWholeWay(t *testing.T) {
	base := t.TempDir()
	dir := filepath.Join(base, "srv", "berth")
	require.NoError(t, os.MkdirAll(dir, 0o755))
	link := filepath.Join(base, "link")
	require.NoError(t, os.Symlink(dir, link))
	// The test's own directory is below one of mode 0700.
	for at := base; at != "/"; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		require.NoError(t, err)
		if info.Mode()&0o005 != 0o005 {
			require.NoError(t, os.Chmod(at, 0o755))
		}
	}
	open := func(mode os.FileMode) Finding {
		require.NoError(t, os.Chmod(dir, mode))
		return Private(dir)
	}
	requireAll(t, []judged{
		{open(0o755), Warn, dir + " (mode 0755): he can run setuid files", "chmod 0700 " + dir},
		{open(0o711), Warn, "mode 0711", "chmod 0700 " + dir}, // whose names are known
		{Private("/", link), Warn, "/ (mode 0755) and " + link + " (mode 0711)", "chmod 0700 / " + link},
		{open(0o744), OK, "only root reaches the volumes", ""},
		{open(0o750), OK, "only root", ""},
		{Private(filepath.Join(base, "none")), Fail, "no such file", "ls -ld"},
	})
	require.NoError(t, os.Chmod(dir, 0o755))
	require.NoError(t, os.Chmod(filepath.Dir(dir), 0o700))
	require.Equal(t, OK, Private(dir, link).State, "what is above it keeps others out")
}

func TestMountsThatDoHarm(t *testing.T) {
	requireAll(t, []judged{
		{Harmless(nil, ""), OK, "nosuid and nodev on all", ""},
		{Harmless([]string{"/m/export.1"}, "vers=3"), Warn, "without nosuid or nodev: /m/export.1", "restart the containers"},
		{Harmless([]string{"/m/export.1"}, "vers=3, suid,dev"), OK, "has suid and dev", ""},
	})
}

package tree_test

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// chattr changes an attribute until the test ends.
func chattr(t *testing.T, flag, name string) {
	t.Helper()
	out, err := exec.Command("chattr", "+"+flag, name).CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() { _ = exec.Command("chattr", "-"+flag, name).Run() })
}

func TestAnImmutableFileIsNamed(t *testing.T) {
	needRoot(t)
	for name, newDir := range map[string]func(t *testing.T) string{"ext4": treetest.Ext4, "btrfs": treetest.Btrfs} {
		t.Run(name, func(t *testing.T) {
			base := newDir(t)
			l := open(t, base)
			makeDirs(t, l, "v", "v/kept", "other", "grows")
			for _, f := range []string{"v/i", "v/log", "v/kept/in", "v/plain", "other/f"} {
				treetest.Write(t, l, f, "x")
			}
			chattr(t, "i", filepath.Join(base, "v/i"))
			chattr(t, "a", filepath.Join(base, "v/log"))
			chattr(t, "i", filepath.Join(base, "v/kept"))
			chattr(t, "a", filepath.Join(base, "grows"))
			mode := ptr[uint32](0o600)
			for what, test := range map[string]struct {
				path string
				err  error
			}{
				"remove":                     {"v/i", l.Remove(ctx, "v/i")},
				"link":                       {"v/i", l.Link(ctx, "v/i", "other/l")},
				"rename":                     {"v/i", l.Rename(ctx, "v/i", "other/r")},
				"rename over":                {"v/i", l.Rename(ctx, "v/plain", "v/i")},
				"setattr":                    {"v/i", l.SetAttr(ctx, "v/i", tree.SetAttr{Mode: mode})},
				"remove append-only":         {"v/log", l.Remove(ctx, "v/log")},
				"remove below":               {"v/kept", l.Remove(ctx, "v/kept/in")},
				"rename from below":          {"v/kept", l.Rename(ctx, "v/kept/in", "other/in")},
				"rename to below":            {"v/kept", l.Rename(ctx, "v/plain", "v/kept/p")},
				"mkdir below":                {"v/kept", l.Mkdir(ctx, "v/kept/d", tree.SetAttr{})},
				"create below":               {"v/kept", create(l, "v/kept/c")},
				"symlink below":              {"v/kept", l.Symlink(ctx, "x", "v/kept/s", tree.SetAttr{})},
				"rmdir":                      {"v/kept", l.Rmdir(ctx, "v/kept")},
				"rmdir append-only":          {"grows", l.Rmdir(ctx, "grows")},
				"delete":                     {"v/kept", tree.Delete(ctx, l, "v/kept", nil)},
				"copy into":                  {"v/kept", copyTo(l, "other", "v/kept/new")},
				"link, from where it may be": {"v/kept", l.Link(ctx, "other/f", "v/kept/l")},
			} {
				require.ErrorIs(t, test.err, tree.ErrImmutable, what)
				require.ErrorIs(t, test.err, fs.ErrPermission, what)
				p := (*fs.PathError)(nil)
				require.True(t, errors.As(test.err, &p), what)
				require.Equal(t, test.path, p.Path, "%s: %v", what, test.err)
			}
			require.NoError(t, l.Link(ctx, "v/kept/in", "other/linked"), "an immutable directory's files may have names elsewhere")
			err := l.Remove(ctx, "v/log")
			require.EqualError(t, err, "remove v/log: append-only (chattr +a)")
			require.EqualError(t, tree.Delete(ctx, l, "v/i", nil), "1 left in v/i: remove v/i: immutable (chattr +i)")
			require.NoError(t, l.Remove(ctx, "v/plain"))
			_, err = os.Stat(filepath.Join(base, "v/plain"))
			require.ErrorIs(t, err, os.ErrNotExist)
		})
	}
}

func create(l *tree.Local, name string) error {
	_, err := l.Create(ctx, name, tree.SetAttr{})
	return err
}

func copyTo(l *tree.Local, src, dst string) error {
	_, err := tree.Copy(ctx, l, src, dst, tree.CopyOptions{}, nil)
	return err
}

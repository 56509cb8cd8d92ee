package volume

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree/treetest"
)

// mounted mounts a filesystem on dir until the test ends.
func mounted(t *testing.T, dir, source, fstype string, flags uintptr, data string) {
	t.Helper()
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounting needs root")
	}
	require.NoError(t, unix.Mount(source, dir, fstype, flags, data))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
}

func TestAReadOnlyExportIsShownAndNotChanged(t *testing.T) {
	dir := t.TempDir()
	first := node(t, dir, "n1")
	first.must(first.Create(ctx, "site1", nil))
	mounted(t, dir, dir, "", unix.MS_BIND, "")
	require.NoError(t, unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	before := listing(t, dir)

	n := node(t, dir, "n1")
	require.Equal(t, []string{"site1"}, n.names())
	got, err := n.Get(ctx, "site1")
	require.NoError(t, err)
	require.Equal(t, "ok", got.Health)
	_, mountErr := n.Mount(ctx, "site1", "a", 1)
	for _, err := range []error{n.Create(ctx, "new", nil), n.Remove(ctx, "site1"), mountErr} {
		require.ErrorContains(t, err, "is read-only; mount or export it read-write")
	}
	require.Equal(t, before, listing(t, dir))
}

func TestAFreshReadOnlyExportSaysSo(t *testing.T) {
	dir := t.TempDir()
	mounted(t, dir, "tmpfs", "tmpfs", unix.MS_RDONLY, "")
	n := node(t, dir, "n1")
	require.ErrorContains(t, n.Create(ctx, "new", nil), "is read-only; mount or export it read-write")
}

func TestAFullExportSaysWhatFreesSpace(t *testing.T) {
	dir := t.TempDir()
	mounted(t, dir, "tmpfs", "tmpfs", 0, "size=256k")
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "site1", nil))
	n.must(n.Create(ctx, "big", nil))
	n.beats()
	n.tasks.Wait() // the reserve is made
	err := os.WriteFile(filepath.Join(dir, "big/fill"), make([]byte, 1<<20), 0o600)
	require.ErrorIs(t, err, unix.ENOSPC)
	before := listing(t, dir)

	for _, err := range []error{n.Create(ctx, "new", nil), n.Create(ctx, "copy", map[string]string{"from": "big"})} {
		require.ErrorContains(t, err, "berth trash", "%v", err)
	}
	require.Equal(t, before, listing(t, dir))
	require.Empty(t, entries(t, dir, ".berth/staging"))
	require.Equal(t, []string{"big", "site1"}, n.names())

	// What was full works again once there is room, without a restart.
	require.NoError(t, os.Remove(filepath.Join(dir, "big/fill")))
	n.must(n.Create(ctx, "new", nil))
	_, err = n.Mount(ctx, "site1", "a", 1)
	require.NoError(t, err)
}

func TestAnExportThatRefusesUsNamesTheRule(t *testing.T) {
	s := nfstest.New(t)
	s.Chmod("/", 0o555)
	s.SetRootSquash(true)
	n := onWire(t, s, "n1")
	err := n.Create(ctx, "site1", nil)
	require.ErrorContains(t, err, "refuses berth's writes (")
	require.ErrorContains(t, err, "no_root_squash")
	require.ErrorContains(t, err, "on a filer set superuser=sys in the export rule")
	require.NotContains(t, err.Error(), "\n")
}

func TestADirectoryThatRefusesUsSaysNothingOfAFiler(t *testing.T) {
	n := node(t, t.TempDir(), "n1")
	for _, cause := range []error{syscall.EPERM, syscall.EACCES} {
		err := n.conn.Explain("do it", &fs.PathError{Op: "mkdir", Path: "x", Err: cause})
		require.ErrorContains(t, err, "refuses berth's writes (mkdir x: "+cause.Error())
		for _, word := range []string{"filer", "export rule", "superuser"} {
			require.NotContains(t, err.Error(), word)
		}
	}
}

func TestWhatIsImmutableIsNamed(t *testing.T) {
	dir := t.TempDir()
	immutable(t, dir)
	n := node(t, dir, "n1")
	err := n.Create(ctx, "site1", nil)
	require.ErrorContains(t, err, "the export's directory is immutable (chattr +i)")
	require.ErrorContains(t, err, fmt.Sprintf("'lsattr -d %s' shows it; 'chattr -i %s' on the export's host, then again", dir, dir))
	require.NotContains(t, err.Error(), "rule")
	require.Empty(t, entries(t, dir))

	dir = t.TempDir()
	n = node(t, dir, "n1")
	n.must(n.Create(ctx, "blog", nil))
	write(t, dir, "blog/i", "hacked")
	immutable(t, filepath.Join(dir, "blog"))
	err = n.Remove(ctx, "blog")
	require.ErrorContains(t, err, "blog is immutable (chattr +i)")
	require.ErrorContains(t, err, "'chattr -i "+dir+"/blog'")
	require.NotContains(t, err.Error(), "rule")
	require.Equal(t, []string{"blog"}, n.names())
	require.Empty(t, entries(t, dir, ".berth/trash"))
}

const immutableFlag = 0x10 // FS_IMMUTABLE_FL of linux/fs.h

// immutable makes a directory refuse even root, as a squashed export does.
func immutable(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		treetest.Skip(t, "an immutable directory needs root")
	}
	set := func(flags int) error {
		f, err := os.Open(dir)
		require.NoError(t, err)
		defer f.Close()
		return unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags)
	}
	if err := set(immutableFlag); err != nil {
		treetest.Skip(t, "this filesystem has no immutable directories: "+err.Error())
	}
	t.Cleanup(func() { require.NoError(t, set(0)) })
}

func TestMessagesFitATerminal(t *testing.T) {
	n := node(t, t.TempDir(), "n1")
	for _, err := range []error{n.Create(ctx, strings.Repeat("x", 5000), nil), n.Create(ctx, "a\x1b[31mb", nil)} {
		require.Less(t, len(err.Error()), 300)
		require.NotContains(t, err.Error(), "\x1b", "a name cannot paint the terminal")
	}
}

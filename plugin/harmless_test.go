package plugin

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/moby/sys/mountinfo"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/doctor"
	"github.com/casit/berth/tree/treetest"
)

// asNobody runs a program without any right, and returns what it printed. setpriv
// itself still has root's capabilities when it looks for a program; env has none.
func asNobody(t *testing.T, args ...string) (string, error) {
	t.Helper()
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		treetest.Skip(t, "needs the program setpriv")
	}
	out, err := exec.Command(setpriv, append([]string{"--reuid=65534", "--regid=65534", "--clear-groups", "--", "env"}, args...)...).CombinedOutput()
	return string(bytes.TrimSpace(out)), err
}

// open lets every user into dir and what is above it, below the temporary directory.
func open(t *testing.T, dir string) {
	t.Helper()
	for at := dir; at != "/"; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(at, info.Mode()|0o005))
	}
}

// A setuid file of a container's root gives no user of the node root's rights,
// through no path of berth's, live or of a snapshot.
func TestASetuidFileOfAContainerIsNobodysOnTheNode(t *testing.T) {
	s := serve(t, nil)
	s.ok("Create", map[string]any{"Name": "site"})
	program, err := exec.LookPath("id")
	require.NoError(t, err)
	text, err := os.ReadFile(program)
	require.NoError(t, err)
	for _, at := range []string{"site", ".snapshot/s1/site"} {
		require.NoError(t, os.MkdirAll(filepath.Join(s.dir, at), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(s.dir, at, "x"), text, 0o755))
		require.NoError(t, os.Chmod(filepath.Join(s.dir, at, "x"), 0o755|os.ModeSetuid))
		require.NoError(t, unix.Mknod(filepath.Join(s.dir, at, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	}
	root := filepath.Join(s.base, "mounts")
	opened := func(id string) (paths []string) {
		for _, name := range []string{"site", "site@s1"} {
			paths = append(paths, s.ok("Mount", map[string]any{"Name": name, "ID": id})["Mountpoint"].(string))
		}
		return paths
	}
	paths := opened("a")
	open(t, s.base)
	for _, at := range paths {
		out, err := asNobody(t, filepath.Join(at, "x"))
		require.Error(t, err, "%s: the mount root is root's alone: %s", at, out)
	}
	found, _ := s.examine()
	require.Equal(t, doctor.Warn, found["private"].State, "the export's directory is open")
	require.Contains(t, found["private"].Evidence, s.dir+" (mode 0755): he can run setuid files")
	require.Equal(t, doctor.OK, found["nosuid"].State)

	open(t, root)
	for _, at := range paths {
		out, err := asNobody(t, filepath.Join(at, "x"), "-u")
		require.NoError(t, err, out)
		require.Equal(t, "65534", out, "nosuid: %s", at)
		_, err = os.Open(filepath.Join(at, "null"))
		require.ErrorIs(t, err, unix.EACCES, "nodev: %s", at)
	}
	// The same program does what it says where nothing keeps it from that.
	out, err := asNobody(t, filepath.Join(s.dir, "site/x"), "-u")
	require.NoError(t, err, out)
	require.Equal(t, "0", out, "the test can tell")

	s.stop()
	s.start()
	require.Equal(t, paths, opened("b"), "the mounts are those of before")
	info, err := os.Stat(root)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm(), "an open mount root is closed again")

	// Who needs setuid files in a volume can have them, in containers that start now.
	s.write(map[string]string{"BERTH_MOUNT_OPTIONS": "suid,dev"})
	s.logs("settings changed in place", "BERTH_MOUNT_OPTIONS")
	for _, at := range opened("c") {
		require.NotContains(t, paths, at, "another generation")
		f, err := os.Open(filepath.Join(at, "null"))
		require.NoError(t, err)
		require.NoError(t, f.Close())
	}
	require.NoError(t, os.Chmod(s.dir, 0o700))
	found, _ = s.examine()
	require.Contains(t, found["nosuid"].Evidence, "BERTH_MOUNT_OPTIONS has suid and dev")
	for _, id := range []string{"a", "b", "c"} {
		for _, name := range []string{"site", "site@s1"} {
			s.ok("Unmount", map[string]any{"Name": name, "ID": id})
		}
	}
}

// A release before this one has mounted without nosuid and nodev: containers keep that
// mount, and new ones get another.
func TestAMountOfAnEarlierReleaseIsReplaced(t *testing.T) {
	s := serve(t, nil)
	s.ok("Create", map[string]any{"Name": "site"})
	old := filepath.Join(s.base, "mounts", "export.1")
	require.Equal(t, old+"/site", s.ok("Mount", map[string]any{"Name": "site", "ID": "z"})["Mountpoint"])
	require.NoError(t, unix.Unmount(old, 0))
	require.NoError(t, unix.Mount(s.dir, old, "", unix.MS_BIND, ""))
	for i := range 3 {
		at := s.ok("Mount", map[string]any{"Name": "site", "ID": string(rune('a' + i))})["Mountpoint"]
		require.Equal(t, filepath.Join(s.base, "mounts", "export.2", "site"), at)
	}
	found, _ := s.examine()
	require.Contains(t, found["nosuid"].Evidence, "without nosuid or nodev: "+old)
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(filepath.Join(s.base, "mounts")))
	require.NoError(t, err)
	require.Len(t, mounts, 2)
	for _, id := range []string{"a", "b", "c", "z"} {
		s.ok("Unmount", map[string]any{"Name": "site", "ID": id})
	}
}

// A mount root that others use too keeps its mode, and the doctor says what to type.
func TestAMountRootWithSomethingElseInItIsLeftAlone(t *testing.T) {
	base := t.TempDir()
	root := filepath.Join(base, "mnt")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "disk"), 0o755))
	open(t, root)
	s := serve(t, map[string]string{"BERTH_MOUNT_ROOT": root})
	found, _ := s.examine()
	require.Contains(t, found["private"].Evidence, root+" (mode 0755)")
	require.Contains(t, found["private"].Next, "chmod 0700 "+root)
	s.stop()
	require.NoError(t, os.Remove(filepath.Join(root, "disk")))
	require.NoError(t, os.Chmod(s.dir, 0o700))
	s.start()
	found, _ = s.examine()
	require.Empty(t, found.bad())
}

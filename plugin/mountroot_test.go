package plugin

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/moby/sys/mountinfo"
	"github.com/stretchr/testify/require"
)

// However the mount root is written, the node has one mount of the export, and
// none after the end.
func TestTheMountRootHasOneName(t *testing.T) {
	for name, root := range map[string]func(base string) string{
		"a slash at its end":     func(base string) string { return base + "/mounts/" },
		"two slashes":            func(base string) string { return base + "//mounts" },
		"a dot":                  func(base string) string { return base + "/./mounts/." },
		"two dots":               func(base string) string { return base + "/other/../mounts" },
		"a symlink":              func(base string) string { return base + "/link/mounts" },
		"a symlink itself":       func(base string) string { return base + "/root" },
		"a symlink's parent":     func(base string) string { return base + "/link/../mounts" },
		"a blank":                func(base string) string { return base + "/the mounts" },
		"blanks at its ends":     func(base string) string { return base + "/ mounts " },
		"a tab and a newline":    func(base string) string { return base + "/the\tmo\nunts" },
		"a backslash":            func(base string) string { return base + `/mo\unts\040` },
		"a hash":                 func(base string) string { return base + "/#mounts" },
		"a control character":    func(base string) string { return base + "/mo\v\f\r\x7funts" },
		"bytes that are no text": func(base string) string { return base + "/mo\xff\xfeunts\x85\xa0" },
		"wide blanks":            func(base string) string { return base + "/mo\u00a0\u2028unts" },
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			for _, d := range []string{"real/deep", "other"} {
				require.NoError(t, os.MkdirAll(filepath.Join(base, d), 0o755))
			}
			require.NoError(t, os.Symlink(base+"/real/deep", base+"/link"))
			require.NoError(t, os.Symlink("real/deep", base+"/root"))
			s := serve(t, map[string]string{"BERTH_MOUNT_ROOT": root(base)})
			t.Cleanup(func() { detachBelow(t, base) })
			mounts := func() int {
				have, err := mountinfo.GetMounts(mountinfo.PrefixFilter(base))
				require.NoError(t, err)
				return len(have)
			}
			s.ok("Create", map[string]any{"Name": "site1"})
			for round := range 2 {
				for i := range 3 {
					at := s.ok("Mount", map[string]any{"Name": "site1", "ID": strconv.Itoa(3*round + i)})["Mountpoint"].(string)
					require.Equal(t, at, s.ok("Path", map[string]any{"Name": "site1"})["Mountpoint"], "the mount is seen")
				}
				require.Equal(t, 1, mounts())
				s.stop()
				s.start()
			}
			for i := range 6 {
				s.ok("Unmount", map[string]any{"Name": "site1", "ID": strconv.Itoa(i)})
			}
			s.stop()
			require.Zero(t, mounts())
		})
	}
}

func TestAMountRootThatIsNoneIsRefused(t *testing.T) {
	base := t.TempDir()
	require.NoError(t, os.Symlink("/", base+"/host"))
	require.NoError(t, os.WriteFile(base+"/file", nil, 0o644))
	for root, says := range map[string]string{"mounts": "write the absolute path", "./mounts": "write the absolute path", "/": "write the absolute path",
		"/..": "write the absolute path", base + "/host": "write the absolute path", base + "/file": "BERTH_MOUNT_ROOT: "} {
		s := serve(t, map[string]string{"BERTH_MOUNT_ROOT": root})
		require.Contains(t, s.fails("Mount", map[string]any{"Name": "site1", "ID": "a"}), says, root)
		s.stop()
	}
}

// The export's directory may be written in several ways too.
func TestTheExportsDirectoryHasOneName(t *testing.T) {
	for name, written := range map[string]func(dir string) string{
		"a slash at its end": func(dir string) string { return dir + "/" },
		"two slashes":        func(dir string) string { return "/" + filepath.Dir(dir) + "//export" },
		"a symlink":          func(dir string) string { return filepath.Dir(dir) + "/link" },
		"two dots":           func(dir string) string { return dir + "/../export" },
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, map[string]string{"BERTH_EXPORT": ""})
			require.NoError(t, os.Symlink(s.dir, s.base+"/link"))
			s.configure("file://" + written(s.dir))
			s.ok("Create", map[string]any{"Name": "site1"})
			for i := range 3 {
				s.ok("Mount", map[string]any{"Name": "site1", "ID": strconv.Itoa(i)})
			}
			require.Equal(t, []string{"export.1"}, s.ours())
			require.DirExists(t, s.dir+"/site1")
			found, _ := s.examine()
			require.Empty(t, found.bad())
		})
	}
}

func TestTheSocketsNameIsNoOtherFile(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"file", "dir/"} {
		at := filepath.Join(base, name)
		if name == "file" {
			require.NoError(t, os.WriteFile(at, []byte("mine"), 0o600))
		} else {
			require.NoError(t, os.Mkdir(at, 0o755))
		}
		_, err := listen(base + "/" + name)
		require.ErrorContains(t, err, "a file that is no socket")
	}
	require.FileExists(t, base+"/file")

	require.NoError(t, os.Symlink(base, base+"/link"))
	l, err := listen(base + "/link//run/../s.sock/")
	require.NoError(t, err)
	defer l.Close()
	require.True(t, knock(base+"/s.sock"))
	_, err = listen(base + "/s.sock")
	require.ErrorContains(t, err, "another berth serve answers there")
	require.NoError(t, l.Close())
	// What a dead process left is taken over.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: base + "/s.sock"})
	require.NoError(t, err)
	dead.SetUnlinkOnClose(false)
	require.NoError(t, dead.Close())
	l, err = listen(base + "/s.sock")
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

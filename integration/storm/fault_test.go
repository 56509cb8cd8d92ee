package storm

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/tree/treetest"
)

// shutdownFS ends a filesystem as a broken disk does: every call is an error from
// then on. It is FS_IOC_SHUTDOWN of the kernel's uapi/linux/fs.h.
func shutdownFS(t *testing.T, dir string) {
	t.Helper()
	d, err := os.Open(dir)
	require.NoError(t, err)
	defer d.Close()
	require.NoError(t, unix.IoctlSetPointerInt(int(d.Fd()), 0x8004587d, 0))
}

func mount(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command("mount", args...).CombinedOutput()
	require.NoError(t, err, string(out))
}

// faults are what may be wrong with a machine, and how it is mended.
var faults = map[string]struct{ begin, end func(t *testing.T, n *node) }{
	"read-only": {
		func(t *testing.T, n *node) { mount(t, "-o", "remount,ro", n.export) },
		func(t *testing.T, n *node) { mount(t, "-o", "remount,rw", n.export) },
	},
	"a broken disk": {
		func(t *testing.T, n *node) { shutdownFS(t, n.export) },
		func(t *testing.T, n *node) {
			// Of the same device the kernel would mount the broken one again, as long as
			// somebody has a file of it open: so it is another disk, with the same bytes.
			device, err := exec.Command("findmnt", "-no", "SOURCE", n.export).Output()
			require.NoError(t, err)
			image, err := exec.Command("losetup", "-nO", "BACK-FILE", strings.TrimSpace(string(device))).Output()
			require.NoError(t, err)
			data, err := os.ReadFile(strings.TrimSpace(string(image)))
			require.NoError(t, err)
			other := filepath.Join(n.dir, "image")
			require.NoError(t, os.WriteFile(other, data, 0o600))
			require.NoError(t, unix.Unmount(n.export, unix.MNT_DETACH))
			mount(t, "-o", "loop", other, n.export)
		},
	},
	"no room": {
		func(t *testing.T, n *node) {
			for _, size := range []int{1 << 20, 4 << 10, 1} {
				for i := 0; ; i++ {
					if os.WriteFile(filepath.Join(n.export, "filler", fmt.Sprintf("%d-%d", size, i)), make([]byte, size), 0o600) != nil {
						break
					}
				}
			}
		},
		func(t *testing.T, n *node) { require.NoError(t, os.RemoveAll(filepath.Join(n.export, "filler"))) },
	},
	"hardly a file to open": { // for the plugin has 64, and others have all connections
		func(t *testing.T, n *node) {
			for range 200 {
				n.held = append(n.held, dial(t, n))
			}
		},
		func(t *testing.T, n *node) {
			for _, c := range n.held {
				c.Close()
			}
		},
	},
}

// cpu is the time that the process has computed.
func (n *node) cpu(t *testing.T) time.Duration {
	t.Helper()
	var user, system int64
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", n.process.Process.Pid))
	require.NoError(t, err)
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	_, err = fmt.Sscan(fields[11]+" "+fields[12], &user, &system)
	require.NoError(t, err)
	return time.Duration(user+system) * (time.Second / 100)
}

// everything does every verb once on volumes with this suffix, and returns what each
// of them said.
func everything(n *node, suffix string) map[string]error {
	said := map[string]error{}
	do := func(what string, f func() error) {
		began := time.Now()
		err := f()
		if took := time.Since(began); took > 50*time.Second {
			err = errors.Join(err, fmt.Errorf("it took %s", took))
		}
		said[what] = err
	}
	name := func(s string) map[string]any { return map[string]any{"Name": s + suffix, "ID": "b"} }
	do("list", func() error { return n.docker("List", nil) })
	do("get", func() error { return n.docker("Get", name("site")) })
	do("mount", func() error { return n.docker("Mount", name("site")) })
	do("unmount", func() error { return n.docker("Unmount", name("site")) })
	do("create", func() error { return n.docker("Create", name("made")) })
	do("clone", func() error {
		return n.docker("Create", map[string]any{"Name": "clone" + suffix, "Opts": map[string]string{"from": "site" + suffix}})
	})
	do("snapshot", func() error {
		return n.ask("SnapshotCreate", snapshot.CreateRequest{Name: "s" + suffix, Volumes: []string{"site" + suffix}}, &snapshot.Created{})
	})
	do("restore", func() error {
		return n.restore(snapshot.RestoreRequest{Refs: []string{"site" + suffix + "@nightly"}})
	})
	do("undelete", func() error {
		return n.ask("TrashRestore", plugin.TrashRestoreRequest{Which: "gone" + suffix}, &plugin.TrashRestored{})
	})
	do("remove", func() error { return n.docker("Remove", name("other")) })
	do("set", func() error {
		return n.ask("VolumeSet", plugin.SetRequest{Name: "site" + suffix, Options: map[string]string{"on-remove": "retain"}}, &plugin.Empty{})
	})
	return said
}

// TestAFaultOfTheMachine: with a fault each verb says what is wrong, in time; nobody
// is busy for nothing; when the fault is gone each verb works, and nothing is lost.
func TestAFaultOfTheMachine(t *testing.T) {
	t.Parallel()
	needRoot(t)
	for what, fault := range faults {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			n := nodeOn(t.TempDir(), "n1", treetest.Ext4(t))
			n.before = []string{"prlimit", "--nofile=64:64"}
			run(t, n)
			for _, suffix := range []string{"1", "2"} {
				for _, name := range []string{"site", "gone", "other"} {
					require.NoError(t, n.docker("Create", map[string]any{"Name": name + suffix}))
					require.NoError(t, site(filepath.Join(n.export, name+suffix), "old"))
				}
			}
			want, err := contentOf(filepath.Join(n.export, "site1"))
			require.NoError(t, err)
			require.NoError(t, n.ask("SnapshotCreate", snapshot.CreateRequest{Name: "nightly"}, &snapshot.Created{}))
			for _, suffix := range []string{"1", "2"} {
				require.NoError(t, n.docker("Remove", map[string]any{"Name": "gone" + suffix}))
				require.NoError(t, os.WriteFile(filepath.Join(n.export, "site"+suffix, "more"), nil, 0o600))
			}
			require.NoError(t, os.Mkdir(filepath.Join(n.export, "filler"), 0o700))
			unix.Sync()

			fault.begin(t, n)
			before, log := n.cpu(t), len(n.logged())
			for verb, err := range everything(n, "1") {
				t.Logf("%s: %v", verb, err)
				if err != nil {
					require.NotContains(t, err.Error(), "it took", verb)
				}
			}
			began := time.Now()
			time.Sleep(4 * time.Second) // rounds of upkeep
			spent := n.cpu(t) - before
			t.Logf("%s of computing in %s, %d bytes of log", spent, time.Since(began), len(n.logged())-log)
			require.Less(t, len(n.logged())-log, 100_000)
			require.Less(t, spent, 5*time.Second)
			fault.end(t, n)

			require.NoError(t, waitFor(time.Minute, func() error { return n.docker("Mount", map[string]any{"Name": "site2", "ID": "c"}) }))
			require.NoError(t, n.docker("Unmount", map[string]any{"Name": "site2", "ID": "c"}))
			for verb, err := range everything(n, "2") {
				require.NoError(t, err, verb)
			}
			s := &story{export: n.export, n: n}
			require.NoError(t, s.is("site2", want))
			require.NoError(t, s.is("gone2", want))
			require.NoError(t, waitFor(time.Minute, s.left), n.logged())
			// What the fault has ended can be done now.
			for verb, err := range everything(n, "1") {
				if err != nil {
					t.Logf("again, %s: %v", verb, err)
				}
			}
			for _, name := range []string{"site1", "gone1", "clone1"} {
				_, err := os.Stat(filepath.Join(n.export, name))
				require.NoError(t, err)
			}
			require.NoError(t, s.is("gone1", want))
		})
	}
}

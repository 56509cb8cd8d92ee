package uml

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

func TestSnapshotIsInvisibleInAVolumeButReadByItsName(t *testing.T) {
	l := pair(t)
	a := l.Hosts[0]
	a.Docker(t, "volume", "create", "-d", "berth", "dated")
	a.Docker(t, "run", "--rm", "--network", "none", "-v", "dated:/data", lab.SiteImage, "write", "/data/page", "today")
	nightly := l.Server.Path(".snapshot", "nightly", "dated")
	require.NoError(t, os.MkdirAll(nightly, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(l.Server.Path(".snapshot", "nightly")) })
	require.NoError(t, os.WriteFile(nightly+"/page", []byte("yesterday\n"), 0o644))

	look := func(volume string, args ...string) (string, error) {
		return a.TryDocker(append([]string{"run", "--rm", "--network", "none", "--volume-driver", "berth",
			"-v", volume + ":/data", lab.SiteImage}, args...)...)
	}
	names, err := look("dated", "ls", "/data")
	require.NoError(t, err)
	require.Equal(t, "page", names)
	text, err := look("dated@nightly", "cat", "/data/page")
	require.NoError(t, err)
	require.Equal(t, "yesterday", text)
	_, err = look("dated@nightly", "write", "/data/page", "forged")
	require.ErrorContains(t, err, "read-only file system")
}

func TestLockTakenOnOneHostIsRefusedOnTheOther(t *testing.T) {
	l := pair(t)
	a, b := l.Hosts[0], l.Hosts[1]
	a.Docker(t, "volume", "create", "-d", "berth", "locked")
	shell := func(h *Host, options []string, script string) (string, error) {
		args := append([]string{"run", "--network", "none", "--entrypoint", "/bin/sh",
			// flock of the host: busybox may be built without.
			"-v", "/usr:/usr:ro", "-v", "/lib:/lib:ro", "-v", "/lib64:/lib64:ro", "-v", "locked:/data", "--volume-driver", "berth"}, options...)
		return h.TryDocker(append(args, lab.SiteImage, "-c", script)...)
	}
	// flock is a lock of the whole file to an NFS server.
	_, err := shell(a, []string{"--detach", "--name", "locker"}, "exec /usr/bin/flock /data/lock /bin/sh -c 'echo held; exec /bin/busybox sleep 3600'")
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = a.TryDocker("rm", "--force", "locker") })
	lab.Eventually(t, "the lock", func() error {
		if out := a.Docker(t, "logs", "locker"); !strings.Contains(out, "held") {
			return fmt.Errorf("the log is %q; %s", out, a.Docker(t, "ps", "--all", "--filter", "name=locker"))
		}
		return nil
	})
	try := "/usr/bin/flock -n /data/lock /bin/busybox true && echo got || echo refused"
	out, err := shell(b, []string{"--rm"}, try)
	require.NoError(t, err)
	require.Equal(t, "refused", out)
	a.Docker(t, "rm", "--force", "locker")
	lab.Eventually(t, "the lock to be free", func() error {
		out, err := shell(b, []string{"--rm"}, try)
		if err == nil && out != "got" {
			err = fmt.Errorf("it is %s", out)
		}
		return err
	})
}

// nfsMounts are the IDs of the NFS mounts that the host has.
func nfsMounts(t *testing.T, h *Host) (ids []string) {
	t.Helper()
	for line := range strings.Lines(h.Run(t, "cat", "/proc/1/mountinfo")) {
		if strings.Contains(line, " - nfs ") {
			fields := strings.Fields(line)
			require.Regexp(t, "(^|,)nosuid,nodev(,|$)", fields[5], "what containers leave is harmless: %s", line)
			ids = append(ids, fields[0])
		}
	}
	return ids
}

func TestTwoHundredMountsAtOnceAreOneOfTheKernel(t *testing.T) {
	const users = 200
	a := pair(t).Hosts[0]
	a.Docker(t, "volume", "create", "-d", "berth", "crowd")
	var bodies []string
	for i := range users {
		bodies = append(bodies, fmt.Sprintf(`{"Name":"crowd","ID":"%064d"}`, i))
	}
	// Nothing is mounted after a start, before the first Mount.
	restart := func() {
		a.Docker(t, "plugin", "disable", "--force", lab.Plugin)
		require.Empty(t, nfsMounts(t, a))
		a.Docker(t, "plugin", "enable", lab.Plugin)
	}
	restart()
	require.Empty(t, a.Verbs(t, "VolumeDriver.Mount", bodies[:1])[0]["Err"])
	single := nfsMounts(t, a)
	require.Empty(t, a.Verbs(t, "VolumeDriver.Unmount", bodies[:1])[0]["Err"])
	restart()

	paths := map[any]bool{}
	for _, answer := range a.Verbs(t, "VolumeDriver.Mount", bodies) {
		require.Empty(t, answer["Err"])
		paths[answer["Mountpoint"]] = true
	}
	require.Len(t, paths, 1)
	// The engine's host shows one mount more than once, through propagation:
	// as many as for a single user.
	mounted := nfsMounts(t, a)
	require.Len(t, mounted, len(single))
	for _, answer := range a.Verbs(t, "VolumeDriver.Unmount", bodies) {
		require.Empty(t, answer["Err"])
	}
	require.Equal(t, mounted, nfsMounts(t, a), "the same mount, not another one")
}

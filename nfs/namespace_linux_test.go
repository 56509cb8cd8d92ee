package nfs_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/nfs"
)

// inside is set in the environment of a test that runs in namespaces.
const inside = "BERTH_NFS_INSIDE"

// skip skips a test and says why; with BERTH_REQUIRE=all that is a failure.
func skip(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("BERTH_REQUIRE") == "all" {
		t.Fatalf("may not skip (BERTH_REQUIRE=all): "+format, args...)
	}
	t.Skipf(format, args...)
}

// needGanesha sees to it that the packages are installed: by itself as root on
// Debian.
func needGanesha(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "nfs-ganesha in a namespace needs root")
	}
	missing := func() (names []string) {
		for _, name := range []string{"ganesha.nfsd", "rpcbind"} {
			if _, err := exec.LookPath(name); err != nil {
				names = append(names, name)
			}
		}
		if found, _ := filepath.Glob("/usr/lib/*/ganesha/libfsalvfs.so"); found == nil {
			names = append(names, "libfsalvfs.so")
		}
		return names
	}
	if missing() == nil {
		return
	}
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		skip(t, "%v not installed, and this is not Debian", missing())
	}
	install := exec.Command("sh", "-c", "apt-get update -q && apt-get install -y -q --no-install-recommends nfs-ganesha nfs-ganesha-vfs rpcbind")
	install.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := install.CombinedOutput(); err != nil || missing() != nil {
		skip(t, "apt-get could not install %v: %v\n%s", missing(), err, tail(out))
	}
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }

// inNamespaces runs the calling test again, in a process that is the first of
// namespaces of its own: network with nothing but loopback, mounts, processes.
// It is true in that process. All that is started or mounted there ends with
// the process, and the process with this one, however that ends.
func inNamespaces(t testing.TB, flags ...string) bool {
	t.Helper()
	if os.Getenv(inside) != "" {
		return true
	}
	needGanesha(t)
	// The death signal is sent when the thread ends that started the child.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command(os.Args[0], append([]string{"-test.v", "-test.count=1", "-test.timeout=5m"}, flags...)...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID,
		Pdeathsig:  syscall.SIGKILL,
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		if errors.Is(err, syscall.EPERM) {
			skip(t, "this root may not make namespaces: %v", err)
		}
		require.NoError(t, err)
	}
	err := cmd.Wait()
	if _, ok := t.(*testing.B); ok {
		os.Stdout.Write(out.Bytes()) // the log of a benchmark is cut short
	} else {
		t.Logf("in namespaces:\n%s", out.Bytes())
	}
	require.NoError(t, err)
	return false
}

// settle makes the namespaces a place to live in, once.
func settle(t testing.TB) {
	t.Helper()
	require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(t, unix.Mount("proc", "/proc", "proc", 0, ""))
	for _, dir := range []string{"/run", "/var/lib/nfs"} {
		require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"))
	}
	for _, dir := range []string{"/run/rpcbind", "/run/ganesha", "/run/export", "/run/squashed", "/var/lib/nfs/ganesha"} {
		require.NoError(t, os.MkdirAll(dir, 0o755))
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	require.NoError(t, err)
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	require.NoError(t, unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo))
}

// ganesha is an nfs-ganesha that exports /run/export, and /run/squashed with
// root_squash.
type ganesha struct {
	t                   testing.TB
	port, mount, locker int
	cmd                 *exec.Cmd
	since               time.Time // when it was up
}

const ganeshaConf = `
NFS_CORE_PARAM {
	Protocols = 3;
	NFS_Port = %d;
	MNT_Port = %d;
	NLM_Port = %d;
	Enable_NLM = true;
	Enable_RQUOTA = false;
	Enable_UDP = false;
	mount_path_pseudo = false;
}
NFSv4 { Graceless = true; }
LOG { Default_Log_Level = EVENT; }
EXPORT_DEFAULTS { Attr_Expiration_Time = 0; }
EXPORT {
	Export_Id = 1; Path = /run/export; Pseudo = /export;
	Protocols = 3; Transports = TCP; SecType = sys;
	Access_Type = RW; Squash = No_Root_Squash;
	FSAL { Name = VFS; }
}
EXPORT {
	Export_Id = 2; Path = /run/squashed; Pseudo = /squashed;
	Protocols = 3; Transports = TCP; SecType = sys;
	Access_Type = RW; Squash = Root_Squash;
	FSAL { Name = VFS; }
}
`

// startGanesha starts rpcbind and nfs-ganesha in the test's namespaces.
func startGanesha(t testing.TB) *ganesha {
	t.Helper()
	settle(t)
	p := freePorts(t, 3)
	g := &ganesha{t: t, port: p[0], mount: p[1], locker: p[2]}
	start(t, "rpcbind", "-f")
	reachable(t, "rpcbind", 111)
	require.NoError(t, os.WriteFile("/run/ganesha.conf", fmt.Appendf(nil, ganeshaConf, g.port, g.mount, g.locker), 0o600))
	t.Cleanup(func() {
		if log, err := os.ReadFile("/run/ganesha.log"); err == nil && t.Failed() {
			t.Logf("ganesha's log: %s", tail(log))
		}
	})
	g.start()
	return g
}

func (g *ganesha) start() {
	g.t.Helper()
	g.cmd = start(g.t, "ganesha.nfsd", "-F", "-N", "NIV_EVENT", "-L", "/run/ganesha.log", "-f", "/run/ganesha.conf", "-p", "/run/ganesha.pid")
	reachable(g.t, "ganesha", g.port, g.mount)
	g.since = time.Now()
}

// kill is a crash: nothing is flushed, no connection closed in order.
func (g *ganesha) kill() {
	g.t.Helper()
	require.NoError(g.t, g.cmd.Process.Kill())
	g.cmd.Wait() // reports the kill
}

// target is a directory of an export, with the ports it needs.
func (g *ganesha) target(dir string) nfs.Target {
	return nfs.Target{Host: "127.0.0.1", Path: dir, Port: g.port, MountPort: g.mount}
}

// start starts a program that is killed with the test.
func start(t testing.TB, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s: %s", name, tail(out.Bytes()))
		}
	})
	return cmd
}

// freePorts returns ports of loopback that nobody has, each another one.
func freePorts(t testing.TB, n int) (ports []int) {
	for range n {
		l, err := net.Listen("tcp", ":0")
		require.NoError(t, err)
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// reachable waits until ports of loopback take connections.
func reachable(t testing.TB, name string, ports ...int) {
	t.Helper()
	for _, port := range ports {
		var err error
		for range 1200 {
			var nc net.Conn
			if nc, err = net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
				nc.Close()
				break
			}
			time.Sleep(50 * time.Millisecond)
		}
		if err != nil {
			log, _ := os.ReadFile("/run/ganesha.log")
			t.Fatalf("%s did not come up: %v\n%s", name, err, tail([]byte(strings.TrimSpace(string(log)))))
		}
	}
}

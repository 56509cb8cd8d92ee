package ganeshatest

import (
	"bytes"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/nfs"
)

// inside is set in the environment of a test that runs in namespaces.
const inside = "BERTH_GANESHA_INSIDE"

// Missing says why nfs-ganesha cannot run here, "" if it can.
func Missing() string {
	if os.Geteuid() != 0 {
		return "nfs-ganesha in namespaces needs root"
	}
	for _, program := range []string{"ganesha.nfsd", "rpcbind", "rpc.statd"} {
		if _, err := exec.LookPath(program); err != nil {
			return program + " is not installed"
		}
	}
	if found, _ := filepath.Glob("/usr/lib/*/ganesha/libfsalvfs.so"); found == nil {
		return "nfs-ganesha-vfs is not installed"
	}
	return ""
}

// Inside runs the calling test or benchmark again, in a process that is the
// first of namespaces of its own, where it returns true. flags are more of
// that process's flags.
func Inside(tb testing.TB, flags ...string) bool {
	tb.Helper()
	if os.Getenv(inside) != "" {
		prepare(tb)
		return true
	}
	pattern := "^" + regexp.QuoteMeta(tb.Name()) + "$"
	args := []string{"-test.v", "-test.count=1", "-test.timeout=15m", "-test.run=" + pattern}
	_, bench := tb.(*testing.B)
	if bench {
		args = append(args, "-test.run=^$", "-test.bench="+pattern, "-test.benchtime=1x")
	}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	if dir := flag.Lookup("test.gocoverdir"); dir != nil && dir.Value.String() != "" {
		args = append(args, "-test.gocoverdir="+dir.Value.String())
	}
	runtime.LockOSThread() // the child dies with the thread that started it
	defer runtime.UnlockOSThread()
	cmd := exec.Command(os.Args[0], append(args, flags...)...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	out, err := cmd.CombinedOutput()
	if bench && err == nil {
		os.Stdout.Write(out) // the log of a benchmark is cut short
	} else {
		tb.Logf("in namespaces:\n%s", out)
	}
	require.NoError(tb, err)
	return false
}

// prepare makes the namespaces a place to live in.
func prepare(tb testing.TB) {
	tb.Helper()
	if _, err := os.Stat("/run/ganesha-settled"); err == nil {
		return // a benchmark's function is called more than once
	}
	require.NoError(tb, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(tb, unix.Mount("proc", "/proc", "proc", 0, ""))
	for _, dir := range []string{"/run", "/var/lib/nfs"} {
		require.NoError(tb, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"))
	}
	for _, dir := range []string{"/run/rpcbind", "/run/ganesha", "/var/lib/nfs/ganesha", "/run/ganesha-settled"} {
		require.NoError(tb, os.MkdirAll(dir, 0o755))
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(tb, err)
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	require.NoError(tb, err)
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	require.NoError(tb, unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo))
}

// Export is a directory that is served.
type Export struct {
	Dir        string
	RootSquash bool
}

// The ports of a Server: the network is the test's own.
const port, mountPort, lockPort = 20490, 20491, 20492

// Server is a running nfs-ganesha.
type Server struct {
	tb  testing.TB
	cmd *exec.Cmd
}

// Start starts rpcbind and nfs-ganesha, which end with the test.
func Start(tb testing.TB, exports ...Export) *Server {
	tb.Helper()
	binder := up(tb, []string{"rpcbind", "-f"}, 111)
	tb.Cleanup(func() { end(binder) })
	s := &Server{tb: tb}
	s.start(exports)
	tb.Cleanup(func() {
		end(s.cmd)
		if log, err := os.ReadFile("/run/ganesha.log"); err == nil && tb.Failed() {
			tb.Logf("nfs-ganesha: %s", log[max(0, len(log)-2000):])
		}
	})
	return s
}

// Restart ends the server and starts it with other exports at the same ports.
// Handles stay valid.
func (s *Server) Restart(exports ...Export) {
	s.tb.Helper()
	end(s.cmd)
	s.start(exports)
}

// Signal sends a signal to the server: a stopped one takes connections and
// answers nothing.
func (s *Server) Signal(sig os.Signal) {
	s.tb.Helper()
	require.NoError(s.tb, s.cmd.Process.Signal(sig))
}

// StartStatd starts rpc.statd, without which the server gives no locks. It
// ends with the returned function, or with the test.
func StartStatd(tb testing.TB) (stop func()) {
	tb.Helper()
	for _, dir := range []string{"sm", "sm.bak"} {
		require.NoError(tb, os.MkdirAll("/var/lib/nfs/"+dir, 0o700))
	}
	cmd := exec.Command("rpc.statd", "-F", "--no-notify")
	require.NoError(tb, cmd.Start())
	stop = sync.OnceFunc(func() { end(cmd) })
	tb.Cleanup(stop)
	require.Eventually(tb, func() bool { return nfs.LocksReady(tb.Context()) }, time.Minute, 20*time.Millisecond)
	return stop
}

// Target is a directory of an export, with the ports it needs.
func (s *Server) Target(dir string) nfs.Target {
	return nfs.Target{Host: "127.0.0.1", Path: dir, Port: port, MountPort: mountPort}
}

func (s *Server) start(exports []Export) {
	s.tb.Helper()
	var conf bytes.Buffer
	fmt.Fprintf(&conf, `
NFS_CORE_PARAM {
	Protocols = 3; NFS_Port = %d; MNT_Port = %d; NLM_Port = %d;
	Enable_NLM = true; Enable_RQUOTA = false; Enable_UDP = false; mount_path_pseudo = false;
}
NFSv4 { Graceless = true; }
EXPORT_DEFAULTS { Attr_Expiration_Time = 0; } # the directory changes behind the server's back
`, port, mountPort, lockPort)
	for i, x := range exports {
		squash := "No_Root_Squash"
		if x.RootSquash {
			squash = "Root_Squash"
		}
		fmt.Fprintf(&conf, `EXPORT {
	Export_Id = %d; Path = %s; Pseudo = /export%d; Protocols = 3; Transports = TCP; SecType = sys;
	Access_Type = RW; Squash = %s; FSAL { Name = VFS; }
}
`, i+1, x.Dir, i+1, squash)
	}
	require.NoError(s.tb, os.WriteFile("/run/ganesha.conf", conf.Bytes(), 0o600))
	s.cmd = up(s.tb, []string{"ganesha.nfsd", "-F", "-N", "NIV_EVENT", "-L", "/run/ganesha.log", "-f", "/run/ganesha.conf", "-p", "/run/ganesha.pid"}, port, mountPort)
}

// up starts a program and waits until its ports of loopback take connections.
func up(tb testing.TB, args []string, ports ...int) *exec.Cmd {
	tb.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	require.NoError(tb, cmd.Start())
	for _, p := range ports {
		require.Eventually(tb, func() bool {
			c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p))
			if err == nil {
				c.Close()
			}
			return err == nil
		}, time.Minute, 20*time.Millisecond, args[0])
	}
	return cmd
}

// end kills a program that up started; nobody needs its last words.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}

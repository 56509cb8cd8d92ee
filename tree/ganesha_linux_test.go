package tree_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/tree/treetest"
)

// withGanesha is set in the environment of a benchmark that runs in namespaces.
const withGanesha = "BERTH_TREE_GANESHA"

// BenchmarkWireGanesha is BenchmarkWire against nfs-ganesha on a tmpfs, in
// namespaces of its own: all that runs there ends with it.
func BenchmarkWireGanesha(b *testing.B) {
	if os.Getenv(withGanesha) != "" {
		target := startGanesha(b)
		for _, latency := range []time.Duration{0, time.Millisecond} {
			b.Run(latency.String(), func(b *testing.B) {
				tap := &tap{}
				engines(b, target, tap.dial, func() int { return int(tap.calls.Load()) }, func() {
					tap.latency.Store(int64(latency))
					debug.FreeOSMemory()
					// The peak begins anew (proc_pid_clear_refs(5)): making the tree does not count.
					require.NoError(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0))
				})
				var used unix.Rusage
				require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &used))
				b.ReportMetric(float64(used.Maxrss)/1024, "MiB-peak")
				require.NoError(b, exec.Command("rm", "-rf", "/run/export/all", "/run/export/part").Run())
			})
		}
		return
	}
	needRoot(b)
	for _, program := range []string{"ganesha.nfsd", "rpcbind"} {
		if _, err := exec.LookPath(program); err != nil {
			treetest.Skip(b, program+" is not installed")
		}
	}
	if found, _ := filepath.Glob("/usr/lib/*/ganesha/libfsalvfs.so"); found == nil {
		treetest.Skip(b, "nfs-ganesha-vfs is not installed")
	}
	args := []string{"-test.run=^$", "-test.bench=^BenchmarkWireGanesha$", "-test.benchtime=1x"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	runtime.LockOSThread() // the child dies with the thread that started it
	defer runtime.UnlockOSThread()
	child := exec.Command(os.Args[0], args...)
	child.Env = append(os.Environ(), withGanesha+"=1")
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL,
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID}
	out, err := child.CombinedOutput()
	require.NoError(b, err, string(out))
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "files/s") {
			fmt.Print(line)
		}
	}
}

// startGanesha exports /run/export, on a tmpfs of these namespaces.
func startGanesha(b *testing.B) nfs.Target {
	require.NoError(b, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	require.NoError(b, unix.Mount("proc", "/proc", "proc", 0, ""))
	for _, dir := range []string{"/run", "/var/lib/nfs"} {
		require.NoError(b, unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"))
	}
	for _, dir := range []string{"/run/rpcbind", "/run/ganesha", "/run/export", "/var/lib/nfs/ganesha"} {
		require.NoError(b, os.MkdirAll(dir, 0o755))
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	require.NoError(b, err)
	defer unix.Close(s)
	lo, err := unix.NewIfreq("lo")
	require.NoError(b, err)
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	require.NoError(b, unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, lo))
	const port, mountPort = 20490, 20491 // the network is our own
	require.NoError(b, os.WriteFile("/run/g.conf", fmt.Appendf(nil, `
		NFS_CORE_PARAM { Protocols = 3; NFS_Port = %d; MNT_Port = %d; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; mount_path_pseudo = false; }
		NFSv4 { Graceless = true; }
		EXPORT { Export_Id = 1; Path = /run/export; Pseudo = /export; Protocols = 3; Transports = TCP; SecType = sys;
			Access_Type = RW; Squash = No_Root_Squash; FSAL { Name = VFS; } }`, port, mountPort), 0o600))
	up := func(args []string, ports ...int) {
		cmd := exec.Command(args[0], args[1:]...)
		require.NoError(b, cmd.Start())
		b.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
		for _, p := range ports {
			require.Eventually(b, func() bool {
				c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", p))
				if err == nil {
					c.Close()
				}
				return err == nil
			}, time.Minute, 20*time.Millisecond, args[0])
		}
	}
	up([]string{"rpcbind", "-f"}, 111)
	up([]string{"ganesha.nfsd", "-F", "-L", "/run/g.log", "-f", "/run/g.conf", "-p", "/run/g.pid"}, port, mountPort)
	return nfs.Target{Host: "127.0.0.1", Path: "/run/export", Port: port, MountPort: mountPort}
}

// tap counts the calls that go over its connections, and delays their answers.
type tap struct {
	calls   atomic.Int64
	latency atomic.Int64 // nanoseconds
}

func (t *tap) dial(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &tapped{Conn: nc, tap: t, late: make(chan late, 4096)}
	go c.fill()
	return c, nil
}

// tapped is a connection of a tap.
type tapped struct {
	net.Conn
	tap  *tap
	skip int    // bytes of the current record that are still to come
	head []byte // of the next record's mark
	late chan late
	rest []byte
}

// late is what was read, and when it is to be handed out.
type late struct {
	data []byte
	due  time.Time
	err  error
}

// Write counts records (RFC 5531 §11).
func (c *tapped) Write(p []byte) (int, error) {
	for b := p; len(b) > 0; {
		if c.skip > 0 {
			n := min(c.skip, len(b))
			b, c.skip = b[n:], c.skip-n
			continue
		}
		n := min(4-len(c.head), len(b))
		if c.head, b = append(c.head, b[:n]...), b[n:]; len(c.head) == 4 {
			mark := binary.BigEndian.Uint32(c.head)
			if mark&(1<<31) != 0 {
				c.tap.calls.Add(1)
			}
			c.skip, c.head = int(mark&^(1<<31)), nil
		}
	}
	return c.Conn.Write(p)
}

// fill reads until the connection ends.
func (c *tapped) fill() {
	buf := make([]byte, 256<<10)
	for {
		n, err := c.Conn.Read(buf)
		c.late <- late{bytes.Clone(buf[:n]), time.Now().Add(time.Duration(c.tap.latency.Load())), err}
		if err != nil {
			close(c.late)
			return
		}
	}
}

// Read hands out what is due.
func (c *tapped) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		l, ok := <-c.late
		if !ok {
			return 0, net.ErrClosed
		}
		time.Sleep(time.Until(l.due))
		if c.rest = l.data; l.err != nil && len(c.rest) == 0 {
			return 0, l.err
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

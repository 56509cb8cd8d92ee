package uml

import (
	"fmt"
	"io"
	"net/rpc"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/tamper"
)

// stageVar tells the test binary, started again, what to be.
const stageVar = "BERTH_UML"

// Main runs the tests of a package that uses hosts, and removes what they had
// on the machine. It is also where hosts and their namespaces begin.
func Main(m *testing.M) {
	var err error
	switch stage := os.Getenv(stageVar); stage {
	case "":
		lab.Main(m)
	case "room":
		err = runRoom()
	case "init":
		err = runInit()
	case "agent":
		err = runAgent()
	case "tamper": // on a host, for a test
		err = tamper.Command(os.Args[1:], os.Stdout)
	default:
		err = fmt.Errorf("unknown stage %q", stage)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "uml:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// systemEnv is the environment of all that runs in the room or on a host.
func systemEnv() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LC_ALL=C"}
}

// runRoom is the first process of the namespaces in which hosts and server
// are: it makes a place to live in and then does what the test asks for, until
// its input ends.
func runRoom() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	// User Mode Linux keeps a host's memory in a file of /dev/shm.
	for _, dir := range []string{"/run", "/var/lib/nfs", "/dev/shm"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount %s: %w", dir, err)
		}
	}
	for _, dir := range []string{"/run/rpcbind", "/run/ganesha", exportPath, "/var/lib/nfs/ganesha", "/var/lib/nfs/sm", "/var/lib/nfs/sm.bak"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	agent := newAgent()
	if err := agent.ip("link set lo up", "link add br0 type bridge", "addr add "+serverAddress+"/24 dev br0", "link set br0 up"); err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.Register(agent); err != nil {
		return err
	}
	server.ServeConn(stdio{os.Stdin, os.Stdout})
	return nil // the kernel ends everything else in here
}

// stdio is the connection between the test and the room.
type stdio struct {
	io.ReadCloser
	io.WriteCloser
}

func (s stdio) Close() error {
	_ = s.ReadCloser.Close()
	return s.WriteCloser.Close()
}

// ip runs ip(8), one line per command.
func (a *Agent) ip(lines ...string) error {
	var r Result
	err := a.Run(Command{Args: []string{"ip", "-batch", "-"}, Stdin: strings.Join(lines, "\n") + "\n"}, &r)
	if err == nil {
		err = r.error(lines)
	}
	return err
}

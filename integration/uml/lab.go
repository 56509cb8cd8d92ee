package uml

import (
	"fmt"
	"io"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/integration/lab"
)

// A Lab is a server and hosts in namespaces of their own.
type Lab struct {
	Hosts  []*Host
	Server *Server

	dir    string
	plugin string // folder of the managed plugin
	filer  string // address of the name "filer" on the hosts; "" for none
	room   *exec.Cmd
	agent  *rpc.Client
}

var labs atomic.Int64

// Start starts a lab that ends with the test process; see New.
func Start(t testing.TB, hosts int) (*Lab, error) { return start(t, hosts, "") }

// start is Start; filer is the address of the name "filer" on the hosts.
func start(t testing.TB, hosts int, filer string) (*Lab, error) {
	// Its directory is in the run of package lab, which removes it.
	plugin := lab.PluginFolder(t)
	dir := filepath.Join(filepath.Dir(filepath.Dir(plugin)), fmt.Sprintf("uml%d", labs.Add(1)))
	l := &Lab{dir: dir, plugin: plugin, filer: filer}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := buildImage(dir); err != nil {
		return nil, err
	}
	if err := buildPreload(dir); err != nil {
		return nil, err
	}
	if err := l.startRoom(); err != nil {
		return nil, err
	}
	l.Server = &Server{lab: l, address: serverAddress}
	if filer != "" {
		l.Server.address = filer
		if err := l.ip("addr add "+filer+"/24 dev br0", "addr add "+apiAddress+"/24 dev br0"); err != nil {
			l.Close()
			return nil, err
		}
	}
	var all errgroup.Group
	all.Go(l.Server.startServices)
	for i := range hosts {
		h, err := l.newHost(i + 1)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.Hosts = append(l.Hosts, h)
		all.Go(func() error {
			if err := h.Start(); err != nil {
				return err
			}
			_, err := h.TryDocker("import", "--change", `ENTRYPOINT ["/testsite"]`, dir+"/image.tar", lab.SiteImage)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// New starts a lab that ends with the test, and skips the test where the
// machine cannot run one.
func New(t testing.TB, hosts int) *Lab {
	t.Helper()
	Require(t)
	l, err := Start(t, hosts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			l.Log(t)
		}
		l.Close()
	})
	return l
}

// Close ends everything in the lab at once.
func (l *Lab) Close() {
	_ = l.room.Process.Kill()
	_ = l.room.Wait()
	_ = os.RemoveAll(l.dir)
}

// startRoom makes the namespaces for hosts and server.
func (l *Lab) startRoom() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.Create(l.dir + "/room.log")
	if err != nil {
		return err
	}
	defer log.Close()
	l.room = exec.Command(self)
	l.room.Args = []string{"berth-uml-room"}
	l.room.Env = append(systemEnv(), stageVar+"=room")
	l.room.Stderr = log
	l.room.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC,
	}
	input, err := l.room.StdinPipe()
	if err != nil {
		return err
	}
	output, err := l.room.StdoutPipe()
	if err != nil {
		return err
	}
	if err := l.room.Start(); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	l.agent = rpc.NewClient(struct {
		io.Reader
		io.WriteCloser
	}{output, input})
	if err := l.agent.Call("Agent.Run", Command{Args: []string{"true"}}, new(Result)); err != nil {
		text, _ := os.ReadFile(l.dir + "/room.log")
		l.Close()
		return fmt.Errorf("make namespaces: %w: %s", err, text)
	}
	return nil
}

func (l *Lab) start(c Command) (pid int, err error) {
	if err = l.agent.Call("Agent.Start", c, &pid); err != nil {
		err = fmt.Errorf("start %s: %w", c.Args[0], err)
	}
	return pid, err
}

func (l *Lab) signal(pid int, s syscall.Signal, wait bool) error {
	return l.agent.Call("Agent.Send", Signal{PID: pid, Signal: s, Wait: wait}, new(struct{}))
}

// ip runs ip(8) where the bridge is.
func (l *Lab) ip(lines ...string) error {
	var r Result
	c := Command{Args: []string{"ip", "-batch", "-"}}
	for _, line := range lines {
		c.Stdin += line + "\n"
	}
	if err := l.agent.Call("Agent.Run", c, &r); err != nil {
		return err
	}
	return r.error(lines)
}

// dial connects to an address in the lab's network.
func (l *Lab) dial(address string) (net.Conn, error) {
	var c net.Conn
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Never unlocked: the thread, which is in the wrong network from here
		// on, ends with the goroutine.
		runtime.LockOSThread()
		var ns *os.File
		if ns, err = os.Open(fmt.Sprintf("/proc/%d/ns/net", l.room.Process.Pid)); err != nil {
			return
		}
		defer ns.Close()
		if err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err == nil {
			c, err = net.DialTimeout("tcp", address, 2*time.Second)
		}
	}()
	<-done
	return c, err
}

// Log shows what the hosts and the server said last.
func (l *Lab) Log(t testing.TB) {
	for _, h := range l.Hosts {
		t.Logf("console of %s:\n%s", h.Name, h.console())
		if out, err := h.TryRun("tail", "-n", "15", "/run/dockerd.log"); err == nil {
			t.Logf("end of dockerd's log on %s:\n%s", h.Name, out)
		}
	}
	for _, name := range []string{"ganesha.log", "ganesha.out", "rpcbind.log", "statd.log"} {
		text, _ := os.ReadFile(filepath.Join(l.dir, name))
		t.Logf("end of %s:\n%s", name, text[max(0, len(text)-2000):])
	}
}

// eventually waits until check returns nil.
func eventually(what string, check func() error) error {
	deadline := time.Now().Add(lab.Patience)
	for {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s for %s: %w", lab.Patience, what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

package netns

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/casit/berth/integration/lab"
)

// Need skips the test without root, or without one of the programs.
func Need(t testing.TB, programs ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		lab.Skip(t, "network namespaces need root")
	}
	for _, p := range append([]string{"ip", "nsenter", "bash"}, programs...) {
		if _, err := exec.LookPath(p); err != nil {
			lab.Skip(t, "%s is not installed", p)
		}
	}
}

// A Net is a bridge and the hosts on it.
type Net struct {
	prefix netip.Prefix
	bridge *Host
	hosts  map[string]*Host
}

// A Host is what the network takes for a machine. Its methods may be called
// concurrently.
type Host struct {
	Name    string
	Address string // without the prefix's length

	net   *Net
	init  *exec.Cmd
	stdin io.Closer // the first process ends when this is closed
	cable string    // the end at the bridge
}

// New makes hosts with the first addresses of the prefix, in this order.
func New(t testing.TB, prefix string, names ...string) *Net {
	t.Helper()
	Need(t)
	n := &Net{prefix: netip.MustParsePrefix(prefix), hosts: map[string]*Host{}}
	n.bridge = n.boot(t, "bridge")
	n.bridge.Run(t, "ip", "link", "add", "br0", "type", "bridge")
	n.bridge.Run(t, "ip", "link", "set", "br0", "up")
	address := n.prefix.Masked().Addr()
	for i, name := range names {
		address = address.Next()
		h := n.boot(t, name)
		h.Address, h.cable = address.String(), fmt.Sprintf("port%d", i+1)
		// Not as Run does it: the host's pid means something outside only.
		lay := exec.Command("nsenter", "-t", fmt.Sprint(n.bridge.init.Process.Pid), "-n",
			"ip", "link", "add", h.cable, "type", "veth", "peer", "name", "eth0", "netns", fmt.Sprint(h.init.Process.Pid))
		if out, err := lay.CombinedOutput(); err != nil {
			t.Fatalf("cable %s: %v: %s", name, err, out)
		}
		n.bridge.Run(t, "ip", "link", "set", h.cable, "master", "br0", "up")
		h.Run(t, "ip", "link", "set", "eth0", "up")
		h.AddAddress(t, fmt.Sprintf("%s/%d", h.Address, n.prefix.Bits()))
		n.hosts[name] = h
	}
	return n
}

// Host is the host of that name.
func (n *Net) Host(name string) *Host {
	h, ok := n.hosts[name]
	if !ok {
		panic("no host " + name)
	}
	return h
}

// boot starts a host's first process, which is bash because that collects
// what other processes leave behind.
func (n *Net) boot(t testing.TB, name string) *Host {
	t.Helper()
	const script = `mount --make-rprivate / && mount -t proc proc /proc && mount -t tmpfs tmpfs /run &&
		mount -t sysfs sysfs /sys && hostname "$0" && ip link set lo up && echo ready && while read -r; do :; done`
	h := &Host{Name: name, net: n, init: exec.Command("bash", "-c", script, name)}
	h.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC,
	}
	stderr := new(strings.Builder)
	h.init.Stderr = stderr
	stdin, err := h.init.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := h.init.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.init.Start(); err != nil {
		t.Fatalf("boot %s: %v", name, err)
	}
	h.stdin = stdin
	t.Cleanup(func() {
		stdin.Close()
		_ = h.init.Process.Kill()
		_ = h.init.Wait()
	})
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		_ = h.init.Process.Kill()
		_ = h.init.Wait()
		t.Fatalf("boot %s: %q, %v: %s", name, line, err, stderr)
	}
	return h
}

// Command is a program of the machine that will run inside the host.
func (h *Host) Command(ctx context.Context, args ...string) *exec.Cmd {
	enter := []string{"-t", fmt.Sprint(h.init.Process.Pid), "-n", "-m", "-p", "-u", "-i", "--"}
	cmd := exec.CommandContext(ctx, "nsenter", append(enter, args...)...)
	// nsenter waits for what it forked into the namespace of processes: with
	// the group both end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// patience is how long a program that is run to its end may take.
const patience = 2 * time.Minute

// Try runs a program and returns what it printed, without the last newline.
// The error holds what it printed on its error output.
func (h *Host) Try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := h.Command(ctx, args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%s: %s: %w: %s", h.Name, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSuffix(stdout.String(), "\n"), err
}

// Run is Try where a failure fails the test.
func (h *Host) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := h.Try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// AddAddress gives the host another address, as ADDRESS/BITS.
func (h *Host) AddAddress(t testing.TB, address string) {
	t.Helper()
	h.Run(t, "ip", "addr", "add", address, "dev", "eth0")
}

// Cut pulls the host's cable; everything on the host goes on.
func (h *Host) Cut() error { return h.plug("down") }

// Heal plugs it in again.
func (h *Host) Heal() error { return h.plug("up") }

func (h *Host) plug(state string) error {
	_, err := h.net.bridge.Try("ip", "link", "set", h.cable, state)
	return err
}

// A Process is a program that runs in the foreground inside a host.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	log  output
}

// output collects what a process prints, while others read it.
type output struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// Start runs a program until the test ends, or it is killed.
func (h *Host) Start(t testing.TB, args ...string) *Process {
	t.Helper()
	p := &Process{cmd: h.Command(context.Background(), args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("%s: start %s: %v", h.Name, args[0], err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("%s: %s printed:\n%s", h.Name, strings.Join(args, " "), p.Log())
		}
	})
	return p
}

// Signal sends a signal to the program, not to what it has forked.
func (p *Process) Signal(sig syscall.Signal) error { return syscall.Kill(p.Pid(), sig) }

// Kill ends the program and what it has forked into its process group, and
// waits for the program's end.
func (p *Process) Kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// Done is closed when the program has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Log is what the program has printed so far.
func (p *Process) Log() string {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return p.log.text.String()
}

// Pid is the program's, as the machine sees it: nsenter's child, or nsenter
// itself before it has forked.
func (p *Process) Pid() int {
	parent := p.cmd.Process.Pid
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", parent, parent))
	var child int
	if _, scan := fmt.Sscan(string(children), &child); err != nil || scan != nil {
		return parent
	}
	return child
}

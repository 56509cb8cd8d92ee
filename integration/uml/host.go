package uml

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/casit/berth/integration/lab"
)

// Ports of a host.
const (
	agentPort  = ":2222"
	dockerPort = ":2375"
)

// diskSize is the size of a host's disk; a file that is mostly hole.
const diskSize = 4 << 30

// A Host is one machine with a kernel of its own.
type Host struct {
	Name    string // host name: n1, n2, …
	Address string

	lab   *Lab
	dir   string
	boots int
	tap   string
	pid   int // of linux.uml, as the room numbers processes; 0: the power is off
	agent *rpc.Client
	cuts  map[Side][]string // rules of the host's packet filter; see Cut
}

func (l *Lab) newHost(number int) (*Host, error) {
	name := fmt.Sprintf("n%d", number)
	h := &Host{Name: name, Address: fmt.Sprintf("10.99.0.%d", 10+number), lab: l, dir: filepath.Join(l.dir, name)}
	if err := os.MkdirAll(h.dir, 0o755); err != nil {
		return nil, err
	}
	disk, err := os.Create(h.disk())
	if err != nil {
		return nil, err
	}
	defer disk.Close()
	if err := disk.Truncate(diskSize); err != nil {
		return nil, err
	}
	out, err := exec.Command("mkfs.ext4", "-q", "-F", "-J", "size=8", "-E", "lazy_itable_init=1,lazy_journal_init=1", h.disk()).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("make a disk: %w: %s", err, out)
	}
	return h, err
}

func (h *Host) disk() string { return h.dir + "/disk" }

// Start switches the host on and waits until its engine answers.
func (h *Host) Start() error {
	if h.pid != 0 {
		return fmt.Errorf("%s is on already", h.Name)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	// A new tap at every boot: the old one may take a moment to be free.
	h.boots++
	h.tap = fmt.Sprintf("n%s.%d", strings.TrimPrefix(h.Name, "n"), h.boots)
	if err := h.lab.ip("tuntap add dev "+h.tap+" mode tap", "link set "+h.tap+" master br0 up"); err != nil {
		return err
	}
	h.pid, err = h.lab.start(Command{Log: h.dir + "/console.log", PIDNamespace: true, Args: []string{
		"unshare", "--mount-proc", "--", "env", "LD_PRELOAD=" + h.lab.dir + "/ptrace.so",
		"linux.uml", "mem=1024M", "rootfstype=hostfs", "ro", "panic=-1", "quiet", "nohz=off", "highres=off",
		"ubd0=" + h.disk(), "con=null", "con0=null,fd:1", "uml_dir=" + h.dir, "umid=" + h.tap,
		"vec0:transport=tap,ifname=" + h.tap + ",depth=128,gro=1",
		"init=" + self, stageVar + "=init", selfVar + "=" + self, nameVar + "=" + h.Name, addressVar + "=" + h.Address,
		filerVar + "=" + h.lab.filer,
	}})
	if err != nil {
		return err
	}
	err = eventually("the agent of "+h.Name, func() error {
		c, err := h.lab.dial(h.Address + agentPort)
		if err == nil {
			h.agent = rpc.NewClient(c)
		}
		return err
	})
	if err == nil {
		err = eventually("the engine of "+h.Name, h.ping)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, h.console())
	}
	return nil
}

// PowerOff is a power failure: everything on the host is gone at once.
func (h *Host) PowerOff() error {
	if h.pid == 0 {
		return nil
	}
	if h.agent != nil {
		_ = h.agent.Close()
	}
	err := h.lab.signal(h.pid, syscall.SIGKILL, true)
	h.pid, h.agent, h.cuts = 0, nil, nil
	if err == nil {
		err = h.lab.ip("link del " + h.tap)
	}
	return err
}

func (h *Host) ping() error {
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return h.lab.dial(h.Address + dockerPort)
		},
	}}
	answer, err := client.Get("http://engine/_ping")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("the engine answers %s", answer.Status)
	}
	return nil
}

// TryRun runs a program on the host and returns what it printed.
func (h *Host) TryRun(args ...string) (string, error) {
	if h.agent == nil {
		return "", fmt.Errorf("%s is off", h.Name)
	}
	var r Result
	if err := h.agent.Call("Agent.Run", Command{Args: args}, &r); err != nil {
		return "", fmt.Errorf("%s: %v: %w", h.Name, args, err)
	}
	return r.Stdout, r.error(args)
}

// Run is TryRun where a failure fails the test.
func (h *Host) Run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := h.TryRun(args...)
	if err != nil {
		t.Fatalf("%s: %v", h.Name, err)
	}
	return out
}

// TryDocker runs the docker command line against the host's engine; on the
// machine, where it is ten times faster.
func (h *Host) TryDocker(args ...string) (string, error) {
	cmd := exec.Command("nsenter", append([]string{"-t", fmt.Sprint(h.lab.room.Process.Pid), "-n", "--", "docker"}, args...)...)
	cmd.Env = append(systemEnv(), "DOCKER_HOST=tcp://"+h.Address+dockerPort, "DOCKER_CONFIG="+h.lab.dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSuffix(string(out), "\n"), err
}

// Docker is TryDocker where a failure fails the test.
func (h *Host) Docker(t testing.TB, args ...string) string {
	t.Helper()
	out, err := h.TryDocker(args...)
	if err != nil {
		t.Fatalf("%s: %v", h.Name, err)
	}
	return out
}

// TryBerth runs the berth command line on the host.
func (h *Host) TryBerth(args ...string) (string, error) {
	return h.TryRun(append([]string{h.lab.plugin + "/rootfs/berth"}, args...)...)
}

// Berth is TryBerth where a failure fails the test.
func (h *Host) Berth(t testing.TB, args ...string) string {
	t.Helper()
	out, err := h.TryBerth(args...)
	if err != nil {
		t.Fatalf("%s: %v", h.Name, err)
	}
	return out
}

// InstallPlugin makes the managed plugin on the host, with settings as for
// docker plugin set, and enables it.
func (h *Host) InstallPlugin(settings ...string) error {
	for _, args := range [][]string{
		{"plugin", "create", lab.Plugin, h.lab.plugin},
		append([]string{"plugin", "set", lab.Plugin}, settings...),
		{"plugin", "enable", lab.Plugin},
	} {
		if _, err := h.TryDocker(args...); err != nil {
			return err
		}
	}
	return nil
}

// console is the end of what the host's kernel and first processes printed.
func (h *Host) console() string {
	text, _ := os.ReadFile(h.dir + "/console.log")
	return string(text[max(0, len(text)-4000):])
}

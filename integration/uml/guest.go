package uml

import (
	"fmt"
	"net"
	"net/rpc"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What the test tells a host on its kernel's command line, which becomes the
// environment of its first process.
const (
	selfVar    = "BERTH_UML_SELF"
	nameVar    = "BERTH_UML_NAME"
	addressVar = "BERTH_UML_ADDRESS"
	filerVar   = "BERTH_UML_FILER" // address of the name "filer"; empty: there is none
)

// runInit is a host's first process: it builds the root, starts the agent and
// waits for orphans. Every step is a system call, as a program takes 25 ms to
// start here.
func runInit() error {
	if err := buildRoot(); err != nil {
		return err
	}
	self := os.Getenv(selfVar)
	_, err := os.StartProcess(self, []string{"agent"}, &os.ProcAttr{
		Env: append(systemEnv(), stageVar+"=agent", nameVar+"="+os.Getenv(nameVar), addressVar+"="+os.Getenv(addressVar)),
		// Linux gives a first process without a console no files.
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
	})
	if err != nil {
		return err
	}
	for {
		if _, err := unix.Wait4(-1, nil, 0, nil); err == unix.ECHILD {
			return fmt.Errorf("the agent has ended")
		}
	}
}

// A mounting is one call of mount(2).
type mounting struct {
	source, target, kind string
	flags                uintptr
	data                 string
}

func mountAll(list ...mounting) error {
	for _, m := range list {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}

// buildRoot lays the host's disk over the machine's root and moves there.
func buildRoot() error {
	if err := mountAll(mounting{"proc", "/proc", "proc", 0, ""}); err != nil {
		return err
	}
	if err := insert("overlay"); err != nil {
		return err
	}
	if err := mountAll(mounting{"tmpfs", "/mnt", "tmpfs", 0, ""}, mounting{"/dev/ubda", "/mnt/disk", "ext4", unix.MS_NOATIME, ""}); err != nil {
		return err
	}
	for _, dir := range []string{"upper", "work", "docker"} {
		if err := os.MkdirAll("/mnt/disk/"+dir, 0o755); err != nil {
			return err
		}
	}
	if err := mountAll(
		mounting{"none", "/mnt/machine", "hostfs", unix.MS_RDONLY, "/"},
		mounting{"overlay", "/mnt/root", "overlay", 0, "lowerdir=/mnt/machine,upperdir=/mnt/disk/upper,workdir=/mnt/disk/work"},
		mounting{"/dev", "/mnt/root/dev", "", unix.MS_MOVE, ""},
		mounting{"/proc", "/mnt/root/proc", "", unix.MS_MOVE, ""},
		mounting{"/mnt/disk/docker", "/mnt/root/var/lib/docker", "", unix.MS_BIND, ""},
	); err != nil {
		return err
	}
	if err := os.Chdir("/mnt/root"); err != nil {
		return err
	}
	if err := os.MkdirAll("old", 0o755); err != nil {
		return err
	}
	if err := unix.PivotRoot(".", "old"); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Unmount("/old", unix.MNT_DETACH); err != nil {
		return err
	}
	if err := mountAll(
		mounting{"sysfs", "/sys", "sysfs", 0, ""},
		mounting{"devpts", "/dev/pts", "devpts", 0, ""},
		mounting{"tmpfs", "/dev/shm", "tmpfs", 0, ""},
		mounting{"mqueue", "/dev/mqueue", "mqueue", 0, ""},
		mounting{"tmpfs", "/run", "tmpfs", 0, "mode=755"},
		mounting{"cgroup2", "/sys/fs/cgroup", "cgroup2", 0, ""},
		mounting{"", "/", "", unix.MS_REC | unix.MS_SHARED, ""},
	); err != nil {
		return err
	}
	return furnish()
}

// furnish writes the files that a host has of its own.
func furnish() error {
	name := os.Getenv(nameVar)
	if err := unix.Sethostname([]byte(name)); err != nil {
		return err
	}
	for _, dir := range []string{"/run/rpcbind", "/etc/berth", "/srv/berth", "/etc/docker", "/lib/modules", "/mnt/export"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	_ = os.Symlink("/proc/self/fd", "/dev/fd")
	for _, program := range []string{"iptables", "iptables-restore"} { // a swarm's ingress; nftables are not in this kernel
		_ = os.Symlink("/usr/sbin/"+strings.Replace(program, "iptables", "iptables-legacy", 1), "/usr/local/sbin/"+program)
	}
	modules, err := modules()
	if err != nil {
		return err
	}
	_ = os.Symlink(modules, "/lib/modules/"+filepath.Base(modules)) // there from an earlier boot
	files := map[string]string{
		// No name server and no default route: a lookup fails at once.
		"/etc/resolv.conf":        "",
		"/etc/hostname":           name + "\n",
		"/etc/hosts":              hostsFile(name, os.Getenv(filerVar)),
		"/etc/docker/daemon.json": "{}",
	}
	for path, text := range files {
		// The overlay cannot replace a file that is a link to somewhere else.
		_ = os.Remove(path)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// hostsFile is a host's /etc/hosts.
func hostsFile(name, filer string) string {
	// A swarm's tasks ask the registry for their image first; here it refuses
	// at once.
	text := "127.0.0.1 localhost registry-1.docker.io " + name + "\n"
	if filer != "" {
		text += filer + " " + filerName + "\n"
	}
	return text
}

// modules is the directory of the running kernel's modules.
func modules() (string, error) {
	var u unix.Utsname
	err := unix.Uname(&u)
	return "/usr/lib/uml/modules/" + unix.ByteSliceToString(u.Release[:]), err
}

// insert loads a module and what it needs, without modprobe.
func insert(name string) error {
	dir, err := modules()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(dir + "/modules.dep")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		file, needs, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.ReplaceAll(filepath.Base(file), "-", "_") != name+".ko" {
			continue
		}
		files := append([]string{file}, strings.Fields(needs)...)
		for i := len(files) - 1; i >= 0; i-- {
			if err := insertFile(filepath.Join(dir, files[i])); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("no module %s in %s", name, dir)
}

func insertFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return fmt.Errorf("insert %s: %w", path, err)
	}
	return nil
}

// runAgent is a host's second process: it brings the network and the services
// up and then does what the test asks for.
func runAgent() error {
	agent := newAgent()
	err := agent.ip("link set lo up", "addr add "+os.Getenv(addressVar)+"/24 dev vec0", "link set vec0 up")
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", agentPort)
	if err != nil {
		return err
	}
	services := []Command{
		{Args: []string{"rpcbind", "-f"}, Log: "/run/rpcbind.log"},
		{Args: []string{"dockerd", "--host", "unix:///run/docker.sock", "--host", "tcp://0.0.0.0" + dockerPort, "--tls=false",
			// No test needs a container's network, and its rules take seconds here.
			"--bridge", "none", "--iptables=false", "--ip-masq=false", "--storage-driver", "overlay2"}, Log: "/run/dockerd.log"},
	}
	for _, s := range services {
		if err := agent.Start(s, new(int)); err != nil {
			return err
		}
	}
	if err := insert("nfsv3"); err != nil {
		return err
	}
	go startStatd(agent)
	if err := rpc.Register(agent); err != nil {
		return err
	}
	rpc.Accept(listener)
	return nil
}

// startStatd starts the service that NFSv3 locks need, once it can register.
func startStatd(agent *Agent) {
	for {
		c, err := net.Dial("tcp", "127.0.0.1:111")
		if err == nil {
			c.Close()
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := agent.Start(Command{Args: []string{"rpc.statd", "--foreground", "--no-notify"}, Log: "/run/statd.log"}, new(int)); err != nil {
		fmt.Fprintln(os.Stderr, "rpc.statd:", err)
		_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	}
}

package nfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// KernelMount are the arguments of mount(2) for a mount of a target with the
// kernel's client. Kernel makes it, Attach mounts it. Kernel uses the network
// only to ask the resolver and the server's rpcbind.
type KernelMount struct {
	Source string // host:/path, as mountinfo shows it
	Data   string // the options, comma-separated
	// Flags are those options that are mount flags: nosuid and nodev, unless the options
	// say suid or dev. What containers make on a server has to be harmless to the host.
	Flags uintptr
}

// mountFlags are options that the kernel takes as flags, not as text (mount(8)).
var mountFlags = map[string]struct {
	flag  uintptr
	clear bool
}{
	"rw": {unix.MS_RDONLY, true}, "ro": {unix.MS_RDONLY, false},
	"suid": {unix.MS_NOSUID, true}, "nosuid": {unix.MS_NOSUID, false},
	"dev": {unix.MS_NODEV, true}, "nodev": {unix.MS_NODEV, false},
	"exec": {unix.MS_NOEXEC, true}, "noexec": {unix.MS_NOEXEC, false},
	"atime": {unix.MS_NOATIME, true}, "noatime": {unix.MS_NOATIME, false},
	"diratime": {unix.MS_NODIRATIME, true}, "nodiratime": {unix.MS_NODIRATIME, false},
	"relatime": {unix.MS_RELATIME, false}, "norelatime": {unix.MS_RELATIME, true},
	"sync": {unix.MS_SYNCHRONOUS, false}, "async": {unix.MS_SYNCHRONOUS, true},
}

// ours are options that the target's URL decides.
var ours = []string{"addr", "mountaddr", "clientaddr", "port", "mountport", "mountproto", "mounthost"}

// CheckMountOptions refuses options that would have no effect here, or another
// one.
func CheckMountOptions(options string) error {
	for _, o := range splitOptions(options) {
		key, value, _ := strings.Cut(strings.TrimSpace(o), "=")
		switch {
		case slices.Contains(ours, key):
			return fmt.Errorf("mount option %q: the export's URL decides this option", o)
		case (key == "vers" || key == "nfsvers") && value != "3", o == "v4", strings.HasPrefix(o, "v4."):
			return fmt.Errorf("mount option %q: only vers=3 is mounted", o)
		case key == "proto" && value != "tcp" && value != "tcp6", o == "udp":
			return fmt.Errorf("mount option %q: only proto=tcp is mounted", o)
		case key == "soft" || key == "softerr":
			return fmt.Errorf("mount option %q: a soft mount loses writes when the server is away for a moment; leave hard", o)
		case key == "bg" || key == "fg" || key == "retry" || key == "_netdev" || key == "auto" || key == "noauto":
			return fmt.Errorf("mount option %q is for mount.nfs, which is not used", o)
		}
	}
	return nil
}

// HasOption tells whether a list of mount options has this one.
func HasOption(options, option string) bool {
	return slices.Contains(splitOptions(options), option)
}

func splitOptions(options string) []string {
	return slices.DeleteFunc(strings.Split(options, ","), func(o string) bool { return strings.TrimSpace(o) == "" })
}

// Kernel prepares a kernel mount of t with the given options; nolock adds that
// one. The kernel needs an address and the server's ports: mount.nfs, which
// would ask rpcbind, is not used.
func (t Target) Kernel(ctx context.Context, options string, nolock bool) (*KernelMount, error) {
	if err := CheckMountOptions(options); err != nil {
		return nil, err
	}
	addr, err := resolve(ctx, t.Host)
	if err != nil {
		return nil, err
	}
	m := &KernelMount{Source: t.Host + ":" + t.Path, Flags: unix.MS_NOSUID | unix.MS_NODEV}
	if strings.Contains(t.Host, ":") {
		m.Source = "[" + t.Host + "]:" + t.Path
	}
	var text []string
	for _, o := range splitOptions(options) {
		o = strings.TrimSpace(o)
		f, isFlag := mountFlags[o]
		switch {
		case isFlag && f.clear:
			m.Flags &^= f.flag
		case isFlag:
			m.Flags |= f.flag
		case nolock && o == "lock":
		default:
			text = append(text, o)
		}
	}
	if nolock && !slices.Contains(text, "nolock") {
		text = append(text, "nolock")
	}
	proto := "tcp"
	if addr.Is6() {
		proto = "tcp6"
		for i, o := range text {
			if o == "proto=tcp" {
				text[i] = "proto=tcp6"
			}
		}
	}
	text = append(text, "mountproto="+proto)
	if t.Port != 0 {
		text = append(text, "port="+strconv.Itoa(t.Port))
	}
	if t.MountPort != 0 {
		text = append(text, "mountport="+strconv.Itoa(t.MountPort))
	}
	text = append(text, "mountaddr="+addr.String(), "addr="+addr.String())
	m.Data = strings.Join(text, ",")
	return m, nil
}

func resolve(ctx context.Context, host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap(), nil
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("resolve %s: %w", host, err)
	}
	// IPv4 first: exports' rules are written for it more often.
	slices.SortStableFunc(addrs, func(a, b netip.Addr) int {
		return boolToInt(a.Unmap().Is6()) - boolToInt(b.Unmap().Is6())
	})
	return addrs[0].Unmap(), nil
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Attach mounts on the directory target with mount(2). It cannot be
// interrupted, and waits as long as the server does not answer: call it in a
// goroutine of its own.
func (m *KernelMount) Attach(target string) error {
	err := unix.Mount(m.Source, target, "nfs", m.Flags, m.Data)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return fmt.Errorf("mount %s: %w: this kernel has no NFS client; type 'modprobe nfs'", m.Source, err)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("mount %s: %w: the kernel refuses the options %q", m.Source, err, m.Data)
	}
	return fmt.Errorf("mount %s: %w", m.Source, err)
}

// rpc.statd's program and its version (RPC program registry).
const (
	progStatd = 100024
	versStatd = 1
)

// LocksReady tells whether NFSv3 locks can work on this host: the kernel asks
// rpc.statd for every lock, and without it every lock is refused.
func LocksReady(ctx context.Context) bool {
	return LocksMissing(ctx) == nil
}

// LocksMissing says why NFSv3 locks cannot work on this host, nil if they can:
// rpcbind does not answer, or rpc.statd is not registered with it or is dead.
func LocksMissing(ctx context.Context) error {
	const host = "127.0.0.1"
	d, cfg := &dialer{}, transportConfig{prog: progStatd, vers: versStatd, replyTimeout: defaultReplyTimeout}
	port, err := getPort(ctx, d, host, progStatd, versStatd, cfg)
	switch {
	case errors.Is(err, errNotRegistered):
		return errors.New("rpc.statd is not registered with this host's rpcbind")
	case err != nil:
		return fmt.Errorf("ask this host's rpcbind: %w", err)
	}
	cfg.dial = func(ctx context.Context, _ int) (net.Conn, error) { return d.dial(ctx, -1, hostPort(host, port)) }
	if err := oneCall(ctx, cfg, procNull, nil, func(*decoder) {}); err != nil {
		return fmt.Errorf("rpc.statd is registered with this host's rpcbind and does not answer: %w", err)
	}
	return nil
}

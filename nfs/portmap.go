package nfs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// Program numbers and versions (RFC 1813, RFC 1833).
const (
	progPortmap = 100000
	progNFS     = 100003
	progMount   = 100005

	versPortmap = 2 // GETPORT: IPv4
	versRPCBind = 4 // GETADDR: IPv6
	version3    = 3 // of NFS and of MOUNT

	portPortmap = 111
	portNFS     = 2049

	procGetPort = 3 // RFC 1833 §3.2
	procGetAddr = 3 // RFC 1833 §2.2.1

	protoTCP = 6
)

// errNotRegistered is rpcbind's way to say no.
var errNotRegistered = errors.New("not registered with the server's rpcbind")

// oneCall makes one call over a connection of its own.
func oneCall(ctx context.Context, cfg transportConfig, proc uint32, args func(*call), results func(*decoder)) error {
	cfg.links, cfg.window, cfg.once = 1, 1, true
	cfg.limit = 1 << 20
	t := newTransport(cfg)
	defer t.close()
	k := t.begin(proc)
	k.limit = cfg.limit
	if args != nil {
		args(k)
	}
	if err := t.roundTrip(ctx, k); err != nil {
		if errors.Is(err, errLost) {
			err = syscall.ECONNRESET
		}
		return err
	}
	d := parseReply(k.reply)
	results(&d)
	return d.err
}

// getPort asks the rpcbind of host, an address, for the TCP port of a program's
// version: with the portmapper's GETPORT over IPv4, with GETADDR over IPv6.
func getPort(ctx context.Context, d *dialer, host string, prog, vers uint32, cfg transportConfig) (int, error) {
	nc, err := d.dial(ctx, -1, hostPort(host, portPortmap))
	if err != nil {
		return 0, err
	}
	cfg.prog, cfg.vers, cfg.cred, cfg.seed = progPortmap, versPortmap, nil, nc
	var port int
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); ok && a.IP.To4() == nil {
		cfg.vers = versRPCBind
		err = oneCall(ctx, cfg, procGetAddr,
			func(k *call) { k.rpcb(prog, vers, "tcp6", nc.LocalAddr().String()) },
			func(d *decoder) { port = d.universalPort() })
	} else {
		err = oneCall(ctx, cfg, procGetPort,
			func(k *call) { k.mapping(prog, vers) },
			func(d *decoder) { port = d.port() })
	}
	if err == nil && port == 0 {
		err = errNotRegistered
	}
	return port, err
}

// mapping encodes what GETPORT takes (RFC 1833 §3.1).
func (k *call) mapping(prog, vers uint32) {
	for _, v := range []uint32{prog, vers, protoTCP, 0} {
		k.head = appendUint32(k.head, v)
	}
}

// rpcb encodes what GETADDR takes (RFC 1833 §2.1).
func (k *call) rpcb(prog, vers uint32, netid, caller string) {
	k.head = appendUint32(appendUint32(k.head, prog), vers)
	for _, s := range []string{netid, caller, ""} {
		k.head = appendOpaque(k.head, s)
	}
}

func (d *decoder) port() int {
	p := d.uint32()
	if p > 65535 {
		d.fail("port %d", p)
		return 0
	}
	return int(p)
}

// universalPort is the port of a universal address (RFC 5665 §5.2.3.4), 0 for
// an empty one: h1.h2.…p1.p2, the port being p1·256 + p2.
func (d *decoder) universalPort() int {
	s := d.string(256)
	if s == "" {
		return 0
	}
	parts := strings.Split(s, ".")
	if n := len(parts); n >= 3 {
		high, err1 := strconv.ParseUint(parts[n-2], 10, 8)
		low, err2 := strconv.ParseUint(parts[n-1], 10, 8)
		if err1 == nil && err2 == nil {
			return int(high)<<8 | int(low)
		}
	}
	d.fail("universal address %q", s)
	return 0
}

// ports finds the ports that the target leaves open. A server without rpcbind
// may still have NFS at its usual port.
func (t *Target) ports(ctx context.Context, d *dialer, host string, cfg transportConfig) (nfs, mount int, err error) {
	hint := func(key string, err error) error {
		return fmt.Errorf("ask rpcbind at %s for %s: %w (a server without rpcbind needs %s=PORT in the URL)",
			hostPort(host, portPortmap), map[string]string{"port": "NFSv3", "mountport": "MOUNT"}[key], err, key)
	}
	nfs, mount = t.Port, t.MountPort
	if mount == 0 {
		if mount, err = getPort(ctx, d, host, progMount, version3, cfg); err != nil {
			return 0, 0, hint("mountport", err)
		}
	}
	if nfs == 0 {
		nfs, err = getPort(ctx, d, host, progNFS, version3, cfg)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return portNFS, mount, nil
		}
		if err != nil {
			return 0, 0, hint("port", err)
		}
	}
	return nfs, mount, nil
}

// Services are the TCP ports that a server's rpcbind tells, 0 for what is not
// registered there.
type Services struct {
	NFS, Mount, NLM int
}

// RPCBind asks the rpcbind of the target's host where its programs are: NFS and
// MOUNT of version 3, NLM of version 4. It fails if rpcbind cannot be asked.
// The target's path and ports are not used.
func RPCBind(ctx context.Context, target Target, cfg *Config) (s Services, err error) {
	c := cfg.complete()
	d := c.dialer()
	err = eachAddress(ctx, target.Host, func(host string) error {
		for _, p := range []struct {
			prog, vers uint32
			port       *int
		}{{progNFS, version3, &s.NFS}, {progMount, version3, &s.Mount}, {progNLM, versNLM, &s.NLM}} {
			port, err := getPort(ctx, d, host, p.prog, p.vers, c.transport())
			if err != nil && !errors.Is(err, errNotRegistered) {
				return err
			}
			*p.port = port
		}
		return nil
	})
	if err != nil {
		return Services{}, &Error{Op: "rpcbind", Name: target.Host, Err: err}
	}
	return s, nil
}

package nfs

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Source ports that servers take for the superuser's. Those below 665 are left
// out: some network cards take 623 and 664 for remote management themselves.
const (
	minPrivilegedPort = 665
	maxPrivilegedPort = 1023
	privilegedTries   = 32
)

// dialer makes a transport's connections.
type dialer struct {
	privileged bool
	timeout    time.Duration
	custom     func(ctx context.Context, network, address string) (net.Conn, error)

	mu   sync.Mutex  // guards last; never held across I/O
	last map[int]int // the source port of each link's last connection
}

// dial connects a link to address. A link that comes back keeps its source
// port if it can, because servers recognize repeated requests by it.
func (d *dialer) dial(ctx context.Context, link int, address string) (net.Conn, error) {
	if d.custom != nil {
		return d.custom(ctx, "tcp", address)
	}
	d.mu.Lock()
	port := d.last[link]
	d.mu.Unlock()
	var nc net.Conn
	err := error(syscall.EADDRINUSE)
	if port != 0 {
		nc, err = d.from(ctx, port, address)
	}
	if d.privileged {
		for try := 0; portTaken(err) && try < privilegedTries; try++ {
			port := minPrivilegedPort + rand.IntN(maxPrivilegedPort-minPrivilegedPort+1)
			nc, err = d.from(ctx, port, address)
		}
	}
	if portTaken(err) || bindRefused(err) {
		nc, err = d.from(ctx, 0, address)
	}
	if err != nil {
		return nil, err
	}
	if a, ok := nc.LocalAddr().(*net.TCPAddr); ok {
		d.mu.Lock()
		if d.last == nil {
			d.last = make(map[int]int)
		}
		d.last[link] = a.Port
		d.mu.Unlock()
	}
	return nc, nil
}

// from connects from a source port, 0 for any. The port may still be known from
// earlier connections to other addresses, and other programs may listen on it
// later.
func (d *dialer) from(ctx context.Context, port int, address string) (net.Conn, error) {
	nd := net.Dialer{Timeout: d.timeout}
	if port != 0 {
		nd.LocalAddr = &net.TCPAddr{Port: port}
		nd.FallbackDelay = -1 // one address at a time: the port is one
		nd.Control = func(_, _ string, c syscall.RawConn) error {
			var err error
			if e := c.Control(func(fd uintptr) {
				err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
			}); e != nil {
				return e
			}
			return err
		}
	}
	return nd.DialContext(ctx, "tcp", address)
}

// portTaken tells whether another source port may do better.
func portTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL)
}

// bindRefused tells whether this process may not use the source port.
func bindRefused(err error) bool {
	var e *os.SyscallError
	return errors.As(err, &e) && e.Syscall == "bind" && (e.Err == syscall.EACCES || e.Err == syscall.EPERM)
}

// hostPort joins a host, which may be an IPv6 address, and a port.
func hostPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// location is where a server is, as of the last connection: a name may move to
// another address, with all its handles.
type location struct {
	host string
	port int

	mu      sync.Mutex // guards address
	address string
}

// dial connects to the last good address; if that fails, to the name's present
// addresses.
func (l *location) dial(ctx context.Context, d *dialer, link int) (net.Conn, error) {
	l.mu.Lock()
	known := l.address
	l.mu.Unlock()
	nc, err := d.dial(ctx, link, known)
	if err == nil {
		return nc, nil
	}
	hosts, lookupErr := net.DefaultResolver.LookupHost(ctx, l.host)
	if lookupErr != nil {
		return nil, err
	}
	for _, host := range hosts {
		address := hostPort(host, l.port)
		if address == known {
			continue
		}
		if nc, dialErr := d.dial(ctx, link, address); dialErr == nil {
			l.mu.Lock()
			l.address = address
			l.mu.Unlock()
			return nc, nil
		}
	}
	return nil, err
}

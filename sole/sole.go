// Package sole gives a name to one process of a host at a time:
//
//	n, err := sole.Take("9f2c51b07d3e4a68/n1")
//	if err == nil && n.Other == "" {
//		defer n.Release()
//	}
//
// The name is an abstract unix socket. The kernel gives it up when its process
// ends, however that ends, and no file is left. All processes of a network
// namespace see it, in whatever container they are: the managed plugin and a
// service on one host do. Processes in other network namespaces do not, so Place
// says where the name is ours.
package sole

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Name is a name that was asked for. Release may be called at any time, and more
// than once.
type Name struct {
	// Place is where no other process has the name: two processes with one Place
	// have it one after the other. Two Places say nothing of each other.
	Place string
	// Other is the process that has the name, "" if it is ours.
	Other string

	listener net.Listener
	once     sync.Once
}

// Take asks for a name, and does not wait for it.
func Take(name string) (*Name, error) {
	sum := sha256.Sum256([]byte(name))
	address := &net.UnixAddr{Name: "@berth/" + hex.EncodeToString(sum[:16]), Net: "unix"}
	l, err := net.ListenUnix("unix", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return taken(address)
	}
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept() // who asks learns our process from the kernel
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	place, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		l.Close()
		return nil, err
	}
	return &Name{Place: place, listener: l}, nil
}

// taken finds out who has a name. Any user of the host may take one: what is not
// root's is no berth, and keeps none from its work. Then nothing is proved, and
// the place is one that nobody else has.
func taken(address *net.UnixAddr) (*Name, error) {
	pid, uid, err := owner(address)
	if err != nil {
		return &Name{Other: "a process"}, nil // it has just ended, or is busy
	}
	if int(uid) != os.Geteuid() && uid != 0 {
		return &Name{Place: rand.Text()}, nil
	}
	if pid == 0 {
		return &Name{Other: "a process in another container"}, nil
	}
	return &Name{Other: fmt.Sprintf("process %d", pid)}, nil
}

// owner is the process that listens on an address, and its user.
func owner(address *net.UnixAddr) (pid int32, uid uint32, err error) {
	c, err := net.DialTimeout("unix", address.Name, time.Second)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	raw, err := c.(*net.UnixConn).SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			pid, uid = cred.Pid, cred.Uid
		}
	})
	return pid, uid, errors.Join(err, controlErr)
}

// Release gives the name up. It may be called on nil.
func (n *Name) Release() {
	if n != nil && n.listener != nil {
		n.once.Do(func() { n.listener.Close() })
	}
}

package dashboard

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Listen listens on HOST:PORT or on unix:PATH. The socket is its user's alone (mode
// 0600). Listen replaces the socket of a dashboard that has ended, and nothing else.
func Listen(address string) (net.Listener, error) {
	path, ok := strings.CutPrefix(address, "unix:")
	if !ok {
		return net.Listen("tcp", address)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("listen on %s: another program answers there", path)
	}
	if is, err := os.Lstat(path); err == nil && is.Mode().Type() == fs.ModeSocket {
		if err := os.Remove(path); err != nil {
			return nil, err
		}
	}
	before := syscall.Umask(0o177) // no moment with another mode
	defer syscall.Umask(before)
	return net.Listen("unix", path)
}

// owners are who may look at a page on loopback: root, and who has started it.
func owners() []int {
	out := []int{0, os.Getuid()}
	if id, err := strconv.Atoi(os.Getenv("SUDO_UID")); err == nil {
		out = append(out, id)
	}
	return out
}

// strangerKey is where a connection's context says that another local user has made
// the connection.
type strangerKey struct{}

// whose notes in ctx if a connection over loopback is of another local user: loopback
// is every user's of this machine.
func (s *Server) whose(ctx context.Context, c net.Conn) context.Context {
	if !s.private || !foreign(c, s.owners) {
		return ctx
	}
	return context.WithValue(ctx, strangerKey{}, true)
}

// foreign tells whether the other end of a connection is in this machine and belongs
// to none of these users, or to nobody any more.
func foreign(c net.Conn, owners []int) bool {
	theirs, err1 := netip.ParseAddrPort(c.RemoteAddr().String())
	ours, err2 := netip.ParseAddrPort(c.LocalAddr().String())
	if errors.Join(err1, err2) != nil {
		return false // a unix socket, whose mode decides
	}
	var owner int
	var err error
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		if owner, err = ownerIn(table, theirs, ours); err == nil {
			return !slices.Contains(owners, owner)
		}
	}
	return true
}

// ownerIn is the user who has the socket from one address to another in a table of
// the kernel (Documentation/networking/proc_net_tcp.rst). A socket that was closed
// has no inode, and the table says root of it.
func ownerIn(table string, from, to netip.AddrPort) (uid int, err error) {
	f, err := os.Open(table)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) > 9 && fields[9] != "0" && endIs(fields[1], from) && endIs(fields[2], to) {
			return strconv.Atoi(fields[7])
		}
	}
	return 0, fs.ErrNotExist
}

// littleEndian is how this machine keeps a word.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// endIs compares an address of the table with one: 32-bit words as this machine has
// them in memory, hexadecimal, and the port.
func endIs(field string, want netip.AddrPort) bool {
	words, port, _ := strings.Cut(field, ":")
	n, err := strconv.ParseUint(port, 16, 16)
	raw, hexErr := hex.DecodeString(words)
	if err != nil || hexErr != nil || uint16(n) != want.Port() || len(raw)%4 != 0 {
		return false
	}
	if littleEndian {
		for i := 0; i < len(raw); i += 4 {
			slices.Reverse(raw[i : i+4])
		}
	}
	is, ok := netip.AddrFromSlice(raw)
	return ok && is.Unmap() == want.Addr().Unmap().WithZone("")
}

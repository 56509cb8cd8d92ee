package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/nfs"
)

// NoLocks judges settings that turn locks off.
func NoLocks() Finding {
	return warn("take nolock out of BERTH_MOUNT_OPTIONS", "BERTH_MOUNT_OPTIONS has nolock: two database servers on two nodes do not notice each other")
}

// LockServices says whether this node can ask for NFSv3 locks; missing says why
// it cannot.
func LockServices(missing error) Finding {
	if missing != nil {
		return warn("apt-get install nfs-common rpcbind; systemctl enable --now rpcbind rpc-statd; new containers get locks within a minute",
			"%v: berth mounts with nolock here, and locks hold on one node only", missing)
	}
	return ok("rpcbind and rpc.statd answer here")
}

// Lock takes a real lock on a probe file, through the server's lock manager as
// the kernel does: of two owners one gets the lock, and the other gets it when
// it is free again. name is the file's name below the export.
func (s *Server) Lock(ctx context.Context, name string) []Finding {
	c, err := s.dial()
	if err != nil {
		return nil
	}
	l, err := nfs.DialLocks(ctx, s.target, &nfs.Config{DialTimeout: connectWithin})
	if err != nil {
		return []Finding{warn("turn NLM on there and let this node reach it, or set BERTH_MOUNT_OPTIONS with nolock", "no lock manager on %s: %v", s.target.Host, cause(err))}
	}
	dir := c.Root()
	for d := range strings.SplitSeq(path.Dir(name), "/") {
		got, err := c.Lookup(ctx, dir, d)
		if err != nil {
			return []Finding{failed(err, "")}
		}
		dir = got.Object
	}
	made, err := c.Create(ctx, dir, path.Base(name), nfs.Guarded, nfs.SetAttr{Set: nfs.SetMode, Mode: 0o600})
	if err != nil {
		return []Finding{failed(err, "")}
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_, _ = c.Remove(ctx, dir, path.Base(name)) // it is swept
	}()
	step, status, err := lockBoth(ctx, l, made.Object)
	return []Finding{judgeLock(l.Address(), step, status, err)}
}

// The steps of a lock probe that may fail.
const (
	stepFirst  = "the first of two owners is refused"
	stepSecond = "the second of two owners is let in beside the first"
	stepFreed  = "a lock that was given back is still held"
)

// lockBoth returns the step that went wrong, and the answer to it.
func lockBoth(ctx context.Context, l *nfs.Locker, file nfs.Handle) (step string, s nfs.LockStatus, err error) {
	host, err := os.Hostname()
	if err != nil {
		return "", 0, err
	}
	pid := int32(os.Getpid())
	owner := func(n int32) nfs.LockOwner {
		return nfs.LockOwner{Caller: host, Handle: fmt.Sprintf("%d.%d@%s", pid, n, host), SVID: pid + n<<22}
	}
	one, two := owner(0), owner(1)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		for _, o := range []nfs.LockOwner{one, two} {
			_, _ = l.Unlock(ctx, file, o) // none held is fine; the file goes anyway
		}
	}()
	if s, err = l.Lock(ctx, file, one); err != nil || s != nfs.LockGranted {
		return stepFirst, s, err
	}
	if s, _, err = l.Test(ctx, file, two); err != nil || s != nfs.LockDenied {
		return stepSecond, s, err
	}
	if s, err = l.Lock(ctx, file, two); err != nil || s != nfs.LockDenied {
		return stepSecond, s, err
	}
	if s, err = l.Unlock(ctx, file, one); err != nil || s != nfs.LockGranted {
		return stepFreed, s, err
	}
	if s, err = l.Lock(ctx, file, two); err != nil || s != nfs.LockGranted {
		return stepFreed, s, err
	}
	return "", s, nil
}

func judgeLock(address, step string, s nfs.LockStatus, err error) Finding {
	switch {
	case err != nil:
		return fail("look at the firewall between this node and "+address, "the lock manager at %s does not answer: %v", address, err)
	case step == "":
		return ok("of two owners the lock manager at %s let one in, and the other when it was free", address)
	case s == nfs.LockNoLocks:
		return fail("let the filer reach rpcbind and rpc.statd of this node (ports 111 and statd's), and start them: systemctl enable --now rpcbind rpc-statd",
			"the lock manager at %s gives no locks to this node (%s): it cannot watch it", address, s)
	case s == nfs.LockGracePeriod:
		return warn("wait a minute and type 'berth doctor' again", "the lock manager at %s has just started and takes back old locks first (%s)", address, s)
	case step == stepSecond:
		return fail("do not run databases on this export; look at the server's lock manager", "%s by the lock manager at %s (%s)", step, address, s)
	}
	return fail("look at the server's lock manager; ONTAP: vserver locks show", "%s by the lock manager at %s (%s)", step, address, s)
}

// LockFile takes a real lock on a probe file of a directory, through the
// kernel: two open files are two owners. It hangs as long as a dead mount.
func LockFile(file string) Finding {
	one, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return failed(err, "")
	}
	defer os.Remove(file)
	defer one.Close()
	two, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return failed(err, "")
	}
	defer two.Close()
	return judgeLockFile(lockTwo(int(one.Fd()), int(two.Fd())))
}

// lockTwo returns the step that went wrong, and the kernel's answer to it.
func lockTwo(one, two int) (step string, err error) {
	set := func(fd int, how int16) error {
		return unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &unix.Flock_t{Type: how})
	}
	if err := set(one, unix.F_WRLCK); err != nil {
		return stepFirst, err
	}
	if err := set(two, unix.F_WRLCK); !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) {
		return stepSecond, err
	}
	if err := set(one, unix.F_UNLCK); err != nil {
		return stepFreed, err
	}
	if err := set(two, unix.F_WRLCK); err != nil {
		return stepFreed, err
	}
	return "", nil
}

func judgeLockFile(step string, err error) Finding {
	switch {
	case step == "":
		return ok("of two owners the kernel let one in, and the other when it was free")
	case errors.Is(err, unix.ENOLCK):
		return fail("apt-get install nfs-common rpcbind; systemctl enable --now rpcbind rpc-statd", "the kernel gives no locks there: %v", err)
	case err == nil:
		return fail("mount it with locks; do not run databases on it before", "%s", step)
	}
	return fail("look at 'dmesg' for lockd", "%s: %v", step, err)
}

package nfs

import (
	"context"
	"fmt"
	"net"
)

// The network lock manager, version 4: RFC 1813 Appendix II, X/Open "Protocols
// for Interworking: XNFS" chapters 10 and 14.
const (
	progNLM = 100021
	versNLM = 4

	procNLMTest   = 1
	procNLMLock   = 2
	procNLMUnlock = 4

	maxNetobj = 1024 // LM_MAXSTRLEN and MAXNETOBJ_SZ
)

// LockStatus is a lock manager's answer: nlm4_stats (RFC 1813 Appendix II).
type LockStatus uint32

// The values of LockStatus.
const (
	LockGranted     LockStatus = 0
	LockDenied      LockStatus = 1 // another owner has it
	LockNoLocks     LockStatus = 2 // out of resources, or the server cannot watch this client
	LockBlocked     LockStatus = 3 // it is granted later
	LockGracePeriod LockStatus = 4 // the server has just started: only reclaims
	LockDeadlock    LockStatus = 5
	LockROFS        LockStatus = 6
	LockStale       LockStatus = 7 // the file is gone
	LockTooBig      LockStatus = 8 // the range
	LockFailed      LockStatus = 9
)

// String returns the name that the specification gives the status.
func (s LockStatus) String() string {
	names := [...]string{"NLM4_GRANTED", "NLM4_DENIED", "NLM4_DENIED_NOLOCKS", "NLM4_BLOCKED", "NLM4_DENIED_GRACE_PERIOD",
		"NLM4_DEADLCK", "NLM4_ROFS", "NLM4_STALE_FH", "NLM4_FBIG", "NLM4_FAILED"}
	if int(s) < len(names) {
		return names[s]
	}
	return fmt.Sprintf("nlm4_stats %d", uint32(s))
}

// LockOwner is the owner of a lock, as servers tell owners apart: the client's
// name, and an owner on that client.
type LockOwner struct {
	Caller string // the host's name, as the kernel's client says it: rpc.statd on the server watches that host
	Handle string // opaque
	SVID   int32  // the process
}

// Locker asks a server's lock manager for locks of whole files. It is for
// probes: it holds no connection, reclaims nothing after a restart of the
// server, and a lock that is not unlocked stays until the server hears from
// the caller's rpc.statd. It may be used concurrently.
type Locker struct {
	address string
	cfg     transportConfig
}

// DialLocks asks the target's rpcbind for its lock manager. The target's path
// and ports are not used.
func DialLocks(ctx context.Context, target Target, cfg *Config) (*Locker, error) {
	c := cfg.complete()
	d := c.dialer()
	l := &Locker{cfg: c.transport()}
	err := eachAddress(ctx, target.Host, func(host string) error {
		port, err := getPort(ctx, d, host, progNLM, versNLM, c.transport())
		if err != nil {
			return fmt.Errorf("ask rpcbind at %s for NLM: %w", hostPort(host, portPortmap), err)
		}
		l.address = hostPort(host, port)
		return nil
	})
	if err != nil {
		return nil, &Error{Op: "nlm", Name: target.Host, Err: err}
	}
	l.cfg.prog, l.cfg.vers = progNLM, versNLM
	l.cfg.dial = func(ctx context.Context, _ int) (net.Conn, error) { return d.dial(ctx, -1, l.address) }
	return l, nil
}

// Address is where the lock manager is, HOST:PORT.
func (l *Locker) Address() string { return l.address }

// Test asks whether owner could have an exclusive lock of the file (NLM4_TEST).
// With LockDenied it returns the owner that has the lock, without a Caller.
func (l *Locker) Test(ctx context.Context, file Handle, owner LockOwner) (s LockStatus, holder LockOwner, err error) {
	err = l.call(ctx, "nlm test", procNLMTest, func(k *call) {
		k.head = appendBool(k.head, true) // exclusive
		k.lock(&file, &owner)
	}, func(d *decoder) { s, holder = d.testRes() })
	return s, holder, err
}

// Lock asks for an exclusive lock of the file and does not wait for it
// (NLM4_LOCK).
func (l *Locker) Lock(ctx context.Context, file Handle, owner LockOwner) (s LockStatus, err error) {
	err = l.call(ctx, "nlm lock", procNLMLock, func(k *call) {
		k.head = appendBool(appendBool(k.head, false), true) // block, exclusive
		k.lock(&file, &owner)
		k.head = appendUint32(appendBool(k.head, false), 0) // reclaim, state
	}, func(d *decoder) { s = d.lockRes() })
	return s, err
}

// Unlock releases the owner's lock of the file; it is no error if there is none
// (NLM4_UNLOCK).
func (l *Locker) Unlock(ctx context.Context, file Handle, owner LockOwner) (s LockStatus, err error) {
	err = l.call(ctx, "nlm unlock", procNLMUnlock, func(k *call) { k.lock(&file, &owner) },
		func(d *decoder) { s = d.lockRes() })
	return s, err
}

// nlmCookie comes back with each answer, which the xid tells already.
const nlmCookie = "berth"

func (l *Locker) call(ctx context.Context, op string, proc uint32, args func(*call), results func(*decoder)) error {
	err := oneCall(ctx, l.cfg, proc, func(k *call) {
		k.head = appendOpaque(k.head, nlmCookie)
		args(k)
	}, func(d *decoder) {
		if string(d.opaque(maxNetobj)) != nlmCookie && d.err == nil {
			d.fail("the cookie of another request")
		}
		results(d)
	})
	if err != nil {
		return &Error{Op: op, Name: l.address, Err: err}
	}
	return nil
}

// lock encodes an nlm4_lock of a whole file.
func (k *call) lock(file *Handle, o *LockOwner) {
	k.head = appendOpaque(k.head, o.Caller[:min(len(o.Caller), maxNetobj)])
	k.handle(file)
	k.head = appendOpaque(k.head, o.Handle[:min(len(o.Handle), maxNetobj)])
	k.head = appendUint32(k.head, uint32(o.SVID))
	k.head = appendUint64(appendUint64(k.head, 0), 0) // offset and length; 0 is to the end
}

// lockRes is nlm4_res behind its cookie.
func (d *decoder) lockRes() LockStatus {
	s := LockStatus(d.uint32())
	if d.err != nil {
		return LockFailed
	}
	return s
}

// testRes is nlm4_testres behind its cookie.
func (d *decoder) testRes() (s LockStatus, holder LockOwner) {
	if s = LockStatus(d.uint32()); s == LockDenied {
		d.bool() // exclusive
		holder.SVID = int32(d.uint32())
		holder.Handle = string(d.opaque(maxNetobj))
		d.uint64()
		d.uint64()
	}
	if d.err != nil {
		return LockFailed, LockOwner{}
	}
	return s, holder
}

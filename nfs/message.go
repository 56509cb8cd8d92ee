package nfs

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"slices"
)

// Message and reply constants (RFC 5531 §9).
const (
	rpcVersion  = 2
	msgCall     = 0
	msgReply    = 1
	msgAccepted = 0
	msgDenied   = 1

	authNone = 0
	authSys  = 1

	maxAuthBody    = 400 // RFC 5531 §8.2
	maxMachineName = 255 // RFC 5531 appendix A
	maxAuxGIDs     = 16
)

// Offsets in a call record: its mark, the xid, and the procedure's number.
const (
	offsetMark = 0
	offsetXID  = 4
	offsetProc = 24
)

// Credentials are what AUTH_SYS says of the caller (RFC 5531 appendix A). The
// server believes them, so they are no proof of anything.
type Credentials struct {
	Machine string   // at most 255 bytes; longer ones are cut
	UID     uint32   // of the caller; a server with root_squash reads 0 as nobody
	GID     uint32   // of the caller
	GIDs    []uint32 // more groups; AUTH_SYS has room for 16, the rest is not sent
}

// append encodes the credentials as an opaque_auth.
func (c Credentials) append(b []byte, stamp uint32) []byte {
	machine := c.Machine[:min(len(c.Machine), maxMachineName)]
	gids := c.GIDs[:min(len(c.GIDs), maxAuxGIDs)]
	b = appendUint32(b, authSys)
	b = appendUint32(b, uint32(4+4+len(machine)+padding(len(machine))+4+4+4+4*len(gids)))
	b = appendUint32(b, stamp)
	b = appendOpaque(b, machine)
	b = appendUint32(b, c.UID)
	b = appendUint32(b, c.GID)
	b = appendUint32(b, uint32(len(gids)))
	for _, gid := range gids {
		b = appendUint32(b, gid)
	}
	return b
}

// callHeader makes the bytes that all calls of a program begin with: a record
// mark, the call's header (RFC 5531 §9) with xid and procedure left 0, the
// credentials.
func callHeader(prog, vers uint32, cred *Credentials, stamp uint32) []byte {
	b := make([]byte, 4, 128)
	b = appendUint32(b, 0) // xid
	b = appendUint32(b, msgCall)
	b = appendUint32(b, rpcVersion)
	b = appendUint32(b, prog)
	b = appendUint32(b, vers)
	b = appendUint32(b, 0) // procedure
	if cred != nil {
		b = cred.append(b, stamp)
	} else {
		b = appendUint32(appendUint32(b, authNone), 0)
	}
	b = appendUint32(appendUint32(b, authNone), 0) // verifier
	return slices.Clip(b)
}

// setMark completes a record that consists of b and of extra bytes behind it.
func setMark(b []byte, extra int) {
	binary.BigEndian.PutUint32(b[offsetMark:], lastFragment|uint32(len(b)-4+extra))
}

// RPCError is a server's refusal below NFS: of the program, the procedure, the
// arguments or the credentials (RFC 5531 §9). It matches fs.ErrPermission if
// it is about the credentials.
type RPCError struct {
	Denied bool   // rejected (reject_stat) rather than accepted (accept_stat)
	Stat   uint32 // accept_stat; for credentials auth_stat; else RPC_MISMATCH
	Auth   bool   // denied for the credentials: Stat is an auth_stat

	Low, High uint32 // versions the server knows, for a mismatch
}

func (e *RPCError) Error() string {
	switch {
	case e.Auth:
		text, ok := map[uint32]string{
			1: "bad credentials", 2: "rejected credentials", 3: "bad verifier", 4: "rejected verifier",
			5: "credentials too weak (does the export want a privileged source port or another flavour?)",
		}[e.Stat]
		if !ok {
			text = "authentication refused"
		}
		return fmt.Sprintf("rpc: %s (auth_stat %d)", text, e.Stat)
	case e.Denied:
		return fmt.Sprintf("rpc: the server speaks RPC versions %d to %d", e.Low, e.High)
	}
	switch e.Stat {
	case acceptProgUnavail:
		return "rpc: the server does not export this program (PROG_UNAVAIL)"
	case acceptProgMismatch:
		return fmt.Sprintf("rpc: the server has versions %d to %d of this program (PROG_MISMATCH)", e.Low, e.High)
	case acceptProcUnavail:
		return "rpc: the server does not have this procedure (PROC_UNAVAIL)"
	case acceptGarbageArgs:
		return "rpc: the server could not decode the arguments (GARBAGE_ARGS)"
	case acceptSystemErr:
		return "rpc: the server failed (SYSTEM_ERR)"
	}
	return fmt.Sprintf("rpc: accept_stat %d", e.Stat)
}

// Is matches fs.ErrPermission for refused credentials.
func (e *RPCError) Is(target error) bool { return e.Auth && target == fs.ErrPermission }

// accept_stat (RFC 5531 §9).
const (
	acceptSuccess      = 0
	acceptProgUnavail  = 1
	acceptProgMismatch = 2
	acceptProcUnavail  = 3
	acceptGarbageArgs  = 4
	acceptSystemErr    = 5
)

// parseReply reads a reply's header (RFC 5531 §9) behind the xid. It returns a
// decoder at the procedure's results, or with the refusal as its error.
func parseReply(b []byte) decoder {
	d := decoder{b: b}
	if t := d.uint32(); d.err == nil && t != msgReply {
		d.fail("message type %d is no reply", t)
	}
	switch stat := d.uint32(); {
	case d.err != nil:
	case stat == msgDenied:
		e := &RPCError{Denied: true}
		switch reason := d.uint32(); {
		case d.err != nil:
		case reason == 0: // RPC_MISMATCH
			e.Low, e.High = d.uint32(), d.uint32()
		case reason == 1: // AUTH_ERROR
			e.Auth, e.Stat = true, d.uint32()
		default:
			d.fail("reject_stat %d", reason)
		}
		d.refuse(e)
	case stat != msgAccepted:
		d.fail("reply_stat %d", stat)
	default:
		d.uint32() // the verifier's flavour: AUTH_SYS has nothing to verify
		d.opaque(maxAuthBody)
		accept := d.uint32()
		if d.err != nil || accept == acceptSuccess {
			break
		}
		e := &RPCError{Stat: accept}
		if accept == acceptProgMismatch {
			e.Low, e.High = d.uint32(), d.uint32()
		}
		d.refuse(e)
	}
	return d
}

// refuse ends a decoder with the server's refusal, unless it was malformed.
func (d *decoder) refuse(e *RPCError) {
	if d.err == nil {
		d.err = e
	}
	d.b = nil
}

package nfs

import (
	"encoding/hex"
	"fmt"
	"math"
	"time"
)

// maxHandle is the longest file handle (RFC 1813 §2.4).
const maxHandle = 64

// Handle is a server's name for a file or directory (nfs_fh3, RFC 1813 §2.5).
// It stays valid across renames and server restarts, until the object is
// removed or the export is made anew: StatusStale. Handles are comparable; two
// that differ may still name one object. The zero Handle names nothing.
type Handle struct {
	n uint8
	b [maxHandle]byte
}

// IsZero tells whether h is the zero Handle.
func (h Handle) IsZero() bool { return h.n == 0 }

// String returns the handle's bytes in hexadecimal.
func (h Handle) String() string { return hex.EncodeToString(h.b[:h.n]) }

func (k *call) handle(h *Handle) {
	k.head = appendOpaque(k.head, h.b[:h.n])
}

// dirop encodes a name in a directory (diropargs3, RFC 1813 §3.3.3).
func (k *call) dirop(dir *Handle, name string) {
	k.handle(dir)
	k.head = appendOpaque(k.head, name)
}

func (d *decoder) handle() (h Handle) {
	b := d.opaque(maxHandle)
	if len(b) == 0 {
		d.fail("an empty file handle")
	}
	h.n = uint8(copy(h.b[:], b))
	return h
}

// postOpHandle is post_op_fh3: zero where the server left it out.
func (d *decoder) postOpHandle() (h Handle) {
	if d.bool() {
		h = d.handle()
	}
	return h
}

// Type is the type of an object (ftype3, RFC 1813 §2.6).
type Type uint32

// The types.
const (
	TypeReg  Type = 1 // regular file
	TypeDir  Type = 2 // directory
	TypeBlk  Type = 3 // block device
	TypeChr  Type = 4 // character device
	TypeLnk  Type = 5 // symbolic link
	TypeSock Type = 6 // socket
	TypeFIFO Type = 7 // named pipe
)

// String returns the word for the type.
func (t Type) String() string {
	words := [...]string{"?", "file", "directory", "block device", "character device", "symlink", "socket", "FIFO"}
	if int64(t) < int64(len(words)) {
		return words[t]
	}
	return fmt.Sprintf("type %d", uint32(t))
}

// Time is a server's time stamp (nfstime3, RFC 1813 §2.6), kept as it came so
// that copying it from one server to another changes nothing.
type Time struct {
	Sec  uint32 // since 1970 began, UTC
	Nsec uint32
}

// TimeOf returns the time stamp nearest to t: NFSv3 has none before 1970 or
// after 2106.
func TimeOf(t time.Time) Time {
	switch sec := t.Unix(); {
	case sec < 0:
		return Time{}
	case sec > 1<<32-1:
		return Time{1<<32 - 1, 999999999}
	default:
		return Time{uint32(sec), uint32(t.Nanosecond())}
	}
}

// Time returns the time stamp as a time in UTC.
func (t Time) Time() time.Time { return time.Unix(int64(t.Sec), int64(t.Nsec)).UTC() }

func (d *decoder) time() Time { return Time{d.uint32(), d.uint32()} }

func appendTime(b []byte, t Time) []byte { return appendUint32(appendUint32(b, t.Sec), t.Nsec) }

// Attr is what a server knows of an object (fattr3, RFC 1813 §2.6).
type Attr struct {
	Type         Type
	Mode         uint32 // permissions, setuid, setgid and sticky: 07777
	Nlink        uint32 // names of the object
	UID, GID     uint32
	Size         uint64 // bytes
	Used         uint64 // bytes on disk; fewer than Size means holes or compression
	Major, Minor uint32 // of a device node (specdata3)
	FSID         uint64 // the filesystem; with FileID it names the object
	FileID       uint64
	Atime        Time // last read
	Mtime        Time // last change of the data
	Ctime        Time // last change of the data or of the attributes
}

// attrSize is the encoded size of Attr in bytes.
const attrSize = 84

func (d *decoder) attr() (a Attr) {
	if len(d.b) < attrSize {
		d.fail("cut short")
		return a
	}
	a.Type = Type(d.uint32())
	a.Mode = d.uint32() & 0o7777
	a.Nlink = d.uint32()
	a.UID, a.GID = d.uint32(), d.uint32()
	a.Size, a.Used = d.uint64(), d.uint64()
	a.Major, a.Minor = d.uint32(), d.uint32()
	a.FSID, a.FileID = d.uint64(), d.uint64()
	a.Atime, a.Mtime, a.Ctime = d.time(), d.time(), d.time()
	if a.Size > math.MaxInt64 {
		d.fail("a size of %d bytes", a.Size)
	}
	a.Used = min(a.Used, math.MaxInt64)
	if a.Type < TypeReg || a.Type > TypeFIFO {
		d.fail("file type %d", a.Type)
	}
	return a
}

// PostOp are attributes that a server may leave out (post_op_attr, RFC 1813
// §2.6): as they were after the operation, or not Present.
type PostOp struct {
	Present bool
	Attr
}

func (d *decoder) postOp() (p PostOp) {
	if d.bool() {
		p.Attr = d.attr()
		p.Present = d.err == nil
	}
	return p
}

// PreOp are attributes from just before an operation (pre_op_attr, RFC 1813
// §2.6), if Present.
type PreOp struct {
	Present      bool
	Size         uint64
	Mtime, Ctime Time
}

// WCC tells how an operation changed an object (wcc_data, RFC 1813 §2.6). If
// Before is what the caller knew last, nobody else changed the object since. A
// server may leave both out, and after a replayed request it says nothing of
// the first sending.
type WCC struct {
	Before PreOp
	After  PostOp
}

func (d *decoder) wcc() (w WCC) {
	if d.bool() {
		w.Before = PreOp{true, d.uint64(), d.time(), d.time()}
		w.Before.Present = d.err == nil
	}
	w.After = d.postOp()
	return w
}

// Fields says which attributes a SetAttr changes.
type Fields uint8

// The fields of a SetAttr.
const (
	SetMode     Fields = 1 << iota
	SetUID             // owner
	SetGID             // group
	SetSize            // truncates or extends
	SetAtime           // to the given time
	SetMtime           // to the given time
	SetAtimeNow        // to the server's time
	SetMtimeNow        // to the server's time
)

// SetAttr is a change of attributes (sattr3, RFC 1813 §2.6): those in Set, the
// others stay as they are, or what the server gives a new object.
type SetAttr struct {
	Set          Fields
	Mode         uint32 // 07777
	UID, GID     uint32
	Size         uint64 // bytes
	Atime, Mtime Time
}

func (k *call) setAttr(s *SetAttr) {
	b := k.head
	field := func(f Fields, v uint32) {
		if b = appendBool(b, s.Set&f != 0); s.Set&f != 0 {
			b = appendUint32(b, v)
		}
	}
	field(SetMode, s.Mode)
	field(SetUID, s.UID)
	field(SetGID, s.GID)
	if b = appendBool(b, s.Set&SetSize != 0); s.Set&SetSize != 0 {
		b = appendUint64(b, s.Size)
	}
	when := func(now, given Fields, t Time) {
		switch {
		case s.Set&given != 0:
			b = appendTime(appendUint32(b, 2), t) // SET_TO_CLIENT_TIME
		case s.Set&now != 0:
			b = appendUint32(b, 1) // SET_TO_SERVER_TIME
		default:
			b = appendUint32(b, 0) // DONT_CHANGE
		}
	}
	when(SetAtimeNow, SetAtime, s.Atime)
	when(SetMtimeNow, SetMtime, s.Mtime)
	k.head = b
}

// matches tells whether a has what s asks for a new object to have.
func (s *SetAttr) matches(a *Attr) bool {
	return (s.Set&SetMode == 0 || a.Mode&0o777 == s.Mode&0o777) &&
		(s.Set&SetUID == 0 || a.UID == s.UID) &&
		(s.Set&SetGID == 0 || a.GID == s.GID) &&
		(a.Type != TypeReg || s.Set&SetSize == 0 && a.Size == 0 || s.Set&SetSize != 0 && a.Size == s.Size)
}

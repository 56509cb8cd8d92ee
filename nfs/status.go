package nfs

import (
	"strconv"
	"syscall"
)

// Status is the answer's status word: nfsstat3 (RFC 1813 §2.6) and, with the
// same numbers, mountstat3 (RFC 1813 §5.1.5).
type Status uint32

// The status values, named as in RFC 1813 §2.6.
const (
	StatusOK          Status = 0
	StatusPerm        Status = 1     // not owner
	StatusNoEnt       Status = 2     // no such file or directory
	StatusIO          Status = 5     // a hard error of the server's disk
	StatusNXIO        Status = 6     // no such device
	StatusAcces       Status = 13    // permission denied
	StatusExist       Status = 17    // the name is taken
	StatusXDev        Status = 18    // a link across filesystems
	StatusNoDev       Status = 19    // no such device
	StatusNotDir      Status = 20    // not a directory
	StatusIsDir       Status = 21    // a directory
	StatusInval       Status = 22    // an argument the operation does not take
	StatusFBig        Status = 27    // beyond the server's largest file
	StatusNoSpc       Status = 28    // the filesystem is full
	StatusROFS        Status = 30    // the filesystem is read-only
	StatusMLink       Status = 31    // too many hard links
	StatusNameTooLong Status = 63    // longer than PathConf.NameMax
	StatusNotEmpty    Status = 66    // a directory that is not empty
	StatusDQuot       Status = 69    // the quota is used up
	StatusStale       Status = 70    // the handle's object is gone
	StatusRemote      Status = 71    // too many levels of remote
	StatusBadHandle   Status = 10001 // no handle of this server
	StatusNotSync     Status = 10002 // SETATTR's guard does not match
	StatusBadCookie   Status = 10003 // READDIR's position is no longer known
	StatusNotSupp     Status = 10004 // the server cannot do this
	StatusTooSmall    Status = 10005 // not even one entry fits
	StatusServerFault Status = 10006 // the server's own failure
	StatusBadType     Status = 10007 // a type the server cannot make
	StatusJukebox     Status = 10008 // not now, ask again
)

// lookup tells each status's name, its text and its system error number, 0
// where there is none.
func (s Status) lookup() (name, text string, errno syscall.Errno) {
	switch s {
	case StatusOK:
		return "NFS3_OK", "ok", 0
	case StatusPerm:
		return "NFS3ERR_PERM", "operation not permitted", syscall.EPERM
	case StatusNoEnt:
		return "NFS3ERR_NOENT", "no such file or directory", syscall.ENOENT
	case StatusIO:
		return "NFS3ERR_IO", "input/output error on the server", syscall.EIO
	case StatusNXIO:
		return "NFS3ERR_NXIO", "no such device or address", syscall.ENXIO
	case StatusAcces:
		return "NFS3ERR_ACCES", "permission denied", syscall.EACCES
	case StatusExist:
		return "NFS3ERR_EXIST", "file exists", syscall.EEXIST
	case StatusXDev:
		return "NFS3ERR_XDEV", "link across filesystems", syscall.EXDEV
	case StatusNoDev:
		return "NFS3ERR_NODEV", "no such device", syscall.ENODEV
	case StatusNotDir:
		return "NFS3ERR_NOTDIR", "not a directory", syscall.ENOTDIR
	case StatusIsDir:
		return "NFS3ERR_ISDIR", "is a directory", syscall.EISDIR
	case StatusInval:
		return "NFS3ERR_INVAL", "invalid argument", syscall.EINVAL
	case StatusFBig:
		return "NFS3ERR_FBIG", "file too large", syscall.EFBIG
	case StatusNoSpc:
		return "NFS3ERR_NOSPC", "no space left on the server", syscall.ENOSPC
	case StatusROFS:
		return "NFS3ERR_ROFS", "read-only filesystem", syscall.EROFS
	case StatusMLink:
		return "NFS3ERR_MLINK", "too many links", syscall.EMLINK
	case StatusNameTooLong:
		return "NFS3ERR_NAMETOOLONG", "file name too long", syscall.ENAMETOOLONG
	case StatusNotEmpty:
		return "NFS3ERR_NOTEMPTY", "directory not empty", syscall.ENOTEMPTY
	case StatusDQuot:
		return "NFS3ERR_DQUOT", "quota exceeded on the server", syscall.EDQUOT
	case StatusStale:
		return "NFS3ERR_STALE", "stale file handle", syscall.ESTALE
	case StatusRemote:
		return "NFS3ERR_REMOTE", "too many levels of remote", syscall.EREMOTE
	case StatusBadHandle:
		return "NFS3ERR_BADHANDLE", "the server does not know this file handle", syscall.ESTALE
	case StatusNotSync:
		return "NFS3ERR_NOT_SYNC", "changed meanwhile", 0
	case StatusBadCookie:
		return "NFS3ERR_BAD_COOKIE", "place in the directory lost", 0
	case StatusNotSupp:
		return "NFS3ERR_NOTSUPP", "not supported by the server", syscall.ENOTSUP
	case StatusTooSmall:
		return "NFS3ERR_TOOSMALL", "reply size too small", syscall.EINVAL
	case StatusServerFault:
		return "NFS3ERR_SERVERFAULT", "failure of the server", syscall.EIO
	case StatusBadType:
		return "NFS3ERR_BADTYPE", "type not supported by the server", syscall.EINVAL
	case StatusJukebox:
		return "NFS3ERR_JUKEBOX", "the server is busy with it", syscall.EAGAIN
	}
	return "status " + strconv.FormatUint(uint64(s), 10), "unknown status", 0
}

// String returns the name that RFC 1813 gives the status.
func (s Status) String() string {
	name, _, _ := s.lookup()
	return name
}

// Errno returns the system error number that says the same, 0 if none does.
func (s Status) Errno() syscall.Errno {
	_, _, errno := s.lookup()
	return errno
}

package nfs

import "context"

// FSStat is a filesystem's space (RFC 1813 §3.3.18). Avail is the part of the
// free space that the caller may use.
type FSStat struct {
	TotalBytes, FreeBytes, AvailBytes uint64
	TotalFiles, FreeFiles, AvailFiles uint64
	InvarSec                          uint32 // seconds for which it will not change; 0 for no promise
}

// FSStat returns the space of an object's filesystem.
func (c *Client) FSStat(ctx context.Context, h Handle) (FSStat, error) {
	k := c.nfs.begin(procFsstat)
	defer c.nfs.end(k)
	k.handle(&h)
	r := c.do(ctx, k)
	s := r.fsstatRes()
	return s, r.error("fsstat", "")
}

func (r *result) fsstatRes() (s FSStat) {
	r.postOp()
	if r.ok() {
		s = FSStat{r.uint64(), r.uint64(), r.uint64(), r.uint64(), r.uint64(), r.uint64(), r.uint32()}
	}
	return s
}

// What a filesystem can do: FSInfo.Properties (RFC 1813 §3.3.19).
const (
	PropLink        = 0x01 // hard links
	PropSymlink     = 0x02 // symlinks
	PropHomogeneous = 0x08 // PathConf is the same everywhere
	PropCanSetTime  = 0x10 // SETATTR sets times as precisely as TimeDelta
)

// FSInfo are the server's limits in bytes, unchanged (RFC 1813 §3.3.19).
// ReadSize and WriteSize are derived from them.
type FSInfo struct {
	RTMax, RTPref, RTMult uint32 // READ: largest, preferred, multiple
	WTMax, WTPref, WTMult uint32 // WRITE: largest, preferred, multiple
	DTPref                uint32 // READDIR: preferred
	MaxFileSize           uint64
	TimeDelta             Time // the resolution of times
	Properties            uint32
}

// FSInfo asks for the limits of the filesystem that an object is on.
func (c *Client) FSInfo(ctx context.Context, h Handle) (FSInfo, error) {
	k := c.nfs.begin(procFsinfo)
	defer c.nfs.end(k)
	k.handle(&h)
	r := c.do(ctx, k)
	s := r.fsinfoRes()
	return s, r.error("fsinfo", "")
}

func (r *result) fsinfoRes() (s FSInfo) {
	r.postOp()
	if r.ok() {
		s = FSInfo{
			r.uint32(), r.uint32(), r.uint32(),
			r.uint32(), r.uint32(), r.uint32(),
			r.uint32(), r.uint64(), r.time(), r.uint32(),
		}
	}
	return s
}

// PathConf says how a filesystem treats names (RFC 1813 §3.3.20).
type PathConf struct {
	LinkMax         uint32 // names of one object
	NameMax         uint32 // bytes of one name
	NoTrunc         bool   // longer names are refused rather than cut
	ChownRestricted bool   // only the superuser gives files away
	CaseInsensitive bool   // names that differ by case are one
	CasePreserving  bool   // names keep their case
}

// PathConf asks how the filesystem of an object treats names.
func (c *Client) PathConf(ctx context.Context, h Handle) (PathConf, error) {
	k := c.nfs.begin(procPathconf)
	defer c.nfs.end(k)
	k.handle(&h)
	r := c.do(ctx, k)
	s := r.pathconfRes()
	return s, r.error("pathconf", "")
}

func (r *result) pathconfRes() (s PathConf) {
	r.postOp()
	if r.ok() {
		s = PathConf{r.uint32(), r.uint32(), r.bool(), r.bool(), r.bool(), r.bool()}
	}
	return s
}

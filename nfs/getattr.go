package nfs

import "context"

// The procedures' numbers (RFC 1813 §3.3).
const (
	procNull        = 0
	procGetattr     = 1
	procSetattr     = 2
	procLookup      = 3
	procAccess      = 4
	procReadlink    = 5
	procRead        = 6
	procWrite       = 7
	procCreate      = 8
	procMkdir       = 9
	procSymlink     = 10
	procMknod       = 11
	procRemove      = 12
	procRmdir       = 13
	procRename      = 14
	procLink        = 15
	procReaddir     = 16
	procReaddirplus = 17
	procFsstat      = 18
	procFsinfo      = 19
	procPathconf    = 20
	procCommit      = 21
)

// Null does nothing (RFC 1813 §3.3.0): it shows that the server answers.
func (c *Client) Null(ctx context.Context) error {
	k := c.nfs.begin(procNull)
	defer c.nfs.end(k)
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.timeout)
		defer cancel()
	}
	r := result{}
	if r.err = c.nfs.roundTrip(ctx, k); r.err == nil {
		r.decoder = parseReply(k.reply)
	}
	return r.error("null", "")
}

// Getattr returns an object's attributes (RFC 1813 §3.3.1).
func (c *Client) Getattr(ctx context.Context, h Handle) (Attr, error) {
	k := c.nfs.begin(procGetattr)
	defer c.nfs.end(k)
	k.handle(&h)
	r := c.do(ctx, k)
	a := r.getattrRes()
	return a, r.error("getattr", "")
}

func (r *result) getattrRes() (a Attr) {
	if r.ok() {
		a = r.attr()
	}
	return a
}

// Setattr changes an object's attributes (RFC 1813 §3.3.2). With a guard, the
// server makes the change only if the object's ctime equals the guard, else it
// answers StatusNotSync. If that error is Replayed, the first sending may have
// made the change.
func (c *Client) Setattr(ctx context.Context, h Handle, set SetAttr, guard *Time) (WCC, error) {
	k := c.nfs.begin(procSetattr)
	defer c.nfs.end(k)
	k.handle(&h)
	k.setAttr(&set)
	if k.head = appendBool(k.head, guard != nil); guard != nil {
		k.head = appendTime(k.head, *guard)
	}
	r := c.do(ctx, k)
	w := r.wcc()
	return w, r.error("setattr", "")
}

// The rights that Access asks for and answers (RFC 1813 §3.3.4).
const (
	AccessRead    = 0x01 // read data or a directory
	AccessLookup  = 0x02 // look up names
	AccessModify  = 0x04 // rewrite data or change entries
	AccessExtend  = 0x08 // write new data or add entries
	AccessDelete  = 0x10 // delete entries
	AccessExecute = 0x20 // execute a file
)

// Access tells which of the rights in want the caller has (RFC 1813 §3.3.4):
// the server's opinion now, no promise.
func (c *Client) Access(ctx context.Context, h Handle, want uint32) (uint32, PostOp, error) {
	k := c.nfs.begin(procAccess)
	defer c.nfs.end(k)
	k.handle(&h)
	k.head = appendUint32(k.head, want)
	r := c.do(ctx, k)
	granted, a := r.accessRes()
	return granted, a, r.error("access", "")
}

func (r *result) accessRes() (granted uint32, a PostOp) {
	a = r.postOp()
	if r.ok() {
		granted = r.uint32()
	}
	return granted, a
}

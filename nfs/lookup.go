package nfs

import (
	"context"
	"strings"
)

// LookupResult is what Lookup returns.
type LookupResult struct {
	Object Handle
	Attr   PostOp // of the object
	Dir    PostOp // attributes of the directory, also after a failure
}

// Lookup returns the handle that a name in a directory has (RFC 1813 §3.3.3).
// Symlinks are not followed.
func (c *Client) Lookup(ctx context.Context, dir Handle, name string) (LookupResult, error) {
	k := c.nfs.begin(procLookup)
	defer c.nfs.end(k)
	k.dirop(&dir, name)
	r := c.do(ctx, k)
	res := r.lookupRes()
	return res, r.error("lookup", name)
}

func (r *result) lookupRes() (res LookupResult) {
	if r.ok() {
		res.Object, res.Attr = r.handle(), r.postOp()
	}
	res.Dir = r.postOp()
	return res
}

// Readlink returns a symlink's target, any bytes but NUL (RFC 1813 §3.3.5).
func (c *Client) Readlink(ctx context.Context, h Handle) (string, PostOp, error) {
	k := c.nfs.begin(procReadlink)
	defer c.nfs.end(k)
	k.handle(&h)
	r := c.do(ctx, k)
	target, a := r.readlinkRes()
	return target, a, r.error("readlink", "")
}

func (r *result) readlinkRes() (target string, a PostOp) {
	a = r.postOp()
	if r.ok() {
		if target = r.string(maxName); r.err == nil && (target == "" || strings.Contains(target, "\x00")) {
			r.fail("a symlink to %q", target)
			target = ""
		}
	}
	return target, a
}

package nfs

import "context"

// Remove removes a name of anything but a directory (RFC 1813 §3.3.12). If the
// request was sent again and the name does not exist then, Remove succeeds: the
// first sending removed it.
func (c *Client) Remove(ctx context.Context, dir Handle, name string) (WCC, error) {
	return c.remove(ctx, procRemove, "remove", dir, name)
}

// Rmdir removes an empty directory (RFC 1813 §3.3.13); StatusNotEmpty (on some
// servers StatusExist) if it is not. If the request was sent again and the name
// does not exist then, Rmdir succeeds: the first sending removed it.
func (c *Client) Rmdir(ctx context.Context, dir Handle, name string) (WCC, error) {
	return c.remove(ctx, procRmdir, "rmdir", dir, name)
}

func (c *Client) remove(ctx context.Context, proc uint32, op string, dir Handle, name string) (WCC, error) {
	k := c.nfs.begin(proc)
	defer c.nfs.end(k)
	k.dirop(&dir, name)
	r := c.do(ctx, k)
	w := r.wcc()
	if r.status == StatusNoEnt && r.replayed {
		return w, nil
	}
	return w, r.error(op, name)
}

// RenameResult is what Rename returns.
type RenameResult struct {
	From, To WCC // of the two directories
}

// Rename moves a name, replacing the one that is there (RFC 1813 §3.3.14).
//
// If the request was sent again and the old name does not exist then, the first
// sending may have renamed it. Rename succeeds if the new name has the given
// file id, which is that of the moved object. With another id, or with file id
// 0, the result is a StatusNoEnt that is Replayed.
func (c *Client) Rename(ctx context.Context, fromDir Handle, from string, toDir Handle, to string, fileID uint64) (RenameResult, error) {
	k := c.nfs.begin(procRename)
	defer c.nfs.end(k)
	k.dirop(&fromDir, from)
	k.dirop(&toDir, to)
	r := c.do(ctx, k)
	res := RenameResult{r.wcc(), r.wcc()}
	if r.status == StatusNoEnt && r.replayed && fileID != 0 && c.names(ctx, toDir, to, fileID) {
		return res, nil
	}
	return res, r.error("rename", from)
}

// LinkResult is what Link returns.
type LinkResult struct {
	Attr PostOp // of the file
	Dir  WCC    // of the directory
}

// Link gives a file one more name (RFC 1813 §3.3.15), or fails with StatusExist
// if the name is taken: the one operation of NFSv3 that tells for sure who was
// first. If the request was sent again and the name exists then, Link succeeds
// if the name is the same file's.
func (c *Client) Link(ctx context.Context, file, dir Handle, name string) (LinkResult, error) {
	k := c.nfs.begin(procLink)
	defer c.nfs.end(k)
	k.handle(&file)
	k.dirop(&dir, name)
	r := c.do(ctx, k)
	res := LinkResult{r.postOp(), r.wcc()}
	if r.status == StatusExist && r.replayed {
		if a, err := c.Getattr(ctx, file); err == nil && c.names(ctx, dir, name, a.FileID) {
			return LinkResult{PostOp{true, a}, res.Dir}, nil
		}
	}
	return res, r.error("link", name)
}

// names tells whether a name is that of the object with the given file id.
func (c *Client) names(ctx context.Context, dir Handle, name string, fileID uint64) bool {
	there, err := c.Lookup(ctx, dir, name)
	if err != nil {
		return false
	}
	a := there.Attr.Attr
	if !there.Attr.Present {
		if a, err = c.Getattr(ctx, there.Object); err != nil {
			return false
		}
	}
	return a.FileID == fileID
}

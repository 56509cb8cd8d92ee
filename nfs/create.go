package nfs

import "context"

// CreateMode says what Create does with a name that is taken (createmode3,
// RFC 1813 §3.3.8). The third mode, EXCLUSIVE, is CreateExclusive.
type CreateMode bool

// The values of CreateMode.
const (
	Unchecked CreateMode = false // takes the file that is there
	Guarded   CreateMode = true  // fails with StatusExist
)

// createExclusive is createmode3's EXCLUSIVE.
const createExclusive = 2

// Made is what the procedures return that make an object.
type Made struct {
	Object Handle // zero if the server left it out: then Lookup it
	Attr   PostOp // of the object
	Dir    WCC    // of the directory, also after a failure
}

func (r *result) made() (m Made) {
	if r.ok() {
		m.Object, m.Attr = r.postOpHandle(), r.postOp()
	}
	m.Dir = r.wcc()
	return m
}

// Create makes a regular file (RFC 1813 §3.3.8) with mode Unchecked or Guarded
// and the given attributes. If a Guarded create was sent again, and the name is
// then an empty file with the given attributes, Create takes it for ours. A
// caller that must know that it was first uses Link.
func (c *Client) Create(ctx context.Context, dir Handle, name string, mode CreateMode, set SetAttr) (Made, error) {
	k := c.nfs.begin(procCreate)
	defer c.nfs.end(k)
	k.dirop(&dir, name)
	k.head = appendBool(k.head, bool(mode)) // UNCHECKED is 0, GUARDED 1
	k.setAttr(&set)
	r := c.do(ctx, k)
	m := r.made()
	return c.remade(ctx, &r, m, "create", dir, name, func(a *Attr, _ Handle) bool {
		return a.Type == TypeReg && set.matches(a)
	})
}

// CreateExclusive makes a regular file that no other verifier has made (RFC
// 1813 §3.3.8). The server itself recognizes a request that is sent again, so
// that StatusExist is always somebody else's file. The server may keep the
// verifier in the file's times: set all attributes afterwards.
func (c *Client) CreateExclusive(ctx context.Context, dir Handle, name string, verf Verifier) (Made, error) {
	k := c.nfs.begin(procCreate)
	defer c.nfs.end(k)
	k.dirop(&dir, name)
	k.head = append(appendUint32(k.head, createExclusive), verf[:]...)
	r := c.do(ctx, k)
	m := r.made()
	return m, r.error("create", name)
}

// Mkdir makes a directory (RFC 1813 §3.3.9). If it was sent again, and the name
// is then a directory with the given attributes, Mkdir takes it for ours: Mkdir
// does not tell who was first.
func (c *Client) Mkdir(ctx context.Context, dir Handle, name string, set SetAttr) (Made, error) {
	k := c.nfs.begin(procMkdir)
	defer c.nfs.end(k)
	k.dirop(&dir, name)
	k.setAttr(&set)
	r := c.do(ctx, k)
	m := r.made()
	return c.remade(ctx, &r, m, "mkdir", dir, name, func(a *Attr, _ Handle) bool {
		return a.Type == TypeDir && set.matches(a)
	})
}

// Symlink makes a symlink to target, any bytes (RFC 1813 §3.3.10). If the
// request was sent again, and the name is then a symlink with this target,
// Symlink takes it for ours.
func (c *Client) Symlink(ctx context.Context, dir Handle, name, target string, set SetAttr) (Made, error) {
	k := c.nfs.begin(procSymlink)
	defer c.nfs.end(k)
	k.dirop(&dir, name)
	k.setAttr(&set)
	k.head = appendOpaque(k.head, target)
	r := c.do(ctx, k)
	m := r.made()
	return c.remade(ctx, &r, m, "symlink", dir, name, func(a *Attr, h Handle) bool {
		if a.Type != TypeLnk {
			return false
		}
		there, _, err := c.Readlink(ctx, h)
		return err == nil && there == target
	})
}

// Mknod makes a socket, a FIFO or, with major and minor, a device node (RFC
// 1813 §3.3.11). If the request was sent again, and the name is then such an
// object, Mknod takes it for ours.
func (c *Client) Mknod(ctx context.Context, dir Handle, name string, t Type, major, minor uint32, set SetAttr) (Made, error) {
	device := t == TypeChr || t == TypeBlk
	k := c.nfs.begin(procMknod)
	defer c.nfs.end(k)
	k.dirop(&dir, name)
	k.head = appendUint32(k.head, uint32(t))
	switch {
	case device:
		k.setAttr(&set)
		k.head = appendUint32(appendUint32(k.head, major), minor)
	case t == TypeSock || t == TypeFIFO:
		k.setAttr(&set)
	}
	r := c.do(ctx, k)
	m := r.made()
	return c.remade(ctx, &r, m, "mknod", dir, name, func(a *Attr, _ Handle) bool {
		return a.Type == t && set.matches(a) && (!device || a.Major == major && a.Minor == minor)
	})
}

// remade reads the answer to a request that makes an object. If the request was
// sent again, StatusExist may come from its first sending: remade looks the
// name up, and ours tells whether the object is the requested one.
func (c *Client) remade(ctx context.Context, r *result, m Made, op string, dir Handle, name string,
	ours func(*Attr, Handle) bool) (Made, error) {
	err := r.error(op, name)
	if err == nil || r.status != StatusExist || !r.replayed {
		return m, err
	}
	there, lookErr := c.Lookup(ctx, dir, name)
	if lookErr != nil {
		return m, err
	}
	if !there.Attr.Present {
		if there.Attr.Attr, lookErr = c.Getattr(ctx, there.Object); lookErr != nil {
			return m, err
		}
		there.Attr.Present = true
	}
	if !ours(&there.Attr.Attr, there.Object) {
		return m, err
	}
	return Made{Object: there.Object, Attr: there.Attr, Dir: m.Dir}, nil
}

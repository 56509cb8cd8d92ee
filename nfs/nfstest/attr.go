package nfstest

import "time"

// setAttr is sattr3 (RFC 1813 §2.6); nil leaves a value as it is.
type setAttr struct {
	mode, uid, gid     *uint32
	size               *uint64
	atime, mtime       *time.Time
	atimeNow, mtimeNow bool
}

func (d *decoder) sattr() (s setAttr) {
	u32 := func() *uint32 {
		if !d.flag() {
			return nil
		}
		v := d.u32()
		return &v
	}
	s.mode, s.uid, s.gid = u32(), u32(), u32()
	if d.flag() {
		v := d.u64()
		s.size = &v
	}
	when := func() (now bool, t *time.Time) {
		switch d.u32() {
		case 0:
			return false, nil
		case 1:
			return true, nil
		case 2:
			v := time.Unix(int64(d.u32()), int64(d.u32()))
			return false, &v
		}
		d.bad = true
		return false, nil
	}
	s.atimeNow, s.atime = when()
	s.mtimeNow, s.mtime = when()
	return s
}

// apply changes attributes; of a node that is new, without asking who may.
func (x *export) apply(c *cred, n *node, s *setAttr, isNew bool) uint32 {
	owner := c.uid == 0 || c.uid == n.uid
	switch {
	case x.readOnly:
		return errROFS
	case s.mode != nil && !owner:
		return errPerm
	case s.uid != nil && *s.uid != n.uid && c.uid != 0:
		return errPerm
	case s.gid != nil && *s.gid != n.gid && c.uid != 0 && !(owner && c.in(*s.gid)):
		return errPerm
	case (s.atime != nil || s.mtime != nil) && !owner:
		return errPerm
	case (s.atimeNow || s.mtimeNow) && !owner && !x.may(c, n, 2):
		return errAcces
	}
	if s.size != nil {
		switch {
		case n.typ == typeDir:
			return errIsDir
		case n.typ != typeReg:
			return errInval
		case !isNew && !owner && !x.may(c, n, 2):
			return errAcces
		case *s.size > maxFileSize:
			return errFBig
		}
		if int64(*s.size) != n.data.size {
			n.data.truncate(int64(*s.size))
			n.stable = nil // SETATTR is stable, and with it what was written
			n.mtime = x.now()
		}
	}
	if s.uid != nil || s.gid != nil {
		if c.uid != 0 {
			n.mode &^= 0o6000
		}
		if s.uid != nil {
			n.uid = *s.uid
		}
		if s.gid != nil {
			n.gid = *s.gid
		}
	}
	if s.mode != nil {
		n.mode = *s.mode&0o7777 | n.mode&0o2000*b2u(isNew && n.typ == typeDir)
	}
	t := x.now()
	switch {
	case s.atime != nil:
		n.atime = *s.atime
	case s.atimeNow:
		n.atime = t
	}
	switch {
	case s.mtime != nil:
		n.mtime = *s.mtime
	case s.mtimeNow:
		n.mtime = t
	}
	n.ctime = t
	return ok
}

func b2u(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

func (e *encoder) time(t time.Time) {
	e.u32(uint32(t.Unix()))
	e.u32(uint32(t.Nanosecond()))
}

// fattr is fattr3 (RFC 1813 §2.6).
func (e *encoder) fattr(x *export, n *node) {
	a := x.attr(n)
	e.u32(a.Type)
	e.u32(n.mode)
	e.u32(a.Nlink)
	e.u32(n.uid)
	e.u32(n.gid)
	e.u64(a.Size)
	e.u64(a.Used)
	e.u32(n.major)
	e.u32(n.minor)
	e.u64(a.FSID)
	e.u64(a.FileID)
	e.time(n.atime)
	e.u32(uint32(n.mtime.Unix()))
	e.u32(a.MtimeNsec)
	e.time(n.ctime)
}

// postOp is post_op_attr.
func (e *encoder) postOp(x *export, n *node) {
	if e.flag(n != nil); n != nil {
		e.fattr(x, n)
	}
}

// before is pre_op_attr, taken before an operation.
type before struct {
	size         int64
	mtime, ctime time.Time
}

func beforeOf(n *node) *before {
	if n == nil {
		return nil
	}
	b := &before{mtime: n.mtime, ctime: n.ctime}
	if n.data != nil {
		b.size = n.data.size
	} else if n.dir != nil {
		b.size = pageSize
	}
	return b
}

// wcc is wcc_data.
func (e *encoder) wcc(x *export, b *before, n *node) {
	if e.flag(b != nil); b != nil {
		e.u64(uint64(b.size))
		e.time(b.mtime)
		e.time(b.ctime)
	}
	e.postOp(x, n)
}

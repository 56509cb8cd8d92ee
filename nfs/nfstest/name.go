package nfstest

// target reads the directory and name of an operation.
func (s *Server) target(d *decoder) (dir *node, name string, st uint32) {
	dir, st = s.object(d)
	return dir, d.str(), st
}

// made answers a procedure that makes an object.
func (s *Server) made(e *encoder, st uint32, n *node, b *before, dir *node) {
	if e.u32(st); st == ok {
		e.u32(1)
		e.str(string(s.export.handle(n)))
		e.postOp(s.export, n)
	}
	e.wcc(s.export, b, dir)
}

func create(s *Server, c *cred, d *decoder, e *encoder) {
	x := s.export
	dir, name, st := s.target(d)
	how := d.u32()
	var set setAttr
	var verifier [8]byte
	if how == 2 {
		copy(verifier[:], d.take(8))
	} else {
		set = d.sattr()
	}
	if d.bad || how > 2 {
		d.bad = true
		return
	}
	b := beforeOf(dir)
	var n *node
	if st == ok {
		n, st = x.make(c, dir, name, typeReg, &set)
		if st == ok && how == 2 {
			n.made = verifier
		}
	}
	if st == errExist {
		n = dir.dir.byName[name].node
		switch {
		case how == 0 && n.typ == typeReg: // UNCHECKED: only the size is applied
			st = ok
			if set.size != nil {
				st = x.apply(c, n, &setAttr{size: set.size}, false)
			}
		case how == 0 && n.typ == typeDir:
			st = errIsDir
		case how == 2 && n.typ == typeReg && n.made == verifier:
			st = ok
		}
	}
	s.made(e, st, n, b, dir)
}

func mkdir(s *Server, c *cred, d *decoder, e *encoder) {
	dir, name, st := s.target(d)
	set := d.sattr()
	b := beforeOf(dir)
	var n *node
	if st == ok && !d.bad {
		n, st = s.export.make(c, dir, name, typeDir, &set)
	}
	s.made(e, st, n, b, dir)
}

func symlink(s *Server, c *cred, d *decoder, e *encoder) {
	dir, name, st := s.target(d)
	set := d.sattr()
	to := d.str()
	b := beforeOf(dir)
	var n *node
	if st == ok && !d.bad {
		if n, st = s.export.make(c, dir, name, typeLnk, &set); st == ok {
			n.link, n.mode = to, 0o777
		}
	}
	s.made(e, st, n, b, dir)
}

func mknod(s *Server, c *cred, d *decoder, e *encoder) {
	dir, name, st := s.target(d)
	typ := d.u32()
	var set setAttr
	var major, minor uint32
	switch typ {
	case 3, 4:
		set = d.sattr()
		major, minor = d.u32(), d.u32()
		if st == ok && c.uid != 0 {
			st = errPerm
		}
	case 6, 7:
		set = d.sattr()
	default:
		st = errBadType
	}
	b := beforeOf(dir)
	var n *node
	if st == ok && !d.bad {
		if n, st = s.export.make(c, dir, name, typ, &set); st == ok {
			n.major, n.minor = major, minor
		}
	}
	s.made(e, st, n, b, dir)
}

func remove(s *Server, c *cred, d *decoder, e *encoder) { removeAny(s, c, d, e, false) }
func rmdir(s *Server, c *cred, d *decoder, e *encoder)  { removeAny(s, c, d, e, true) }

func removeAny(s *Server, c *cred, d *decoder, e *encoder, isDir bool) {
	dir, name, st := s.target(d)
	b := beforeOf(dir)
	if st == ok && !d.bad {
		st = s.export.remove(c, dir, name, isDir)
	}
	e.u32(st)
	e.wcc(s.export, b, dir)
}

func rename(s *Server, c *cred, d *decoder, e *encoder) {
	from, fromName, st := s.target(d)
	to, toName, st2 := s.target(d)
	if st == ok {
		st = st2
	}
	bf, bt := beforeOf(from), beforeOf(to)
	if st == ok && !d.bad {
		st = s.export.rename(c, from, fromName, to, toName)
	}
	e.u32(st)
	e.wcc(s.export, bf, from)
	e.wcc(s.export, bt, to)
}

func link(s *Server, c *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	dir, name, st2 := s.target(d)
	if st == ok {
		st = st2
	}
	b := beforeOf(dir)
	if st == ok && !d.bad {
		st = s.export.linkTo(c, n, dir, name)
	}
	e.u32(st)
	e.postOp(s.export, n)
	e.wcc(s.export, b, dir)
}

func readdir(s *Server, c *cred, d *decoder, e *encoder)     { list(s, c, d, e, false) }
func readdirplus(s *Server, c *cred, d *decoder, e *encoder) { list(s, c, d, e, true) }

// list is READDIR and READDIRPLUS (RFC 1813 §3.3.16, §3.3.17).
func list(s *Server, c *cred, d *decoder, e *encoder, plus bool) {
	dir, st := s.object(d)
	cookie, verifier := d.u64(), d.u64()
	size := d.u32()
	if plus {
		size = d.u32()
	}
	current := uint64(1)
	switch {
	case st != ok:
	case dir.typ != typeDir:
		st = errNotDir
	case !s.export.may(c, dir, 4):
		st = errAcces
	default:
		if s.strict {
			current = dir.dir.changes + 2
		}
		if cookie != 0 && verifier != current {
			st = errBadCookie
		}
	}
	if st == ok && e.lie(s.export, dir, cookie, plus) {
		return
	}
	if e.u32(st); st != ok {
		e.postOp(s.export, dir)
		return
	}
	start := len(e.b)
	e.postOp(s.export, dir)
	e.u64(current)
	entries := 0
	eof := dir.dir.after(dir, cookie, func(ent *dirent) bool {
		at := len(e.b)
		e.u32(1)
		e.u64(ent.node.id)
		e.str(ent.name)
		e.u64(ent.cookie)
		switch {
		case plus && s.noAttrs:
			e.u32(0)
			e.u32(0)
		case plus:
			e.postOp(s.export, ent.node)
			e.u32(1)
			e.str(string(s.export.handle(ent.node)))
		}
		if len(e.b)-start+12 > int(size) || s.limits.PageEntries > 0 && entries == s.limits.PageEntries {
			e.b = e.b[:at]
			return false
		}
		entries++
		return true
	})
	if entries == 0 && !eof {
		e.b = e.b[:start-4]
		e.u32(errTooSmall)
		e.postOp(s.export, dir)
		return
	}
	e.u32(0)
	e.flag(eof)
}

package nfstest

// procedures answer NFS's calls; the Server's mutex is held.
var procedures = [22]func(s *Server, c *cred, d *decoder, e *encoder){
	1: getattr, 2: setattr, 3: lookup, 4: access, 5: readlink, 6: read, 7: write,
	8: create, 9: mkdir, 10: symlink, 11: mknod, 12: remove, 13: rmdir, 14: rename, 15: link,
	16: readdir, 17: readdirplus, 18: fsstat, 19: fsinfo, 20: pathconf, 21: commit,
}

// object reads a handle.
func (s *Server) object(d *decoder) (*node, uint32) { return s.export.byHandle(d.opaque()) }

func getattr(s *Server, _ *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	if e.u32(st); st == ok {
		e.fattr(s.export, n)
	}
}

func setattr(s *Server, c *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	set := d.sattr()
	guarded := d.flag()
	var sec, nsec uint32
	if guarded {
		sec, nsec = d.u32(), d.u32()
	}
	b := beforeOf(n)
	if st == ok && guarded && (uint32(n.ctime.Unix()) != sec || uint32(n.ctime.Nanosecond()) != nsec) {
		st = errNotSync
	}
	if st == ok && !d.bad {
		st = s.export.apply(c, n, &set, false)
	}
	e.u32(st)
	e.wcc(s.export, b, n)
}

func lookup(s *Server, c *cred, d *decoder, e *encoder) {
	dir, st := s.object(d)
	name := d.str()
	var n *node
	if st == ok {
		n, st = s.export.child(c, dir, name)
	}
	if e.u32(st); st == ok {
		e.str(string(s.export.handle(n)))
		e.postOp(s.export, n)
	}
	e.postOp(s.export, dir)
}

func access(s *Server, c *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	want := d.u32()
	e.u32(st)
	e.postOp(s.export, n)
	if st != ok {
		return
	}
	var have uint32
	if s.export.may(c, n, 4) {
		have |= 0x01
	}
	if s.export.may(c, n, 1) {
		have |= 0x02 | 0x20
	}
	if s.export.may(c, n, 2) && !s.export.readOnly {
		have |= 0x04 | 0x08 | 0x10
	}
	if n.typ == typeDir {
		have &^= 0x20
	} else {
		have &^= 0x02 | 0x10
	}
	e.u32(have & want)
}

func readlink(s *Server, _ *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	if st == ok && n.typ != typeLnk {
		st = errInval
	}
	e.u32(st)
	e.postOp(s.export, n)
	if st == ok {
		to := n.link
		if s.export.lies.Readlink != nil {
			to = s.export.lies.Readlink(to)
		}
		e.str(to)
	}
}

func read(s *Server, c *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	off, count := d.u64(), d.u32()
	switch {
	case st != ok:
	case n.typ == typeDir:
		st = errIsDir
	case n.typ != typeReg:
		st = errInval
	case c.uid != n.uid && !s.export.may(c, n, 4) && !s.export.may(c, n, 1):
		st = errAcces
	}
	e.u32(st)
	e.postOp(s.export, n)
	if st != ok {
		return
	}
	p := make([]byte, min(count, s.limits.RTMax))
	got := 0
	if off < maxFileSize {
		got = n.data.readAt(p, int64(off))
	}
	announced, p, eof := uint32(got), p[:got], off+uint64(got) >= uint64(n.data.size)
	if s.export.lies.Read != nil {
		s.export.lies.Read(&announced, &p, &eof)
	}
	e.u32(announced)
	e.flag(eof)
	e.str(string(p))
}

func write(s *Server, c *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	off, count, stable := d.u64(), d.u32(), d.u32()
	p := d.opaque()
	if int(count) != len(p) || stable > 2 {
		d.bad = true
		return
	}
	p = p[:min(count, s.limits.WTMax)]
	b := beforeOf(n)
	if st == ok {
		st = s.export.write(c, n, off, p, stable > 0)
	}
	e.u32(st)
	e.wcc(s.export, b, n)
	if st == ok {
		n := uint32(len(p))
		v := s.told(&n)
		e.u32(n)
		e.u32(stable)
		e.raw(v[:])
	}
}

func commit(s *Server, _ *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	d.u64()
	d.u32()
	if st == ok && n.typ != typeReg {
		st = errInval
	}
	b := beforeOf(n)
	if st == ok {
		n.stable = nil
	}
	e.u32(st)
	e.wcc(s.export, b, n)
	if st == ok {
		var n uint32
		v := s.told(&n)
		e.raw(v[:])
	}
}

// told is the verifier that is sent, and the count of a WRITE.
func (s *Server) told(n *uint32) [8]byte {
	v := s.verifier
	if s.export.lies.Write != nil {
		s.export.lies.Write(n, &v)
	}
	return v
}

func fsstat(s *Server, _ *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	e.u32(st)
	e.postOp(s.export, n)
	if st != ok {
		return
	}
	total := s.export.space
	if total == 0 {
		total = 1 << 40
	}
	free := uint64(max(total-s.export.used(), 0))
	e.u64(uint64(total))
	e.u64(free)
	e.u64(free)
	files := uint64(len(s.export.nodes))
	e.u64(1 << 20)
	e.u64(1<<20 - files)
	e.u64(1<<20 - files)
	e.u32(0)
}

func fsinfo(s *Server, _ *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	e.u32(st)
	e.postOp(s.export, n)
	if st != ok {
		return
	}
	for _, limit := range []uint32{s.limits.RTMax, s.limits.WTMax} {
		e.u32(limit)
		e.u32(limit)
		e.u32(pageSize)
	}
	e.u32(s.limits.DTPref)
	e.u64(maxFileSize)
	e.u32(0)
	e.u32(1)
	e.u32(0x1b)
}

func pathconf(s *Server, _ *cred, d *decoder, e *encoder) {
	n, st := s.object(d)
	e.u32(st)
	e.postOp(s.export, n)
	if st != ok {
		return
	}
	e.u32(1 << 16)
	e.u32(maxName)
	e.flag(true)
	e.flag(true)
	e.flag(false)
	e.flag(true)
}

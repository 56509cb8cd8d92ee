package nfstest

import (
	"path"
	"strings"
)

// call carries a call out and encodes its results; the Server's mutex is held.
// It returns the accept_stat.
func (s *Server) call(h *header, d *decoder, e *encoder, f Fault) uint32 {
	switch h.prog {
	case progPortmap:
		return s.altered(e, func() uint32 { return s.portmap(h, d, e) })
	case progMount:
		return s.altered(e, func() uint32 { return s.mount(h, d, e) })
	case progNFS:
	default:
		return acceptProgUnavail
	}
	if h.vers != 3 {
		return acceptProgMismatch
	}
	if h.proc >= uint32(len(procedures)) {
		return acceptProcUnavail
	}
	if h.proc == 0 {
		return 0
	}
	if f.Status != 0 {
		d.b, d.bad = nil, false
		e.failed(f.Status, Proc(h.proc))
		return 0
	}
	c := h.cred
	if s.export.squash {
		if c.uid == 0 {
			c.uid = nobody
		}
		if c.gid == 0 {
			c.gid = nobody
		}
	}
	procedures[h.proc](s, &c, d, e)
	return 0
}

// altered lets a lie change the results of a procedure that is not NFS's.
func (s *Server) altered(e *encoder, call func() uint32) uint32 {
	at := len(e.b)
	stat := call()
	if s.export.lies.Mount != nil {
		e.b = append(e.b[:at:at], s.export.lies.Mount(e.b[at:])...)
	}
	return stat
}

// failed is the answer of a call that was not looked at: a status, and nothing
// of what may be left out.
func (e *encoder) failed(status uint32, p Proc) {
	e.u32(status)
	words := map[Proc]int{Getattr: 0, Rename: 4, Link: 3, Lookup: 1, Access: 1, Readlink: 1, Read: 1,
		Readdir: 1, Readdirplus: 1, Fsstat: 1, Fsinfo: 1, Pathconf: 1}
	n, ok := words[p]
	if !ok {
		n = 2 // wcc_data
	}
	for range n {
		e.u32(0)
	}
}

// portmap answers GETPORT (RFC 1833 §3) and GETADDR (§2): all is on one port.
func (s *Server) portmap(h *header, d *decoder, e *encoder) uint32 {
	port := uint32(s.Addr().Port)
	prog, vers := d.u32(), d.u32()
	known := vers == 3 && (prog == progNFS || prog == progMount)
	switch {
	case h.proc != 3:
		return acceptProcUnavail
	case h.vers == 2:
		if d.u32() != 6 || !known {
			port = 0
		}
		e.u32(port)
	default:
		if known {
			e.str("::1." + itoa(port>>8) + "." + itoa(port&255))
		} else {
			e.str("")
		}
	}
	d.bad = false
	return 0
}

func itoa(n uint32) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

// mount answers MOUNT's procedures (RFC 1813 §5.2).
func (s *Server) mount(h *header, d *decoder, e *encoder) uint32 {
	if h.vers != 3 {
		return acceptProgMismatch
	}
	switch h.proc {
	case 0, 4: // NULL, UMNTALL
	case 1: // MNT
		s.mounts++
		n, st := s.resolve(d.str())
		if e.u32(st); st != ok {
			break
		}
		e.str(string(s.export.handle(n)))
		e.u32(1)
		e.u32(1) // AUTH_SYS
	case 2: // DUMP
		e.u32(0)
	case 3: // UMNT
		d.str()
	case 5: // EXPORT
		e.u32(1)
		e.str("/export")
		e.u32(1)
		e.str("127.0.0.0/8")
		e.u32(0)
		e.u32(0)
	default:
		return acceptProcUnavail
	}
	return 0
}

// resolve finds the directory that MNT asks for.
func (s *Server) resolve(dir string) (*node, uint32) {
	rest, ok1 := strings.CutPrefix(path.Clean(dir), "/export")
	switch {
	case !ok1 || rest != "" && rest[0] != '/':
		return nil, errNoEnt
	case rest != "" && !s.deep:
		return nil, errAcces
	}
	n, st := s.walk(rest)
	if st == ok && n.typ != typeDir {
		st = errNotDir
	}
	return n, st
}

// walk follows a path from the export's root.
func (s *Server) walk(p string) (*node, uint32) {
	n := s.export.root
	for _, name := range strings.Split(p, "/") {
		if name == "" {
			continue
		}
		var st uint32
		if n, st = s.export.child(&cred{}, n, name); st != ok {
			return nil, st
		}
	}
	return n, ok
}

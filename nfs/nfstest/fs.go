package nfstest

import (
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

// The statuses that the server answers by itself (RFC 1813 §2.6).
const (
	ok             = 0
	errPerm        = 1
	errNoEnt       = 2
	errIO          = 5
	errAcces       = 13
	errExist       = 17
	errXDev        = 18
	errNotDir      = 20
	errIsDir       = 21
	errInval       = 22
	errFBig        = 27
	errNoSpc       = 28
	errROFS        = 30
	errNameTooLong = 63
	errNotEmpty    = 66
	errStale       = 70
	errBadHandle   = 10001
	errNotSync     = 10002
	errBadCookie   = 10003
	errTooSmall    = 10005
	errBadType     = 10007
)

// The types (RFC 1813 §2.6).
const (
	typeReg = 1
	typeDir = 2
	typeBlk = 3
	typeChr = 4
	typeLnk = 5
)

const (
	nobody      = 65534
	maxName     = 255
	maxFileSize = 1 << 43
)

// cred is who calls.
type cred struct {
	uid, gid uint32
	gids     []uint32
}

func (c *cred) in(gid uint32) bool { return c.gid == gid || slices.Contains(c.gids, gid) }

// node is an object of the export.
type node struct {
	id                  uint64
	typ                 uint32
	mode                uint32
	nlink               uint32
	uid, gid            uint32
	major, minor        uint32
	fsid                uint64 // 0 for the export's
	atime, mtime, ctime time.Time

	data   *content   // of a file
	stable *content   // what a crash leaves of it; nil if that is data
	made   [8]byte    // verifier of an EXCLUSIVE create
	link   string     // of a symlink
	dir    *directory // of a directory
	parent *node      // of a directory; its own parent for the root
}

// export is the filesystem. The Server's mutex guards all of it.
type export struct {
	id       uint32 // in every handle
	root     *node
	nodes    map[uint64]*node
	next     uint64 // file id
	last     time.Time
	readOnly bool
	squash   bool
	space    int64 // bytes; 0 for plenty
	lies     Lies
}

func newExport(id uint32) *export {
	x := &export{id: id, nodes: make(map[uint64]*node), next: 2}
	x.root = x.newNode(typeDir, 0o777, &cred{})
	x.root.parent = x.root
	return x
}

// now is a clock of which no two values are the same.
func (x *export) now() time.Time {
	t := time.Now()
	if !t.After(x.last) {
		t = x.last.Add(1)
	}
	x.last = t
	return t
}

func (x *export) newNode(typ, mode uint32, c *cred) *node {
	t := x.now()
	n := &node{id: x.next, typ: typ, mode: mode, nlink: 1, uid: c.uid, gid: c.gid, atime: t, mtime: t, ctime: t}
	x.next++
	switch typ {
	case typeReg:
		n.data = &content{}
	case typeDir:
		n.dir, n.nlink = newDirectory(), 2
	}
	x.nodes[n.id] = n
	return n
}

var handleMagic = []byte("nfst")

func (x *export) trueHandle(n *node) []byte {
	b := slices.Clone(handleMagic)
	b = binary.BigEndian.AppendUint32(b, x.id)
	return binary.BigEndian.AppendUint64(b, n.id)
}

func (x *export) byHandle(b []byte) (*node, uint32) {
	if len(b) < 16 || len(b) > 16 && x.lies.Handle == nil || string(b[:4]) != string(handleMagic) {
		return nil, errBadHandle
	}
	n := x.nodes[binary.BigEndian.Uint64(b[8:16])]
	if n == nil || binary.BigEndian.Uint32(b[4:8]) != x.id {
		return nil, errStale
	}
	return n, ok
}

// may tells whether c has the rights (4 read, 2 write, 1 execute) on n.
func (x *export) may(c *cred, n *node, rights uint32) bool {
	if c.uid == 0 {
		return true
	}
	bits := n.mode & 7
	switch {
	case c.uid == n.uid:
		bits = n.mode >> 6 & 7
	case c.in(n.gid):
		bits = n.mode >> 3 & 7
	}
	return bits&rights == rights
}

// child looks a name up.
func (x *export) child(c *cred, dir *node, name string) (*node, uint32) {
	switch {
	case dir.typ != typeDir:
		return nil, errNotDir
	case !x.may(c, dir, 1):
		return nil, errAcces
	case name == ".":
		return dir, ok
	case name == "..":
		return dir.parent, ok
	case len(name) > maxName:
		return nil, errNameTooLong
	}
	if e := dir.dir.byName[name]; e != nil {
		return e.node, ok
	}
	return nil, errNoEnt
}

// changeable tells whether names in a directory may change.
func (x *export) changeable(c *cred, dir *node, name string) uint32 {
	switch {
	case dir.typ != typeDir:
		return errNotDir
	case x.readOnly:
		return errROFS
	case name == "" || strings.ContainsAny(name, "/\x00"):
		return errAcces
	case name == "." || name == "..":
		return errInval
	case len(name) > maxName:
		return errNameTooLong
	case !x.may(c, dir, 3):
		return errAcces
	}
	return ok
}

// sticky tells whether a sticky directory keeps c from removing n.
func (x *export) sticky(c *cred, dir, n *node) bool {
	return dir.mode&0o1000 != 0 && c.uid != 0 && c.uid != n.uid && c.uid != dir.uid
}

// enter adds a name for a node that is new or linked.
func (x *export) enter(dir *node, name string, n *node) {
	dir.dir.add(name, n)
	if n.typ == typeDir {
		n.parent = dir
		dir.nlink++
	}
	dir.mtime = x.now()
	dir.ctime = dir.mtime
}

// leave drops a name; the node goes with its last one.
func (x *export) leave(dir *node, name string, n *node) {
	dir.dir.remove(name)
	dir.mtime = x.now()
	dir.ctime = dir.mtime
	n.ctime = dir.mtime
	if n.typ == typeDir {
		dir.nlink--
		n.nlink = 0
	} else {
		n.nlink--
	}
	if n.nlink == 0 {
		delete(x.nodes, n.id)
	}
}

// make makes an object under a free name.
func (x *export) make(c *cred, dir *node, name string, typ uint32, set *setAttr) (*node, uint32) {
	if st := x.changeable(c, dir, name); st != ok {
		return nil, st
	}
	if dir.dir.byName[name] != nil {
		return nil, errExist
	}
	n := x.newNode(typ, 0o644, c)
	if typ == typeDir {
		n.mode = 0o755
	}
	if dir.mode&0o2000 != 0 { // setgid directories hand on their group
		n.gid = dir.gid
		if typ == typeDir {
			n.mode |= 0o2000
		}
	}
	if st := x.apply(c, n, set, true); st != ok {
		delete(x.nodes, n.id)
		return nil, st
	}
	x.enter(dir, name, n)
	return n, ok
}

// remove is REMOVE and RMDIR.
func (x *export) remove(c *cred, dir *node, name string, isDir bool) uint32 {
	if st := x.changeable(c, dir, name); st != ok {
		return st
	}
	e := dir.dir.byName[name]
	switch {
	case e == nil:
		return errNoEnt
	case x.sticky(c, dir, e.node):
		return errPerm
	case isDir && e.node.typ != typeDir:
		return errNotDir
	case !isDir && e.node.typ == typeDir:
		return errIsDir
	case isDir && len(e.node.dir.byName) > 0:
		return errNotEmpty
	}
	x.leave(dir, name, e.node)
	return ok
}

func (x *export) rename(c *cred, from *node, fromName string, to *node, toName string) uint32 {
	if st := x.changeable(c, from, fromName); st != ok {
		return st
	}
	if st := x.changeable(c, to, toName); st != ok {
		return st
	}
	e, old := from.dir.byName[fromName], to.dir.byName[toName]
	if e == nil {
		return errNoEnt
	}
	n := e.node
	if x.sticky(c, from, n) {
		return errPerm
	}
	for p := to; n.typ == typeDir; p = p.parent {
		if p == n {
			return errInval // into itself
		}
		if p == x.root {
			break
		}
	}
	if old != nil {
		switch o := old.node; {
		case o == n:
			return ok
		case x.sticky(c, to, o):
			return errPerm
		case n.typ == typeDir && o.typ != typeDir:
			return errNotDir
		case n.typ != typeDir && o.typ == typeDir:
			return errIsDir
		case o.typ == typeDir && len(o.dir.byName) > 0:
			return errNotEmpty
		}
		x.leave(to, toName, old.node)
	}
	from.dir.remove(fromName)
	from.mtime = x.now()
	from.ctime = from.mtime
	if n.typ == typeDir {
		from.nlink--
	}
	x.enter(to, toName, n)
	n.ctime = to.mtime
	return ok
}

func (x *export) linkTo(c *cred, n, dir *node, name string) uint32 {
	if st := x.changeable(c, dir, name); st != ok {
		return st
	}
	switch {
	case n.typ == typeDir:
		return errIsDir
	case dir.dir.byName[name] != nil:
		return errExist
	}
	n.nlink++
	x.enter(dir, name, n)
	n.ctime = dir.mtime
	return ok
}

// used is what all files take.
func (x *export) used() (total int64) {
	for _, n := range x.nodes {
		if n.data != nil {
			total += n.data.used()
		}
	}
	return total
}

func (x *export) write(c *cred, n *node, off uint64, p []byte, stable bool) uint32 {
	switch {
	case n.typ == typeDir:
		return errIsDir
	case n.typ != typeReg:
		return errInval
	case x.readOnly:
		return errROFS
	case !x.may(c, n, 2) && c.uid != n.uid:
		return errAcces
	case off+uint64(len(p)) > maxFileSize:
		return errFBig
	case x.space > 0 && x.used()+int64(len(p)) > x.space:
		return errNoSpc
	}
	if n.stable == nil && !stable {
		n.stable = n.data.clone()
	}
	n.data.writeAt(p, int64(off))
	if stable && n.stable != nil {
		n.stable.writeAt(p, int64(off))
	}
	n.mtime = x.now()
	n.ctime = n.mtime
	if c.uid != 0 {
		n.mode &^= 0o6000
	}
	return ok
}

// crash takes back what was not stable.
func (x *export) crash() {
	for _, n := range x.nodes {
		if n.stable != nil {
			n.data, n.stable = n.stable, nil
		}
	}
}

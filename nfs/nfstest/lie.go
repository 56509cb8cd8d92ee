package nfstest

// Lies are answers of a broken or hostile server: what a call does is done right,
// and told wrong. Each field is nil where the server tells the truth. The functions
// are called one at a time and must not call the Server.
type Lies struct {
	// Attr changes the attributes of an object as they are sent.
	Attr func(*Attr)
	// Handle changes a handle as it is sent. The server knows an object also by a
	// handle that has bytes behind the true one.
	Handle func(h []byte) []byte
	// List makes a page of a directory behind a cookie; ok is false for the truth.
	List func(dir, cookie uint64) (page Page, ok bool)
	// Read changes what a READ brings: the count that is announced, the data, and
	// whether the file ends.
	Read func(count *uint32, data *[]byte, eof *bool)
	// Write changes the count that a WRITE tells, and the verifier of WRITE and
	// COMMIT.
	Write func(count *uint32, verifier *[8]byte)
	// Readlink changes a symlink's target.
	Readlink func(string) string
	// Mount makes the results of MOUNT and of the portmapper: what follows the
	// accept_stat.
	Mount func(results []byte) []byte
}

// Attr is what a lie may change of an object's attributes.
type Attr struct {
	Type, Nlink  uint32
	Size, Used   uint64
	FSID, FileID uint64
	MtimeNsec    uint32
}

// Page is a page of a listing.
type Page struct {
	Entries []Dirent
	EOF     bool
}

// Dirent is a name in a Page, with the attributes and the handle of an object.
type Dirent struct {
	Name   string
	Cookie uint64
	Of     uint64 // file id of the object
}

// Lie makes the server lie from now on; the zero Lies are the truth.
func (s *Server) Lie(l Lies) {
	s.set(func() { s.export.lies = l })
}

func (x *export) handle(n *node) []byte {
	h := x.trueHandle(n)
	if x.lies.Handle != nil {
		h = x.lies.Handle(h)
	}
	return h
}

// attr is what is sent of an object's attributes.
func (x *export) attr(n *node) Attr {
	a := Attr{Type: n.typ, Nlink: n.nlink, FSID: uint64(x.id), FileID: n.id, MtimeNsec: uint32(n.mtime.Nanosecond())}
	switch {
	case n.data != nil:
		a.Size, a.Used = uint64(n.data.size), uint64(n.data.used())
	case n.dir != nil:
		a.Size, a.Used = pageSize, pageSize
	case n.typ == typeLnk:
		a.Size = uint64(len(n.link))
	}
	if n.fsid != 0 {
		a.FSID = n.fsid
	}
	if x.lies.Attr != nil {
		x.lies.Attr(&a)
	}
	return a
}

// lie is list where the server lies; false for the truth.
func (e *encoder) lie(x *export, dir *node, cookie uint64, plus bool) bool {
	if x.lies.List == nil {
		return false
	}
	page, ok := x.lies.List(dir.id, cookie)
	if !ok {
		return false
	}
	e.u32(0)
	e.postOp(x, dir)
	e.u64(1)
	for _, d := range page.Entries {
		n := x.nodes[d.Of]
		e.u32(1)
		e.u64(d.Of)
		e.str(d.Name)
		e.u64(d.Cookie)
		if !plus {
			continue
		}
		if e.postOp(x, n); n == nil {
			e.u32(0)
			continue
		}
		e.u32(1)
		e.str(string(x.handle(n)))
	}
	e.u32(0)
	e.flag(page.EOF)
	return true
}

package nfstest

import (
	"fmt"
	"io/fs"
	"path"
	"time"
)

// Info is what Stat tells of an object.
type Info struct {
	Type     uint32 // ftype3 (RFC 1813 §2.6)
	Mode     uint32
	UID, GID uint32
	Nlink    uint32
	Size     int64 // bytes
	Used     int64 // bytes
	FileID   uint64
	Mtime    time.Time
}

// The methods below act on the export from within, without permissions or
// faults. Paths begin at the export's root. They panic on what a test got
// wrong, such as a missing directory.

// Mkdir makes a directory with all that lead to it, mode 0755, owned by root.
func (s *Server) Mkdir(dir string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mkdir(path.Clean("/" + dir))
}

func (s *Server) mkdir(dir string) *node {
	if dir == "/" {
		return s.export.root
	}
	parent := s.mkdir(path.Dir(dir))
	if e := parent.dir.byName[path.Base(dir)]; e != nil {
		return e.node
	}
	n, st := s.export.make(&cred{}, parent, path.Base(dir), typeDir, &setAttr{})
	must(st, dir)
	return n
}

// Show gives the directory dir one more name: as filers show their snapshots in
// every directory. No client can do that.
func (s *Server) Show(dir, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find("show", dir)
	if err != nil {
		panic(err)
	}
	name = path.Clean("/" + name)
	s.mkdir(path.Dir(name)).dir.add(path.Base(name), n)
}

// WriteFile writes a file, made if need be with the directories above it.
func (s *Server) WriteFile(name string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = path.Clean("/" + name)
	dir := s.mkdir(path.Dir(name))
	var n *node
	if e := dir.dir.byName[path.Base(name)]; e != nil {
		n = e.node
	} else {
		var st uint32
		n, st = s.export.make(&cred{}, dir, path.Base(name), typeReg, &setAttr{})
		must(st, name)
	}
	n.data.truncate(0)
	must(s.export.write(&cred{}, n, 0, data, true), name)
}

// ReadFile returns a file's content.
func (s *Server) ReadFile(name string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find("read", name)
	if err != nil {
		return nil, err
	}
	if n.typ != typeReg {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	p := make([]byte, n.data.size)
	n.data.readAt(p, 0)
	return p, nil
}

// Stat tells what an object is.
func (s *Server) Stat(name string) (Info, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find("stat", name)
	if err != nil {
		return Info{}, err
	}
	i := Info{Type: n.typ, Mode: n.mode, UID: n.uid, GID: n.gid, Nlink: n.nlink, FileID: n.id, Mtime: n.mtime}
	if n.data != nil {
		i.Size, i.Used = n.data.size, n.data.used()
	}
	return i, nil
}

// Chmod sets an object's mode.
func (s *Server) Chmod(name string, mode uint32) {
	s.change(name, func(n *node) { n.mode = mode & 0o7777 })
}

// Chown sets an object's owner and group.
func (s *Server) Chown(name string, uid, gid uint32) {
	s.change(name, func(n *node) { n.uid, n.gid = uid, gid })
}

// SetFilesystem makes a directory, with all that is in it, look like another
// filesystem that is mounted there and exported with the rest.
func (s *Server) SetFilesystem(name string, fsid uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find("change", name)
	if err != nil {
		panic(err)
	}
	n.setFilesystem(fsid)
}

func (n *node) setFilesystem(fsid uint64) {
	n.fsid = fsid
	if n.dir == nil {
		return
	}
	for _, e := range n.dir.byName {
		e.node.setFilesystem(fsid)
	}
}

// Remove removes a name: of a file, or of an empty directory.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = path.Clean("/" + name)
	dir, err := s.find("remove", path.Dir(name))
	if err != nil {
		panic(err)
	}
	e := dir.dir.byName[path.Base(name)]
	must(s.export.remove(&cred{}, dir, path.Base(name), e != nil && e.node.typ == typeDir), name)
}

// Names lists a directory.
func (s *Server) Names(dir string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find("list", dir)
	if err != nil || n.dir == nil {
		panic(fmt.Sprintf("nfstest: no directory %s", dir))
	}
	var names []string
	n.dir.after(n, cookieParent, func(e *dirent) bool {
		names = append(names, e.name)
		return true
	})
	return names
}

func (s *Server) change(name string, fn func(*node)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, err := s.find("change", name)
	if err != nil {
		panic(err)
	}
	fn(n)
	n.ctime = s.export.now()
}

func (s *Server) find(op, name string) (*node, error) {
	n, st := s.walk(name)
	if st != ok {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
	}
	return n, nil
}

func must(st uint32, name string) {
	if st != ok {
		panic(fmt.Sprintf("nfstest: %s: status %d", name, st))
	}
}

package tree

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"time"
)

// FS is a filesystem seen from its root: the export. Names are slash-separated
// paths below the root, "." is the root itself; they are looked up component
// by component and no symlink is ever followed, so an operation can never
// leave the root. Implementations are safe for concurrent use.
//
// Every method is bounded by its context, also where the system call below
// cannot be interrupted: the method then returns the context's error while the
// call finishes in the background, its outcome unknown. Errors match
// fs.ErrNotExist, fs.ErrExist, fs.ErrPermission and system error numbers
// (syscall.ENOSPC, syscall.EROFS, …) through errors.Is, and ErrAway where the
// root is no longer what was opened.
type FS interface {
	// Stat returns the attributes of name itself, as the server has them now.
	Stat(ctx context.Context, name string) (Attr, error)
	// ReadDir calls fn for each entry of the directory, in no order, until fn
	// returns an error, which it returns.
	ReadDir(ctx context.Context, name string, fn func(Entry) error) error
	// ReadDirPlus is ReadDir with attributes (RFC 1813 §3.3.17).
	ReadDirPlus(ctx context.Context, name string, fn func(EntryPlus) error) error
	// Readlink returns a symlink's target.
	Readlink(ctx context.Context, name string) (string, error)

	// Open opens a regular file for reading. Nobody who uses the file is disturbed
	// by it, and nobody can make Open wait: a file that a program keeps from being
	// opened is ErrHeld.
	Open(ctx context.Context, name string) (File, error)
	// OpenWrite opens a regular file for reading and writing.
	OpenWrite(ctx context.Context, name string) (File, error)
	// Create makes a new regular file (fs.ErrExist if the name is taken).
	Create(ctx context.Context, name string, set SetAttr) (File, error)
	// Mkdir makes a directory that has the given attributes from the moment
	// it has any permission bits: a crash half-way leaves mode 0.
	Mkdir(ctx context.Context, name string, set SetAttr) error
	// Symlink makes a symlink. Mode is ignored.
	Symlink(ctx context.Context, target, name string, set SetAttr) error
	// Mknod makes a FIFO, socket or device node.
	Mknod(ctx context.Context, name string, kind Kind, major, minor uint32, set SetAttr) error
	// Link makes newName another name of oldName (fs.ErrExist if taken).
	Link(ctx context.Context, oldName, newName string) error
	// Rename replaces newName atomically if it exists.
	Rename(ctx context.Context, oldName, newName string) error
	// Remove removes anything but a directory.
	Remove(ctx context.Context, name string) error
	// Rmdir removes an empty directory.
	Rmdir(ctx context.Context, name string) error
	// SetAttr changes the attributes that are set, of name itself.
	SetAttr(ctx context.Context, name string, set SetAttr) error

	// Statfs returns the space of the filesystem that holds the root.
	Statfs(ctx context.Context) (Space, error)
	// Close frees what the filesystem holds; calls in flight may fail.
	Close() error
}

// File is an open regular file. Offsets and lengths are in bytes.
type File interface {
	// ReadAt has io.ReaderAt's contract: short only with an error.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	WriteAt(ctx context.Context, p []byte, off int64) (int, error)
	Stat(ctx context.Context) (Attr, error)
	SetAttr(ctx context.Context, set SetAttr) error
	// Sync puts what was written on stable storage.
	Sync(ctx context.Context) error
	// Close does not imply Sync.
	Close() error
}

// ErrAway says that the root under the export's path is not the directory that
// was opened: unmounted, moved or replaced.
var ErrAway = errors.New("the export is not the directory that was opened")

// ErrTooLarge says that a file is larger than its reader allows.
var ErrTooLarge = errors.New("the file is too large")

// Kind is the type of a directory entry (RFC 1813 ftype3).
type Kind uint8

// The kinds, numbered as RFC 1813 numbers them.
const (
	Regular Kind = iota + 1
	Directory
	BlockDevice
	CharDevice
	Symlink
	Socket
	FIFO
)

// String is the word for a kind in messages: "file", "directory", "symlink".
func (k Kind) String() string {
	names := [...]string{"unknown", "file", "directory", "block device", "character device", "symlink", "socket", "FIFO"}
	if int(k) < len(names) {
		return names[k]
	}
	return names[0]
}

// Attr is what a filesystem knows of a name (RFC 1813 fattr3).
type Attr struct {
	Kind                Kind
	Mode                uint32 // permission bits, setuid, setgid and sticky: 07777
	UID, GID            uint32
	Nlink               uint32
	Size, Used          int64  // bytes; Used < Size means holes or compression
	Major, Minor        uint32 // of a device node
	Device, FileID      uint64 // together they name the inode
	Atime, Mtime, Ctime time.Time
	// Mount: another filesystem, or another part of this one, is mounted here.
	// Work on a tree stops at it.
	Mount bool
}

// SetAttr is a change of attributes; nil leaves a value as it is.
type SetAttr struct {
	Mode         *uint32 // 07777
	UID, GID     *uint32
	Size         *int64
	Atime, Mtime *time.Time
}

// Entry is one name in a directory.
type Entry struct {
	Name string
	Kind Kind
}

// EntryPlus is an entry with its attributes.
type EntryPlus struct {
	Name string
	Attr Attr
}

// Space is a filesystem's room, in bytes and inodes (RFC 1813 §3.3.18).
type Space struct {
	Total, Free, Avail int64
	Files, FilesFree   int64
}

// tidyFor is how long what was begun may be tidied up after its context has ended.
const tidyFor = 500 * time.Millisecond

// Tidy returns the context in which an operation takes away what it has begun. If ctx has
// ended, its caller waits for nothing else, so half a second is left: what then stays
// is found by whoever takes leftovers away. Otherwise it is ctx.
func Tidy(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(context.WithoutCancel(ctx), tidyFor)
}

// CheckPath refuses names that are not clean paths below the root.
func CheckPath(name string) error {
	if name == "." {
		return nil
	}
	for c := range strings.SplitSeq(name, "/") {
		if c == "" || c == "." || c == ".." || strings.ContainsRune(c, 0) {
			return &fs.PathError{Op: "check", Path: name, Err: fs.ErrInvalid}
		}
	}
	return nil
}

// Reader reads f from its beginning, until ctx ends.
func Reader(ctx context.Context, f File) io.Reader { return &reader{ctx: ctx, f: f} }

type reader struct {
	ctx context.Context
	f   File
	off int64
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.f.ReadAt(r.ctx, p, r.off)
	r.off += int64(n)
	return n, err
}

// ReadFile returns a file's content, opened afresh. A file larger than max
// bytes is an error. A file that is replaced while it is read is read again;
// it is never said not to exist because of that.
func ReadFile(ctx context.Context, fsys FS, name string, max int64) ([]byte, error) {
	for range 10 {
		data, err := readFile(ctx, fsys, name, max)
		if !errors.Is(err, errRemoved) {
			return data, err
		}
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: syscall.EBUSY}
}

func readFile(ctx context.Context, fsys FS, name string, max int64) ([]byte, error) {
	f, err := fsys.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Control files are a few hundred bytes: one short read is the rule.
	var data []byte
	for size := int64(4 << 10); ; size *= 2 {
		buf := make([]byte, min(size, max+1-int64(len(data))))
		n, err := f.ReadAt(ctx, buf, int64(len(data)))
		data = append(data, buf[:n]...)
		switch {
		case int64(len(data)) > max:
			return nil, &fs.PathError{Op: "read", Path: name, Err: ErrTooLarge}
		case err == io.EOF:
			return data, nil
		case err != nil:
			return nil, err
		}
	}
}

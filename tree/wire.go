package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sync/semaphore"

	"github.com/casit/berth/nfs"
)

// Wire is an FS on an NFSv3 server, over a client of our own: no kernel mount
// is involved, so that every call ends with its context.
//
// Names are looked up component by component, each time anew. Handles of
// directories are remembered, but only to look up all components of a name at
// once instead of one after the other: what a handle was remembered for is
// confirmed by the server before it is used, so that a directory that another
// node has moved is never mistaken for the one that is there now.
type Wire struct {
	client *nfs.Client
	dirs   dirCache
	large  chan struct{}       // one token for each large file that is being copied
	small  *semaphore.Weighted // bytes of files that are copied whole
}

// maxLarge bounds the large files that are copied at once. The bytes of theirs
// that are in flight are bounded by the client.
const maxLarge = 8

// maxSmall bounds the bytes in flight of files that are copied whole: what 1 ms
// is worth at several GB/s.
const maxSmall = 2 << 20

// transfer is the largest READ or WRITE in bytes, unless the configuration
// says otherwise: nearly all files are smaller, and take one of each.
const transfer = 1 << 20

// OpenWire connects to an export, or to a directory below one, which is looked
// up where the server does not mount it itself; symlinks in it are refused.
// nfs.ParseTarget makes a target of a URL. cfg may be nil. ctx bounds the
// connecting alone.
//
// Whether the filesystem is usable is known when OpenWire returns; a server
// that goes away later is waited for, as long as each call's context lasts.
func OpenWire(ctx context.Context, target nfs.Target, cfg *nfs.Config) (*Wire, error) {
	var c nfs.Config
	if cfg != nil {
		c = *cfg
	}
	if c.Transfer == 0 {
		c.Transfer = transfer
	}
	client, err := nfs.Dial(ctx, target, &c)
	if err != nil {
		return nil, err
	}
	return &Wire{client: client, large: make(chan struct{}, maxLarge), small: semaphore.NewWeighted(maxSmall)}, nil
}

// RootID names the export's root on its server: another one after the export
// was made anew.
func (w *Wire) RootID() string { return w.client.Root().String() }

// Check returns an error that matches ErrAway if the server no longer knows
// the export's root.
func (w *Wire) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return &fs.PathError{Op: "check", Path: ".", Err: err}
	}
	_, err := w.client.Getattr(ctx, w.client.Root())
	return w.fail(ctx, "check", ".", err)
}

// Close ends all connections. Calls in flight fail; when Close returns, nothing
// of the filesystem is at work any more.
func (w *Wire) Close() error { return w.client.Close() }

// object is what a name was found to be.
type object struct {
	handle nfs.Handle
	attr   nfs.Attr
}

// walk looks up a name, asking for all components at once whose directories
// are remembered. Nothing but directories is gone through.
func (w *Wire) walk(ctx context.Context, name string) (object, error) {
	if name == "." {
		a, err := w.client.Getattr(ctx, w.client.Root())
		return object{w.client.Root(), a}, err
	}
	names := strings.Split(name, "/")
	handles := w.dirs.along(w.client.Root(), names)
	answers := make([]answer, min(len(handles), len(names)))
	var asked sync.WaitGroup
	for i := 1; i < len(answers); i++ {
		asked.Go(func() { answers[i] = w.lookup(ctx, handles[i], names[i]) })
	}
	answers[0] = w.lookup(ctx, handles[0], names[0])
	asked.Wait()

	var at answer
	confirmed, end := true, 0
	for i, base := range names {
		if confirmed && i < len(answers) {
			at = answers[i]
		} else {
			at = w.lookup(ctx, at.handle, base)
		}
		if at.err != nil {
			return object{}, at.err
		}
		confirmed = confirmed && i+1 < len(handles) && handles[i+1] == at.handle
		if end += len(base); at.attr.Type == nfs.TypeDir {
			w.dirs.put(name[:end], at.handle)
		} else if i < len(names)-1 {
			return object{}, notDir(at.attr.Type)
		}
		end++ // the slash
	}
	return at.object, nil
}

// answer is a lookup's.
type answer struct {
	object
	err error
}

// lookup finds a name in a directory, with attributes.
func (w *Wire) lookup(ctx context.Context, dir nfs.Handle, name string) answer {
	res, err := w.client.Lookup(ctx, dir, name)
	if err == nil && !res.Attr.Present {
		res.Attr.Attr, err = w.client.Getattr(ctx, res.Object)
	}
	return answer{object{res.Object, res.Attr.Attr}, err}
}

// notDir is why something is no directory.
func notDir(t nfs.Type) error {
	if t == nfs.TypeLnk {
		return syscall.ELOOP
	}
	return syscall.ENOTDIR
}

// walkDir is walk for a directory.
func (w *Wire) walkDir(ctx context.Context, name string) (nfs.Handle, error) {
	if name == "." {
		return w.client.Root(), nil
	}
	o, err := w.walk(ctx, name)
	if err == nil && o.attr.Type != nfs.TypeDir {
		err = notDir(o.attr.Type)
	}
	return o.handle, err
}

// do runs an operation on name, once more if a handle turned out to be stale
// on the way: a directory was removed while it was gone through, and another
// may be there now. A stale handle says that nothing was done.
func (w *Wire) do(ctx context.Context, op, name string, f func() error) error {
	if CheckPath(name) != nil {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if err := ctx.Err(); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	err := f()
	if errors.Is(err, syscall.ESTALE) {
		w.dirs.drop()
		err = f()
	}
	return w.fail(ctx, op, name, err)
}

// in is do for what is done to a name in its directory.
func (w *Wire) in(ctx context.Context, op, name string, f func(dir nfs.Handle, base string) error) error {
	return w.do(ctx, op, name, func() error {
		parent, base := split(name)
		if err := ofRoot(op, name); err != nil {
			return err
		}
		dir, err := w.walkDir(ctx, parent)
		if err != nil {
			return err
		}
		return f(dir, base)
	})
}

// split divides a name into its directory's and its last component.
func split(name string) (dir, base string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return ".", name
}

// errRemoved says that an object was removed while it was worked with.
var errRemoved = fmt.Errorf("%w: removed meanwhile", fs.ErrNotExist)

// fail makes an error of this package. A stale handle is ErrAway if the root's
// is stale, too; otherwise what it named does not exist any more.
func (w *Wire) fail(ctx context.Context, op, name string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ESTALE) {
		if _, rootErr := w.client.Getattr(ctx, w.client.Root()); errors.Is(rootErr, syscall.ESTALE) {
			err = fmt.Errorf("%w (%v)", ErrAway, nfs.StatusStale)
		} else if rootErr == nil {
			err = errRemoved
		}
	}
	if e := (*nfs.Error)(nil); errors.As(err, &e) && err == error(e) {
		err = &reason{e}
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// reason is a client's error without the operation and the name, which
// fs.PathError tells.
type reason struct{ err *nfs.Error }

func (r *reason) Error() string {
	e := *r.err
	e.Op, e.Name = "", ""
	return strings.TrimPrefix(e.Error(), ": ")
}

func (r *reason) Unwrap() error { return r.err }

// maxDirs is how many handles of directories a Wire remembers.
const maxDirs = 1024

// dirCache remembers handles of directories by name. They are hints: the names
// may mean something else by now.
type dirCache struct {
	mu      sync.Mutex // guards handles; never held across a call
	handles map[string]nfs.Handle
}

// along returns the root's handle and those of names[:1], names[:2], … as far
// as they are remembered.
func (c *dirCache) along(root nfs.Handle, names []string) []nfs.Handle {
	handles := []nfs.Handle{root}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := 1; i < len(names); i++ {
		h, ok := c.handles[strings.Join(names[:i], "/")]
		if !ok {
			break
		}
		handles = append(handles, h)
	}
	return handles
}

func (c *dirCache) put(name string, h nfs.Handle) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.handles == nil {
		c.handles = make(map[string]nfs.Handle)
	}
	if _, ok := c.handles[name]; !ok && len(c.handles) >= maxDirs {
		for some := range c.handles { // any: it is only a hint
			delete(c.handles, some)
			break
		}
	}
	c.handles[name] = h
}

func (c *dirCache) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.handles)
}

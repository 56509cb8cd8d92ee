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
// Names are looked up component by component, each time anew. Handles of directories
// are kept only to look up all components of a name at once instead of one after
// the other. The answers confirm each handle before it is used, so a directory that
// another node has moved away is never taken for the one that has its name now.
type Wire struct {
	client *nfs.Client
	dirs   dirCache
	large  chan struct{}       // one token for each large file that is being copied
	small  *semaphore.Weighted // bytes of files that are copied whole
}

// maxLarge is how many large files are copied at once. The client bounds how many of
// their bytes are in flight.
const maxLarge = 8

// maxSmall is how many bytes of small files are in flight: 1 ms at several GB/s.
const maxSmall = 2 << 20

// transfer is the largest READ or WRITE in bytes, unless the configuration
// says otherwise: nearly all files are smaller, and take one of each.
const transfer = 1 << 20

// OpenWire connects to an export, or to a directory below one. It looks the directory
// up if the server does not mount it itself, and refuses symlinks in its path.
// nfs.ParseTarget makes a target of a URL. cfg may be nil. ctx bounds only the
// connecting.
//
// When OpenWire returns, the filesystem is known to be usable. If the server goes
// away later, each call waits for it until the call's context ends.
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

// RootID names the export's root on its server. It is another one after the export
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

// Close ends all connections. Calls in flight fail. When Close returns, none of the
// filesystem's goroutines runs any more.
func (w *Wire) Close() error { return w.client.Close() }

// object is what a lookup has found.
type object struct {
	handle nfs.Handle
	attr   nfs.Attr
}

// walk looks up a name. It asks at once for all components whose directories it has
// handles of. It goes through directories only.
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

// answer is the answer to a lookup.
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

// notDir is the error of an object that is no directory.
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

// do runs an operation on name. It runs the operation again if a handle was stale: a
// directory was removed meanwhile, and another one may have its name now. An
// operation with a stale handle has changed nothing.
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

// in is do for an operation on a name in its directory.
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

// split divides a name into its directory and its last component.
func split(name string) (dir, base string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return ".", name
}

// errRemoved says that an object was removed while an operation used it.
var errRemoved = fmt.Errorf("%w: removed meanwhile", fs.ErrNotExist)

// fail makes an error of this package. A stale handle is ErrAway if the root's handle
// is stale too; otherwise the object does not exist any more.
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

// reason is an error of the client without the operation and the name, which
// fs.PathError has.
type reason struct{ err *nfs.Error }

func (r *reason) Error() string {
	e := *r.err
	e.Op, e.Name = "", ""
	return strings.TrimPrefix(e.Error(), ": ")
}

func (r *reason) Unwrap() error { return r.err }

// maxDirs is how many handles of directories a Wire keeps.
const maxDirs = 1024

// dirCache keeps handles of directories by name. They are hints: a name may be another
// directory by now.
type dirCache struct {
	mu      sync.Mutex // guards handles; never held across a call
	handles map[string]nfs.Handle
}

// along returns the handle of the root and the handles of names[:1], names[:2], … up
// to the first that is not kept.
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

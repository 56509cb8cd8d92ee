package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// Incomplete is why a copy is not whole: the tree of which it is one changed
// while it was read, or cannot be recreated here.
type Incomplete struct {
	Name     string // of the tree
	Gone     bool   // it was removed, moved or replaced as a whole
	Missing  Listed // cannot be made here, with the reason
	Vanished Listed // were removed while they were read
	Changed  Listed // were changed while they were read
}

// Error counts what is not as it was, the worst first, and names one.
func (e *Incomplete) Error() string {
	if e.Gone {
		return fmt.Sprintf("%s was removed or replaced while it was copied", e.Name)
	}
	what, names := e.Why()
	return fmt.Sprintf("the copy of %s is not whole: %d names %s, the first: %s", e.Name, names.Total, what, names.First())
}

// Is: a tree that is gone does not exist.
func (e *Incomplete) Is(target error) bool { return e.Gone && target == fs.ErrNotExist }

// Why is what is wrong with the names that count most, and these; of a tree that
// is gone there may be none.
func (e *Incomplete) Why() (what string, names Listed) {
	switch {
	case e.Missing.Total > 0:
		return "cannot be made on this export", e.Missing
	case e.Vanished.Total > 0:
		return "vanished while they were read", e.Vanished
	}
	return "changed while they were read", e.Changed
}

// Whole returns nil for a copy of name that has all of it as it was, else an
// *Incomplete.
func (s Stats) Whole(name string) error {
	if s.Missing.Total+s.Vanished.Total+s.Changed.Total == 0 {
		return nil
	}
	return &Incomplete{Name: name, Missing: s.Missing, Vanished: s.Vanished, Changed: s.Changed}
}

// First is the first of the paths, "" for none.
func (l Listed) First() string {
	if len(l.Paths) == 0 {
		return ""
	}
	return l.Paths[0]
}

// isSame tells whether a file is still what it was, as far as its server knows:
// its owner can put size and mtime back, and not the time of the change.
func isSame(was, now Attr) bool {
	return was.Kind == now.Kind && was.FileID == now.FileID && was.Size == now.Size && isUnchanged(was, now)
}

// isUnchanged is isSame for a directory, whose size means nothing.
func isUnchanged(was, now Attr) bool {
	return was.Mtime.Equal(now.Mtime) && was.Ctime.Equal(now.Ctime)
}

// beginning is when a copy began, by the clock of the server that sets the
// times of changes. The zero one is before nothing.
type beginning struct {
	server time.Time
	here   time.Time
}

// begin takes the server's time from the directory that was just made.
func (c *copying) begin(ctx context.Context, made string) error {
	_, a, err := c.e.find(ctx, made)
	c.began = beginning{server: a.Ctime, here: time.Now()}
	return err
}

// maxTick is how far a server's clock may run ahead of ours within one copy.
const maxTick = 2 * time.Second

// before tells whether something was changed since. A change in the future was
// made long ago, when the clock was ahead.
func (b beginning) before(a Attr) bool {
	return !b.server.IsZero() && a.Ctime.After(b.server) && !a.Ctime.After(b.server.Add(time.Since(b.here)+maxTick))
}

// gone tells whether what a name of the source was has vanished: nothing is
// there, or something of another kind.
func (c *copying) vanished(ctx context.Context, name string, kind Kind) bool {
	_, a, err := c.e.find(ctx, name)
	return isGone(err) || err == nil && a.Kind != kind
}

// isReplaced tells errors that come of a name which is not of its kind any more.
func isReplaced(err error) bool {
	for _, is := range []error{syscall.EISDIR, syscall.ENXIO, syscall.EINVAL} {
		if errors.Is(err, is) {
			return true
		}
	}
	return isGone(err)
}

// still makes sure that the source is where it was found: one that is being
// deleted is often moved away first, and read to the end by its handle.
func (c *copying) still(ctx context.Context, name string, was Attr) error {
	_, now, err := c.e.find(ctx, name)
	if isGone(err) || err == nil && (now.Kind != was.Kind || now.FileID != was.FileID || now.Device != was.Device) {
		return &Incomplete{Name: name, Gone: true, Missing: c.stats.Missing, Vanished: c.stats.Vanished, Changed: c.stats.Changed}
	}
	return err
}

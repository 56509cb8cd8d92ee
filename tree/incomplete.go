package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"time"
)

// Incomplete says why a copy is not whole: the source changed while it was read, or
// has something that cannot be made here.
type Incomplete struct {
	Name     string // of the tree
	Gone     bool   // the tree itself was removed, moved or replaced
	Missing  Listed // names that cannot be read, or made here, with the reason
	Vanished Listed // names that were removed while they were read
	Changed  Listed // files that were changed while they were read
}

// Error counts the names of the worst kind, and tells the first of them.
func (e *Incomplete) Error() string {
	if e.Gone {
		return fmt.Sprintf("%s was removed or replaced while it was copied", e.Name)
	}
	what, names := e.Why()
	return fmt.Sprintf("the copy of %s is not whole: %d names %s, the first: %s", e.Name, names.Total, what, names.First())
}

// Is implements errors.Is: a tree that is gone is an fs.ErrNotExist.
func (e *Incomplete) Is(target error) bool { return e.Gone && target == fs.ErrNotExist }

// Why returns what is wrong with the worst kind of names, and these names. There may
// be no names if the tree itself is gone.
func (e *Incomplete) Why() (what string, names Listed) {
	switch {
	case e.Missing.Total > 0:
		return "cannot be copied", e.Missing
	case e.Vanished.Total > 0:
		return "vanished while they were read", e.Vanished
	}
	return "changed while they were read", e.Changed
}

// Whole returns nil for a whole copy of name, else an *Incomplete.
func (s Stats) Whole(name string) error {
	if s.Missing.Total+s.Vanished.Total+s.Changed.Total == 0 {
		return nil
	}
	return &Incomplete{Name: name, Missing: s.Missing, Vanished: s.Vanished, Changed: s.Changed}
}

// First returns the first path, "" for none.
func (l Listed) First() string {
	if len(l.Paths) == 0 {
		return ""
	}
	return l.Paths[0]
}

// isSame tells by two results of Stat whether a file has not changed between them.
// The owner of a file can set its size and mtime back, but not its ctime.
func isSame(was, now Attr) bool {
	return was.Kind == now.Kind && was.FileID == now.FileID && was.Size == now.Size && isUnchanged(was, now)
}

// isUnchanged is isSame for a directory. The size of a directory means nothing.
func isUnchanged(was, now Attr) bool {
	return was.Mtime.Equal(now.Mtime) && was.Ctime.Equal(now.Ctime)
}

// beginning is when a copy began, by the clock of the server, which sets ctimes.
// The zero value is unknown.
type beginning struct {
	server time.Time
	here   time.Time
}

// begin takes the time of the server from a directory that was just made.
func (c *copying) begin(ctx context.Context, made string) error {
	_, a, err := c.e.find(ctx, made)
	c.began = beginning{server: a.Ctime, here: time.Now()}
	return err
}

// maxTick is how far a server's clock may run ahead of ours within one copy.
const maxTick = 2 * time.Second

// before tells whether the file was changed after the beginning. A ctime in the
// future is of an earlier time, when the clock was wrong.
func (b beginning) before(a Attr) bool {
	return !b.server.IsZero() && a.Ctime.After(b.server) && !a.Ctime.After(b.server.Add(time.Since(b.here)+maxTick))
}

// vanished tells whether a name of the source has vanished: it does not exist any
// more, or it is of another kind. In a Live copy it may be there again by now, as
// after a deploy; what the copy then has not found is not of the copy in the directory
// to, which is there.
func (c *copying) vanished(ctx context.Context, name string, kind Kind, to string) bool {
	_, a, err := c.e.find(ctx, name)
	if err == nil && a.Kind == kind && c.opts.Live {
		_, _, err := c.e.find(ctx, to)
		return err == nil
	}
	return isGone(err) || err == nil && a.Kind != kind
}

// isReplaced tells the errors of a call on a name that is of another kind by now.
func isReplaced(err error) bool {
	for _, is := range []error{syscall.EISDIR, syscall.ENXIO, syscall.EINVAL} {
		if errors.Is(err, is) {
			return true
		}
	}
	return isGone(err)
}

// still makes sure that the source has not been moved away. A tree that is deleted
// is often renamed first, and its handle goes on to read it.
func (c *copying) still(ctx context.Context, name string, was Attr) error {
	_, now, err := c.e.find(ctx, name)
	if isGone(err) || err == nil && (now.Kind != was.Kind || now.FileID != was.FileID || now.Device != was.Device) {
		return &Incomplete{Name: name, Gone: true, Missing: c.stats.Missing, Vanished: c.stats.Vanished, Changed: c.stats.Changed}
	}
	return err
}

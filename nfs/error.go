package nfs

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
)

// ErrClosed is the cause of calls on a closed Client.
var ErrClosed = errors.New("the client is closed")

// Error is the error of every method of this package. Either the server
// answered with a Status, or there was no usable answer and Err says why. A
// call that met StatusJukebox until its context ended has both.
//
// errors.Is matches fs.ErrNotExist, fs.ErrExist, fs.ErrPermission and system
// error numbers (syscall.ESTALE, syscall.ENOSPC, …) by Status, in the way
// that errors of package os do, and whatever Err matches: context.Canceled,
// context.DeadlineExceeded, ErrBadReply, ErrClosed, *RPCError.
type Error struct {
	Op     string // the procedure in lower case: "lookup", "mnt"
	Name   string // the name or path it was about; may be empty
	Status Status // the server's answer; StatusOK if there was none
	Err    error  // why there was no answer

	// Replayed says that the request was sent more than once, so that the
	// answer may be to a repetition and the first sending may have succeeded.
	Replayed bool
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Name != "" {
		b.WriteByte(' ')
		b.WriteString(printable(e.Name))
	}
	if e.Status != StatusOK {
		name, text, _ := e.Status.lookup()
		fmt.Fprintf(&b, ": %s (%s)", text, name)
	}
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.Replayed && e.Status != StatusOK {
		b.WriteString(", answered to a repeated request: the first may have succeeded")
	}
	return b.String()
}

// printable quotes a name that would garble a message: names may have any
// bytes.
func printable(name string) string {
	if q := strconv.Quote(name); q[1:len(q)-1] != name || strings.ContainsAny(name, " :") {
		return q
	}
	return name
}

// Unwrap returns why there was no answer.
func (e *Error) Unwrap() error { return e.Err }

// Is tells whether the status means target.
func (e *Error) Is(target error) bool {
	errno := e.Status.Errno()
	if errno == 0 {
		return false
	}
	if n, ok := target.(syscall.Errno); ok {
		return n == errno
	}
	return errno.Is(target)
}

// StatusOf returns the status of the first *Error in err's chain, StatusOK if
// there is none.
func StatusOf(err error) Status {
	var e *Error
	if errors.As(err, &e) {
		return e.Status
	}
	return StatusOK
}

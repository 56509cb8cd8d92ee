// Package problem is what berth says when something is wrong: what it is, with
// the names, what to type next, and of which kind it is.
package problem

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"syscall"

	"github.com/casit/berth/tree"
)

// Kind sorts errors by what the caller can do about them. The command line
// turns each into an exit code.
type Kind string

// The kinds of error.
const (
	Failed      Kind = "failed"      // it was tried and did not work
	Invalid     Kind = "usage"       // the request cannot be right
	NotFound    Kind = "not-found"   // no such volume, snapshot or trash item
	InUse       Kind = "in-use"      // somebody uses or changes it
	Unreachable Kind = "unreachable" // the export does not answer or is away
	Nothing     Kind = "nothing"     // there is nothing to do
)

// Error is the one error type that is made for a user's eyes:
// what is wrong, and what to type or do next.
type Error struct {
	Kind   Kind
	Reason string
	Hint   string // may be empty
	cause  error
}

// Error is the reason and the hint on one line, as dockerd shows it.
func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Reason
	}
	return e.Reason + "; " + e.Hint
}

// Unwrap returns what the filesystem said, if it did.
func (e *Error) Unwrap() error { return e.cause }

// Because is the error with its cause.
func (e *Error) Because(cause error) *Error {
	e.cause = cause
	return e
}

// Is maps kinds to the standard errors.
func (e *Error) Is(target error) bool {
	return target == fs.ErrNotExist && e.Kind == NotFound
}

// KindOf returns the kind of err, Failed for errors of other types.
func KindOf(err error) Kind {
	if e := (*Error)(nil); errors.As(err, &e) {
		return e.Kind
	}
	return Failed
}

// New is an error for people: what is wrong, with the names, and hint, what to
// type or do next; "" where there is nothing to do.
func New(kind Kind, hint, format string, args ...any) *Error {
	return &Error{Kind: kind, Reason: fmt.Sprintf(format, args...), Hint: hint}
}

// Whole judges a copy of what, VOLUME or VOLUME@SNAPSHOT, by tree.Copy's error:
// one that is not whole is told with a hint of what to do instead. Other errors
// pass.
func Whole(err error, what, hint string) error {
	not := (*tree.Incomplete)(nil)
	if !errors.As(err, &not) {
		return err
	}
	why, names := not.Why()
	snapshot := strings.Contains(what, "@")
	var e *Error
	switch {
	case not.Gone && snapshot:
		e = New(Failed, hint, "the snapshot of %s was deleted or moved while it was read", what)
	case not.Gone:
		e = New(Failed, hint, "%s was removed or replaced while it was read", what)
	case snapshot && not.Missing.Total == 0:
		e = New(Failed, hint, "%d names of %s %s: the snapshot is being deleted, the first: %s", names.Total, what, why, names.First())
	default:
		e = New(Failed, hint, "%d names of %s %s, the first: %s", names.Total, what, why, names.First())
	}
	return e.Because(not)
}

// ErrInodes says of an error of what has no room that the filesystem has bytes
// left, and no inodes; ErrPart that the filesystem has both, and a part of it is full.
var (
	ErrInodes = errors.New("no inodes are left")
	ErrPart   = errors.New("the filesystem has room")
)

// explain turns what the filesystem of the export url said while doing what
// into words for people. An Error passes unchanged.
func Explain(url, what string, err error) error {
	if err == nil {
		return nil
	}
	if e := (*Error)(nil); errors.As(err, &e) {
		return err
	}
	e := &Error{Kind: Failed, Reason: fmt.Sprintf("%s: %v", what, err), cause: err}
	switch {
	case errors.Is(err, tree.ErrAway), errors.Is(err, syscall.ESTALE):
		e.Kind = Unreachable
		e.Reason = fmt.Sprintf("%s: the export %s is away: its directory was unmounted, moved or replaced", what, url)
		e.Hint = "mount it again; berth goes on by itself within seconds"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e.Kind = Unreachable
		e.Reason = fmt.Sprintf("%s: the export %s did not answer in time", what, url)
		e.Hint = "nothing is lost; try again when the filer answers"
	case tree.IsQuota(err):
		e.Reason = fmt.Sprintf("%s: a quota on the export %s is used up", what, url)
		e.Hint = "free what counts to it ('berth trash ls', 'berth trash purge ID'), or raise it: on a filer 'volume quota report' shows it, 'volume quota policy rule modify' and 'volume quota resize' raise it"
	case errors.Is(err, ErrInodes):
		e.Reason = fmt.Sprintf("%s: the export %s has room, and no inodes left for new files", what, url)
		e.Hint = "free some with 'berth trash purge ID', or add some: on a filer 'volume modify -files N'"
	case errors.Is(err, ErrPart):
		e.Reason = fmt.Sprintf("%s: the server has no room for it, although the export %s has", what, url)
		e.Hint = "a volume's own tree is at its limit ('berth volume inspect NAME' shows it; XFS says so of a project quota), or a directory is at its largest size (on a filer 'volume modify -maxdir-size'): free some there, or raise it"
	case tree.IsFull(err):
		e.Reason = fmt.Sprintf("%s: the export %s is full", what, url)
		e.Hint = "see what can go with 'berth trash ls', free it with 'berth trash purge ID'; 'berth trash purge' alone takes what has expired"
	case errors.Is(err, syscall.EROFS):
		e.Reason = fmt.Sprintf("%s: the export %s is read-only", what, url)
		e.Hint = "mount or export it read-write for this node"
	case errors.Is(err, tree.ErrMount) && pathError(err) != nil:
		name := pathOf(err)
		e.Reason = fmt.Sprintf("%s: another filesystem is mounted on %s, and berth touches nothing of it", what, name)
		e.Hint = fmt.Sprintf("unmount it first ('umount %s'), then again", onHost(url, pathError(err).Path))
	case errors.Is(err, tree.ErrImmutable) && pathError(err) != nil:
		flag := "-i"
		e.Reason = fmt.Sprintf("%s: %s is immutable (chattr +i)", what, pathOf(err))
		if strings.Contains(pathError(err).Err.Error(), "+a") {
			flag = "-a"
			e.Reason = fmt.Sprintf("%s: %s is append-only (chattr +a)", what, pathOf(err))
		}
		e.Hint = fmt.Sprintf("'lsattr -d %[1]s' shows it; 'chattr %[2]s %[1]s' on the export's host, then again", onHost(url, pathError(err).Path), flag)
	case errors.Is(err, fs.ErrPermission) && strings.HasPrefix(url, "file:"):
		e.Reason = fmt.Sprintf("%s: the export %s refuses berth's writes (%v)", what, url, err)
		e.Hint = "berth needs root on it: 'ls -ld' shows owner and mode, 'findmnt -T' how it is mounted (by NFS: no_root_squash on its server)"
	case errors.Is(err, fs.ErrPermission):
		why := err
		if p := (*fs.PathError)(nil); errors.As(err, &p) {
			why = p.Err
		}
		e.Reason = fmt.Sprintf("%s: the export %s refuses berth's writes (%v)", what, url, why)
		e.Hint = "berth needs root on it: on a filer set superuser=sys in the export rule, on a server no_root_squash"
	case errors.Is(err, syscall.ENAMETOOLONG):
		e.Kind = Invalid
		e.Reason = fmt.Sprintf("%s: the name is too long for the export", what)
	}
	return e
}

// pathError is the innermost error with a path.
func pathError(err error) *fs.PathError {
	found := (*fs.PathError)(nil)
	for p := found; errors.As(err, &p); err = p.Err {
		found = p
	}
	return found
}

// pathOf is the path of an error, below the export.
func pathOf(err error) string {
	if p := pathError(err); p != nil && p.Path != "." {
		return p.Path
	}
	return "the export's directory"
}

// onHost is a path below the export as it is typed on the export's host.
func onHost(url, name string) string {
	dir := strings.TrimPrefix(BareURL(url), "file://")
	if !path.IsAbs(dir) {
		return name // below another's export
	}
	return path.Join(dir, name)
}

// bareURL is the export without its query.
func BareURL(url string) string {
	for i := range url {
		if url[i] == '?' {
			return url[:i]
		}
	}
	return url
}

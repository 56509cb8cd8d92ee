package tree

import (
	"errors"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"
)

// ErrImmutable says that a file, or the directory that has its name, has an
// attribute that forbids changes to everybody. The path in the error is the path
// that has the attribute. The error is also an fs.ErrPermission.
var ErrImmutable error = protected("immutable (chattr +i)")

const errAppendOnly = protected("append-only (chattr +a)")

// protected is the error of a file with such an attribute.
type protected string

func (p protected) Error() string { return string(p) }

// Is implements errors.Is: a file that may only grow counts as immutable.
func (p protected) Is(target error) bool { return target == ErrImmutable }

func (p protected) Unwrap() error { return unix.EPERM }

// because finds out why a change of a name was refused: an attribute of the file or
// of its directory, or a mount. It returns err itself if it finds no reason.
func because(err error, dir int, name string) error {
	known := (*fs.PathError)(nil)
	switch {
	case errors.As(err, &known):
	case errors.Is(err, unix.EBUSY):
		if a, statErr := statx(dir, path.Base(name), unix.AT_SYMLINK_NOFOLLOW); statErr == nil && a.Mount {
			return &fs.PathError{Op: "change", Path: name, Err: ErrMount}
		}
	case errors.Is(err, unix.EPERM):
		if why := protection(dir, path.Base(name), unix.AT_SYMLINK_NOFOLLOW); why != nil {
			return &fs.PathError{Op: "change", Path: name, Err: why}
		}
		if why := protection(dir, "", unix.AT_EMPTY_PATH); why != nil {
			return &fs.PathError{Op: "change", Path: path.Dir(name), Err: why}
		}
	}
	return err
}

// becauseOf is because for an open file.
func becauseOf(err error, fd int, name string) error {
	if errors.Is(err, unix.EPERM) {
		if why := protection(fd, "", unix.AT_EMPTY_PATH); why != nil {
			return &fs.PathError{Op: "change", Path: name, Err: why}
		}
	}
	return err
}

// protection is the attribute that keeps a file from being changed, if any.
func protection(dir int, base string, flags int) error {
	var st unix.Statx_t
	switch err := unix.Statx(dir, base, flags, 0, &st); {
	case err != nil:
		return nil
	case st.Attributes&unix.STATX_ATTR_IMMUTABLE != 0:
		return ErrImmutable
	case st.Attributes&unix.STATX_ATTR_APPEND != 0:
		return errAppendOnly
	}
	return nil
}

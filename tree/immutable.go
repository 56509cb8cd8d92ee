package tree

import (
	"errors"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"
)

// ErrImmutable says that a file, or the directory of its name, has an attribute
// by which nobody may change it; the path in the error is that one's. It is also
// an fs.ErrPermission.
var ErrImmutable error = protected("immutable (chattr +i)")

const errAppendOnly = protected("append-only (chattr +a)")

// protected is what an attribute makes of a file.
type protected string

func (p protected) Error() string { return string(p) }

// Is implements errors.Is: one that may only grow counts as immutable.
func (p protected) Is(target error) bool { return target == ErrImmutable }

func (p protected) Unwrap() error { return unix.EPERM }

// because finds out why a change of a name was refused, as far as the file or
// its directory tells: an attribute of it, or a mount there.
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

package tree

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/several"
)

// Xattrs are the extended attributes of a file, by their full names
// ("user.comment", "system.posix_acl_access"): POSIX ACLs and file capabilities
// are among them. nil on filesystems that have none, as NFSv3.
type Xattrs map[string]string

// The names of POSIX ACLs among them (acl(5)).
const (
	aclAccess  = "system.posix_acl_access"
	aclDefault = "system.posix_acl_default"
)

// isKept tells the attributes that a copy keeps: attributes of users and of root,
// ACLs, capabilities. It leaves out the notes of overlayfs in its own layers, and
// attributes by which other filesystems describe themselves.
func isKept(name string) bool {
	if strings.HasPrefix(name, "trusted.overlay.") {
		return false
	}
	for _, space := range []string{"user.", "trusted.", "security.", "btrfs."} {
		if strings.HasPrefix(name, space) {
			return true
		}
	}
	return name == aclAccess || name == aclDefault
}

// isPolicy tells the labels that the system gives every file by its policy. A copy
// sets them where it may, and never removes them.
func isPolicy(name string) bool {
	return name == "security.selinux" || name == "security.evm" || strings.HasPrefix(name, "security.SMACK64")
}

// lostXattrs are the errors of attributes that could not be read or set, each with the
// attribute's name.
type lostXattrs []error

func (l lostXattrs) Error() string { return several.Of(l...).Error() }

func (l lostXattrs) Unwrap() []error { return l }

// orNil returns l as an error, nil if no attribute was lost.
func (l lostXattrs) orNil() error {
	if len(l) == 0 {
		return nil
	}
	return l
}

// add adds an attribute that was lost. It returns any error that is not about the
// attribute.
func (l *lostXattrs) add(name string, err error) error {
	for _, no := range []error{unix.ENOTSUP, unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EDQUOT, unix.E2BIG, unix.ERANGE, unix.EINVAL} {
		if errors.Is(err, no) {
			*l = append(*l, fmt.Errorf("extended attribute %s: %w", name, err))
			return nil
		}
	}
	return err
}

// attrFile is a file with extended attributes: an open one, or a name of any kind in an
// open directory. No symlink is followed.
type attrFile struct {
	fd   int
	path string // of the name, in /proc; "" for the open file itself
}

func inDir(dir int, base string) attrFile {
	return attrFile{path: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + base}
}

func (f attrFile) list(buf []byte) (int, error) {
	if f.path == "" {
		return unix.Flistxattr(f.fd, buf)
	}
	return unix.Llistxattr(f.path, buf)
}

func (f attrFile) get(name string, buf []byte) (int, error) {
	if f.path == "" {
		return unix.Fgetxattr(f.fd, name, buf)
	}
	return unix.Lgetxattr(f.path, name, buf)
}

func (f attrFile) set(name, value string) error {
	if f.path == "" {
		return unix.Fsetxattr(f.fd, name, []byte(value), 0)
	}
	return unix.Lsetxattr(f.path, name, []byte(value), 0)
}

func (f attrFile) remove(name string) error {
	if f.path == "" {
		return unix.Fremovexattr(f.fd, name)
	}
	return unix.Lremovexattr(f.path, name)
}

// sized calls get with larger buffers until one is large enough.
func sized(get func(buf []byte) (int, error)) (string, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := get(buf)
		if errors.Is(err, unix.ERANGE) && size < 64<<10 {
			continue
		}
		if err != nil {
			return "", err
		}
		return string(buf[:n]), nil
	}
}

// read returns the attributes that a copy keeps, and the ones that it cannot read as
// lost.
func (f attrFile) read() (x Xattrs, err error) {
	names, err := sized(f.list)
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	var lost lostXattrs
	if err != nil {
		return nil, errors.Join(lost.add("list", err), lost.orNil())
	}
	for name := range strings.SplitSeq(names, "\x00") {
		if !isKept(name) {
			continue
		}
		value, err := sized(func(buf []byte) (int, error) { return f.get(name, buf) })
		if errors.Is(err, unix.ENODATA) {
			continue // somebody has removed it meanwhile
		}
		if err != nil {
			if err := lost.add(name, err); err != nil {
				return nil, err
			}
			continue
		}
		if x == nil {
			x = Xattrs{}
		}
		x[name] = value
	}
	return x, lost.orNil()
}

// write gives a file exactly these attributes. It returns the ones that it cannot set or
// remove as lost.
func (f attrFile) write(want Xattrs) error {
	have, err := f.read()
	var lost lostXattrs
	if err != nil && !errors.As(err, &lost) {
		return err
	}
	lost = nil // they are set below, or lost again
	for _, name := range slices.Sorted(maps.Keys(have)) {
		if _, ok := want[name]; ok || isPolicy(name) {
			continue
		}
		if err := f.remove(name); err != nil && !errors.Is(err, unix.ENODATA) {
			if err := lost.add(name, err); err != nil {
				return err
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, ok := have[name]; ok && value == want[name] {
			continue
		}
		if err := f.set(name, want[name]); err != nil && !isPolicy(name) {
			if err := lost.add(name, err); err != nil {
				return err
			}
		}
	}
	return lost.orNil()
}

// withoutACL is the mode of a file whose ACL could not be kept. With an ACL the group
// bits of the mode are the ACL's mask (acl(5)), which may be more than the group
// has.
func withoutACL(mode uint32, x Xattrs, lost lostXattrs) uint32 {
	acl := x[aclAccess]
	if len(lost) == 0 || len(acl) < 4 || !strings.Contains(lost.Error(), aclAccess) {
		return mode
	}
	const groupObj, mask = 0x04, 0x10
	group := uint16(7)
	for e := []byte(acl[4:]); len(e) >= 8; e = e[8:] {
		if tag := binary.LittleEndian.Uint16(e); tag == groupObj || tag == mask {
			group &= binary.LittleEndian.Uint16(e[2:])
		}
	}
	return mode&^0o070 | uint32(group&7)<<3
}

// Xattrs returns the extended attributes of name itself that a copy keeps.
func (l *Local) Xattrs(ctx context.Context, name string) (Xattrs, error) {
	type got struct {
		x    Xattrs
		lost error
	}
	r, err := ask(ctx, l, "getxattr", name, func() (r got, err error) {
		err = l.in(name, func(dir int, base string) error {
			r.x, err = inDir(dir, base).read()
			if lost := (lostXattrs)(nil); errors.As(err, &lost) {
				r.lost, err = &fs.PathError{Op: "getxattr", Path: name, Err: lost}, nil
			}
			return err
		})
		return r, err
	}, nil)
	return r.x, errors.Join(err, r.lost)
}

// SetXattrs gives name itself exactly these attributes, of those that a copy keeps. An
// ACL changes the mode.
func (l *Local) SetXattrs(ctx context.Context, name string, x Xattrs) error {
	return l.change(ctx, "setxattr", name, itsAttr, func(dir int, base string) error {
		return inDir(dir, base).write(x)
	})
}

// xattrs implements engine: an FS without a method for them has none.
func (n named) xattrs(ctx context.Context, at location) (Xattrs, error) {
	if f, ok := n.fsys.(interface {
		Xattrs(ctx context.Context, name string) (Xattrs, error)
	}); ok {
		return f.Xattrs(ctx, at.name)
	}
	return nil, nil
}

// setXattrs implements engine.
func (n named) setXattrs(ctx context.Context, at location, x Xattrs) error {
	if f, ok := n.fsys.(interface {
		SetXattrs(ctx context.Context, name string, x Xattrs) error
	}); ok {
		return f.SetXattrs(ctx, at.name, x)
	}
	return nil
}

// xattrs implements engine: NFSv3 has none.
func (*Wire) xattrs(context.Context, location) (Xattrs, error) { return nil, nil }

// setXattrs implements engine.
func (*Wire) setXattrs(context.Context, location, Xattrs) error { return nil }

// complete is an engine that sets all attributes of a copy by one call, in the order
// that keeps them: first the owner, since its change takes capabilities and setuid
// away; then extended attributes, since an ACL changes the mode; then the mode; last
// the times.
type complete interface {
	setAll(ctx context.Context, at location, a Attr, x Xattrs) error
}

// setAll implements complete.
func (c cloning) setAll(ctx context.Context, at location, a Attr, x Xattrs) error {
	return c.l.change(ctx, "setattr", at.name, itsAttr, func(dir int, base string) error {
		if err := setAttr(dir, base, SetAttr{UID: &a.UID, GID: &a.GID}); err != nil {
			return err
		}
		lost, err := apart(inDir(dir, base).write(x))
		if err != nil {
			return err
		}
		a.Mode = withoutACL(a.Mode, x, lost)
		if err := setAttr(dir, base, SetAttr{Mode: &a.Mode, Atime: &a.Atime, Mtime: &a.Mtime}); err != nil {
			return err
		}
		return lost.orNil()
	})
}

// setAllFd is setAll for an open file.
func setAllFd(fd int, a Attr, x Xattrs) (lost lostXattrs, err error) {
	if err := setFd(fd, SetAttr{UID: &a.UID, GID: &a.GID}); err != nil {
		return nil, err
	}
	if lost, err = apart(attrFile{fd: fd}.write(x)); err != nil {
		return nil, err
	}
	a.Mode = withoutACL(a.Mode, x, lost)
	return lost, setFd(fd, SetAttr{Mode: &a.Mode, Atime: &a.Atime, Mtime: &a.Mtime})
}

// apart separates attributes that were lost from other errors.
func apart(all error) (lost lostXattrs, err error) {
	if errors.As(all, &lost) {
		return lost, nil
	}
	return nil, all
}

// noteLost lists lost attributes as Missing from the copy of src. It returns other
// errors.
func (c *copying) noteLost(src string, err error) error {
	lost := (lostXattrs)(nil)
	if !errors.As(err, &lost) {
		return err
	}
	for _, one := range lost {
		c.list(&c.stats.Missing, fmt.Sprintf("%s: %v", src, one))
	}
	return nil
}

// setAll sets all attributes of a copy of src.
func (c *copying) setAll(ctx context.Context, src string, at location, a Attr, x Xattrs) error {
	if e, ok := c.e.(complete); ok {
		return c.noteLost(src, e.setAll(ctx, at, a, x))
	}
	if err := c.e.setAttr(ctx, at, allOf(a)); err != nil || len(x) == 0 {
		return err
	}
	if err := c.noteLost(src, c.e.setXattrs(ctx, at, x)); err != nil {
		return err
	}
	return c.e.setAttr(ctx, at, SetAttr{Mode: &a.Mode, Atime: &a.Atime, Mtime: &a.Mtime})
}

var _ complete = cloning{}

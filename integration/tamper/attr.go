package tamper

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func setXattr(name, attr string, value []byte) error {
	if err := unix.Lsetxattr(name, attr, value, 0); err != nil {
		return fmt.Errorf("set %s of %q: %w", attr, name, err)
	}
	return nil
}

// acl encodes an ACL with one named user, as the kernel has it
// (linux/posix_acl_xattr.h): a version, then tag, permissions and id of each.
func acl(owner uint16, user uint32, userPerm, group, mask, other uint16) []byte {
	const none = ^uint32(0)
	b := binary.LittleEndian.AppendUint32(nil, 2)
	for _, e := range []struct {
		tag, perm uint16
		id        uint32
	}{{0x01, owner, none}, {0x02, userPerm, user}, {0x04, group, none}, {0x10, mask, none}, {0x20, other, none}} {
		b = binary.LittleEndian.AppendUint16(b, e.tag)
		b = binary.LittleEndian.AppendUint16(b, e.perm)
		b = binary.LittleEndian.AppendUint32(b, e.id)
	}
	return b
}

// capability encodes permitted capabilities below 32, with the effective bit,
// as the kernel has it (linux/capability.h, revision 2).
func capability(permitted uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 0x02000001)
	b = binary.LittleEndian.AppendUint32(b, permitted)
	return append(b, make([]byte, 12)...)
}

// copyXattrs gives a file the extended attributes of another one and no
// others, such as an ACL that it has inherited.
func copyXattrs(from, to string) error {
	if err := removeXattrs(to); err != nil {
		return err
	}
	return eachXattr(from, func(attr string, value []byte) error { return setXattr(to, attr, value) })
}

func removeXattrs(name string) error {
	return eachXattr(name, func(attr string, _ []byte) error { return unix.Lremovexattr(name, attr) })
}

// eachXattr calls fn for each extended attribute; there are none where the
// filesystem has none.
func eachXattr(name string, fn func(attr string, value []byte) error) error {
	list, value := make([]byte, 1<<10), make([]byte, 1<<10) // ours are short
	n, err := unix.Llistxattr(name, list)
	if err == unix.ENOTSUP {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the attributes of %q: %w", name, err)
	}
	for attr := range strings.SplitSeq(strings.TrimSuffix(string(list[:n]), "\x00"), "\x00") {
		if attr == "" {
			continue
		}
		n, err := unix.Lgetxattr(name, attr, value)
		if err == nil {
			err = fn(attr, value[:n])
		}
		if err != nil {
			return fmt.Errorf("attribute %s of %q: %w", attr, name, err)
		}
	}
	return nil
}

func mtimeOf(st unix.Stat_t) time.Time { return time.Unix(st.Mtim.Sec, st.Mtim.Nsec) }

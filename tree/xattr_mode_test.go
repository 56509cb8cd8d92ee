package tree

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestAGroupHasNotMoreForALostACL(t *testing.T) {
	// user::rw- user:33:rwx group::r-- mask::rwx other::---, as the kernel has it.
	acl := "\x02\x00\x00\x00" + "\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\x21\x00\x00\x00" +
		"\x04\x00\x04\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	x := Xattrs{aclAccess: acl, "user.a": "1"}
	var lost lostXattrs
	require.NoError(t, lost.add("user.a", unix.ENOSPC))
	require.Equal(t, uint32(0o2670), withoutACL(0o2670, x, nil))
	require.Equal(t, uint32(0o2670), withoutACL(0o2670, x, lost), "another one")
	require.NoError(t, lost.add(aclAccess, unix.ENOTSUP))
	require.Equal(t, uint32(0o2640), withoutACL(0o2670, x, lost))
	require.ErrorIs(t, lost.add(aclAccess, unix.EIO), unix.EIO, "no attribute's error")
}

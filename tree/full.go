package tree

import (
	"errors"
	"syscall"
)

// IsFull tells the errors of a change for which there is no room: the filesystem has
// no bytes or no inodes left (ENOSPC, NFS3ERR_NOSPC), or a quota is used up (EDQUOT,
// NFS3ERR_DQUOT).
func IsFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || IsQuota(err) }

// IsQuota tells the error of a quota that is used up. The filesystem may have room.
func IsQuota(err error) bool { return errors.Is(err, syscall.EDQUOT) }

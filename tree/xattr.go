package tree

import "context"

// Xattrs are the extended attributes of a file, by their full names
// ("user.comment", "system.posix_acl_access"): POSIX ACLs and file capabilities
// are among them. nil on filesystems that have none, as NFSv3.
type Xattrs map[string]string

// xattrs implements engine: a filesystem that says nothing of them has none.
func (named) xattrs(context.Context, place) (Xattrs, error) { return nil, nil }

// setXattrs implements engine.
func (named) setXattrs(context.Context, place, Xattrs) error { return nil }

// xattrs implements engine: NFSv3 has none.
func (*Wire) xattrs(context.Context, place) (Xattrs, error) { return nil, nil }

// setXattrs implements engine.
func (*Wire) setXattrs(context.Context, place, Xattrs) error { return nil }

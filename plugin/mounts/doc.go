// Package mounts is a node's mount of the export, through which containers have their
// volumes: a kernel NFS mount, or a bind of a directory.
//
//	m := mounts.New("/var/lib/berth/mounts", &tasks)
//	plane, err := mounts.Directory(fd, "")
//	path, generation, err := m.Ensure(ctx, plane, false)
//
// It asks the kernel's own records, and no filesystem that may be dead. Mounts have
// nosuid and nodev unless the options say otherwise. It does not know which volumes and
// containers there are; the caller says which generations are in use.
package mounts

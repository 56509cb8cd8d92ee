// Package archive writes a directory of a version as a tar archive, and saves what was
// read of a version.
//
//	err := archive.Directory(ctx, fsys, ".snapshot/nightly/site1", attr, os.Stdout)
//
// Names have all their bytes, owners are numbers, and names of one file stay one file. What
// the package does not promise: sockets and extended attributes are not in the archive.
package archive

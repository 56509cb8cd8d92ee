// Package tree copies, compares, measures and deletes directory trees of an export
// through one filesystem interface, FS. Behind the interface is a local or mounted
// directory, or our NFSv3 client. The package knows neither Docker nor the filer.
//
//	fsys, err := tree.OpenLocal(ctx, "/export")
//	err = fsys.Mkdir(ctx, "site1", tree.SetAttr{Mode: &mode, UID: &uid})
//	stats, err := tree.Copy(ctx, fsys, "site1", ".berth/staging/x", tree.CopyOptions{}, nil)
//	err = tree.Delete(ctx, fsys, ".berth/staging/old", nil)
//
// Names are looked up below the root, component by component, and no symlink
// is ever followed. Every call ends with its context, also where the system
// call below it hangs.
//
// A copy is whole, or the error *Incomplete; with CopyOptions.Live the caller reads
// Stats instead. Extended attributes, ACLs and file capabilities are copied where
// the filesystem has them; NFSv3 has none. A mount in a tree is no part of the
// tree, and is never touched.
//
// What it does not promise: a Live copy of a tree that changes meanwhile is no
// instant of the tree. Stats says what changed.
package tree

// Package tree works on directory trees of an export through one filesystem
// interface, FS, whatever lies below: a local directory or a mounted one here,
// an NFSv3 client on the wire elsewhere. It knows neither Docker nor the filer.
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
// A copy is whole, or an error: *Incomplete, unless who asks for it reads Stats
// (CopyOptions.Live). Extended attributes, ACLs and file capabilities are copied
// where the filesystem has them; NFSv3 has none. What is mounted in a tree is no
// part of it, and never touched.
//
// What it does not promise: a Live copy of a tree that changes meanwhile is no
// instant of it (Stats says what changed).
package tree

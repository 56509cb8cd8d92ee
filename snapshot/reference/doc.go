// Package reference reads the text that names a version of a volume, and finds
// the snapshot that the text means.
//
//	asked, err := reference.Ask("site1@yesterday:wp-content")
//	ref, snap, err := asked.Resolve(snapshots, time.Now(), reference.ZoneOf(ctx))
//
// A reference is decoded once, at the edge (command line, socket), and handed
// down as a value. Only the list of snapshots tells where a snapshot's name ends
// and the path begins, because names may have colons. What a plan has found
// travels as Exact, and is never resolved again. What the package does not do:
// it reads no filesystem, and it does not know whether a volume or a path exists.
package reference

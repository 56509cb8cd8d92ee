// Package snapshot treats the export's snapshots as versions of each volume. It lists,
// compares and reads versions, and restores volumes to them; an undo takes a restore
// back.
//
//	versions := snapshot.New(snapshot.Config{Volumes: store})
//	list, err := versions.List(ctx, "site1")
//	ref, err := reference.Parse("site1@yesterday")
//
// A snapshot covers the whole export, so all volumes of a stack go back to one
// instant. What the package does not promise: a restore of a volume in use is no
// instant, because files are replaced one by one; and a restore does not bring back
// what the snapshot's filesystem does not show, as ACLs over NFSv3.
package snapshot

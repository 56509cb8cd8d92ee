// Package snapshot makes the export's snapshots the versions of each volume:
// it names them, lists, compares and reads them, and brings volumes back to
// them, undoably.
//
//	versions := snapshot.New(snapshot.Config{Volumes: store})
//	list, err := versions.List(ctx, "site1")
//	ref, err := reference.Parse("site1@yesterday")
//
// A snapshot covers the whole export, so all volumes of a stack go back to one
// instant. What it does not promise: a restore of a volume in use is no
// instant (files are replaced one by one), and what a snapshot's filesystem
// cannot show (ACLs) is not brought back.
package snapshot

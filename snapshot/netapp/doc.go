// Package netapp makes the snapshots of an export on a NetApp filer, and restores
// from them, through the filer's REST API.
//
//	filer := netapp.New(client, "svm1", "filer.example.edu", "/docker_vols")
//	snapshots, err := filer.List(ctx)
//
// A snapshot of a filer is an instant of the whole export. The package adds to
// the calls of package ontap which FlexVol serves the export, what to type about
// an error, and what becomes of a filer that refuses what it has offered.
package netapp

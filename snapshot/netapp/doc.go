// Package netapp makes the snapshots of an export on a NetApp filer, and restores
// from them, through the filer's REST API.
//
//	filer := netapp.New(client, "svm1", "filer.example.edu", "/docker_vols")
//	snapshots, err := filer.List(ctx)
//
// A snapshot of a filer is an instant of the whole export. The package adds to
// the calls of package ontap which FlexVol serves the export, and what to type
// about an error. What it does not promise: where the role of berth's user may
// not ask, Policy and Restores answer as if the filer had neither.
package netapp

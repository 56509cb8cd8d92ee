// Package ontap makes the ONTAP REST calls that berth needs, and no others.
//
// A worked example, from an address to a snapshot:
//
//	c, err := ontap.New(ontap.Config{
//		Address:      "filer.example.edu",
//		User:         "berth",
//		PasswordFile: "/etc/berth/ontap.password",
//		CAFile:       "/etc/berth/ontap-ca.pem",
//	})
//	...
//	export, err := c.ExportGet(ctx, "", nil, "/docker_vols")
//	...
//	snap, err := c.SnapshotCreate(ctx, export.Volume.UUID, ontap.Snapshot{Name: "before-update"})
//	if errors.Is(err, fs.ErrExist) { ... }
//
// Every method is one call on the generic do (do.go), a listing that follows
// its pages (page.go), or a change that waits for its job (job.go). A method
// names the endpoint it follows and the ONTAP release that introduced it.
// Method names are those of NetApp Trident's REST client where it has one.
//
// All methods are safe for concurrent use, wait no longer than their context
// allows, and return *Error for whatever the cluster or the way to it answers.
// A client opens no connection before its first call and writes no log.
//
// What the package does not promise:
//
//   - It does not cache. Two calls are two questions.
//   - A change whose answer is lost is not repeated, because it may have
//     happened: errors.Is(err, ErrOutcomeUnknown) says so, and the caller looks.
//   - It never reverts, resizes or deletes a FlexVol, and has no method that could.
//   - Cancelling a context stops the waiting, not the job on the cluster.
package ontap

// Package compare says what differs between two versions of a volume.
//
//	equality, keep := sums.Equality(ctx, fsys, "site1", false, &old, nil)
//	defer keep()
//	stats, err := compare.Trees(ctx, fsys, ".snapshot/nightly/site1", "site1", equality, fn)
//
// Package tree compares; this package adds what versions need: counts, differences
// as JSON, and the sums of files, so that nobody reads a file twice. A comparison of
// a snapshot that is being deleted is an error. What the package does not promise:
// counts against a live volume are true only for a moment.
package compare

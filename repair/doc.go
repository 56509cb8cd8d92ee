// Package repair finds control files of an export that are not what their names and
// places say, and moves them to the trash. A damaged file costs its own volume only:
// nothing is done on its word, doctor names it, and 'berth volume repair' with the
// volume, or with the file's path, mends it:
//
//	faults, err := repair.Look(ctx, fsys, id)
//	mended, err := repair.Mend(ctx, store, "blog", false)
//
// What is moved is never deleted: it is an item of the trash that does not expire.
// The package does not promise to find what is damaged and still means something:
// control files have no sums.
package repair

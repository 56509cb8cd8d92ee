// Package df measures where the space of an export is: in volumes, in the trash,
// in undo copies, in snapshots, and elsewhere.
//
//	usage, err := df.Measure(ctx, fsys, df.Export{Snapshots: all, Trash: items, Live: true})
//
// What it does not promise: on a filesystem that shares blocks, the sizes of two
// trees are more than what both take together.
package df

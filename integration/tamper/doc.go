// Package tamper makes trees, edits of them that hide, and oracles that know
// nothing of berth.
//
//	tamper.Site(dir, 1, tamper.Features{Xattrs: true})
//	before, _ := tamper.Walk(dir)
//	edits, _ := tamper.Batch(dir, before, 1, 50, tamper.Features{Xattrs: true})
//	after, _ := tamper.Walk(dir)
//	differ := tamper.Compare(before, after) // the paths that berth has to name
//
// An edit changes what the owner of a tree can change, and puts back what the
// owner can put back: sizes, times, names. The same seed makes the same tree
// and the same edits.
//
// Its tests run the real binary on exports of several kinds. The package does
// not promise edits of what a container cannot reach, such as the server's
// clock: that test is in integration/uml.
package tamper

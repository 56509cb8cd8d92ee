// Package sweep deletes what was handed to it in .berth/staging, and what only gets
// old there, in the cache and in the audit trail. Nothing of berth is deleted in any
// other place: who has no more use for a tree renames it to .berth/staging/purge.NAME,
// and any node deletes it.
//
//	w := sweep.New(sweep.Config{Conn: conn, Report: report})
//	w.Sweep(ctx, e)             // now and then
//	found, err := w.Look(ctx, e) // what is left, and why
//
// It does not promise that a tree goes: what is immutable, mounted or open stays, is
// tried again, and is shown by Look. It never keeps another tree.
package sweep

// Package convoy reads what Rancher Convoy's VFS driver (v0.5) left on a share
// and makes its volumes berth's, in place: the same directories under the same
// names. It writes only metadata of berth's own, below .berth, so Convoy can go
// on or come back, and Undo takes away what Import wrote.
//
//	report, err := convoy.Import(ctx, store, convoy.Options{DryRun: true})
//	for _, item := range report.Items {
//		fmt.Println(item.Volume, item.State, item.Reason)
//	}
//
// What the share looks like to Convoy:
//
//	config/vfs_volume_NAME.json        one record per volume, the same for all nodes
//	config/vfs_volume_NAME.json.tmp    an interrupted write of one
//	config/vfs_volume_NAME.json.lock   left by a crash
//	NAME/                              the data
//	NAME.tmp/                          an interrupted 'convoy create --backup'
//
// It does not import Convoy's snapshots: they are tar archives on the disk of
// the node that made them. Import reports them, and never reads them.
package convoy

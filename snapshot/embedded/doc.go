// Package embedded makes snapshots of an export that is a directory on a local
// filesystem, where no filer makes any.
//
//	maker, ok := embedded.New(fsys, time.UTC)
//	made, err := maker.Create(ctx, "before-update", "", nil, nil)
//
// On the export they are
//
//	.snapshot/.berth                            marks the directory as ours
//	.snapshot/NAME/VOLUME/...                   the volumes
//	.snapshot/NAME/.berth/volumes/*.json        their metadata
//	.snapshot/NAME/.berth/snapshots/NAME.json   when and how the snapshot was made
//
// A snapshot is whole or absent: a tree is made in staging and renamed, and btrfs
// makes its snapshots at once. What the package does not promise: a snapshot that
// btrfs has not made is a copy and no instant. A file that is written meanwhile is
// in it as it was before or after, or torn.
package embedded

package embedded

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.InUse: {
		{"volume … was removed or restored while it was copied", "the volume changed during `snapshot create`", "try again"},
	},
	catalogue.Volumes: {
		{"no volume …", "a volume that `snapshot create` was given does not exist", "`berth ls`"},
	},
	catalogue.Snapshots: {
		{"no snapshot …", "no snapshot of that name, age or beginning", "`berth snapshot ls NAME`; names near it are in the hint"},
		{"the export has no volumes to make a snapshot of", "the export has no volumes", "nothing"},
		{"the export has a directory … that berth has not made", "another program's `.snapshot` on a local disk", "make snapshots with that program; or move it away on the export"},
		{"… has format version …, this berth knows …", "`.snapshot` was made by a newer berth", "upgrade berth on this node"},
		{"read …: …", "the marker of `.snapshot` cannot be read", "look at that file on the export; move it back from a backup"},
		{"a copy of the volumes needs … MiB, and less than 5 % of the export would be left", "no room for a snapshot by copying", "`berth snapshot rm NAME`, `berth trash purge ID`; btrfs and XFS need none; `--force` makes it all the same"},
		{"the volume was removed meanwhile", "somebody removed a volume during `snapshot create`", "try again without the volume"},
		{"the snapshot has no name", "an empty one", "`--name before-update`"},
		{"the snapshot name … has … bytes, more than 255", "too long", "a shorter one"},
		{"a snapshot's name cannot begin with '…'", "`.` or `-`", "the name in the hint"},
		{"… is no snapshot name: it has a space, '/', ':', '@' or what cannot be printed", "the name has such a character", "the name in the hint"},
		{"… means a time behind '@', and cannot be a snapshot's name", "`latest`, a date, a weekday …", "the name in the hint"},
		{"a snapshot … exists", "the name is taken", "another name"},
	},
	catalogue.Restore: {
		{"volume … is a … now, and no directory", "somebody replaced a volume's directory while a snapshot was made", "look at it on the export"},
		{"no volume could be copied; the first, …: …", "each volume has an error of its own", "the words behind the colon"},
	},
}

package tree

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Export: {
		{"the export is not the directory that was opened", "the export's directory was emptied or replaced while it was open", "mount it again"},
		{"extended attribute …: …", "it cannot be kept here: too large, or the filesystem or berth's rights do not allow it", "the words behind the colon; copy by hand without it"},
		{"another filesystem is mounted there", "a disk, or another directory, is mounted inside a tree; a purge leaves the mount and the directories above it", "`umount PATH` on the export's host (`findmnt` lists mounts); again"},
	},
	catalogue.Restore: {
		{"the copy of … is not whole: … names …, the first: …", "names of a tree could not be copied", "another version, or single paths: `NAME@SNAPSHOT:PATH`"},
		{"… was removed or replaced while it was copied", "somebody removed or restored the tree that is being copied", "again; or copy a snapshot: `NAME@SNAPSHOT`"},
		{"it is one file with …", "another name of the same file could not be made", "the reason is at that name"},
		{"the copy's content differs", "what was read back is not what was written", "again; if it stays: the server's log and disks"},
		{"… bytes of … instead of … of …", "the copy's size or time is not the original's: somebody wrote to it", "again, or from a snapshot"},
		{"the clone has … bytes of … instead of … of …", "on a disk with shared blocks: somebody wrote to the original", "again"},
		{"the copy has … bytes of …, mode …, owner …:… instead of … bytes of …, mode …, owner …:…", "the server gives files another owner or mode", "`berth doctor` (`root`, `ontap-style`)"},
		{"sync: the source cannot be read: …", "the snapshot's tree cannot be read", "the words behind the colon; another version"},
		{"compare: …", "one of both trees cannot be read", "the words behind the colon"},
		{"…: source, target, staging and trash overlap", "a defect of berth; nothing was changed", "report it"},
	},
	catalogue.Trash: {
		{"… left in …: …", "not all could be deleted", "the words behind the colon; it is tried again by itself"},
	},
	catalogue.Wire: {
		{"openat2: … (Linux 5.6 is needed)", "an old kernel, or a filter of system calls", "Linux 5.12 or newer"},
		{"the file is too large", "a file in `.berth` is larger than berth writes any", "look at it on the export; it is not berth's"},
		{"not a directory", "a file is where a directory was", "look at that path on the export"},
		{"…: removed meanwhile", "somebody removed it while berth worked with it", "again"},
	},
}

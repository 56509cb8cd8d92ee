package tree

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Export: {
		{"the export is not the directory that was opened", "the export's directory was emptied or replaced while it was open", "mount it again"},
		{"extended attribute …: …", "the attribute is too large, or the filesystem or berth's rights do not allow it", "the words behind the colon; copy by hand without the attribute"},
		{"held by a program, and cannot be read", "a program keeps the file from being opened, by a lease (`fcntl(2)`), or the filesystem does not answer for it; berth passes over it", "end the program that has it, or ask its owner; then again"},
		{"another filesystem is mounted there", "a disk, or another directory, is mounted inside a tree; a purge leaves the mount and the directories above it", "`umount PATH` on the export's host (`findmnt` lists mounts); then try again"},
	},
	catalogue.Restore: {
		{"the copy of … is not whole: … names …, the first: …", "names of a tree could not be copied", "another version, or single paths: `NAME@SNAPSHOT:PATH`"},
		{"… was removed or replaced while it was copied", "somebody removed or restored the tree that is being copied", "again; or copy a snapshot: `NAME@SNAPSHOT`"},
		{"it is one file with …", "another hard link of the file could not be made", "the reason stands at that name"},
		{"the copy's content differs", "berth read back other content than it wrote", "try again; if it stays, look at the server's log and disks"},
		{"… bytes of … instead of … of …", "size or time of the copy differ from the original: somebody wrote to the original", "try again, or copy a snapshot"},
		{"the clone has … bytes of … instead of … of …", "somebody wrote to the original during the copy", "try again, or copy a snapshot"},
		{"the copy has … bytes of …, mode …, owner …:… instead of … bytes of …, mode …, owner …:…", "the server changes owner or mode of new files", "`berth doctor` (`root`, `ontap-style`)"},
		{"… became shorter while it was read", "somebody wrote to the file", "try again, or read a snapshot"},
		{"sync: the source cannot be read: …", "berth cannot read the snapshot's tree", "mend what the words behind the colon say; or another version"},
		{"compare: …", "berth cannot read one of the trees", "the words behind the colon"},
		{"…: source, target, staging and trash overlap", "a defect of berth; nothing was changed", "report it"},
	},
	catalogue.Trash: {
		{"… left in …: …", "some names could not be deleted", "mend what the words behind the colon say; berth tries again by itself"},
	},
	catalogue.Wire: {
		{"the server shows a directory that contains itself", "a defect of the server or of its filesystem", "check the filesystem there; the server's release notes"},
		{"directories in one another to a name of more than … bytes", "somebody made thousands of directories in one another, or the server shows some without an end", "look at that path on the export; remove it there"},
		{"…: READ ended before the … bytes that the server says … has", "a defect of the server: it says that the file is longer than it gives", "the server's log; look at the file there"},
		{"…: its listing does not end", "the server lists names that do not exist, again and again, or more than 20 million names", "the server's log; remove the directory there"},
		{"openat2: … (Linux 5.6 is needed)", "an old kernel, or a filter of system calls", "Linux 5.12 or newer"},
		{"the file is too large", "a file in `.berth` is larger than any file that berth writes", "look at it on the export; it is not berth's"},
		{"not a directory", "a file is where a directory was", "look at that path on the export"},
		{"…: removed meanwhile", "somebody removed it while berth worked with it", "try again"},
	},
}

package volume

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Export: {
		{"volume … has another filesystem mounted in it: …", "`docker volume rm` and restores would move the mount away with the volume", "`umount PATH` on the export's host (`findmnt` lists mounts); then try again"},
	},
	catalogue.InUse: {
		{"volume … is in use on … (…)", "containers on that node have the volume, so it is not removed", "`berth volume ps NAME`; stop them there. If the node is off, wait for the end of its lease (90 s)"},
		{"volume … is in use on …", "you restore a volume in use", "`--stop`, or `--live`"},
		{"volume … is in use on … nodes", "`access=single` cannot be set while several have it", "stop all but one"},
		{"volume … is access=single and in use on …: a copy made meanwhile would be torn", "cloning a running database", "stop it, or clone a snapshot: `from=NAME@SNAPSHOT`"},
	},
	catalogue.Volumes: {
		{"volume … is a tree of its own on the export (a qtree or a filesystem), and cannot be moved to the trash", "the server refuses the rename (NFS3ERR_XDEV); nothing was changed", "empty it in a container, and delete it where it was made: on a filer `volume qtree delete`"},
		{"the volume has no name", "the name is empty", "1 to 200 letters, digits, `_`, `.` or `-`, beginning with a letter or digit"},
		{"the volume name … has … characters", "more than 200 characters", "a shorter name"},
		{"… is not a volume name", "the name has another character", "1 to 200 letters, digits, `_`, `.` or `-`, beginning with a letter or digit"},
		{"… names no snapshot", "`NAME@` without a snapshot, or with a word that names none", "`NAME@SNAPSHOT`, exactly as `berth snapshot ls NAME` prints it"},
		{"no volume … on the export", "nobody made it, or it was removed", "`docker volume ls`; `berth trash ls`; `docker volume create -d berth NAME`"},
		{"… on the export is a …, not a volume's directory", "a file or symlink has the name; berth leaves it alone", "another name, or move it away on the export"},
		{"… belongs to Rancher Convoy, whose metadata is in …/ on this export", "a name that Convoy has for itself", "another name"},
		{"unknown option …; did you mean …?", "a misspelt `-o` or `driver_opts`", "the proposed option; `-o help` lists all"},
		{"option …=…: did you mean …?", "a misspelt value", "the proposed value"},
		{"option … is given twice, as … and as …", "once by itself and once in the list of `o=`, or twice in that", "give it once"},
		{"option …=…: not a numeric id", "`uid` or `gid` is a name, or too large", "the number: `id -u www-data`"},
		{"option …=…: not an octal mode such as 0755", "`mode` is none", "three or four octal digits"},
		{"… is a view of a snapshot and has no options", "options for `NAME@SNAPSHOT`", "create it without"},
		{"volume … exists with …, not …", "options of an existing volume differ", "leave them out, or `berth volume set NAME KEY=VALUE`"},
		{"option … says how a volume was made", "`volume set from=`", "`uid`, `gid`, `mode`, `access` and `on-remove` can be changed"},
		{"nothing to set", "`volume set` without options", "for example `berth volume set NAME on-remove=retain`"},
		{"a copy of … needs … MiB, and less than 5 % of the export would be left", "no room for a clone, as the server says", "`berth df`, `berth trash purge ID`; `berth snapshot restore REF --as NAME --force` tries it all the same"},
		{"cloning … from …, … %", "the copy takes longer than Docker waits, and goes on", "the command again finds it done"},
		{"the metadata of volume … (…) is empty", "a file of berth's is broken; the data is untouched", "`berth volume repair NAME`, then `berth volume set` what it had"},
		{"the metadata of volume … (…) is not readable: …", "a file of berth's is broken; the data is untouched", "`berth volume repair NAME`, then `berth volume set` what it had"},
		{"the metadata of volume … (…) belongs to volume …", "a file was copied by hand", "`berth volume repair NAME`, then `berth volume set` what it had"},
		{"the metadata of volume … (…) has format version …, this berth knows …", "written by a newer berth", "upgrade berth on this node; do not repair"},
		{"the metadata of volume … (…) has options this berth does not know: …", "written by a newer berth, or by hand", "upgrade berth on this node; else `berth volume repair NAME`"},
		{"the metadata of volume … is whole; nothing to repair", "the metadata is not broken", "nothing"},
	},
	catalogue.Snapshots: {
		{"no snapshot … on the export", "as a volume's name only exact snapshots work", "`NAME@SNAPSHOT` as `berth snapshot ls NAME` prints it"},
		{"no view …: the export shows no snapshots (no … directory)", "the filer hides `.snapshot`", "on the filer: `volume modify -snapdir-access true`, `vserver nfs modify -v3-hide-snapshot disabled`"},
		{"snapshot … has no volume …", "the volume did not exist then", "`berth snapshot ls NAME` lists its versions"},
	},
	catalogue.Restore: {
		{"… of … trash items cannot be purged, the first is …", "an immutable file, an immutable directory or a mount is in the way", "`lsattr -R` and `findmnt` below `.berth/trash` on the export; then try again"},
	},
	catalogue.Trash: {
		{"nothing in the trash is called …", "no volume of that name was removed, or it is purged", "`berth trash ls`; `berth snapshot ls NAME` may have it"},
		{"nothing in the trash has the id …", "no item has that id, or it is purged", "`berth trash ls`"},
		{"trash item … is a part of volume …", "a restore replaced this part of the volume", "`berth undo NAME`"},
		{"the lock of volume … names …, which is not of its …", "the lock's file is damaged: nothing is done on its word", "`berth volume repair NAME` moves the file to the trash"},
		{"the record of trash item … is not readable", "the item's record is broken; the data exists", "the directory that the hint names, on the export"},
		{"trash item … was purged meanwhile", "somebody purged the item", "`berth trash ls`"},
		{"a volume … exists", "the name is in use again", "`berth trash restore ID --as NAME-restored`"},
	},
	catalogue.Takeover: {
		{"volume … is not access=single", "nothing to take over", "any node may mount it"},
		{"volume … is not held by …, but …", "`--from` names another node than the holder", "`berth volume ps NAME`"},
		{"volume … is held by this node", "this node is the holder", "stop its containers; `berth volume release NAME`"},
		{"volume … is held by … (…)", "the holder is alive", "stop the container there"},
		{"volume … was held by … anew meanwhile", "the holder came back and took the volume again", "try again"},
		{"… is back, and keeps volume …", "the holder came back during the takeover", "nothing; or stop it there"},
	},
	catalogue.Convoy: {
		{"the metadata of volume … was not imported from …", "`--undo`, and berth made this metadata itself", "nothing: it stays"},
		{"the options of volume … were set since: …", "`--undo` keeps changed options", "`berth volume set NAME KEY=` first, as the hint has it"},
	},
}

package export

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.NoPlugin: {
		{"berth is stopping", "the plugin is being disabled or upgraded", "try again when the plugin is back"},
	},
	catalogue.Export: {
		{"the export … is away: its id … is not there, so the directory is another one or its mount is missing; berth fills nothing", "an empty directory in the export's place: the mount is missing, or the export was made anew", "`findmnt`, mount it. If a new, empty export is meant: `BERTH_EXPORT=…?id=new`"},
		{"the export … is away: another export (id …) is in its place, this node knows …", "`BERTH_EXPORT` leads to another export than before", "mount the right one. If this one is meant: `BERTH_EXPORT=…?id=ID` with the id that the hint has"},
		{"the export … cannot be opened: …", "no such directory, or no way to the server", "the words behind the colon, in this page; make or mount the directory"},
		{"prepare the export …: …", "at its first visit berth could not make `.berth`", "root of this node has to be able to write to the export: `superuser=sys` / `no_root_squash`"},
		{"…: its id is not there", "the export's directory was emptied or replaced while it was open", "mount it again"},
		{"… on the export … cannot be read: …", "an input/output error: the disk or its filesystem is broken, or that one file is", "`dmesg` of the machine with the disk; mend, and mount again. If only that file is broken: from a snapshot"},
		{"… on the export … is not readable", "`.berth/export.json` is broken; the data is untouched", "restore that file from a snapshot of the filer, then it goes on"},
		{"the export … has format version …, this berth knows …", "another node has a newer berth", "upgrade berth on this node"},
	},
}

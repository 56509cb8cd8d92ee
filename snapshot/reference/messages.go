package reference

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Snapshots: {
		{"no snapshot … any more", "the snapshot was deleted after the plan was made", "plan again with another one"},
		{"no snapshot … any more: the one of that name was made later", "the snapshot was deleted and another one has its name", "nothing was changed; plan again with another snapshot"},
		{"… names no snapshot after the @", "`NAME@`", "`NAME@latest`"},
		{"… is not a snapshot's name", "`/`, a line break, `.` or `..`, or too long", "`berth snapshot ls NAME`"},
		{"…: what follows a colon is a path", "a time was written with a colon", "`NAME@2026-11-20T0300`"},
		{"the path has a byte 0 in it", "the path contains a byte 0", "remove the byte"},
		{"… leads out of where it is", "`..` in a path", "the path from the volume's root"},
		{"… is no date", "not a day of the calendar", "`YYYY-MM-DD` or `YYYY-MM-DDTHHMM`"},
		{"… snapshots begin with …", "several snapshots begin with this text", "write more of the name"},
		{"… may be any of … snapshots, whose times nobody tells", "the server tells no times", "an exact name; or set `BERTH_ONTAP`, which tells them"},
		{"nobody says when snapshot … was made, so … means nothing", "the server tells no times", "an exact name; or set `BERTH_ONTAP`, which tells them"},
		{"… names no path after the colon", "`VOLUME@SNAPSHOT:$FILE` with FILE unset, most likely", "the path; or without the colon, which is the whole volume"},
	},
}

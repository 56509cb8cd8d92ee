package convoy

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Convoy: {
		{"there is no …/…*… on the export", "no records of Convoy below the export", "`BERTH_EXPORT` has to name the directory that Convoy has as `vfs.path`; before v0.5 Convoy kept none there: its directories are volumes as they are"},
		{"broken: … is empty", "Convoy was killed while it wrote", "nothing: its directory is a volume all the same, with default options"},
		{"broken: … is not readable: …", "Convoy was killed while it wrote, or somebody edited the file", "nothing: its directory is a volume all the same, with default options"},
		{"broken: … cannot be read: …", "missing rights, or it is no file", "look at it on the export"},
		{"broken: … is not a record of Convoy v0.5: it has neither name nor path", "another program's file", "nothing"},
		{"broken: … its directory …/ is where Convoy has its records", "a volume called `config`", "rename the directory, and correct the record, under Convoy"},
		{"broken: … its directory … ends in .tmp, as Convoy's leftovers do", "a volume with such a name", "rename the directory, and correct the record, under Convoy"},
		{"its directory … is that of …", "two records name one directory", "the first record counts; look at the other one"},
		{"… is not a directory on the share (a symlink or a file); berth leaves it alone", "a symlink or a file has the volume's name", "move the data to a directory of that name"},
		{"there is no directory … on the share", "the data was removed, or is on another export", "nothing; or `BERTH_EXPORT`"},
		{"of an interrupted 'convoy create --backup'", "a left-over of Convoy", "nothing; berth does not touch it"},
		{"of a Convoy that was killed", "a left-over of Convoy", "nothing; berth does not touch it"},
		{"an interrupted write", "a left-over of Convoy", "nothing; berth does not touch it"},
		{"an interrupted write, and the only record of this volume: its directory counts as an orphan", "the volume's record was never completed", "nothing: the directory is a volume; `--adopt-orphans` records that"},
	},
}

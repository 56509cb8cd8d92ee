package sweep

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Trash: {
		{"nothing of it was deleted in …: the disk or the server does not answer", "a purged tree has a directory that the disk or the server does not give; other trees are deleted meanwhile", "`ls` in it on the export's host: if that hangs too, it is the disk's or the server's. berth goes on by itself"},
	},
}

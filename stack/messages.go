package stack

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Snapshots: {
		{"read …: …", "the marker of `.snapshot` cannot be read", "look at that file on the export; move it back from a backup"},
	},
}

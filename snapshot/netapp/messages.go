package netapp

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Snapshots: {
		{"a snapshot … exists", "the name is taken", "another name"},
		{"the filer does not tell what snapshots keep", "its answer has no such number", "on the filer: `volume show -fields snapshot-space-used`"},
	},
}

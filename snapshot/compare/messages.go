package compare

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Snapshots: {
		{"… was deleted while it was read", "the snapshot or the directory was deleted during the comparison", "compare with another version"},
	},
}

package show

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Snapshots: {
		{"… has too many lines that differ", "`--content` compares lines for 20 s at most", "`berth snapshot cat` both versions, and compare with diff(1)"},
	},
	catalogue.Trash: {
		{"… is not an age", "no unit", "`90m`, `12h` or `3d`"},
	},
}

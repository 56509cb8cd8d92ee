package show

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Trash: {
		{"… is not an age", "no unit", "`90m`, `12h` or `3d`"},
	},
}

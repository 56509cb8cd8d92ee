package show

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Snapshots: {
		{"berth ended the comparison too early; its log says why", "the plugin met an error in the middle of a comparison", "`journalctl -u docker -n 50`; try again"},
		{"… has too many lines that differ", "`--content` compares lines for 20 s at most", "`berth snapshot cat` both versions, and compare with diff(1)"},
	},
	catalogue.Trash: {
		{"… is not an age", "no unit", "`90m`, `12h` or `3d`"},
	},
}

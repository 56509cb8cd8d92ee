package kernel

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Export: {
		{"put what was written on the server: …", "the filer does not accept the last writes in time", "nothing is lost; the kernel writes them when the filer answers"},
	},
}

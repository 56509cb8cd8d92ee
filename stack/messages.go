package stack

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Doctor: {
		{"parse …: …", "`stack check` of a file that is no stack or compose file", "what is wrong stands behind the file's name; `docker stack config -c FILE` says it too"},
	},
}

package examine

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Doctor: {
		{"it has no client here", "doctor found no way to the Docker engine", "type it as root; `systemctl status docker`"},
	},
}

package doctor

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Wire: {
		{"read the mounts: …", "`/proc` is not there", "`ls /proc/self/mountinfo`"},
		{"read the mounts: none", "`/proc` knows no mount of the directory", "`findmnt -T DIR`"},
	},
	catalogue.Doctor: {
		{"the server answered yes and did nothing", "a write, LINK or RENAME had no effect although the server answered yes", "the server's log; is a proxy or a cache in between?"},
	},
}

package doctor

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Wire: {
		{"read the mounts: …", "`/proc` is not there", "`ls /proc/self/mountinfo`"},
		{"read the mounts: none", "the directory is on no mount that `/proc` knows", "`findmnt -T DIR`"},
	},
	catalogue.Doctor: {
		{"the server said yes and did not do it", "a write, LINK or RENAME did not happen: no export for berth", "the server's log; is it a proxy or a cache?"},
	},
}

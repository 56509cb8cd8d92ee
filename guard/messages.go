package guard

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.NoPlugin: {
		{"berth has a bug: panic: …", "a fault in berth ended one request or one job; the plugin goes on", "report it with the stack in the plugin's log (`journalctl -u docker`); then again, or `berth volume ps`"},
	},
	catalogue.Export: {
		{"still at work: …", "in the log only: something of an ended session hangs, usually in a dead export", "`berth doctor`; `dmesg`"},
	},
}

package repair

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Volumes: {
		{"every control file of … is what its name says; nothing to repair", "nothing is damaged", "nothing; `berth doctor` names the files that are"},
		{"volume … has a … under way on …", "`berth volume repair`, and a job is at work on the volume", "`berth volume ps NAME` shows how far it is; repair afterwards"},
		{"the lease of … is that of …, which is …", "`berth volume repair`: the damaged file says what another node uses, and only that node knows", "the same command on that node; a node that is off stops counting after its lease (90 s)"},
	},
}

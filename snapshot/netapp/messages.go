package netapp

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Snapshots: {
		{"a snapshot … exists", "the name is taken", "another name"},
		{"snapshot … was made, and the filer does not say that it is locked until …", "the filer has made it and not locked it, or does not tell", "on the filer: `snapshot show -fields snaplock-expiry-time`"},
		{"the filer's release does not say that it locks snapshots", "`--lock` on a release before 9.12.1", "leave `--lock` out"},
		{"the FlexVol … does not allow snapshots to be locked", "`--lock`, and snapshot locking is off", "on the filer: `volume modify -vserver SVM -volume VOLUME -snapshot-locking-enabled true`; it cannot be turned off again"},
		{"…; a snapshot … is there that this call has not made", "the answer was lost, and the name is another snapshot's", "another name"},
		{"…; it could not be looked for: …", "the answer was lost, and the filer does not answer now: it may have done it", "look later: `berth snapshot ls NAME`"},
		{"…; the filer has no snapshot … now", "the answer was lost, and it was not made, or not yet", "look once more, then try again"},
		{"…; the filer still has snapshot …", "the answer was lost, and it was not deleted, or not yet", "look again later: `berth snapshot ls NAME`"},
		{"the filer does not tell what snapshots keep", "the release or the role does not show it", "`berth ontap status`"},
		{"the filer has refused what it offered: …", "the filer says that it restores directories, and refuses to: by its role, its release, or the request's form", "nothing is lost: berth copies, and asks again in an hour; `berth ontap status` shows what the role lacks"},
	},
}

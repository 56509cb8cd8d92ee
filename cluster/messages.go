package cluster

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.InUse: {
		{"another berth on this host calls itself … on this export (…)", "two berths with one node name on one host, for example the managed plugin and a service: both would write the same leases", "stop one of the two, or set `BERTH_NODE` on one; if the other one was killed, berth goes on by itself within half a lease"},
		{"berth on … is older and would not see the lock", "that node still has berth 0.1, which does not see how this one locks a volume; nothing is removed or replaced meanwhile", "upgrade berth there; a node that is off stops counting after its lease (90 s)"},
		{"… of volume … is under way on …", "another operation holds the volume's lock", "again in a moment; `berth volume ps` shows it. If that node died, another one finishes it within a lease"},
		{"the lock of volume … (…) is not readable: …", "its file in `.berth` is broken, or speaks of something else than its name says", "if no berth command is at work on the volume, `berth volume repair NAME` moves the file to the trash"},
		{"who uses volume … (…) is not readable: …", "something else is in the place of the directory of leases in `.berth`", "if nobody uses the volume, `berth volume repair NAME` moves it to the trash"},
		{"the lock of volume … was lost", "this node was silent too long, and another node took the lock", "try again"},
		{"volume … is locked by an operation this berth does not know (…, on …)", "a newer berth on another node died in it", "upgrade berth on this node, or let the newer one finish it; if there is no newer one, the file is damaged: `berth volume repair NAME`"},
	},
	catalogue.Takeover: {
		{"volume … is access=single and held by … (…)", "another living node has the database", "stop it there, or wait: when its lease expires, the volume is taken over. If no container has it: `berth volume release NAME` on that node"},
		{"volume … is access=single and was last held by …, which is silent (…)", "the holder does not answer, and berth cannot take over by itself here", "**make sure that the node is off**, then `berth volume takeover NAME --from NODE`"},
		{"volume … was taken over from this node while it was mounted", "this node was silent too long", "try again"},
		{"volume … is held by another node that calls itself …", "this node has just booted, or two nodes have one name", "try again in a moment; if it stays, `berth doctor` (`names`)"},
		{"the export went back in time just now, and the other nodes have not yet said which access=single volumes they hold", "an administrator reverted the whole FlexVol", "try again after a lease (90 s); restart all containers that use volumes of the export"},
		{"the volume is access=single, and two nodes call themselves …", "two nodes have one name", "`BERTH_NODE` on one of them"},
		{"the volume is access=single, and a heartbeat of … from another boot is too new to be sure that no other node has that name", "this node has just booted", "try again after the time in the hint"},
		{"who holds volume … (…) is not readable: …", "a file of berth's is broken, or speaks of something else than its name says", "if nobody uses the volume, `berth volume repair NAME` moves the file to the trash"},
	},
}

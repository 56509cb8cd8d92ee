package job

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.InUse: {
		{"no job begins on this node: …", "the plugin is about to stop", "again in a moment"},
		{"the … of … has not ended: …", "in the log, when the plugin stops: a job waits for an export that does not answer", "nothing; the job is found interrupted at the next start"},
		{"a … of volume … is being prepared on …", "a restore was planned and has not begun", "wait; if its command line is gone, `berth snapshot restore --abort NAME`"},
		{"a … of volume … was interrupted on …", "its process or node ended half-way", "`berth snapshot restore --resume NAME` completes it, `--abort NAME` ends it"},
		{"a … of volume … is under way on …", "a restore or undo is running", "`berth volume ps NAME` shows how far it is"},
		{"the … of volume … was interrupted on … and is not done", "the plugin there ended while the job ran; the volume is as it was, but for files that `--live` has replaced", "`berth snapshot restore --resume NAME` completes it, `--abort NAME` ends it"},
		{"the … of volume … was never begun", "the plugin ended after the job was written down; nothing was changed", "`berth snapshot restore --resume NAME` completes it, `--abort NAME` ends it"},
		{"the … of volume … was interrupted on …: …", "the plugin there was stopped or updated, or its settings name another export", "the same, when it runs again"},
	},
	catalogue.Restore: {
		{"no restore of volume … is unfinished", "nothing to resume or to abort", "`berth volume ps`"},
		{"the … of volume … was ended before it was done, as somebody asked for", "`--abort`, or ctrl-C and the answer yes, at this or another terminal", "nothing; the volume is as it was, but for files that `--live` has replaced"},
		{"no job …", "the job was ended meanwhile", "`berth volume ps`"},
		{"the … was not completed", "the export went away during the swap", "nothing: any node completes the swap when the export is back"},
		{"the journal … is not readable by this berth: …", "written by a newer berth, or broken", "upgrade berth on this node; or `berth volume repair` with the path that the hint has: it moves the job to the trash"},
		{"the journal … does not fit its trees: … is not what was made for …", "the journal of a restore was damaged after its trees were made", "`berth volume repair NAME` moves the restore to the trash; then restore again"},
		{"the lock of volume … names …, which is a … of …", "the lock's file is damaged: nothing is done on its word", "`berth volume repair NAME` moves the file to the trash"},
		{"… was replaced by something else while it was restored", "somebody moved a directory on the export by hand", "the restored tree is where the hint says; nothing was lost"},
		{"… is a tree of its own on the export (a qtree, a subvolume or a project), and no other tree can be moved into its place", "the server refuses to rename it; `berth volume inspect` shows what it knows of the tree; nothing was changed", "stop what uses it, then `berth snapshot restore NAME@SNAPSHOT --live`, which changes it in place"},
		{"… exists", "somebody used the name between plan and swap", "another name"},
	},
	catalogue.Takeover: {
		{"volume … is being taken over from …, on …", "another node is doing it", "again in a moment"},
	},
}

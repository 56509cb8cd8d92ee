package main

import "github.com/casit/berth/problem/catalogue"

//go:generate go test -run TestTroubleshootingIsMadeOfTheMessages -update .

// messages are what the command line says by itself when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var messages = catalogue.Messages{
	catalogue.NoPlugin: {
		{"berth's socket is root's alone", "you are not root", "type the command again with `sudo`"},
		{"no berth plugin answers on this node", "the plugin is not installed, disabled, or starting", "`docker plugin ls`; `docker plugin enable berth`; then `berth doctor`"},
		{"no berth answers on …: …", "`--socket` names a socket behind which nobody is", "leave `--socket` out; `docker plugin ls`"},
		{"berth ended the comparison too early; its log says why", "the plugin met an error in the middle of a comparison", "`journalctl -u docker -n 50`; again"},
	},
	catalogue.InUse: {
		{"… is in use by …", "a restore of what is in use", "`--stop` stops it, restores, starts it again; `--live` replaces what differs while it runs"},
		{"… is in use on …, and nothing here can be stopped for it", "`--stop`, and the containers are on another node", "type it there, or stop them there first"},
		{"… of … began less than … ago: a container may be about to start", "`volume release` of a young use", "again when it is older (5 minutes)"},
	},
	catalogue.Volumes: {
		{"… is not UTF-8: …", "bytes that only paths in volumes and names of snapshots may have", "another name"},
		{"… is empty", "a flag or an argument that is given without a value: mostly a variable of the shell that is not set", "give it a value, or leave it out"},
		{"… is not KEY=VALUE", "`volume set` without `=`", "for example `berth volume set NAME on-remove=retain`"},
		{"berth does not remove volumes", "`berth rm`", "`docker volume rm NAME`; `berth trash restore NAME` brings it back"},
	},
	catalogue.Snapshots: {
		{"name a volume, or a stack with --stack", "neither or both given", "`berth ls`"},
		{"…: a snapshot is a version of many volumes, it cannot be removed from … alone", "`snapshot rm NAME@SNAPSHOT`", "`berth snapshot rm SNAPSHOT`, if all may lose it"},
		{"… is no text", "`--content` of bytes", "`berth snapshot cat` both, and compare"},
		{"… has the same lines in both versions", "only owner, mode or time differ", "nothing"},
		{"it is larger than …; save both with 'berth snapshot cat' and compare them", "too large to compare at once", "as it says"},
		{"a tar archive is not for a terminal", "`cat` of a directory on a terminal", "`… > NAME.tar`, or `… ¦ tar -tv` with a pipe"},
		{"--max-age is missing", "`snapshot check` without a limit", "`berth snapshot check --max-age 26h`"},
		{"OK - …", "the newest snapshot is young enough", "nothing"},
		{"WARNING - …", "it is older than `--warn-age`", "who makes snapshots? `berth ontap status`; `berth snapshot create`"},
		{"CRITICAL - …", "it is older than `--max-age`", "who makes snapshots? `berth ontap status`; `berth snapshot create`"},
		{"UNKNOWN - …", "it could not be looked at", "the words behind it, in this page"},
		{"UNKNOWN - …; …", "`berth doctor` could not look at it", "the words behind it, in this page"},
		{"CRITICAL - the export has no snapshot", "none is made, or none is seen", "`berth ontap status`; `berth doctor` (`snapdir`, `ontap-policy`)"},
		{"UNKNOWN - the newest snapshot, …, is of a time that is … in the future; set BERTH_TZ to the filer's time zone, and compare the clocks", "the filer's zone is another one than `BERTH_TZ`, or a clock is wrong", "set `BERTH_TZ`; compare `date` with the filer's `cluster date show`"},
		{"UNKNOWN - nobody says when … was made; set BERTH_ONTAP", "the server tells no times", "set `BERTH_ONTAP`"},
	},
	catalogue.Restore: {
		{"cancelled; some files may have been replaced", "Ctrl-C during a restore with `--live`", "`berth undo NAME --live` puts them back"},
		{"the … is under way on …", "`--resume` of a restore that another node carries out", "wait; `berth volume ps NAME` shows how far it is"},
		{"the … failed", "a restore failed, and the plugin that knows why was restarted; the restore is kept", "`berth snapshot restore --resume NAME` tries again, `berth snapshot restore --abort NAME` ends it"},
		{"container …, which Docker removes when it stops, was started meanwhile; nothing was changed", "while `--stop` asked, somebody ran another container with `--rm`", "the same command again: it names that container too"},
		{"aborted", "`berth snapshot restore --abort` ended the restore that this command waits for", "nothing: the volume is as it was"},
		{"…? Nobody is here to answer", "a command that destroys or replaces something is not typed at a terminal", "`--yes`, or `--dry-run` first"},
		{"… could not be started again: Docker has removed it", "a container of `docker run --rm` was stopped for the restore, and Docker removed it then", "start it as it was started first"},
		{"the … was interrupted: the plugin that ran it ended", "the plugin was restarted, or its node was, while it worked", "`berth snapshot restore --resume NAME` goes on, `--abort NAME` ends it"},
		{"nothing to do: … is what is there now", "the version and the volume are the same", "nothing"},
		{"… in snapshot …: …", "these volumes could not be copied; the others are in the snapshot", "cure what it says of each, then make another"},
		{"cancelled; the volume is as it was", "Ctrl-C", "nothing; what was stopped is started"},
		{"nothing was changed", "you did not answer yes", "nothing"},
		{"name the volume", "`--resume` or `--abort` without one", "`berth volume ps` lists what is unfinished"},
		{"--resume and --abort exclude each other", "both given", "`--resume` completes, `--abort` ends"},
		{"--stack and volumes exclude each other", "both given", "choose one"},
		{"--as is for one version at a time", "several versions, a stack, or `--to`", "`berth snapshot restore NAME@yesterday --as NEW`"},
		{"…; 'berth snapshot restore --resume …' tries again to start what was stopped", "Docker refused it, for instance because a port is taken", "as it says"},
		{"read the journal of …: …", "what was stopped is written by another version", "`berth version`; start it by hand: `docker service scale SERVICE=N`"},
	},
	catalogue.Trash: {
		{"nothing to purge", "nothing is old enough", "`berth trash ls` shows when it expires"},
		{"ids and --older exclude each other", "both given", "one of them"},
		{"… is not an age", "no unit", "`90m`, `12h` or `3d`"},
	},
	catalogue.Takeover: {
		{"--from NODE is missing", "`volume takeover` without it", "`berth volume ps NAME` shows the holder"},
	},
	catalogue.Filer: {
		{"berth cannot do its work with this filer as it is", "a privilege is missing, or `.snapshot` is hidden", "the lines above it say what to run"},
	},
	catalogue.Convoy: {
		{"… of Convoy's could not be imported; the lines marked broken say why", "everything else was", "the lines, in this table; then again"},
		{"--undo and --adopt-orphans exclude each other", "both given", "one of them; `--undo` takes back what `--adopt-orphans` did, too"},
	},
	catalogue.Proxy: {
		{"where to?", "no `--out`", "`berth proxy render --out DIR`"},
		{"--nodes: … is no address", "a name, or none", "IP addresses: `docker node inspect --format '{{.Status.Addr}}' NODE`"},
		{"no service of this swarm has a label berth.site, and all sites of … would go", "the wrong swarm, or all sites are gone", "if it is right, remove the files below `sites/` yourself"},
	},
	catalogue.Doctor: {
		{"it has no client here", "doctor found no way to the Docker engine", "as root; `systemctl status docker`"},
		{"what about the …?", "a group of commands without a verb", "`berth volume --help`, for example"},
	},
}

package main

import "github.com/casit/berth/problem/catalogue"

//go:generate go test -run TestTroubleshootingIsMadeOfTheMessages -update .

// messages are what the command line says by itself when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var messages = catalogue.Messages{
	catalogue.NoPlugin: {
		{"berth's socket is root's alone", "you are not root", "type the command again with `sudo`"},
		{"no berth plugin answers on this node", "the plugin is not installed, disabled, or starting", "`docker plugin ls`; `docker plugin enable berth`; then `berth doctor`"},
		{"no berth answers on …: …", "`--socket` names a socket that nobody serves", "leave `--socket` out; `docker plugin ls`"},
	},
	catalogue.InUse: {
		{"… is in use by …", "you restore a volume in use", "`--stop` stops its containers, restores, starts them again; `--live` replaces what differs while they run"},
		{"… is in use on …, and nothing here can be stopped for it", "`--stop`, and the containers are on another node", "type the command there, or stop the containers there first"},
		{"… of … began less than … ago: a container may be about to start", "`volume release` of a new claim", "try again when the claim is older (5 minutes)"},
	},
	catalogue.Volumes: {
		{"… is not UTF-8: …", "only paths in volumes and names of snapshots may have such bytes", "another name"},
		{"… is empty", "a flag or argument without a value, usually from an unset shell variable", "give it a value, or leave it out"},
		{"… is not KEY=VALUE", "`volume set` without `=`", "for example `berth volume set NAME on-remove=retain`"},
		{"berth does not remove volumes", "`berth rm`", "`docker volume rm NAME`; `berth trash restore NAME` brings it back"},
	},
	catalogue.Snapshots: {
		{"name a volume, or a stack with --stack", "neither, or both, are given", "`berth ls`"},
		{"…: a snapshot is a version of many volumes, it cannot be removed from … alone", "`snapshot rm NAME@SNAPSHOT`", "`berth snapshot rm SNAPSHOT`, if all may lose it"},
		{"… is no text", "`--content` of a file that is no text", "`berth snapshot cat` both versions, and compare"},
		{"… has the same lines in both versions", "only owner, mode or time differ", "nothing"},
		{"it is larger than …; save both with 'berth snapshot cat' and compare them", "the file is too large to compare at once", "`berth snapshot cat` both versions, and compare"},
		{"a tar archive is not for a terminal", "`cat` of a directory on a terminal", "`… > NAME.tar`, or `… ¦ tar -tv` with a pipe"},
		{"--max-age is missing", "`snapshot check` without a limit", "`berth snapshot check --max-age 26h`"},
		{"OK - …", "the newest snapshot is young enough", "nothing"},
		{"WARNING - …", "the newest snapshot is older than `--warn-age`", "find out who makes snapshots: `berth ontap status`; `berth snapshot create`"},
		{"CRITICAL - …", "the newest snapshot is older than `--max-age`", "find out who makes snapshots: `berth ontap status`; `berth snapshot create`"},
		{"UNKNOWN - …", "berth could not find out", "search this page for the text behind `UNKNOWN`"},
		{"UNKNOWN - …; …", "`berth doctor` could not find out", "search this page for the text behind `UNKNOWN`"},
		{"CRITICAL - the export has no snapshot", "nobody makes snapshots, or berth sees none", "`berth ontap status`; `berth doctor` (`snapdir`, `ontap-policy`)"},
		{"UNKNOWN - nobody says when … was made; …", "the server shows a directory's time only, or the filer's API did not answer; a guess is no OK", "what stands behind the semicolon: set `BERTH_ONTAP`, give snapshots names with a time, or mend the API"},
		{"WARNING - hidden, so that nothing can be restored from it ('berth ontap status' prints the commands that show .snapshot): …", "the filer has snapshots, and the export does not show them", "the commands that `berth ontap status` prints, on the filer"},
		{"WARNING - its name says so, since the filer's API did not answer (…): …", "the age comes from the snapshot's name", "`berth ontap status` says what is wrong with the API"},
		{"UNKNOWN - the newest snapshot, …, is of a time that is … in the future; set BERTH_TZ to the filer's time zone, and compare the clocks", "the filer's zone is another one than `BERTH_TZ`, or a clock is wrong", "set `BERTH_TZ`; compare `date` with the filer's `cluster date show`"},
	},
	catalogue.Restore: {
		{"cancelled; some files may have been replaced", "Ctrl-C during a restore with `--live`", "`berth undo NAME --live` puts them back"},
		{"the … is under way on …", "`--resume` of a restore that another node carries out", "wait; `berth volume ps NAME` shows how far it is"},
		{"the … is not done, and nobody is at work on it", "the plugin was stopped, upgraded or killed while a restore ran; the restore is kept", "`berth snapshot restore --resume NAME` completes it, `berth snapshot restore --abort NAME` ends it"},
		{"… could not be started again: Docker has removed it", "`--stop` stopped a container of `docker run --rm`, or somebody removed it meanwhile", "start it as it was started first"},
		{"container …, which Docker removes when it stops, was started meanwhile; nothing was changed", "while `--stop` asked, somebody started another container with `--rm`", "type the command again: it then names that container too"},
		{"…? Nobody is here to answer", "a command that destroys or replaces something is not typed at a terminal", "`--yes`, or `--dry-run` first"},
		{"nothing to do: … is what is there now", "the version and the volume are equal", "nothing"},
		{"… in snapshot …: …", "these volumes could not be copied; the others are in the snapshot", "mend each error, then make another snapshot"},
		{"cancelled; the volume is as it was", "Ctrl-C", "nothing; stopped containers are started"},
		{"nothing was changed", "you did not answer yes", "nothing"},
		{"name the volume", "`--resume` or `--abort` without one", "`berth volume ps` lists what is unfinished"},
		{"--resume and --abort exclude each other", "both are given", "`--resume` completes, `--abort` ends"},
		{"--stack and volumes exclude each other", "both are given", "choose one"},
		{"--as is for one version at a time", "several versions, a stack, or `--to`", "`berth snapshot restore NAME@yesterday --as NEW`"},
		{"…; 'berth snapshot restore --resume …' tries again to start what was stopped", "Docker refused it, for instance because a port is taken", "mend it; `berth snapshot restore --resume NAME`"},
		{"read the journal of …: …", "what was stopped is written by another version", "`berth version`; start it by hand: `docker service scale SERVICE=N`"},
	},
	catalogue.Trash: {
		{"nothing to purge", "no item has expired", "`berth trash ls` shows when each item expires"},
		{"ids and --older exclude each other", "both are given", "one of them"},
	},
	catalogue.Takeover: {
		{"--from NODE is missing", "`volume takeover` without it", "`berth volume ps NAME` shows the holder"},
	},
	catalogue.Filer: {
		{"berth cannot do its work with this filer as it is", "a privilege is missing, or `.snapshot` is hidden", "the lines above it say what to run"},
	},
	catalogue.Convoy: {
		{"… of Convoy's could not be imported; the lines marked broken say why", "all others were imported", "the lines marked broken, in this table; then import again"},
		{"--undo and --adopt-orphans exclude each other", "both are given", "one of them; `--undo` also takes back `--adopt-orphans`"},
	},
	catalogue.Proxy: {
		{"--out DIR is missing", "`--out` is missing", "`berth proxy render --out DIR`"},
		{"--nodes: … is no address", "a name, or none", "IP addresses: `docker node inspect --format '{{.Status.Addr}}' NODE`"},
		{"no service of this swarm has a label berth.site, and all sites of … would go", "the wrong swarm, or all sites are gone", "if it is right, remove the files below `sites/` yourself"},
	},
	catalogue.Doctor: {
		{"'…' needs a verb", "a group of commands without a verb", "`berth volume --help`, for example"},
	},
}

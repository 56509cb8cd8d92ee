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
		{"container … (…) has volume …", "`volume release` while a container has it", "`docker stop CONTAINER`, if it may end"},
		{"… of … began less than … ago: a container may be about to start", "`volume release` of a young use", "again when it is older (5 minutes)"},
		{"whether a container has … is not known: …", "this node's Docker does not answer, so nothing is released", "`systemctl status docker`"},
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
		{"read …: …", "the marker of `.snapshot` cannot be read", "look at that file on the export; move it back from a backup"},
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
		{"nothing to do: … is what is there now", "the version and the volume are the same", "nothing"},
		{"… in snapshot …: …", "these volumes could not be copied; the others are in the snapshot", "cure what it says of each, then make another"},
		{"cancelled; the volume is as it was", "Ctrl-C", "nothing; what was stopped is started"},
		{"nothing was changed", "you did not answer yes", "nothing"},
		{"…: not without being asked to", "nobody is there to be asked", "`--yes`, or `--dry-run` first"},
		{"name the volume", "`--resume` or `--abort` without one", "`berth volume ps` lists what is unfinished"},
		{"--resume and --abort exclude each other", "both given", "`--resume` completes, `--abort` ends"},
		{"--stack and volumes exclude each other", "both given", "choose one"},
		{"--as is for one version at a time", "several versions, a stack, or `--to`", "`berth snapshot restore NAME@yesterday --as NEW`"},
		{"no Docker engine answers here, so nothing can be stopped: …", "`--stop` without Docker's socket", "on the host, as root; or stop what uses it yourself"},
		{"service … has to be stopped, and this node is no manager", "`--stop` on a worker", "type it on a manager: the hint names them"},
		{"service … is not replicated: it cannot be scaled down and up again", "a global service or a job", "`docker service rm SERVICE`, restore, deploy it again"},
		{"it is not replicated any more", "the service was changed meanwhile", "`docker service inspect SERVICE`; again"},
		{"service … has still … tasks that did not end: …; 'docker service ps …' shows where", "a task's node does not answer, or the container does not end", "`docker service ps SERVICE`; end it there; again"},
		{"stop service …: …", "Docker refused it", "Docker's words behind the colon; again"},
		{"stop container …: …", "Docker refused it", "Docker's words behind the colon; again"},
		{"start service …: …", "Docker refused it, after the restore", "`berth snapshot restore --resume NAME` tries again"},
		{"start container …: …", "Docker refused it, for instance because a port is taken", "mend it; `berth snapshot restore --resume NAME`"},
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
		{"no Docker engine answers here", "none, or not your socket", "on a manager, as root"},
		{"no Docker engine answers here: …", "none, or not your socket", "`systemctl status docker`"},
		{"this node is in no swarm", "it is not", "on a manager"},
		{"only a manager knows the services, and this node is a worker", "a worker", "on a manager: the hint names them"},
		{"node … has no address that others could reach: …", "Docker knows none", "`--nodes` with the addresses of all"},
		{"no node of the swarm is ready", "all down or drained", "`docker node ls`; or `--nodes`"},
		{"no service of this swarm has a label berth.site, and all sites of … would go", "the wrong swarm, or all sites are gone", "if it is right, remove the files below `sites/` yourself"},
	},
	catalogue.Dashboard: {
		{"ask Docker: …", "Docker's socket is not reached: no tasks are shown, the rest is", "as root; in a container, mount the socket ([dashboard.md](dashboard.md))"},
	},
	catalogue.Doctor: {
		{"it has no client here", "doctor found no way to the Docker engine", "as root; `systemctl status docker`"},
		{"what about the …?", "a group of commands without a verb", "`berth volume --help`, for example"},
	},
}

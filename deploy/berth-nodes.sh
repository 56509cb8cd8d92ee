#!/bin/bash
# Installs, upgrades and checks berth on the nodes of a swarm, over ssh, one
# node after the other. docs/upgrade.md says what happens step by step, and how
# to do the same by hand.
set -euo pipefail

usage() {
	cat <<'EOF'
usage: berth-nodes.sh install|upgrade|doctor --nodes n1,n2,n3 [flags]

  install   put berth on nodes; where it is already, the same as upgrade
  upgrade   replace berth while containers go on writing, one node at a time
  doctor    look, and change nothing

  --nodes LIST          the nodes, in this order, as ssh knows them; localhost is this
                        one, without ssh
  --env FILE            becomes /etc/berth/berth.env
  --password-file FILE  becomes /etc/berth/password; the env file has to name it so:
                        BERTH_ONTAP_PASSWORD_FILE=/etc/berth/password
  --ca FILE             becomes /etc/berth/ca.pem, BERTH_ONTAP_CA in the env file
  --plugin WHAT         a folder (default build/plugin, as 'make rootfs' makes it), an
                        image of a registry, or 'previous': what the last upgrade replaced
  --drain               move the swarm's tasks away from a node while it is upgraded
  --dry-run             check the nodes and say what would be done
  --help

example:
  make rootfs
  deploy/berth-nodes.sh install --nodes n1,n2,n3 --env berth.env --password-file secret
  deploy/berth-nodes.sh doctor --nodes n1,n2,n3

environment:
  BERTH_SSH    called as $BERTH_SSH NODE COMMAND (default: ssh -o BatchMode=yes
               -o ConnectTimeout=10); it has to end up as root on the node
  BERTH_BIN    where the command line goes on a node (default /usr/local/bin)
  BERTH_LIB    where a node keeps what was replaced (default /var/lib/berth)
  BERTH_WAIT   seconds to wait for a plugin to become healthy (default 60)
  BERTH_DRAIN_WAIT  seconds to wait for the tasks of a node to end (default 300)

exit codes: 0 done, 1 failed or, for doctor, something is wrong, 2 usage
EOF
}

readonly NAME=berth # of the plugin, on every node: Docker's records of the volumes have it
readonly ETC=/etc/berth
readonly BIN=${BERTH_BIN:-/usr/local/bin}
readonly LIB=${BERTH_LIB:-/var/lib/berth}
readonly WAIT=${BERTH_WAIT:-60}
readonly DRAIN_WAIT=${BERTH_DRAIN_WAIT:-300}
readonly FILES='berth.env password ca.pem'

# ---- What runs on a node. Functions node_* are sent there; they use nothing of
# this file but each other and the constants above.

node_say() { echo "$*" || true; } # a lost connection must not end what is under way

# node_one TEMPLATE [PLUGIN] is one fact of the installed plugin.
node_one() { docker plugin inspect --format "$1" "${2:-$NAME}" 2>/dev/null; }

# node_dir [PLUGIN] is where the engine keeps an installed plugin.
node_dir() {
	local id
	id=$(node_one '{{.Id}}' "${1:-$NAME}") || return 1
	echo "$(docker info --format '{{.DockerRootDir}}')/plugins/$id"
}

# node_berth runs the command line that is in the plugin, with that plugin.
node_berth() {
	local dir socket
	dir=$(node_dir) || return 1
	socket=/run/docker/plugins/${dir##*/}/berth.sock
	[ -S "$socket" ] || { echo "the plugin does not run"; return 1; }
	"$dir/rootfs/berth" --socket "$socket" "$@"
}

# node_about prints what the running plugin says of itself: version=, health= …
node_about() {
	local said
	if said=$(node_berth version 2>&1); then
		awk '/^$/ { exit } { key = $1 == "plugin" ? "version" : $1; sub(/^[^ ]+ +/, ""); print key "=" $0 }' <<<"$said"
	else
		echo "health=${said%%$'\n'*}"
	fi
}

# node_installed prints the hash of what this program installed, if it is still that.
node_installed() {
	local hash id
	read -r hash id 2>/dev/null <"$ETC/.installed" || return 1
	[ "$id" = "$(node_one '{{.Id}}')" ] && echo "$hash"
}

# node_look prints what is there, as lines KEY=VALUE.
node_look() {
	local why
	[ "$(id -u)" = 0 ] || { echo "is entered as $(id -un), not as root" >&2; return 1; }
	why=$(docker version --format '{{.Server.Version}}' 2>&1) || { echo "docker does not answer: ${why%%$'\n'*}" >&2; return 1; }
	[ ! -e "$LIB/lock" ] || node_alone >&2 || return 1
	echo "engine=$why"
	echo "kernel=$(uname -r)"
	docker info --format 'swarm={{.Swarm.NodeID}}
manager={{.Swarm.ControlAvailable}}' 2>/dev/null
	if why=$(node_one '{{if .Enabled}}enabled{{else}}disabled{{end}}'); then
		echo "plugin=$why"
		echo "config=$(node_one '{{range .Settings.Mounts}}{{if eq .Name "config"}}{{.Source}}{{end}}{{end}}')"
		[ "$why" = disabled ] || node_about
		echo "installed=$(node_installed || true)"
	else
		echo "plugin=none"
	fi
	why=$("$BIN/berth" version 2>/dev/null | awk '$1 == "command" { print $2; exit }') || true
	echo "command=$why"
	[ ! -d "$LIB/previous/plugin" ] || echo "previous=$(cat "$LIB/previous/hash")"
	[ ! -e "$ETC/berth.env" ] || echo "env=yes"
}

# node_begin makes room for what is sent; it fails while another run is at work.
node_begin() {
	(umask 077 && mkdir -p "$LIB") && chmod 0700 "$LIB"
	node_alone
	rm -rf "$LIB/next"
	mkdir -m 0700 "$LIB/next" "$LIB/next/etc"
}

node_alone() {
	exec 9>"$LIB/lock"
	flock -n 9 || { node_say "another berth-nodes.sh is at work here; wait until it has ended"; return 1; }
}

# node_differs FILE compares a file of $ETC with the input.
node_differs() { ! cmp -s - "$ETC/$1"; }

# node_take_file FILE keeps the input as what FILE is to become.
node_take_file() { (umask 077 && cat >"$LIB/next/etc/$1"); }

# node_take_folder HASH keeps the plugin's folder, a tar archive.
node_take_folder() {
	mkdir "$LIB/next/plugin"
	tar -C "$LIB/next/plugin" --no-same-owner -xf -
	echo "$1" >"$LIB/next/hash"
}

# node_take_image IMAGE pulls an image under another name and keeps its folder.
node_take_image() {
	local why
	docker plugin rm -f "$NAME-next" >/dev/null 2>&1 || true
	why=$(docker plugin install --alias "$NAME-next" --disable --grant-all-permissions "$1" 2>&1) ||
		{ node_say "${why##*$'\n'}"; return 1; }
	node_folder "$NAME-next" "$LIB/next/plugin"
	sha256sum <"$LIB/next/plugin/config.json" | cut -d ' ' -f 1 >"$LIB/next/hash"
	docker plugin rm "$NAME-next" >/dev/null
}

node_take_previous() {
	cp -a "$LIB/previous/plugin" "$LIB/previous/hash" "$LIB/next/"
}

# node_folder PLUGIN FOLDER makes the folder that an installed plugin was made of.
node_folder() {
	local dir
	dir=$(node_dir "$1") || return 1
	mkdir -p "$2/rootfs" || return 1
	cp -p "$dir/rootfs/berth" "$2/rootfs/berth" || return 1
	node_one '{{json .Config}}' "$1" >"$2/config.json"
}

# node_settings prints what was set on the plugin, one NAME=VALUE a line: what
# is not as its own config has it.
node_settings() {
	comm -13 \
		<(node_one '{{range .Config.Env}}{{.Name}}={{.Value}}{{"\n"}}{{end}}{{range .Config.Mounts}}{{.Name}}.source={{.Source}}{{"\n"}}{{end}}' | sort) \
		<(node_one '{{range .Settings.Env}}{{.}}{{"\n"}}{{end}}{{range .Settings.Mounts}}{{.Name}}.source={{.Source}}{{"\n"}}{{end}}' | sort) |
		sed '/^$/d'
}

# node_keep puts aside what is about to be replaced: plugin, settings, files,
# and what the plugin remembers of the export.
node_keep() {
	local file before=$LIB/before.new
	if [ -d "$LIB/before/plugin" ] && [ "$(node_one '{{.Enabled}}')" != true ]; then
		return 0 # of a run that was cut short, and still the truth
	fi
	rm -rf "$LIB/before" "$before"
	mkdir -m 0700 "$before" "$before/etc" || return 1
	for file in $FILES; do
		[ ! -e "$ETC/$file" ] || cp -p "$ETC/$file" "$before/etc/" || return 1
	done
	: >"$before/settings"
	if node_one '{{.Id}}' >/dev/null; then
		node_folder "$NAME" "$before/plugin" || return 1
		node_settings >"$before/settings" || return 1
		cp -p "$(node_dir)/propagated-mount/.index.json" "$before/" 2>/dev/null || true
		node_installed >"$before/hash" || echo by-hand >"$before/hash"
	fi
	mv "$before" "$LIB/before"
}

# node_put DIR makes the files of $ETC those that are in DIR, each at once.
node_put() {
	local file
	mkdir -p "$ETC" /srv/berth && chmod 0700 "$ETC" || return 1
	# Users of the node have no business in volumes. A filer that is mounted there may refuse.
	chmod 0700 /srv/berth || node_say "/srv/berth cannot be made 0700: 'berth doctor' says more"
	for file in $FILES; do
		if [ -e "$1/$file" ] && ! cmp -s "$1/$file" "$ETC/$file"; then
			install -m 0600 "$1/$file" "$ETC/.$file.new" && mv -f "$ETC/.$file.new" "$ETC/$file" || return 1
		fi
		[ ! -e "$ETC/$file" ] || chmod 0600 "$ETC/$file" || return 1
	done
}

# node_bring DIR SAME makes the files and, unless it is the same, the plugin
# those that are in DIR.
node_bring() {
	if [ -n "$2" ]; then
		node_put "$1/etc"
	else
		node_switch "$1"
	fi
}

# node_switch DIR replaces the plugin, with the settings that were kept. An
# engine has no other way to replace one that came from a folder, and `docker
# plugin upgrade` would keep the old release's list of settings.
node_switch() {
	local settings dir
	mapfile -t settings <"$LIB/before/settings"
	if node_one '{{.Id}}' >/dev/null; then
		docker plugin rm -f "$NAME" >/dev/null || { docker plugin enable "$NAME"; return 1; }
	fi
	node_put "$1/etc" || return 1
	node_create "$1/plugin" || return 1
	if [ -e "$LIB/before/.index.json" ] && dir=$(node_dir); then
		mkdir -p "$dir/propagated-mount" && cp -p "$LIB/before/.index.json" "$dir/propagated-mount/" || return 1
	fi
	[ ${#settings[@]} = 0 ] || docker plugin set "$NAME" "${settings[@]}" || return 1
	docker plugin enable "$NAME" >/dev/null
}

# node_create FOLDER makes the plugin. An engine forgets the content of a removed
# one only a moment later, and refuses to take the same again before that.
node_create() {
	local said try
	for try in 1 2 3 4 5; do
		said=$(docker plugin create "$NAME" "$1" 2>&1) && return 0
		[[ $said == *'already exists'* ]] || break
		sleep "$try"
	done
	echo "$said"
	return 1
}

# node_healthy waits until the plugin is, and prints its health.
node_healthy() {
	local health='' deadline=$((SECONDS + WAIT))
	while :; do
		if [ "$(node_one '{{.Enabled}}')" = true ]; then
			health=$(node_about | sed -n 's/^health=//p')
		else
			health='it is not enabled'
		fi
		case $health in ok | degraded:*) node_say "$health"; return 0 ;; esac
		[ "$SECONDS" -lt "$deadline" ] || break
		sleep 1
	done
	node_say "$health"
	return 1
}

# node_command FOLDER puts the command line where people find it.
node_command() {
	cmp -s "$1/rootfs/berth" "$BIN/berth" && return 0
	mkdir -p "$BIN" && install -m 0755 "$1/rootfs/berth" "$BIN/.berth.new" && mv -f "$BIN/.berth.new" "$BIN/berth"
}

# node_replace brings in what was sent, if it differs, and goes back if that
# does not become healthy. It ends with 10 when all is as it was and healthy, 11
# when it is as it was and not healthy, 12 when there was nothing to go back to,
# 13 when it could not go back.
node_replace() {
	local file files='' hash same='' pause='' why running began=$SECONDS
	trap '' HUP INT TERM PIPE
	node_alone || return 1
	hash=$(cat "$LIB/next/hash")
	for file in $FILES; do
		[ ! -e "$LIB/next/etc/$file" ] || cmp -s "$LIB/next/etc/$file" "$ETC/$file" || files="$files $file"
	done
	if [ "$(node_one '{{.Enabled}}')" = true ] && [ "$(node_installed)" = "$hash" ]; then
		same=yes pause=${files:+11} # the plugin reads its files again within 10 s
	fi
	running=$(docker ps --quiet --no-trunc)
	node_keep || { node_say "what is there cannot be put aside in $LIB; nothing was changed"; return 1; }
	if why=$(node_bring "$LIB/next" "$same" 2>&1); then
		sleep "${pause:-0}"
		if why=$(node_healthy); then
			node_done "$hash" "$same" "$files" $((SECONDS - began))
			node_fallen "$running"
			[ "$why" = ok ] || node_say "$why"
			return 0
		fi
	fi
	node_say "not healthy: $why"
	node_forget
	[ -d "$LIB/before/plugin" ] || return 12
	for file in $files; do
		[ -e "$LIB/before/etc/$file" ] || rm -f "$ETC/$file"
	done
	why=$(node_bring "$LIB/before" "$same" 2>&1) || { node_say "cannot go back: $why"; return 13; }
	[ -n "$same" ] || node_note "$(cat "$LIB/before/hash")"
	sleep "${pause:-0}"
	node_fallen "$running"
	why=$(node_healthy) || { node_say "as it was before, and not healthy: $why"; return 11; }
	rm -rf "$LIB/before"
	return 10
}

# node_fallen IDS names containers that ran, and that the engine could not start
# again when they ended, because just then there was no plugin.
node_fallen() {
	local ids name
	[ -n "$1" ] || return 0
	mapfile -t ids <<<"$1"
	docker container inspect --format '{{.State.Running}} {{.HostConfig.RestartPolicy.Name}} {{.Name}}' "${ids[@]}" 2>/dev/null |
		sed -nE 's,^false (always|unless-stopped) /,,p' |
		while read -r name; do node_say "container $name ended meanwhile and was not started again: docker start $name"; done || true
}

# node_forget removes what was sent.
node_forget() { rm -rf "$LIB/next"; }

# node_note HASH writes down what is installed now.
node_note() {
	(umask 077 && echo "$1 $(node_one '{{.Id}}')" >"$ETC/.installed") || node_say "$ETC/.installed cannot be written"
}

# node_done HASH SAME FILES SECONDS ends a replacement that went well.
node_done() {
	local hash=$1 same=$2 files=$3 took=$4
	node_note "$hash"
	node_command "$LIB/next/plugin" || node_say "$BIN/berth cannot be written: it is another version than the plugin"
	if [ -z "$same" ] && [ -d "$LIB/before/plugin" ]; then
		rm -rf "$LIB/previous" "$LIB/before/etc"
		mv "$LIB/before" "$LIB/previous"
	fi
	rm -rf "$LIB/before"
	node_forget
	[ -z "$files" ] || node_say "wrote$files"
	if [ -z "$same" ]; then
		node_say "berth $(node_about | sed -n 's/^version=//p') is there, after $took s"
	elif [ -z "$files" ]; then
		node_say "nothing differs"
	fi
}

# node_availability NODE WANTED changes it, on a manager, and prints what it was.
node_availability() {
	docker node inspect --format '{{.Spec.Availability}}' "$1"
	docker node update --availability "$2" "$1" >/dev/null
}

# node_drained waits until no task's container runs here.
node_drained() {
	local deadline=$((SECONDS + DRAIN_WAIT)) left
	while left=$(docker ps --filter label=com.docker.swarm.task.id --format '{{.Names}}') && [ -n "$left" ]; do
		[ "$SECONDS" -lt "$deadline" ] || { echo "still running after $DRAIN_WAIT s: ${left//$'\n'/ }" >&2; return 1; }
		sleep 1
	done
}

# node_shadows lists volumes on this node's own disk that have the name of one
# of berth's: NAME, path and the containers with it.
node_shadows() {
	local names name
	names=$(node_berth volume ls -q) || return 1
	comm -12 <(docker volume ls -q --filter driver=local | LC_ALL=C sort) <(LC_ALL=C sort <<<"$names") |
		while read -r name; do
			[ "$(docker volume inspect --format '{{.Driver}}' "$name")" = local ] || continue
			echo "$name $(docker volume inspect --format '{{.Mountpoint}}' "$name")" \
				"$(docker ps -a --filter volume="$name" --format '{{.Names}}' | tr '\n' ' ')"
		done
}

# node_modes checks owner and permissions: one line for each file that is wrong,
# "missing PATH" or the mode that it should have and its path.
node_modes() {
	local file want named
	mapfile -t named < <(node_named 'PASSWORD_FILE|CERT|KEY|CA')
	for file in "$ETC" "$ETC/berth.env" ${named[@]+"${named[@]}"}; do
		[ -e "$file" ] || echo "missing $file"
	done
	mapfile -t named < <(node_named 'PASSWORD_FILE|KEY')
	for file in "$ETC" "$ETC/berth.env" "$ETC/password" "$ETC/ca.pem" ${named[@]+"${named[@]}"}; do
		[ -d "$file" ] && want=700 || want=600
		[ ! -e "$file" ] || [ "$(stat -c '%u %a' "$file")" = "0 $want" ] || echo "$want $file"
	done | sort -u
}

# node_named A|B prints the files that berth.env names as BERTH_ONTAP_A and BERTH_ONTAP_B.
node_named() {
	sed -nE "s/^ *(export )?BERTH_ONTAP_($1)=[\"']?([^\"']+)[\"']? *$/\3/p" "$ETC/berth.env" 2>/dev/null || true
}

# node_lockers lists which of the programs that NFS locks need do not run.
node_lockers() {
	local want
	for want in rpcbind rpc.statd; do
		grep -qsx "$want" /proc/[0-9]*/comm || echo "$want"
	done
}

node_clock() { date +%s%3N; }

# ---- What runs here. Whatever a node answers is data: nothing of it is evaluated,
# printed raw, or told as a command to type before it was compared with what such
# an answer looks like.

warn() { echo "berth-nodes: $*" | fold -s -w 100 >&2; }
die() { warn "$1"; [ $# -lt 2 ] || warn "hint: $2"; exit 1; }
misused() { warn "$1"; warn "hint: 'deploy/berth-nodes.sh --help' shows how"; exit 2; }
say() { echo "$*" | fold -s -w 100; }

# quoted is text as one word of any shell.
quoted() {
	local quote="'" escaped="'\\''"
	echo "'${1//$quote/$escaped}'"
}

# answer passes on what a node prints. It writes controls and all that is not ASCII
# as ^[ and M-b, so that no terminal obeys them, and cuts what no node of ours says.
answer() { head -c 262144 | cat -v; }

# on NODE FUNCTION ARG... runs a function on a node. Data, and all that is
# secret, goes through its input.
on() {
	local node=$1 call='' word run
	shift
	for word in "$@"; do call="$call $(quoted "$word")"; done
	call="set -euo pipefail
$library
$call"
	run=(bash -c "$call")
	[ "$node" = localhost ] || run=("${ssh[@]}" "$node" "bash -c $(quoted "$call")")
	{ "${run[@]}" 2>&1 >&3 3>&- | answer >&2; } 3>&1 | answer
}

# ask is on without input.
ask() { on "$@" </dev/null; }

# fact NODE KEY is what node_look has said.
fact() { printf '%s\n' "${facts[$1 $2]-}"; }

# look asks every node and prints a table; it fails if one cannot be worked on.
look() {
	local node said key value failed=''
	printf '%-*s %-16s %-9s %s\n' "$width" NODE ENGINE SWARM PLUGIN
	for node in "${nodes[@]}"; do
		if ! said=$(ask "$node" node_look 2>"$scratch/why"); then
			reason[$node]=$(tail -n 1 "$scratch/why")
			reason[$node]=${reason[$node]:-it does not answer}
			printf '%-*s %s\n' "$width" "$node" '!'
			failed=yes
			continue
		fi
		while IFS='=' read -r key value; do
			case $key in
			engine | kernel | swarm | manager | plugin | config | version | health | export | installed | command | previous | env)
				facts[$node $key]=$value
				;;
			esac
		done <<<"$said"
		describe "$node"
	done
	[ -z "$failed" ] || return 1
}

describe() {
	local node=$1 role=- state
	[ -z "$(fact "$node" swarm)" ] || role=worker
	[ "$(fact "$node" manager)" != true ] || role=manager
	state=$(fact "$node" plugin)
	[ "$state" != enabled ] || state="$(fact "$node" version), $(fact "$node" health)"
	printf '%-*s %-16s %-9s %s\n' "$width" "$node" "$(fact "$node" engine)" "$role" "$state" | cut -c 1-100
}

# unfit prints why a node cannot be worked on.
unfit() {
	local node=$1
	if [ -n "${reason[$node]-}" ]; then
		echo "${reason[$node]}"
	elif [[ ! $(fact "$node" swarm) =~ ^[a-z0-9]*$ ]]; then
		echo "what it says is no node of a swarm: $(fact "$node" swarm)"
	elif older "$(fact "$node" engine)" 20.10; then
		echo "its engine is older than 20.10"
	elif older "$(fact "$node" kernel)" 5.12; then
		echo "its kernel $(fact "$node" kernel) is older than 5.12"
	elif [ "$verb" = doctor ]; then
		return 0
	elif [ "$verb" = upgrade ] && [ "$(fact "$node" plugin)" = none ]; then
		echo "berth is not installed there: type install instead of upgrade"
	elif [ -n "$env$password$ca" ] && [ "$(fact "$node" plugin)" != none ] && [ "$(fact "$node" config)" != "$ETC" ]; then
		echo "its plugin reads $(fact "$node" config), not $ETC: leave --env, --password-file and --ca out"
	elif [ -z "$env" ] && [ "$(fact "$node" plugin)" = none ] && [ -z "$(fact "$node" env)" ]; then
		echo "it has no $ETC/berth.env: give one with --env"
	elif [ "$plugin" = previous ] && [ -z "$(fact "$node" previous)" ]; then
		echo "it keeps no replaced plugin: give the old release's folder with --plugin"
	elif [ -n "$drain" ] && [ -z "$(fact "$node" swarm)" ]; then
		echo "it is in no swarm: leave --drain out"
	fi
}

# older A B compares versions.
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

# archive is the plugin's folder as a tar archive, the same for the same files.
archive() {
	tar -C "$plugin" --format=ustar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -cf - config.json rootfs
}

# given FILE is the local file that is to become FILE on the nodes.
given() {
	case $1 in
	berth.env) echo "$env" ;;
	password) echo "$password" ;;
	ca.pem) echo "$ca" ;;
	esac
}

# would says what a run without --dry-run would do to a node.
would() {
	local node=$1 file what=
	for file in $FILES; do
		[ -z "$(given "$file")" ] || ! on "$node" node_differs "$file" <"$(given "$file")" || what="$what, write $file"
	done
	case $plugin in
	previous) what="$what, bring the replaced plugin back" ;;
	*)
		if [ ! -d "$plugin" ]; then
			what="$what, pull $plugin and compare"
		elif [ "$(fact "$node" plugin)" = none ]; then
			what="$what, install the plugin"
		elif [ "$(fact "$node" installed)" != "$hash" ] || [ "$(fact "$node" plugin)" = disabled ]; then
			what="$what, replace the plugin"
		fi
		;;
	esac
	what=${what#, }
	say "$node: would ${what:-do nothing}"
}

# send puts what is new aside on the node. Nothing that is in use changes.
send() {
	local node=$1 file
	ask "$node" node_begin || return 1
	for file in $FILES; do
		[ -z "$(given "$file")" ] || on "$node" node_take_file "$file" <"$(given "$file")" || return 1
	done
	if [ "$plugin" = previous ]; then
		ask "$node" node_take_previous
	elif [ -d "$plugin" ]; then
		archive | on "$node" node_take_folder "$hash"
	else
		ask "$node" node_take_image "$plugin"
	fi
}

# drained is a node whose tasks we have sent away, until it is as it was.
drained=

drain_node() {
	local node=$1 status=0
	drained_was=$(ask "$manager" node_availability "$(fact "$node" swarm)" drain) || status=$?
	[ -z "$drained_was" ] || drained=$node
	[ "$status" = 0 ] || return 1
	case $drained_was in
	active | pause | drain) ;;
	*)
		echo "$manager says of its availability: $drained_was" >&2
		drained_was=active
		return 1
		;;
	esac
	say "$node: its tasks move away"
	ask "$node" node_drained
}

undrain() {
	[ -n "$drained" ] || return 0
	if ask "$manager" node_availability "$(fact "$drained" swarm)" "$drained_was" >/dev/null; then
		say "$drained: takes tasks again (availability $drained_was)"
	else
		warn "$drained: still drained; type on a manager: docker node update --availability $drained_was $(fact "$drained" swarm)"
	fi
	drained=
}

# work upgrades one node.
work() {
	local node=$1 status=0 said
	if ! send "$node" >"$scratch/why" 2>&1; then
		stuck=$(tail -n 1 "$scratch/why") advice="nothing on $node was changed; mend that and type the same again"
		ask "$node" node_forget || true
		return 1
	fi
	if [ -n "$drain" ] && ! drain_node "$node" 2>"$scratch/why"; then
		stuck=$(tail -n 1 "$scratch/why") advice="nothing on $node was changed; mend that and type the same again"
		return 1
	fi
	said=$(ask "$node" node_replace 2>&1) || status=$?
	[ -z "$said" ] || say "$node: ${said//$'\n'/$'\n'"$node: "}"
	case $status in
	0) return 0 ;;
	10) stuck="berth did not become healthy; $node has its old plugin and files again, and is healthy" ;;
	11) stuck="berth did not become healthy; $node has its old plugin and files again, which are not healthy either" ;;
	12) stuck="berth did not become healthy; it is the first one on $node, so it stays" ;;
	13) stuck="berth did not become healthy, and the old plugin could not be brought back" ;;
	*) stuck="the connection was lost, or $node could not begin" ;;
	esac
	case $status in
	10 | 11) advice="the reason is above, what berth said is in the engine's log on $node ('journalctl -u docker'); mend it and type the same again" ;;
	12) advice="correct the files or the plugin's settings, then type the same again" ;;
	13) advice="type on $node: docker plugin rm -f $NAME; docker plugin create $NAME $LIB/before/plugin; xargs -r docker plugin set $NAME <$LIB/before/settings; docker plugin enable $NAME" ;;
	*) advice="a replacement that has begun ends by itself; wait a minute, then type doctor for $node" ;;
	esac
	return 1
}

# list joins words with commas.
list() { local IFS=,; echo "${*:-none}"; }

# shadows warns of local volumes that hide berth's.
shadows() {
	local node said name path users
	for node in "$@"; do
		said=$(ask "$node" node_shadows 2>/dev/null) || continue # its health has been told
		[ -n "$said" ] || continue
		while read -r name path users; do
			name=$(printf %q "$name") # it is told as a word to type
			warn "$node: the local volume $name hides berth's volume of that name${users:+; containers: $users}"
			warn "hint: look at $path on $node; stop what uses it, then: docker volume rm $name"
		done <<<"$said"
	done
}

# upgrade works on the nodes in their order and stops at the first that fails.
upgrade() {
	local node why failed='' completed=()
	look || true
	for node in "${nodes[@]}"; do
		why=$(unfit "$node")
		[ -z "$why" ] || { warn "$node: $why"; failed=yes; }
	done
	[ -z "$failed" ] || die "nothing was changed" "mend that, or leave the node out of --nodes"
	if [ -n "$drain" ]; then
		for node in "${nodes[@]}"; do
			[ "$(fact "$node" manager)" != true ] || manager=$node
		done
		[ -n "$manager" ] || die "no manager among the nodes, which --drain needs" "add one to --nodes"
	fi
	if [ -n "$dry" ]; then
		for node in "${nodes[@]}"; do would "$node"; done
		return 0
	fi
	for node in "${nodes[@]}"; do
		if ! work "$node"; then
			failed=$node
			break
		fi
		undrain
		completed+=("$node")
	done
	undrain
	shadows "${nodes[@]}"
	[ -n "$failed" ] || { say "done: $(list "${nodes[@]}")"; return 0; }
	warn "$failed: $stuck"
	warn "done: $(list ${completed[@]+"${completed[@]}"}); not done: $(list "${nodes[@]:${#completed[@]}}")"
	warn "hint: $advice"
	if [ "$verb" = upgrade ] && [ ${#completed[@]} -gt 0 ] && [ "$plugin" != previous ]; then
		warn "hint: back on those done: deploy/berth-nodes.sh upgrade --nodes $(list "${completed[@]}") --plugin previous"
	fi
	return 1
}

wrong=0

# check NODE ok|WRONG CHECK TEXT prints one line of the doctor's.
check() {
	[ "$2" = ok ] || wrong=$((wrong + 1))
	local indent
	printf -v indent '%*s' $((width + 17)) ''
	printf '%-*s %-5s %-9s %s\n' "$width" "$1" "$2" "$3" "$(fold -s -w $((83 - width)) <<<"$4" | sed "2,\$s/^/$indent/")"
}

# verdict NODE CHECK WHY TEXT is check: WRONG with WHY, or ok with TEXT if that is empty.
verdict() {
	if [ -n "$3" ]; then
		check "$1" WRONG "$2" "$3"
	else
		check "$1" ok "$2" "$4"
	fi
}

# doctor examines every node, one line per check.
doctor() {
	local node why first='' version versions=()
	look >/dev/null || true
	for node in "${nodes[@]}"; do
		why=$(unfit "$node")
		verdict "$node" reachable "${reason[$node]-}" yes
		[ -z "${reason[$node]-}" ] || continue
		first=${first:-$node}
		verdict "$node" engine "$why" "$(fact "$node" engine), kernel $(fact "$node" kernel)"
		version=$(fact "$node" version)
		versions+=("${version:-none}")
		case $(fact "$node" plugin) in
		enabled) check "$node" ok plugin "enabled${version:+, $version}" ;;
		disabled) check "$node" WRONG plugin "disabled: type 'docker plugin enable $NAME' there" ;;
		none) check "$node" WRONG plugin "not installed: type 'deploy/berth-nodes.sh install --nodes $node'" ;;
		esac
		why=$(fact "$node" health)
		[ -z "$why" ] || verdict "$node" health "${why#ok}" "$(fact "$node" export)"
		why=$(fact "$node" command)
		[ "$why" = "$version" ] || why="$BIN/berth is version ${why:-none}: type install"
		verdict "$node" command "${why#"$version"}" "$BIN/berth"
		verdict "$node" files "$(modes "$node")" "root's alone"
		doctor_clock "$node" "$first"
		doctor_locks "$node"
		doctor_shadows "$node"
	done
	if [ "$(printf '%s\n' "${versions[@]-}" | sort -u | wc -l)" -gt 1 ]; then
		check all WRONG version "${versions[*]}: upgrade the older ones"
	else
		check all ok version "the same on all nodes that answer"
	fi
	[ "$wrong" = 0 ] || { warn "$wrong wrong"; return 1; }
}

# modes says what is wrong with a node's files, and what to type there.
modes() {
	local node=$1 said want path wrong=()
	said=$(ask "$node" node_modes 2>/dev/null) || { echo "it does not say"; return; }
	[ -n "$said" ] || return 0
	while read -r want path; do
		path=$(printf %q "$path")
		case $want in
		missing) wrong+=("$path is missing: type install with it") ;;
		600 | 700) wrong+=("type 'chown root $path; chmod 0$want $path'") ;;
		*) wrong+=("it answers $want $path") ;;
		esac
	done <<<"$said"
	said=$(printf '%s; ' "${wrong[@]}")
	echo "${said%; }"
}

# doctor_clock compares a node's clock with the first one's, by way of ours.
doctor_clock() {
	local node=$1 first=$2 began there off why=''
	began=$(node_clock)
	there=$(ask "$node" node_clock 2>/dev/null) || there=''
	# Arithmetic would evaluate whatever else stood here.
	if [[ ! $there =~ ^[1-9][0-9]{0,14}$ ]]; then
		check "$node" WRONG clock "it says no time: ${there:-nothing}"
		return
	fi
	clock[$node]=$((there - (began + $(node_clock)) / 2))
	[ -n "${clock[$first]-}" ] || first="this machine"
	off=$(((${clock[$node]} - ${clock[$first]:-0}) / 1000))
	[ "${off#-}" -le 5 ] || why="$off s from $first: type 'timedatectl set-ntp true' on both"
	verdict "$node" clock "$why" "$off s from $first"
}

# doctor_locks looks for what NFS locks need.
doctor_locks() {
	local why
	[[ $(fact "$1" export) == nfs:* ]] || return 0
	why=$(ask "$1" node_lockers 2>/dev/null) || { check "$1" WRONG locks "it does not say"; return; }
	[ -z "$why" ] || why="${why//$'\n'/ and } not running, so mounts have no locks: install nfs-common there"
	verdict "$1" locks "$why" "rpcbind and rpc.statd run"
}

doctor_shadows() {
	local said
	if said=$(ask "$1" node_shadows 2>/dev/null); then
		[ -z "$said" ] || said="local volumes hide berth's: $(cut -d ' ' -f 1 <<<"$said" | paste -sd ' '): look into them, then type 'docker volume rm' there"
	else
		said="not known while berth does not answer"
	fi
	verdict "$1" shadows "$said" none
}

# ---- The command line.

verb='' env='' password='' ca='' plugin=build/plugin drain='' dry='' manager='' hash='' stuck='' advice=''
nodes=()
declare -A facts reason clock

while [ $# -gt 0 ]; do
	case $1 in
	install | upgrade | doctor)
		[ -z "$verb" ] || misused "one verb at a time: $verb or $1"
		verb=$1
		;;
	--nodes | --env | --password-file | --ca | --plugin)
		[ -n "${2-}" ] || misused "$1 needs a value"
		case $1 in
		--nodes) IFS=, read -ra nodes <<<"$2" ;;
		--env) env=$2 ;;
		--password-file) password=$2 ;;
		--ca) ca=$2 ;;
		--plugin) plugin=$2 ;;
		esac
		shift
		;;
	--drain) drain=yes ;;
	--dry-run) dry=yes ;;
	-h | --help) usage; exit 0 ;;
	*) misused "what is '$1'?" ;;
	esac
	shift
done
[ -n "$verb" ] || misused "what is to be done? install, upgrade or doctor"
[ ${#nodes[@]} -gt 0 ] || misused "$verb where? --nodes n1,n2,n3"
for node in "${nodes[@]}"; do
	[[ $node =~ ^[A-Za-z0-9_][A-Za-z0-9_.@:-]*$ ]] || misused "'$node' is no node's name"
done
[ -z "$(printf '%s\n' "${nodes[@]}" | sort | uniq -d)" ] || misused "a node is named twice"
for file in $FILES; do
	[ -z "$(given "$file")" ] || [ -f "$(given "$file")" ] || misused "there is no file $(given "$file")"
done
names_it() { grep -Eq "^[[:space:]]*(export )?$1=[\"']?$2[\"']?[[:space:]]*$" "$env"; }
[ -z "$password" ] || [ -z "$env" ] || names_it BERTH_ONTAP_PASSWORD_FILE "$ETC/password" ||
	misused "$env has to say BERTH_ONTAP_PASSWORD_FILE=$ETC/password"
[ -z "$env" ] || [ ${#nodes[@]} = 1 ] || ! names_it BERTH_NODE '.+' ||
	misused "BERTH_NODE in $env would give all nodes one name: leave it out, a node's own is its host name"
[ -z "$ca" ] || [ -z "$env" ] || names_it BERTH_ONTAP_CA "$ETC/ca.pem" || misused "$env has to say BERTH_ONTAP_CA=$ETC/ca.pem"
if [ "$verb" != doctor ]; then
	if [ -d "$plugin" ]; then
		for file in config.json rootfs/berth; do
			[ -f "$plugin/$file" ] || misused "$plugin has no $file: 'make rootfs' makes the folder build/plugin"
		done
		hash=$(archive | sha256sum | cut -d ' ' -f 1)
	elif [[ $plugin == build/* || $plugin == ./* || $plugin == /* ]]; then
		misused "there is no folder $plugin: 'make rootfs' makes build/plugin"
	fi
fi
width=8
for node in "${nodes[@]}"; do [ ${#node} -le "$width" ] || width=${#node}; done
mapfile -t functions < <(compgen -A function node_)
library=$(declare -p NAME ETC BIN LIB WAIT DRAIN_WAIT FILES; declare -f "${functions[@]}")
read -ra ssh <<<"${BERTH_SSH:-ssh -o BatchMode=yes -o ConnectTimeout=10}"

scratch=$(mktemp -d)
trap 'undrain; rm -rf "$scratch"' EXIT
trap 'warn "interrupted; a node at work ends its step by itself: type doctor in a minute"; exit 130' INT TERM HUP

case $verb in
doctor) doctor ;;
*) upgrade ;;
esac

#!/bin/bash
# The story of berth on the Docker engine of this machine: install the plugin,
# run a site on a volume, break it by an update, bring it back, lose the volume,
# have it back. Every command is printed before its output. Whatever happens, all that was made is removed,
# and nothing else on that engine is touched.
#
# `make demo` builds what this needs (BUILD, default build) and runs it.
set -euo pipefail
cd "$(dirname "$0")/.."

BUILD=${BUILD:-build}
DOCKER=${DOCKER:-docker}
PLUGIN=${PLUGIN:-berth}
PATH=$(cd "$BUILD" && pwd):$PATH # `berth` is the one just built

die() { echo "demo: $*" >&2; exit 1; }

# Commands run in a session of their own: Ctrl-C ends the demo after the
# command that runs, never in the middle of what dockerd would finish anyway.
# Who waits for it must not end before it either.
quietly() { (trap '' INT TERM HUP; exec setsid --wait "$@" </dev/null); }
docker() { quietly $DOCKER "$@"; }

# prompt prints a command the way one would type it.
prompt() {
	local word line=
	for word in "$@"; do
		case $word in *' '*) word="'$word'" ;; esac
		line="$line $word"
	done
	echo "\$$line"
}

# run prints a command, then runs it.
run() {
	prompt "$@"
	case $1 in
	docker) "$@" ;;
	*) quietly "$@" ;;
	esac
	echo
}

# refused is run for a command that has to fail with an exit code: refused CODE COMMAND...
refused() {
	local want=$1 status=0; shift
	prompt "$@"
	quietly "$@" || status=$?
	[ "$status" = "$want" ] || die "$1 ended with $status, not $want"
	echo "(exit $status)"
	echo
}

# free finds a name that nothing of that kind has: free KIND NAME...
free() {
	local kind=$1 name; shift
	for name in "$@"; do
		docker "$kind" inspect "$name" >/dev/null 2>&1 || { echo "$name"; return; }
	done
	die "a $kind has each of these names already: $*"
}

# free_port finds a port of 127.0.0.1 where nobody answers.
free_port() {
	local port
	for port in {8080..8180}; do
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
	die "no free port from 8080 to 8180"
}

exec 8>&1 9>&2
made=() # kinds that may exist by now, in the order of making
here=

clean() {
	local status=$? kind left=
	exec >&8 2>&9 # an interrupted command may have had its own
	trap '' INT TERM HUP
	trap - EXIT
	for ((i = ${#made[@]} - 1; i >= 0; i--)); do
		kind=${made[i]}
		case $kind in
		container) gone container rm --force "$site" ;;
		volume) gone volume rm "$volume" ;;
		image) gone image rm --force "$image" ;;
		plugin) gone plugin rm --force "$plugin" ;;
		esac || left="$left $kind"
	done
	[ -z "$here" ] || rm -rf "$here"
	[ -z "$left" ] || { echo "demo: could not remove:$left" >&2; status=1; }
	case $status in
	0) echo "# All of it is removed again." ;;
	130 | 143) echo "# Interrupted; all that was made is removed again." ;;
	esac
	exit "$status"
}

# gone removes one thing, if it is there: gone KIND VERB ARG...
gone() {
	local kind=$1 name=${!#} try
	for try in 1 2 3 4 5; do
		docker "$kind" inspect "$name" >/dev/null 2>&1 || return 0
		docker "$@" >/dev/null 2>&1 && return 0
		sleep 1
	done
	return 1
}

[ "$(id -u)" = 0 ] || die "needs root, as the plugin's socket does: sudo make demo"
docker version >/dev/null 2>&1 || die "no Docker engine answers '$DOCKER version'"
for file in berth plugin/config.json demo/site; do
	[ -e "$BUILD/$file" ] || die "$BUILD/$file is missing: run 'make demo'"
done

plugin=$(free plugin "$PLUGIN" "$PLUGIN-demo" "$PLUGIN-demo-$$")
volume=$(free volume blog "blog-$$")
site=$(free container blog-site "blog-site-$$")
image=$(free image berth-demo-site "berth-demo-site-$$")
port=$(free_port)

trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
here=$(mktemp -d /tmp/berth-demo.XXXXXX)
mkdir "$here/export" "$here/config"

echo "# Install the plugin; the export is a directory here, a filer's otherwise."
made+=(plugin)
run docker plugin create "$plugin" "$BUILD/plugin"
run docker plugin set "$plugin" export.source="$here/export" config.source="$here/config" BERTH_EXPORT=file:///export
run docker plugin enable "$plugin"
BERTH_SOCKET=/run/docker/plugins/$(docker plugin inspect --format '{{.Id}}' "$plugin")/berth.sock
export BERTH_SOCKET
[ -S "$BERTH_SOCKET" ] || die "the engine's plugins are not at $BERTH_SOCKET: is it on this machine?"

echo "# A small site from an image of one file."
made+=(image)
echo "\$ tar -C $BUILD/demo -c site | docker import -c 'ENTRYPOINT [\"/site\"]' - $image"
tar -C "$BUILD/demo" -c site | setsid --wait $DOCKER import -c 'ENTRYPOINT ["/site"]' - "$image"
echo

# start runs the site on its volume, published where the engine can do that.
publish=(-p "127.0.0.1:$port:80")
start() {
	local command=(run -d --name "$site" ${publish[@]+"${publish[@]}"} -v "$volume:/data" --volume-driver "$plugin" "$image")
	prompt docker "${command[@]}"
	if ! docker "${command[@]}" 2>"$here/why"; then
		[ ${#publish[@]} -gt 0 ] || { cat "$here/why" >&2; return 1; }
		echo "(this engine publishes no port; the site is asked from inside)"
		publish=()
		gone container rm --force "$site"
		start
		return
	fi
	echo
	answers
}

# answers waits until the site does.
answers() {
	local try
	for try in {1..100}; do
		docker exec "$site" /site get >/dev/null 2>&1 && return 0
		sleep 0.1
	done
	die "the site does not answer"
}

made+=(volume)
run docker volume create -d "$plugin" "$volume"
made+=(container)
start
[ ${#publish[@]} = 0 ] || echo "# Meanwhile it is at http://127.0.0.1:$port"

run docker exec "$site" /site get
run berth volume ps "$volume"

echo "# Before an update: a snapshot. On a filer it is an instant, here a copy."
run berth snapshot create "$volume" --name before-update

echo "# The update goes wrong. What has it done?"
run docker exec "$site" /site update
run docker exec "$site" /site get
run berth snapshot ls "$volume"
run berth snapshot diff "$volume@before-update"

echo "# Back. A site that runs is not changed under its feet, unless asked to."
refused 4 berth snapshot restore "$volume@before-update"
run berth snapshot restore "$volume@before-update" --stop --yes
answers
run docker exec "$site" /site get

echo "# The old version can be mounted too; and a restore can be taken back, and again."
run docker run --rm -v "$volume@before-update:/old:ro" --volume-driver "$plugin" "$image" cat /old/index.php
run berth undo "$volume" --stop --yes
answers
run docker exec "$site" /site get
run berth undo "$volume" --stop --yes
answers
run docker exec "$site" /site get

echo "# Somebody deletes the site, and its volume. It is in the trash."
run docker rm -f "$site"
run docker volume rm "$volume"
run berth trash restore "$volume"
start
run docker exec "$site" /site get

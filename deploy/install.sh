#!/bin/bash
# Installs berth on this node from a release: the unpacked archive or the package
# that this file is in, or --archive. docs/install.md tells it at length. The
# plugin is put in by berth-nodes.sh, so that a node is the same whichever of the
# two was typed.
set -euo pipefail

usage() {
	cat <<'EOF'
usage: install.sh --export URL [flags]        the first time
       install.sh --upgrade [flags]           another release, while containers go on
       install.sh --uninstall                 data and settings stay

  --export URL          where the volumes are: nfs://SERVER/PATH, or file:///export for
                        the directory /srv/berth; written into /etc/berth/berth.env
  --env FILE            becomes /etc/berth/berth.env, instead of --export
  --password-file FILE  becomes /etc/berth/password
  --ca FILE             becomes /etc/berth/ca.pem
                        A file that is there already is never overwritten.
  --systemd             no managed plugin, but the service berth.service
  --archive FILE        install from this archive; SHA256SUMS beside it has to agree
  --dry-run             look, say what would be done, change nothing
  --help

example:
  tar -xf berth-0.1.0-linux-amd64.tar.gz && cd berth-0.1.0-linux-amd64
  ./install.sh --export nfs://filer.example.edu/docker_vols

environment:
  BERTH_BIN    where the command line goes (default /usr/local/bin)
  BERTH_SHARE  where completions and manual pages go (default /usr/local/share)
  BERTH_LIB    where a replaced plugin is kept (default /var/lib/berth)
  BERTH_WAIT   seconds to wait for berth to become healthy (default 60)

exit codes: 0 done, 1 failed, 2 usage, 4 volumes are in use
EOF
}

export BERTH_BIN=${BERTH_BIN:-/usr/local/bin} BERTH_LIB=${BERTH_LIB:-/var/lib/berth} BERTH_WAIT=${BERTH_WAIT:-60}
readonly SHARE=${BERTH_SHARE:-/usr/local/share}
readonly ETC=/etc/berth SRV=/srv/berth
readonly SOCKET=/run/docker/plugins/berth.sock
readonly UNIT=/etc/systemd/system/berth.service

say() { echo "$*"; }
warn() { echo "install: $*" >&2; }
die() { warn "$1"; [ $# -lt 2 ] || warn "hint: $2"; exit "${3:-1}"; }
misused() { die "$1" "${2:-'install.sh --help' shows how}" 2; }

# ---- What is to be installed, and on what.

# unpack takes the archive apart in $scratch, if its checksum is the one beside it.
unpack() {
	local file=${archive##*/} dir sum
	[ -f "$archive" ] || misused "there is no file $archive"
	dir=$(dirname "$archive")
	if [ ! -f "$dir/SHA256SUMS" ]; then
		warn "no SHA256SUMS beside $archive: not verified"
	else
		sum=$(awk -v file="$file" '$2 == file { print $1 }' "$dir/SHA256SUMS")
		[ -n "$sum" ] || die "$dir/SHA256SUMS does not know $file" "take both from the same release"
		[ "$sum" = "$(sha256sum <"$archive" | cut -d ' ' -f 1)" ] ||
			die "$archive is not what $dir/SHA256SUMS says" "fetch both again; nothing was changed"
	fi
	tar -C "$scratch" --no-same-owner -xzf "$archive" || die "$archive cannot be unpacked" "fetch it again"
	here=$(find "$scratch" -mindepth 1 -maxdepth 1 -type d -name 'berth-*')
}

# fits checks that the release is whole and for this machine.
fits() {
	local file machine
	for file in plugin/config.json plugin/rootfs/berth deploy/berth-nodes.sh; do
		[ -f "$here/$file" ] || misused "${archive:-$here} is no release of berth: it has no $file" "name one with --archive; 'make release' makes build/release"
	done
	case $(od -An -tu2 -j18 -N2 "$here/plugin/rootfs/berth" | tr -d ' ') in # ELF's e_machine
	62) machine=x86_64 ;;
	183) machine=aarch64 ;;
	*) machine='another machine' ;;
	esac
	[ "$machine" = "$(uname -m)" ] || die "this release is for $machine, and this is $(uname -m)" "take the one for this architecture"
	[ "$(id -u)" = 0 ] || die "only root installs" "type it again with sudo"
}

# managed tells whether the plugin is in the engine, serving whether systemd has it.
managed() { docker plugin inspect berth >/dev/null 2>&1; }
serving() { systemctl is-enabled --quiet berth.service 2>/dev/null; }

# nodes runs berth-nodes.sh for this node. There a first plugin that is not
# healthy stays; here it is taken out again, so what it says of that is left out.
nodes() {
	bash "$here/deploy/berth-nodes.sh" "$@" --nodes localhost 2>&1 | sed -u '/berth did not become healthy/,$d'
}

# ---- Settings.

# given FILE is the file that is to become FILE in $ETC.
given() {
	case $1 in
	berth.env) echo "$env" ;;
	password) echo "$password" ;;
	ca.pem) echo "$ca" ;;
	esac
}

# export_of FILE is the export that a settings file names.
export_of() { sed -nE "s/^ *(export )?BERTH_EXPORT=[\"']?([^\"']*)[\"']? *$/\2/p" "$1" 2>/dev/null | tail -n 1; }

# settings decides what is to be written: never what is there already.
settings() {
	local file is
	if [ -n "$export" ] && [ -e "$ETC/berth.env" ]; then
		is=$(export_of "$ETC/berth.env")
		[ "$is" = "$export" ] || die "$ETC/berth.env says BERTH_EXPORT=$is, not $export" "edit that file, or leave --export out; nothing was changed"
	elif [ -n "$export" ]; then
		env=$scratch/berth.env
		echo "BERTH_EXPORT=$export" >"$env"
	fi
	for file in berth.env password ca.pem; do
		[ -n "$(given "$file")" ] || continue
		[ -f "$(given "$file")" ] || misused "there is no file $(given "$file")"
		if [ ! -e "$ETC/$file" ]; then
			written+=("$file")
		elif ! cmp -s "$(given "$file")" "$ETC/$file"; then
			[ "$file" = password ] || diff -u "$ETC/$file" "$(given "$file")" >&2 || true
			die "$ETC/$file is there and differs" "edit it, or leave that flag out; nothing was changed"
		fi
	done
	[ -n "$env" ] || [ -e "$ETC/berth.env" ] || misused "which export? --export nfs://SERVER/PATH"
}

# lockers warns where mounts would have no locks.
lockers() {
	local file=$ETC/berth.env program missing=''
	[ -e "$file" ] || file=$env
	[[ $(export_of "$file") == nfs:* ]] || return 0
	for program in rpcbind rpc.statd; do
		grep -qsx "$program" /proc/[0-9]*/comm || missing="$missing${missing:+ and }$program"
	done
	[ -n "$missing" ] || return 0
	warn "$missing not running, so mounts have no locks"
	warn "hint: 'apt install nfs-common' or 'dnf install nfs-utils', then 'systemctl enable --now rpcbind'"
	# rpc-statd.service has no [Install]: mount.nfs starts it elsewhere, and berth needs no mount.nfs.
	warn "hint: and 'systemctl add-wants multi-user.target rpc-statd && systemctl start rpc-statd'"
}

# ---- Installing.

directories() {
	local dir
	for dir in "$ETC" "$SRV"; do [ -d "$dir" ] || made+=("$dir"); done
	install -d -m 0700 "$ETC"
	# Root's alone, also where an earlier release made it: below are setuid files and
	# secrets of containers. A filer that is mounted there may refuse.
	mkdir -p "$SRV"
	chmod 0700 "$SRV" || warn "$SRV cannot be made 0700: 'berth doctor' says more"
}

# taken_back ends a first installation that did not work, as if nothing had been.
taken_back() {
	local file
	if [ -n "$systemd" ]; then
		service_removed
	else
		docker plugin rm -f berth >/dev/null 2>&1 || true
		rm -f "$ETC/.installed"
	fi
	for file in ${written[@]+"${written[@]}"}; do rm -f "$ETC/$file"; done
	for file in ${made[@]+"${made[@]}"}; do rmdir "$file" 2>/dev/null || true; done
	die "berth did not become healthy, and was taken out again" "the reason is above; mend it and type the same again"
}

# plugin installs or replaces the managed plugin.
plugin() {
	local would status=0 files=() file
	for file in ${written[@]+"${written[@]}"}; do
		case $file in
		berth.env) files+=(--env "$env") ;;
		password) files+=(--password-file "$password") ;;
		ca.pem) files+=(--ca "$ca") ;;
		esac
	done
	set -- install --plugin "$here/plugin" ${files[@]+"${files[@]}"}
	would=$(nodes "$@" --dry-run) || status=$?
	[ "$status" = 0 ] || { echo "$would" >&2; exit "$status"; }
	case $would in
	*'replace the plugin'*) [ -n "$upgrade" ] || die "another berth is installed" "add --upgrade: it is replaced while containers go on writing" ;;
	*'install the plugin'*) first=yes ;;
	esac
	[ -z "$dry" ] || { say "$would"; return 0; }
	directories
	nodes "$@" || status=$?
	[ "$status" != 0 ] || return 0
	[ -n "$first" ] && [ "$status" = 1 ] || exit "$status"
	taken_back
}

# service installs or replaces berth as a service of systemd.
service() {
	[ -d /run/systemd/system ] || die "systemd does not run here" "leave --systemd out"
	if ! serving; then
		first=yes
	elif [ -z "$upgrade" ] && ! cmp -s "$here/plugin/rootfs/berth" "$BERTH_BIN/berth"; then
		die "another berth is installed" "add --upgrade: it is replaced while containers go on writing"
	fi
	[ -z "$dry" ] || { say "would write ${written[*]-} $BERTH_BIN/berth and start berth.service"; return 0; }
	directories
	service_files
	systemctl daemon-reload
	systemctl enable --quiet berth.service
	systemctl restart berth.service
	service_healthy && return 0
	[ -n "$first" ] || die "berth did not become healthy" "'journalctl -u berth' says more"
	taken_back
}

service_files() {
	local file
	for file in ${written[@]+"${written[@]}"}; do install -m 0600 "$(given "$file")" "$ETC/$file"; done
	if ! cmp -s "$here/plugin/rootfs/berth" "$BERTH_BIN/berth"; then
		install -D -m 0755 "$here/plugin/rootfs/berth" "$BERTH_BIN/.berth.new"
		mv -f "$BERTH_BIN/.berth.new" "$BERTH_BIN/berth"
	fi
	# A package has put it in a place of its own.
	[ -e /usr/lib/systemd/system/berth.service ] || install -m 0644 "$here/deploy/berth.service" "$UNIT"
}

# service_healthy waits until the service is, and prints its health.
service_healthy() {
	local health='' deadline=$((SECONDS + BERTH_WAIT))
	while :; do
		health=$("$BERTH_BIN/berth" --socket "$SOCKET" version 2>&1 | sed -n 's/^health *//p; s/^berth: //p' | head -n 1) || true
		case $health in ok | degraded:*) say "berth.service: $health"; return 0 ;; esac
		[ "$SECONDS" -lt "$deadline" ] || break
		sleep 0.5
	done
	say "berth.service: not healthy: $health"
	return 1
}

# service_removed stops the service and takes the mount of the export away.
service_removed() {
	systemctl disable --now --quiet berth.service || true
	rm -f "$UNIT" "$BERTH_BIN/berth"
	systemctl daemon-reload
	umount /var/lib/berth/mounts/{export,readonly}.* 2>/dev/null || true
}

# help_texts puts completions and manual pages in place; a package has its own.
help_texts() {
	[ -d "$here/share" ] || return 0
	mkdir -p "$SHARE"
	cp -R "$here/share/." "$SHARE/"
}

# doctor looks at what was installed.
doctor() {
	local status=0
	"$BERTH_BIN/berth" doctor || status=$?
	# 1 is something to look at, above it something does not work.
	[ "$status" -lt 2 ] || die "berth is installed, and not well" "what to type is above; then 'berth doctor' again"
}

# ---- Uninstalling.

# users lists the running containers that have one of berth's volumes.
users() {
	local ids
	ids=$(docker ps -q) || die "docker does not answer, so nothing is known of containers that run" "start it, then type the same again"
	[ -n "$ids" ] || return 0
	# shellcheck disable=SC2086 # ids are words
	docker inspect --format '{{$c := .Name}}{{range .Mounts}}{{println .Driver $c .Name}}{{end}}' $ids 2>/dev/null |
		sed -nE 's,^berth(:latest)? /([^ ]+) (.*),\2 uses the volume \3,p' || true
}

uninstall() {
	local said
	said=$(users)
	if [ -n "$said" ]; then
		echo "$said" >&2
		die "volumes are in use" "stop those containers: 'docker stop NAME', on a swarm 'docker service scale NAME=0'; nothing was changed" 4
	fi
	[ -z "$dry" ] || { say "would remove the plugin, $BERTH_BIN/berth, completions and manual pages"; return 0; }
	! serving || service_removed
	! managed || docker plugin rm -f berth >/dev/null
	rm -f "$BERTH_BIN/berth" "$ETC/.installed" "$SHARE/bash-completion/completions/berth" \
		"$SHARE/zsh/site-functions/_berth" "$SHARE/fish/vendor_completions.d/berth.fish" "$SHARE"/man/man1/berth{,-*}.1.gz
	# Only what berth-nodes.sh has put there: never the mount of an export.
	rm -rf --one-file-system "$BERTH_LIB"/{previous,before,before.new,next,lock}
	say "removed; $ETC, $SRV and the export are as they were"
}

# ---- The command line.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export='' env='' password='' ca='' archive='' systemd='' upgrade='' remove='' dry='' first=''
written=() made=() # what a first installation makes, to be taken back

while [ $# -gt 0 ]; do
	case $1 in
	--export | --env | --password-file | --ca | --archive)
		[ -n "${2-}" ] || misused "$1 needs a value"
		case $1 in
		--export) export=$2 ;;
		--env) env=$2 ;;
		--password-file) password=$2 ;;
		--ca) ca=$2 ;;
		--archive) archive=$2 ;;
		esac
		shift
		;;
	--systemd) systemd=yes ;;
	--upgrade) upgrade=yes ;;
	--uninstall) remove=yes ;;
	--dry-run) dry=yes ;;
	-h | --help) usage; exit 0 ;;
	*) misused "what is '$1'?" ;;
	esac
	shift
done
[ -z "$export" ] || [ -z "$env" ] || misused "--export or --env, not both"
case $export in
'' | nfs://?*/?* | file:///export | file:///export/*) ;;
file:///?*) [ -n "$systemd" ] || misused "the plugin sees one directory of this node, $SRV, as /export" "mount or bind $export there, and say --export file:///export" ;;
*) misused "$export is no nfs://SERVER/PATH" ;;
esac

umask 022
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
if [ -n "$remove" ]; then
	[ "$(id -u)" = 0 ] || die "only root uninstalls" "type it again with sudo"
	uninstall
	exit
fi
[ -z "$archive" ] || unpack
fits
if [ -n "$systemd" ] && managed; then
	die "the managed plugin is installed, and a node has one berth" "'install.sh --uninstall' removes it; data and settings stay"
elif [ -z "$systemd" ] && serving; then
	die "berth is a service of systemd here, and a node has one berth" "add --systemd, or remove that with 'install.sh --uninstall'; data and settings stay"
fi
settings
lockers
if [ -n "$systemd" ]; then service; else plugin; fi
[ -z "$dry" ] || exit 0
help_texts
doctor
say "next: docker volume create -d berth hello"

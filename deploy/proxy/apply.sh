#!/bin/bash
# Makes a directory the configuration of this node's NGINX, all of it or nothing
# of it. docs/proxy.md says what is in the directory and how it gets here.
set -euo pipefail
export LC_ALL=C

usage() {
	cat <<'END'
usage: apply.sh [--from DIR] [--dry-run]

  --from DIR   the files to take: nginx.conf, snippets/, sites/, local/, manifest
               (default /etc/nginx/berth)
  --dry-run    test the files, say what would change, and change nothing

The files become a generation, /etc/nginx/berth.N, which 'nginx -t' tests before
/etc/nginx/berth.d points to it. Then NGINX reloads; where it does not load
exactly that, the link goes back to the generation before. Run it as often as
you like: what is loaded already is not loaded again. The last 3 stay.

A new site whose certificate is not there yet, or is damaged, is left out, one that
is served stays as it is, and the rest goes on.

example:
  apply.sh --from /etc/nginx/berth --dry-run

environment:
  BERTH_NGINX_DIR       the directory of nginx.conf (default /etc/nginx)
  BERTH_NGINX_PID       NGINX's pid file (default /run/nginx.pid)
  BERTH_NGINX_LOG       its error log (default /var/log/nginx/error.log)
  BERTH_GENERATION_URL  where it says what it has loaded
                        (default http://127.0.0.1:8089/berth-generation)
  BERTH_WAIT            seconds that a reload may take (default 30)

exit codes: 0 done, or nothing to do; 1 refused or put back: NGINX serves what it
did; 2 usage; 3 done, but for sites without a good certificate
END
}

readonly DIR=${BERTH_NGINX_DIR:-/etc/nginx}
readonly PID=${BERTH_NGINX_PID:-/run/nginx.pid}
readonly LOG=${BERTH_NGINX_LOG:-/var/log/nginx/error.log}
readonly URL=${BERTH_GENERATION_URL:-http://127.0.0.1:8089/berth-generation}
readonly WAIT=${BERTH_WAIT:-30}
readonly KEEP=3

readonly LIVE=$DIR/berth.d NEXT=$DIR/berth.next TRIAL=$DIR/berth.test PROBE=$DIR/berth.probe
readonly MAIN=$DIR/nginx.conf BEFORE=$DIR/nginx.conf.before-berth

say() { echo "apply.sh: $*" >&2; }
die() {
	say "$1"
	[ -z "${2:-}" ] || say "hint: $2"
	exit 1
}

left_out=() # sites that are not as in the files, for want of a certificate that NGINX loads

# clean removes what only a run in progress needs. A run that was killed leaves
# it to the next.
clean() { rm -rf -- "$NEXT" "$TRIAL" "$PROBE" "$PROBE.sock" "$LIVE.new" "$MAIN.new"; }

# ---- The next generation

# rendered FILE NAME tells whether 'berth proxy render' wrote the file.
rendered() {
	local first
	IFS= read -r first <"$1" || true
	[ "$first" = "# berth proxy render: $2" ]
}

# assemble FROM copies what belongs to a configuration, and nothing else.
assemble() {
	local from=$1 dir file name listed
	[ -f "$from/nginx.conf" ] && [ -d "$from/snippets" ] ||
		die "$from has no nginx.conf and snippets/" "copy them there from deploy/proxy"
	[ -f "$from/manifest" ] ||
		die "$from has no manifest" "'berth proxy render --out DIR' writes it last: copy the whole directory"
	mkdir -p "$NEXT/snippets" "$NEXT/sites" "$NEXT/local"
	cp -- "$from/nginx.conf" "$from/manifest" "$NEXT/"
	listed=$(cut -c 67- "$NEXT/manifest")
	for dir in snippets sites local; do
		for file in "$from/$dir"/*.conf; do
			[ -f "$file" ] || continue
			name=$dir/${file##*/}
			if [ "$dir" = sites ] && rendered "$file" "$name" && [[ $'\n'$listed$'\n' != *$'\n'"$name"$'\n'* ]]; then
				say "$name is no longer in the manifest and is not taken"
				continue
			fi
			cp -- "$file" "$NEXT/$name"
		done
	done
	if [ -s "$NEXT/manifest" ] && ! (cd "$NEXT" && sha256sum --quiet --check manifest >&2); then
		die "the files in $from are not those of its manifest" \
			"copy the directory again, or render it again; what differs on purpose belongs into local/"
	fi
	find "$NEXT" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +
}

# fault FILE [deep] prints what is wrong with the certificate that a site names: a file
# is not there or, with deep, NGINX does not load it.
fault() {
	local line path pair=''
	while IFS= read -r line; do
		[[ $line =~ ^[[:space:]]*(ssl_certificate(_key)?)[[:space:]]+([^[:space:]\;]+)\; ]] || continue
		path=${BASH_REMATCH[3]}
		[[ $path = /* ]] || path=$DIR/$path
		[ -s "$path" ] || { echo "there is no $path"; return; }
		pair+="${BASH_REMATCH[1]} $path; "
	done <"$1"
	[ -n "${2:-}" ] && [ -n "$pair" ] || return 0
	echo "events {} http { server { listen unix:$PROBE.sock ssl; $pair} }" >"$PROBE"
	nginx -t -q -c "$PROBE" >/dev/null 2>&1 || echo "NGINX does not load ${path%/*}"
	rm -f -- "$PROBE" "$PROBE.sock"
}

# leave_out [deep] takes sites out that cannot be served: one that is new, or else what
# is new about it. A site must not vanish because its certificate did.
leave_out() {
	local file name what
	for file in "$NEXT"/sites/*.conf; do
		name=sites/${file##*/}
		[ -f "$file" ] && rendered "$file" "$name" || continue
		what=$(fault "$file" "${1:-}")
		[ -n "$what" ] || continue
		if [ ! -f "$LIVE/$name" ]; then
			rm -- "$file"
			say "$name is left out: $what"
		elif [ -z "$(fault "$LIVE/$name" "${1:-}")" ]; then
			cp -- "$LIVE/$name" "$file"
			say "$name stays as it is: $what"
		else
			die "$what, and $name is being served with it" "put the certificate back; nothing was changed"
		fi
		left_out+=("$name")
	done
}

# try tests the next generation. Where NGINX refuses it because of the certificates of
# some sites, those are left out, and the rest goes on.
try() {
	local said before=${#left_out[@]}
	said=$(test_next) && { [ -z "$said" ] || echo "$said" >&2; return; }
	leave_out deep
	if [ "${#left_out[@]}" = "$before" ] || ! said=$(test_next); then
		echo "$said" >&2
		die "NGINX refuses the files; nothing was changed"
	fi
}

# test_next tests the next generation in its place: in a directory that is this one
# but for what changes. It prints what NGINX says.
test_next() {
	local entry name said status=0
	mkdir "$TRIAL"
	for entry in "$DIR"/* "$DIR"/.[!.]*; do
		name=${entry##*/}
		case $name in
		nginx.conf | nginx.conf.* | berth.*) continue ;;
		esac
		[ -e "$entry" ] || continue
		ln -s "../$name" "$TRIAL/$name"
	done
	ln -s ../berth.next "$TRIAL/berth.d"
	ln -s berth.d/nginx.conf "$TRIAL/nginx.conf"
	said=$(nginx -t -q -c "$TRIAL/nginx.conf" 2>&1) || status=$?
	rm -rf -- "$TRIAL"
	[ -z "$said" ] || echo "${said//"$TRIAL"/"$DIR"}"
	return "$status"
}

# generations prints the numbers that are there, the oldest first.
generations() {
	local g
	for g in "$DIR"/berth.[0-9]*; do
		if [[ -d $g && ${g##*.} =~ ^[1-9][0-9]{0,14}$ ]]; then echo "${g##*.}"; fi
	done | sort -n
}

# changes prints how the next generation differs from the live one.
changes() {
	if [ ! -d "$LIVE" ]; then
		(cd "$NEXT" && find . -type f ! -name generation.conf -printf 'added %P\n' | sort)
		return
	fi
	{ diff -rq --exclude=generation.conf "$LIVE/" "$NEXT/" || true; } |
		sed -E -e "s|^Files (.*) and $NEXT/+(.*) differ\$|changed \\2|" \
			-e "s|^Only in $NEXT/*([^:]*): (.*)\$|added \\1/\\2|" -e "s|^Only in $LIVE/*([^:]*): (.*)\$|removed \\1/\\2|" -e 's| /| |'
}

# ---- The live one

# running prints the pid of NGINX's master, if it runs. A pid file may be older
# than a crash, and the number another program's.
running() {
	local pid
	[ -s "$PID" ] && read -r pid <"$PID" && [[ $(readlink "/proc/$pid/exe") == */nginx* ]] && echo "$pid"
}

id_of() { sed -n 's/.*return 200 "\([^\\]*\).*/\1/p' "$1/generation.conf"; }

# served prints the generation that NGINX says it has. Another program may answer
# there: what does not look like one is none.
served() {
	local said
	said=$(curl --silent --fail --noproxy '*' --max-time 2 "$URL" | head -c 100 | tr -d '\0') || true
	[[ ! $said =~ ^[1-9][0-9]{0,14}-[0-9a-f]{12}$ ]] || echo "$said"
}

# retire PID... waits until none of NGINX's processes of before takes new
# connections, which they do for a moment beside the new ones; not for one that hangs.
retire() {
	local i titles
	titles=("${@/#//proc/}")
	titles=("${titles[@]/%//cmdline}")
	for ((i = 0; i < 50; i++)); do
		grep -qsz 'worker process$' /dev/null "${titles[@]}" || return 0
		sleep 0.1
	done
}

# point NUMBER makes a generation the live one.
point() {
	ln -s "berth.$1" "$LIVE.new"
	mv -T -- "$LIVE.new" "$LIVE"
	[ "$(readlink "$MAIN" || true)" != berth.d/nginx.conf ] || return 0
	[ ! -f "$MAIN" ] || cp -p --backup=numbered -- "$MAIN" "$BEFORE"
	ln -s berth.d/nginx.conf "$MAIN.new"
	mv -T -- "$MAIN.new" "$MAIN"
}

# reload ID makes NGINX load what is live, and waits until it serves that.
reload() {
	local id=$1 pid logged=0 old=() wrong
	pid=$(running) || { say "nginx does not run; it will begin with this: systemctl start nginx"; return 0; }
	[ ! -f "$LOG" ] || logged=$(stat -c %s "$LOG")
	read -ra old 2>/dev/null <"/proc/$pid/task/$pid/children" || true
	kill -HUP "$pid"
	for ((i = 0; i < WAIT * 5; i++)); do
		[ "$(served)" != "$id" ] || { retire "${old[@]}"; return 0; }
		if wrong=$(tail -c "+$((logged + 1))" "$LOG" 2>/dev/null | grep -F '[emerg]'); then
			tail -n 3 <<<"$wrong" | cat -v >&2
			return 1
		fi
		running >/dev/null || { say "nginx has ended: look at $LOG"; return 1; }
		sleep 0.2
	done
	say "$URL does not say $id after $WAIT s"
	return 1
}

# put_back NUMBER returns from a generation that NGINX does not load to the one
# before it, or to what was there before the first.
put_back() {
	local bad=$1 good
	good=$(served) # NGINX goes on with what it had
	good=${good%%-*}
	if [ ! -d "$DIR/berth.$good" ] || [ "$good" = "$bad" ]; then
		good=$(generations | awk -v bad="$bad" '$1 < bad' | tail -n 1)
	fi
	if [ -n "$good" ]; then
		point "$good"
		reload "$(id_of "$LIVE")" || say "nginx did not load the generation before, either: look at $LOG"
	else
		if [ -f "$BEFORE" ]; then
			cp -p -- "$BEFORE" "$MAIN.new"
			mv -T -- "$MAIN.new" "$MAIN"
		fi
		rm -f -- "$LIVE"
		! pid=$(running) || kill -HUP "$pid"
	fi
	rm -rf -- "$DIR/berth.$bad"
}

# load NUMBER ends with that generation served, or with the one before.
load() {
	trap '' INT TERM HUP # a half-done change is worse than a late end
	point "$1"
	if ! reload "$(id_of "$LIVE")"; then
		put_back "$1"
		die "nginx did not load the new files, and was put back to what it had"
	fi
}

prune() {
	local n
	for n in $(generations | head -n "-$KEEP"); do
		[ "berth.$n" = "$(readlink "$LIVE")" ] || rm -rf -- "$DIR/berth.$n"
	done
}

# ---- The run

main() {
	local from=/etc/nginx/berth dry='' number sum program
	while [ $# -gt 0 ]; do
		case $1 in
		--from)
			[ $# -gt 1 ] || { say "--from needs a directory"; exit 2; }
			from=$2
			shift
			;;
		--dry-run) dry=yes ;;
		-h | --help)
			usage
			exit 0
			;;
		*)
			say "what is '$1'? --help shows the flags"
			exit 2
			;;
		esac
		shift
	done
	[ -d "$from" ] || { say "$from is no directory"; exit 2; }
	[ -w "$DIR" ] || die "$DIR is not writable" "run it as root"
	from=$(cd "$from" && pwd)
	for program in nginx curl flock sha256sum diff awk; do
		command -v "$program" >/dev/null || die "there is no $program here" "install it"
	done

	exec 9>"$DIR/berth.lock"
	flock -w 60 9 || die "another apply.sh is at work" "run it again when that has ended"
	trap clean EXIT
	clean
	assemble "$from"
	leave_out
	number=$(($(generations | tail -n 1) + 1))
	sum=$(cd "$NEXT" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum)
	printf 'location = /berth-generation {\n    return 200 "%s-%.12s\\n";\n}\n' "$number" "$sum" >"$NEXT/generation.conf"
	try
	changes
	if [ -n "$dry" ]; then
		say "NGINX takes the files; nothing was changed"
	elif [ -d "$LIVE" ] && [ -z "$(changes)" ]; then
		# Loaded already, or a run was killed after it had pointed here.
		number=$(readlink "$LIVE")
		number=${number#berth.}
		[ "$(readlink "$MAIN" || true)" = berth.d/nginx.conf ] && [ "$(served)" = "$(id_of "$LIVE")" ] || load "$number"
		say "nothing to do: generation $number is live"
	else
		mv -T -- "$NEXT" "$DIR/berth.$number"
		load "$number"
		prune
		say "generation $number is live"
	fi
	[ ${#left_out[@]} -eq 0 ] || exit 3
}

main "$@"

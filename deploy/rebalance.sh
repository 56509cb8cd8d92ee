#!/bin/bash
# Fills the nodes of a swarm evenly again. Swarm moves tasks away from a node
# that is drained or down, and never back: after a rolling reboot one node is
# empty. docs/platform.md.
set -euo pipefail
export LC_ALL=C

usage() {
	cat <<'EOF'
usage: rebalance.sh [--dry-run] [--most N]

On a manager. While the fullest node has at least two tasks more than the
emptiest, one service of the fullest is restarted by 'docker service update
--force', which puts its tasks where there are fewest. One service at a time,
each waited for; those with more than one replica first, as they stay up, then
the others: a database is away for as long as its restart takes. Global
services, and those whose placement leaves no choice, are let be.

  --dry-run   say which services could be moved, and move none
  --most N    move at most N services (default: as many as it takes)
  --help

exit codes: 0 even, or as even as it gets; 1 a service did not come up again; 2 usage

example:
  rebalance.sh --dry-run
EOF
}

say() { echo "rebalance: $*" >&2; }
die() { say "$1"; [ -z "${2:-}" ] || say "hint: $2"; exit 1; }

# ask is docker for what is read here. A node names itself: controls and all that
# is not ASCII become ^[ and M-b, so that no terminal obeys them.
ask() { docker "$@" | cat -v; }

# nodes prints the names of the nodes that take tasks.
nodes() {
	ask node ls --format '{{.Hostname}} {{.Status}} {{.Availability}}' | awk '$2 == "Ready" && $3 == "Active" { print $1 }'
}

# tasks prints NODE SERVICE REPLICAS for each running task of a replicated service.
tasks() {
	local id name replicas
	ask service ls --filter mode=replicated --format '{{.ID}} {{.Name}} {{.Replicas}}' | while read -r id name replicas; do
		ask service ps --filter desired-state=running --format '{{.Node}} {{.CurrentState}}' "$id" |
			NAME=$name OF=${replicas#*/} awk '$2 == "Running" { print $1, ENVIRON["NAME"], ENVIRON["OF"] + 0 }'
	done
}

# counts prints COUNT NODE, the emptiest first.
counts() {
	{ sed 's/.*/& node/' <<<"$1"; awk '{ print $1, "task" }' <<<"$2"; } |
		awk 'NF == 2 { if ($2 == "node") known[$1] = 1; else n[$1]++ } END { for (k in known) print n[k] + 0, k }' | sort -n -k 1,1 -k 2,2
}

# candidates FULLEST prints the services with a task there, the least harmful
# restart first.
candidates() { NODE=$1 awk '$1 == ENVIRON["NODE"] { print $3 < 2, $2 }' <<<"$2" | sort -u -k 1,1 -k 2,2 | awk '{ print $2 }'; }

main() {
	local dry='' most=-1 moved=0 all running fullest emptiest least greatest service tried=' ' before services candidate
	while [ $# -gt 0 ]; do
		case $1 in
		--dry-run) dry=yes ;;
		--most)
			[[ ${2:-} =~ ^[0-9]+$ ]] || { say "--most needs a number"; exit 2; }
			most=$2
			shift
			;;
		-h | --help) usage; exit 0 ;;
		*) say "what is '$1'? --help shows the flags"; exit 2 ;;
		esac
		shift
	done
	[ "$(docker info --format '{{.Swarm.ControlAvailable}}')" = true ] || die "this node is no manager" "type it on one: $(ask info --format '{{range .Swarm.RemoteManagers}}{{.Addr}} {{end}}')"

	while :; do
		all=$(nodes)
		running=$(tasks)
		before=$(counts "$all" "$running")
		read -r least emptiest <<<"$(head -n 1 <<<"$before")"
		read -r greatest fullest <<<"$(tail -n 1 <<<"$before")"
		[[ ${least:-0}${greatest:-0} =~ ^[0-9]+$ ]] || die "docker's lists make no sense: $before"
		[ $((${greatest:-0} - ${least:-0})) -gt 1 ] || break
		if [ -n "$dry" ]; then
			awk '{ print $2 ": " $1 " tasks" }' <<<"$before"
			say "could be moved from $fullest to $emptiest: $(candidates "$fullest" "$running" | paste -sd ' ')"
			return
		fi
		[ "$moved" != "$most" ] || break
		service=
		mapfile -t services < <(candidates "$fullest" "$running")
		for candidate in ${services[@]+"${services[@]}"}; do
			[[ $tried == *" $candidate "* ]] || { service=$candidate; break; }
		done
		[ -n "$service" ] || { say "the rest cannot be moved: placement leaves them no choice"; break; }
		tried+="$service "
		say "$service: restarts ($fullest has $greatest tasks, $emptiest has $least)"
		docker service update --force --detach=false --quiet "$service" >/dev/null ||
			die "$service did not come up again" "docker service ps --no-trunc $service"
		moved=$((moved + 1))
	done
	awk '{ print $2 ": " $1 " tasks" }' <<<"$before"
}

main "$@"

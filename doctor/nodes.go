package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/cluster"
)

// Nodes judges what the nodes report, and users that have to be restarted; we
// is this node.
func Nodes(nodes []cluster.NodeInfo, we string) []Finding {
	return []Finding{heartbeats(nodes), doubled(nodes, we), versions(nodes), health(nodes)}
}

// revertedFor is for how long doctor reminds of a revert.
const revertedFor = 7 * 24 * time.Hour

// Reverted judges the times that are missing on the export, in the export's time.
func Reverted(pauses []cluster.Pause, now time.Time) Finding {
	for _, p := range slices.Backward(pauses) {
		if p.Kind == cluster.Reverted && now.Sub(p.To) < revertedFor {
			return warn("restart every container that uses a berth volume, if you have not since", "the export went back in time, from %s to %s, as %s noticed: containers from before have stale files",
				p.To.UTC().Format("2006-01-02 15:04 MST"), p.From.UTC().Format("2006-01-02 15:04 MST"), p.Noticed).named("reverted")
		}
	}
	return ok("the export did not go back in time").named("reverted")
}

func heartbeats(nodes []cluster.NodeInfo) Finding {
	var bad, up, stopped []string
	next := ""
	for _, n := range nodes {
		age := time.Duration(n.Age * float64(time.Second))
		switch {
		case n.State == cluster.Live:
			up = append(up, n.Node)
		case n.Stopped:
			stopped = append(stopped, n.Node)
		case n.State == cluster.Unattended:
			bad = append(bad, fmt.Sprintf("%s: berth was stopped there %s ago, its containers go on", n.Node, long(age)))
			next = or(next, "on "+n.Node+": docker plugin enable berth")
		default:
			bad = append(bad, fmt.Sprintf("%s: silent for %s", n.Node, long(age)))
			next = or(next, fmt.Sprintf("docker node ls; on %s: berth doctor. If it is gone for good, remove .berth/nodes/%s.json on the export", n.Node, n.Node))
		}
	}
	if bad != nil {
		return warn(next, "%s", strings.Join(bad, "; ")).named("nodes")
	}
	text := some(up) + " " + plural(up, "beats", "beat")
	if up == nil {
		text = "none beats yet"
	}
	if stopped != nil {
		text += "; stopped with nothing in use: " + some(stopped)
	}
	return ok("%s", text).named("nodes")
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func doubled(nodes []cluster.NodeInfo, we string) Finding {
	for _, n := range nodes {
		if n.Doubled || strings.HasPrefix(n.Health, "another node uses the name") {
			return fail("set BERTH_NODE to another name on one of them", "two nodes call themselves %s: single volumes are refused on both", n.Node).named("names")
		}
	}
	return ok("no name is used twice; this node is %s", we).named("names")
}

func versions(nodes []cluster.NodeInfo) Finding {
	var all []string
	for _, n := range nodes {
		if n.State.Holds() && n.Version != "" && !slices.Contains(all, n.Version) {
			all = append(all, n.Version)
		}
	}
	if len(all) < 2 {
		return ok("%s on all nodes that report", or(strings.Join(all, ""), "no version yet")).named("versions")
	}
	var text, live []string
	for _, n := range nodes {
		if n.State.Holds() {
			text = append(text, n.Node+" has "+n.Version)
			live = append(live, n.Node)
		}
	}
	return warn("deploy/berth-nodes.sh upgrade --nodes "+strings.Join(live, ","), "%s", strings.Join(text, ", ")).named("versions")
}

func health(nodes []cluster.NodeInfo) Finding {
	for _, n := range nodes {
		if n.State.Holds() && n.Health != "" && n.Health != "ok" {
			return warn("on "+n.Node+": berth doctor", "%s says: %s", n.Node, n.Health).named("health")
		}
	}
	return ok("every node that reports says it is well").named("health")
}

// Users judges which mounts of the export the containers use.
func Users(users []cluster.User) Finding {
	var stale, fenced []string
	for _, u := range users {
		switch {
		case u.State == cluster.Fenced:
			fenced = append(fenced, u.Volume+" on "+u.Node)
		case u.Stale && u.State.Holds():
			stale = append(stale, u.Volume+" on "+u.Node)
		}
	}
	switch {
	case fenced != nil:
		return fail("berth volume ps; stop these containers", "containers write to the trash, their volumes were taken over: %s", some(fenced)).named("users")
	case stale != nil:
		return warn("berth volume ps; restart these containers", "containers use an old mount of the export: %s", some(stale)).named("users")
	}
	return ok("%s by a node, all of the mounts of now", count(len(users), "use")).named("users")
}

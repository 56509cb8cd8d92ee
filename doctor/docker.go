package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/casit/berth/cluster"
)

// Plugin is berth's managed plugin as the Docker engine of this node has it.
type Plugin struct {
	Name    string // "berth:latest"; "" if it is not installed
	Enabled bool
}

// PluginAnswers judges a plugin that answers on socket; version is the
// plugin's, ours the command line's.
func PluginAnswers(p Plugin, socket, version, ours string) Finding {
	text := fmt.Sprintf("version %s answers on %s", version, socket)
	switch {
	case p.Name != "" && !p.Enabled:
		text += "; the managed plugin " + p.Name + " is disabled, so 'berth serve' answers"
	case p.Name != "":
		text = p.Name + " is enabled, " + text
	default:
		text = "'berth serve', " + text
	}
	if version != ours {
		return warn("deploy/berth-nodes.sh upgrade, which brings both", "%s, and this command is version %s", text, ours).named("plugin")
	}
	return ok("%s", text).named("plugin")
}

// PluginSilent judges a plugin that does not answer: why is the error of the
// plugin's socket, engine the error of the Docker engine.
func PluginSilent(p Plugin, why, engine error) Finding {
	switch {
	case engine != nil:
		return fail("systemctl status docker", "%v; and the Docker engine does not answer: %v", reason(why), engine).named("plugin")
	case p.Name == "":
		return fail("deploy/berth-nodes.sh install --nodes THIS-NODE --env berth.env; or 'berth serve' by hand", "%s; no managed plugin is installed here", reason(why)).named("plugin")
	case !p.Enabled:
		return fail("docker plugin enable "+p.Name, "%s is disabled: volumes of berth can neither be mounted nor made here", p.Name).named("plugin")
	}
	return fail("journalctl -u docker -n 50; then docker plugin disable -f "+p.Name+" && docker plugin enable "+p.Name+": containers go on meanwhile",
		"%s is enabled and does not answer: %s", p.Name, reason(why)).named("plugin")
}

// Shadows judges local volumes of this node's engine against berth's names.
func Shadows(local, ours []string) Finding {
	var both []string
	for _, n := range local {
		if slices.Contains(ours, n) {
			both = append(both, n)
		}
	}
	slices.Sort(both)
	if both != nil {
		return warn(fmt.Sprintf("look into it: docker run --rm -v %s:/v busybox ls -la /v; then stop its containers, docker volume rm %s, and start them with 'driver: berth'", both[0], both[0]),
			"local volumes on this node hide the export's of the same name: %s", some(both)).named("shadows")
	}
	return ok("none of %s here has the name of one on the export", count(len(local), "local volume")).named("shadows")
}

// Drift judges differences between the options in this engine's records and
// those of the volumes: one sentence each, and what to type about the first.
func Drift(differ []string, next string) Finding {
	if len(differ) > 0 {
		return warn(next, "%s", strings.Join(differ[:min(3, len(differ))], "; ")+more(len(differ)-3)).named("options")
	}
	return ok("what Docker here was told of volumes is what they have").named("options")
}

func more(n int) string {
	if n <= 0 {
		return ""
	}
	return fmt.Sprintf("; and %d more", n)
}

// Claims compares this node's uses of volumes, as they were before and after
// the containers were listed, with those containers: a use without a container
// was left by an engine or a plugin that was killed.
func Claims(before, after []cluster.User, containers map[string]int) Finding {
	uses := map[string]int{}
	for _, u := range after {
		uses[u.Volume] = u.Mounts
	}
	var left []string
	first := ""
	for _, u := range before {
		n := min(u.Mounts, uses[u.Volume])
		if n <= containers[u.Volume] || u.State == cluster.Fenced {
			continue
		}
		left = append(left, fmt.Sprintf("%s (%s, %s)", u.Volume, count(n, "use"), count(containers[u.Volume], "container")))
		if first == "" && containers[u.Volume] == 0 {
			first = u.Volume
		}
	}
	if left == nil {
		return ok("every use that this node reports has its container").named("claims")
	}
	next := "stop its containers here, then type 'berth doctor' again"
	if first != "" {
		next = "berth volume release " + first
	}
	return warn(next, "this node holds what no container of it uses, since an engine or a plugin was killed: %s", some(left)).named("claims")
}

// Swarm names ready nodes of the swarm without a heartbeat on the export. If as
// many heartbeats have names that the swarm does not know, those are the same
// nodes, with a BERTH_NODE.
func Swarm(ready []string, nodes []cluster.NodeInfo) Finding {
	if len(ready) == 0 {
		return warn("docker node ls", "the swarm calls none of its nodes ready").named("swarm")
	}
	var without, others []string
	for _, n := range ready {
		if !slices.ContainsFunc(nodes, func(i cluster.NodeInfo) bool { return i.Node == n && i.State.Holds() }) {
			without = append(without, n)
		}
	}
	for _, i := range nodes {
		if i.State.Holds() && !slices.Contains(ready, i.Node) {
			others = append(others, i.Node)
		}
	}
	if without != nil && len(others) >= len(without) {
		return ok("%s of the swarm; %s under other names: %s", count(len(ready), "ready node"), plural(others, "one reports", "some report"), some(others)).named("swarm")
	}
	if without != nil {
		return warn(fmt.Sprintf("on %s: berth doctor; or deploy/berth-nodes.sh install --nodes %s", without[0], strings.Join(without, ",")),
			"nodes of the swarm that do not report on this export: %s", some(without)).named("swarm")
	}
	return ok("%s of the swarm, all report on this export", count(len(ready), "ready node")).named("swarm")
}

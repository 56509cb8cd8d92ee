package dashboard

import (
	"cmp"
	"net/url"
	"slices"
	"strings"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/volume"
)

// merged is the world with its parts put together.
type merged struct {
	nodes   []*nodeView
	volumes []*volumeView
	stacks  map[string]bool
}

// merge joins what berth says of nodes, volumes and users with what Docker
// says of nodes and tasks.
func merge(s *seen) *merged {
	m := &merged{stacks: map[string]bool{}}
	known := map[string]*volumeView{}
	using := map[use][]string{}
	for _, t := range s.Docker.Value.Tasks {
		if t.Stack != "" {
			m.stacks[t.Stack] = true
		}
		for _, v := range t.Volumes {
			using[use{v, t.Node}] = append(using[use{v, t.Node}], t.Name)
		}
	}
	for _, i := range s.Volumes.Value {
		v := &volumeView{Info: i, Stack: m.stackOf(i.Name)}
		for _, u := range i.Users {
			v.usedBy(u, using)
		}
		known[i.Name] = v
		m.volumes = append(m.volumes, v)
	}
	jobs := map[string]*volume.Job{}
	for _, j := range s.Users.Value.Jobs {
		for _, name := range j.Volumes() {
			jobs[name] = j
		}
	}
	for _, u := range s.Users.Value.Users {
		if name, _, view := strings.Cut(u.Volume, "@"); view && known[name] != nil {
			known[name].usedBy(u, using)
		}
	}
	m.byDocker(using, known)
	for _, v := range m.volumes {
		v.Health = healthOfVolume(v, jobs[v.Name])
		m.stacks[v.Stack] = m.stacks[v.Stack] || v.Stack != ""
	}
	delete(m.stacks, "")
	m.nodes = nodesOf(s, known)
	return m
}

// use is a volume on a node.
type use struct{ volume, node string }

// usedBy adds a use that berth knows, with Docker's names for it.
func (v *volumeView) usedBy(u cluster.User, using map[use][]string) {
	at := use{u.Volume, u.Node}
	v.Users = append(v.Users, userView{u, using[at], healthOfUser(u)})
	delete(using, at)
}

// byDocker adds the uses that only Docker knows: of a task that is about to
// start, or of a node that is silent or has no plugin.
func (m *merged) byDocker(using map[use][]string, known map[string]*volumeView) {
	for u, tasks := range using {
		name, _, _ := strings.Cut(u.volume, "@")
		if v := known[name]; v != nil {
			v.Users = append(v.Users, userView{cluster.User{Volume: u.volume, Node: u.node}, tasks, health{idle, "no lease", "Docker names it, and berth has no lease of it"}})
		}
	}
	for _, v := range m.volumes {
		slices.SortStableFunc(v.Users, func(a, b userView) int {
			return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Volume, b.Volume))
		})
	}
}

// stackOf is the stack in a volume's name: docker stack deploy names volumes
// STACK_NAME.
func (m *merged) stackOf(name string) string {
	for i, c := range name {
		if c == '_' && m.stacks[name[:i]] {
			return name[:i]
		}
	}
	stack, _, ok := strings.Cut(name, "_")
	if !ok {
		return ""
	}
	return stack
}

func (m *merged) stackNames() (names []string) {
	for n := range m.stacks {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// nodesOf joins nodes by their names.
func nodesOf(s *seen, known map[string]*volumeView) []*nodeView {
	byName := map[string]*nodeView{}
	at := func(name string) *nodeView {
		if byName[name] == nil {
			byName[name] = &nodeView{Name: name}
		}
		return byName[name]
	}
	beats := s.Users.Value.Nodes
	if s.Users.At.IsZero() {
		beats = s.About.Value.Nodes
	}
	for _, b := range beats {
		at(b.Node).Berth = &b
	}
	for _, d := range s.Docker.Value.Nodes {
		at(d.Name).Docker = &d
	}
	for _, t := range s.Docker.Value.Tasks {
		n := at(t.Node)
		n.Running++
		view := &taskView{Task: t}
		for _, v := range t.Volumes {
			view.Volumes = append(view.Volumes, linkOf(v, known))
		}
		n.Tasks = append(n.Tasks, view)
	}
	for _, v := range known {
		for _, u := range v.Users {
			if u.Health.Level != idle {
				at(u.Node).Using++
			}
		}
	}
	var out []*nodeView
	for _, n := range byName {
		n.Health = healthOfNode(n, s.Docker.Value.Swarm)
		slices.SortFunc(n.Tasks, func(a, b *taskView) int { return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID)) })
		out = append(out, n)
	}
	slices.SortFunc(out, func(a, b *nodeView) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func linkOf(mounted string, known map[string]*volumeView) volumeLink {
	name, snap, view := strings.Cut(mounted, "@")
	switch {
	case known[name] == nil:
		return volumeLink{Name: mounted}
	case view:
		return volumeLink{mounted, snapshotAddress(name, snap)}
	}
	return volumeLink{mounted, volumeAddress(name)}
}

func volumeAddress(name string) string { return "/volumes/" + url.PathEscape(name) }

func snapshotAddress(name, snap string) string {
	return volumeAddress(name) + "/snapshots/" + url.PathEscape(snap)
}

package dashboard

import (
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/docker"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/volume"
)

// Limits of one page. What is left out is counted, and reached by a link.
const (
	volumesAPage = 100
	tasksAtOnce  = 40
	tasksANode   = 25
	tasksAPage   = 200
)

// overview is the first page.
type overview struct {
	Filter     filter
	Stacks     []string
	Complaints []complaint
	About      state[plugin.About]
	Swarm      bool
	HasDocker  bool
	HasVolumes bool
	Nodes      []*nodeView
	Alive      int
	Volumes    []*volumeView // of this page
	Matching   int
	Total      int
	Attention  int // volumes that need it, of all
	Pages      int
	Space      *spaceView
	Newest     *reference.Snapshot
	Known      bool // whether there is a newest snapshot is known
	Open       bool // the tasks are so few that they are shown at once
}

// spaceView is where the export's space is, in bytes.
type spaceView struct {
	Total, Avail, Trash, Snapshots int64
	Percent                        int // used
	Health                         health
}

// nodeView is a node as berth and Docker see it.
type nodeView struct {
	Name    string
	Health  health
	Docker  *docker.Node
	Berth   *cluster.NodeInfo
	Tasks   []*taskView
	Running int // tasks, of all
	Using   int // volumes that it uses
}

// First are the tasks that the overview shows.
func (n *nodeView) First() []*taskView { return n.Tasks[:min(tasksANode, len(n.Tasks))] }

// More is how many it leaves out.
func (n *nodeView) More() int { return len(n.Tasks) - len(n.First()) }

type taskView struct {
	docker.Task
	Volumes []volumeLink
}

// volumeLink is a volume that a task has; without an Address berth does not
// know it.
type volumeLink struct{ Name, Address string }

// volumeView is one volume in a list.
type volumeView struct {
	*volume.Info
	Stack  string
	Health health
	Users  []userView
}

// userView is one node's use of a volume, and what there uses it if Docker
// says so.
type userView struct {
	cluster.User
	Tasks  []string
	Health health
}

// overviewOf puts together what a filter leaves of the world.
func overviewOf(w *world, s *seen, f filter, now time.Time) *overview {
	m := merge(s)
	o := &overview{
		Filter: f, Stacks: m.stackNames(), Complaints: complaints(w, s, now), About: s.About,
		Swarm: s.Docker.Value.Swarm, HasDocker: !s.Docker.At.IsZero(), HasVolumes: !s.Volumes.At.IsZero(),
		Total: len(m.volumes), Space: spaceOf(s), Newest: s.Newest.Value.Snapshot, Known: !s.Newest.At.IsZero(),
	}
	for _, v := range m.volumes {
		if v.Health.Level.poor() {
			o.Attention++
		}
		if m.wants(f, v) {
			o.Volumes = append(o.Volumes, v)
		}
	}
	o.Matching = len(o.Volumes)
	pages, first, last := o.Filter.cut(o.Matching, volumesAPage)
	o.Pages, o.Volumes = pages, o.Volumes[first:last]
	tasks := 0
	for _, n := range m.nodes {
		if n.Health.Level == good {
			o.Alive++
		}
		n.Tasks = m.tasksOf(f, n.Tasks)
		tasks += len(n.Tasks)
		o.Nodes = append(o.Nodes, n)
	}
	o.Open = tasks <= tasksAtOnce
	return o
}

func spaceOf(s *seen) *spaceView {
	u := s.Usage.Value
	if s.Usage.At.IsZero() || u.Total <= 0 {
		return nil
	}
	v := &spaceView{Total: u.Total, Avail: u.Avail, Trash: u.Trash + u.Undo, Snapshots: u.Snapshots}
	v.Percent = int(100 - 100*u.Avail/u.Total)
	switch {
	case v.Percent >= 95:
		v.Health = health{bad, "nearly full", "'berth df' says what can be freed"}
	case v.Percent >= 85:
		v.Health = health{warn, "filling", "'berth df' says what can be freed"}
	default:
		v.Health = health{Level: good, Word: "ok"}
	}
	return v
}

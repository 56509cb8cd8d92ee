package dashboard

import (
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/casit/berth/job"
	"github.com/casit/berth/volume"
)

// firstWait is how long a page waits for sources before it shows what it has.
const firstWait = 1500 * time.Millisecond

// observe asks the world for a page: a whole page waits a moment for fresh
// answers, a live part takes what the hub has.
func (s *Server) observe(r *http.Request) (*seen, string) {
	limit := firstWait
	if r.URL.Query().Get("part") == "live" {
		limit = 0
	}
	wait(r.Context(), s.life, limit, s.world.quick()...)
	s.world.usage.refresh(s.life)
	sum := ""
	if limit > 0 {
		sum = s.hub.begin()
	}
	return s.world.now(), sum
}

func (s *Server) overview(w http.ResponseWriter, r *http.Request) {
	seen, sum := s.observe(r)
	s.show(w, r, http.StatusOK, "overview", page{Title: "Overview", Sum: sum, Body: overviewOf(s.world, seen, filterOf(r.URL.Query()), time.Now())})
}

// nodePage is one node with all its tasks.
type nodePage struct {
	*nodeView
	Complaints []complaint
	Tasks      []*taskView // of this page
	Matching   int
	Filter     filter
	Pages      int
}

func nodeAddress(name string) string { return "/nodes/" + url.PathEscape(name) }

func (s *Server) node(w http.ResponseWriter, r *http.Request) {
	seen, sum := s.observe(r)
	m := merge(seen)
	name := r.PathValue("node")
	i := slices.IndexFunc(m.nodes, func(n *nodeView) bool { return n.Name == name })
	if i < 0 {
		s.fail(w, r, http.StatusNotFound, "neither berth nor Docker knows a node "+shown(name), "the overview lists the nodes")
		return
	}
	f := filterOf(r.URL.Query())
	tasks := m.tasksOf(f, m.nodes[i].Tasks)
	pages, first, last := f.cut(len(tasks), tasksAPage)
	p := nodePage{nodeView: m.nodes[i], Complaints: complaints(s.world, seen, time.Now()), Filter: f, Tasks: tasks[first:last], Matching: len(tasks), Pages: pages}
	s.show(w, r, http.StatusOK, "node", page{Title: "Node " + shown(name), Sum: sum, Body: p})
}

// volumePage is one volume: who uses it, and its versions.
type volumePage struct {
	Name       string
	View       *volumeView // nil: it is not on the export
	Deleted    bool
	Job        *job.Job
	Complaints []complaint
	Line       *timeLine
	NoLine     string // why there is none
	NoLineHint string
	Measured   *measurement
	NoMeasure  string
}

// listWait is how long a page waits for a volume's snapshots.
const listWait = 5 * time.Second

func (s *Server) volume(w http.ResponseWriter, r *http.Request) {
	seen, sum := s.observe(r)
	m := merge(seen)
	p := volumePage{Name: r.PathValue("volume"), Complaints: complaints(s.world, seen, time.Now())}
	if err := volume.CheckName(p.Name); err != nil {
		s.fail(w, r, http.StatusNotFound, "there is no volume "+shown(p.Name), "the overview lists the volumes")
		return
	}
	if i := slices.IndexFunc(m.volumes, func(v *volumeView) bool { return v.Name == p.Name }); i >= 0 {
		p.View = m.volumes[i]
	}
	if err := s.line(r, &p); err != nil && p.View == nil && codeOf(err) == http.StatusNotFound {
		s.failed(w, r, err)
		return
	}
	if r.URL.Query().Get("measure") != "" && r.URL.Query().Get("part") == "" {
		s.measure(r, &p)
	}
	p.Measured = s.measured.get(p.Name)
	for _, j := range seen.Users.Value.Jobs {
		if slices.Contains(j.Volumes(), p.Name) {
			p.Job = j
		}
	}
	s.show(w, r, http.StatusOK, "volume", page{Title: p.Name, Sum: sum, Body: p})
}

// line fills in the volume's snapshots.
func (s *Server) line(r *http.Request, p *volumePage) error {
	ctx, cancel := withLimit(r, listWait)
	defer cancel()
	l, err := s.cfg.Berth.Snapshots(ctx, p.Name)
	if err != nil {
		p.NoLine, p.NoLineHint = words(err)
		return err
	}
	p.Deleted = l.Deleted
	p.Line = lineOf(l, time.Now(), s.cfg.Zone)
	return nil
}

// walkLimitOfPage is how long a page waits for what walks a volume.
const walkLimitOfPage = 20 * time.Second

// measure walks the volume, which somebody has asked for.
func (s *Server) measure(r *http.Request, p *volumePage) {
	ctx, cancel := withLimit(r, walkLimitOfPage)
	defer cancel()
	leave, ok := s.walks.enter(ctx, s.clientOf(r))
	if !ok {
		p.NoMeasure = "two other volumes are being walked; try again in a moment"
		return
	}
	defer leave()
	got, err := s.cfg.Berth.Volumes(ctx, []string{p.Name}, true)
	switch {
	case err != nil:
		p.NoMeasure, _ = words(err)
	case len(got) > 0:
		s.measured.put(measurement{got[0], time.Now()})
	}
}

// measurement is what a volume held when somebody asked.
type measurement struct {
	*volume.Info
	At time.Time
}

// measurements are kept for a while: a page that renews itself does not walk
// the volume each time.
type measurements struct {
	mu     sync.Mutex // guards byName
	byName map[string]measurement
}

const measurementsAtMost = 1000

func (m *measurements) put(one measurement) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.byName == nil || len(m.byName) >= measurementsAtMost {
		m.byName = map[string]measurement{}
	}
	m.byName[one.Name] = one
}

func (m *measurements) get(name string) *measurement {
	m.mu.Lock()
	defer m.mu.Unlock()
	if one, ok := m.byName[name]; ok {
		return &one
	}
	return nil
}

package simulator

import (
	"net/http"
	"regexp"
	"slices"
	"time"
)

const mirrorSchema = "/snapmirror/relationships"

// mirrorFields are those of /snapmirror/relationships, which the reference lacks:
// written by hand after NetApp's published REST reference.
var mirrorFields = schema{
	Fields: map[string]string{
		"uuid": "string ro", "state": "string", "healthy": "boolean ro", "lag_time": "string ro",
		"unhealthy_reason.code": "string ro", "unhealthy_reason.message": "string ro",
		"source.path": "string", "source.svm.name": "string", "source.svm.uuid": "string", "source.cluster.name": "string",
		"destination.path": "string", "destination.svm.name": "string", "destination.svm.uuid": "string", "destination.cluster.name": "string",
		"policy.name": "string", "policy.type": "string ro", "exported_snapshot": "string ro", "throttle": "integer",
	},
	Query: map[string][]string{"GET": {"list_destinations_only"}},
}

// Mirror is a SnapMirror relationship of the FlexVol.
type Mirror struct {
	UUID        string        `json:"uuid"`
	Source      string        `json:"source"`      // SVM:VOLUME
	Destination string        `json:"destination"` // SVM:VOLUME
	State       string        `json:"state"`       // snapmirrored, uninitialized, broken_off, ...
	Healthy     bool          `json:"healthy"`
	Lag         time.Duration `json:"lag"` // nanoseconds
	Reasons     []string      `json:"reasons,omitempty"`

	// Elsewhere: the destination is on another cluster, so this one knows only, on
	// request, that the copy exists.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// SetMirror makes a relationship, or replaces the one of its destination. An empty
// Source is the FlexVol; an empty UUID is drawn.
func (s *Simulator) SetMirror(m Mirror) Mirror {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.Source = orString(m.Source, s.cfg.SVM+":"+s.cfg.Volume)
	m.State = orString(m.State, "snapmirrored")
	i := slices.IndexFunc(s.world.Mirrors, func(o *Mirror) bool { return o.Destination == m.Destination })
	switch {
	case i >= 0:
		m.UUID = orString(m.UUID, s.world.Mirrors[i].UUID)
		s.world.Mirrors[i] = &m
	default:
		m.UUID = orString(m.UUID, s.uuid())
		s.world.Mirrors = append(s.world.Mirrors, &m)
	}
	return m
}

type mirrorCalls struct{ *Simulator }

func (s mirrorCalls) all(destinationsOnly bool) collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: mirrorSchema, key: "uuid", defaults: []string{"source", "destination"}, self: hrefOf(mirrorSchema)}
	for _, m := range s.world.Mirrors {
		x := rec("uuid", m.UUID, "source.path", m.Source, "destination.path", m.Destination)
		source, _, _ := cutPath(m.Source)
		destination, _, _ := cutPath(m.Destination)
		x.set("source.svm.name", source)
		x.set("destination.svm.name", destination)
		x.set("policy.name", "Asynchronous")
		x.set("policy.type", "async")
		switch {
		case destinationsOnly:
		case m.Elsewhere:
			continue
		default:
			x.set("state", m.State)
			x.set("healthy", m.Healthy)
			x.set("lag_time", period(m.Lag))
			reasons := []record{}
			for _, why := range m.Reasons {
				reasons = append(reasons, rec("code", "6619637", "message", why))
			}
			if len(reasons) > 0 {
				x.set("unhealthy_reason", reasons)
			}
		}
		c.records = append(c.records, x)
	}
	return c
}

var mirrorPath = regexp.MustCompile(`^([A-Za-z0-9_.-]+):([A-Za-z0-9_]*)$`)

func cutPath(path string) (svm, volume string, ok bool) {
	m := mirrorPath.FindStringSubmatch(path)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

func (s mirrorCalls) list(r *call) (any, error) {
	return s.all(r.query.Get("list_destinations_only") == "true").list(r)
}

func (s mirrorCalls) get(r *call) (any, error) {
	return s.all(r.query.Get("list_destinations_only") == "true").one(r, r.vars["uuid"])
}

func (s mirrorCalls) create(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(mirrorSchema)
	if err != nil {
		return nil, err
	}
	if _, err := obey(body, map[string]rule{"source.path": anything, "destination.path": anything, "state": oneOf("snapmirrored")}); err != nil {
		return nil, err
	}
	m := Mirror{Source: body.text("source.path"), Destination: body.text("destination.path"), State: orString(body.text("state"), "uninitialized"), Healthy: true}
	for field, path := range map[string]string{"source.path": m.Source, "destination.path": m.Destination} {
		if path == "" {
			return nil, missing(field)
		}
		if _, _, ok := cutPath(path); !ok {
			return nil, invalid(path, field)
		}
	}
	s.mu.Lock()
	taken := slices.ContainsFunc(s.world.Mirrors, func(o *Mirror) bool { return o.Destination == m.Destination })
	s.mu.Unlock()
	if taken {
		return nil, fail(http.StatusConflict, "13303845", "destination.path", "A SnapMirror relationship with this destination already exists.")
	}
	m.UUID = s.drawUUID()
	return startMaking(s.Simulator, r, "/api/snapmirror/relationships/"+m.UUID, rec("uuid", m.UUID), func() error {
		s.SetMirror(m)
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.save()
	})
}

func (s mirrorCalls) delete(r *call) (any, error) {
	if err := r.onlyQuery("destination_only", "source_only", "source_info_only"); err != nil {
		return nil, err
	}
	if _, err := s.all(true).one(&call{Request: r.Request}, r.vars["uuid"]); err != nil {
		return nil, err
	}
	return s.start(r, "", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.world.Mirrors = slices.DeleteFunc(s.world.Mirrors, func(m *Mirror) bool { return m.UUID == r.vars["uuid"] })
		return s.save()
	})
}

// patch changes the state: it initializes or resynchronizes, breaks or pauses.
func (s mirrorCalls) patch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(mirrorSchema)
	if err != nil {
		return nil, err
	}
	if _, err := obey(body, map[string]rule{"state": oneOf("snapmirrored", "broken_off", "paused")}); err != nil {
		return nil, err
	}
	if _, err := s.all(false).one(&call{Request: r.Request}, r.vars["uuid"]); err != nil {
		return nil, err
	}
	return s.start(r, "", func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, m := range s.world.Mirrors {
			if m.UUID == r.vars["uuid"] {
				m.State = orString(body.text("state"), m.State)
			}
		}
		return s.save()
	})
}

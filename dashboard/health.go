package dashboard

import (
	"strings"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/volume"
)

// level is the state of something. It decides colour and symbol.
type level string

const (
	good level = "good"
	warn level = "warn" // somebody should look at it
	bad  level = "bad"  // it does not work
	idle level = "idle" // nobody knows, or it does not matter
)

func (l level) poor() bool { return l == warn || l == bad }

// health is a level, the word for it, and what is wrong and to be typed.
type health struct {
	Level level
	Word  string
	Text  string
}

// healthOfUser judges one node's use of a volume.
func healthOfUser(u cluster.User) health {
	switch {
	case u.State == cluster.Fenced || u.Fenced != "":
		return health{bad, "fenced", "it was taken over: stop what runs there, it writes to the trash (" + u.Fenced + ")"}
	case u.Stale:
		return health{warn, "old mount", "restart what uses it to heal"}
	case u.State == cluster.Live:
		return health{Level: good, Word: "live"}
	case u.State == cluster.Unattended:
		return health{warn, "unattended", "its berth was stopped, its containers go on"}
	}
	return health{warn, string(u.State), "no heartbeat for " + age(seconds(u.Age))}
}

// healthOfVolume is the worst known state of a volume.
func healthOfVolume(v *volumeView, j *volume.Job) health {
	switch {
	case strings.HasPrefix(v.Info.Health, "unverified"):
		return health{warn, "unverified", strings.TrimSpace(strings.TrimPrefix(v.Info.Health, "unverified:"))}
	case v.Info.Health != "ok" && v.Info.Health != "":
		return health{bad, "broken", v.Info.Health}
	case j != nil && j.Waits():
		return health{bad, string(j.Op) + " stopped", j.Status()}
	case j != nil:
		return health{warn, string(j.Op) + " under way", j.Status()}
	}
	for _, u := range v.Users {
		if u.Health.Level.poor() {
			return health{u.Health.Level, u.Health.Word, "on " + u.Node + ": " + u.Health.Text}
		}
	}
	return health{Level: good, Word: "ok"}
}

// healthOfNode joins berth's heartbeat with Docker's state. In a swarm, Docker
// knows all nodes: an unknown node has left the swarm.
func healthOfNode(n *nodeView, swarm bool) health {
	switch {
	case n.Docker != nil && n.Docker.State == "down":
		return health{bad, "down", "Docker does not reach it"}
	case n.Berth == nil && n.Docker != nil:
		return health{warn, "no berth", "no heartbeat on this export: 'docker plugin ls' on it says why"}
	case n.Berth == nil:
		return health{Level: idle, Word: "unknown"}
	case n.Berth.State == cluster.Unattended:
		return health{warn, "unattended", "its berth was stopped, its containers go on"}
	case n.Berth.State == cluster.Expired && swarm && n.Docker == nil:
		return health{idle, "left", "no heartbeat for " + age(seconds(n.Berth.Age))}
	case n.Berth.State != cluster.Live:
		return health{bad, string(n.Berth.State), "no heartbeat for " + age(seconds(n.Berth.Age))}
	case n.Berth.Health != "" && n.Berth.Health != "ok":
		return health{warn, "degraded", n.Berth.Health}
	}
	h := health{Level: good, Word: "alive"}
	if n.Docker != nil && n.Docker.Availability != "" && n.Docker.Availability != "active" {
		h = health{warn, n.Docker.Availability, "Docker places no tasks here"}
	}
	return h
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

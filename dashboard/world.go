package dashboard

import (
	"context"
	"encoding/json"
	"hash/fnv"
	"math"
	"slices"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/docker"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/snapshot/df"
	"github.com/casit/berth/volume"
)

// world are the sources that are asked again and again, for all viewers
// together.
type world struct {
	about   feed[plugin.About]
	volumes feed[[]*volume.Info]
	users   feed[plugin.Users]
	newest  feed[plugin.Newest]
	usage   feed[df.Usage]
	docker  feed[docker.Cluster]
}

const (
	askLimit = 45 * time.Second // of a question that reads metadata
	// walkLimit and walkEvery are for what walks the trash.
	walkLimit = 10 * time.Minute
	walkEvery = 10 * time.Minute
	// slowEvery is for what asks the filer's API.
	slowEvery = time.Minute
)

func newWorld(b Berth, d Docker, every time.Duration) *world {
	all := func(ctx context.Context) ([]*volume.Info, error) { return b.Volumes(ctx, nil, false) }
	return &world{
		about:   feed[plugin.About]{name: "the berth plugin", every: every, limit: askLimit, ask: b.About},
		volumes: feed[[]*volume.Info]{name: "the list of volumes", every: every, limit: askLimit, ask: all},
		users:   feed[plugin.Users]{name: "the users of the volumes", every: every, limit: askLimit, ask: b.Users},
		newest:  feed[plugin.Newest]{name: "the list of snapshots", every: slowEvery, limit: askLimit, ask: b.Newest},
		usage:   feed[df.Usage]{name: "the space of the export", every: walkEvery, limit: walkLimit, ask: b.Usage},
		docker:  feed[docker.Cluster]{name: "the Docker engine", every: every, limit: askLimit, ask: d.Running},
	}
}

// quick are the sources that a page waits for a moment.
func (w *world) quick() []source {
	return []source{&w.about, &w.volumes, &w.users, &w.newest, &w.docker}
}

// seen is the world at one moment.
type seen struct {
	About   state[plugin.About]
	Volumes state[[]*volume.Info]
	Users   state[plugin.Users]
	Newest  state[plugin.Newest]
	Usage   state[df.Usage]
	Docker  state[docker.Cluster]
}

func (w *world) now() *seen {
	return &seen{w.about.get(), w.volumes.get(), w.users.get(), w.newest.get(), w.usage.get(), w.docker.get()}
}

// sum changes when what the page shows has changed. Ages grow all the time
// and are left out, down to whole minutes; so are the times of the answers.
func (w *world) sum() uint64 {
	s := w.now()
	volumes := slices.Clone(s.Volumes.Value)
	for i, v := range volumes {
		c := *v
		c.Users = ageless(v.Users)
		volumes[i] = &c
	}
	s.Volumes.Value = volumes
	s.Users.Value.Users = ageless(s.Users.Value.Users)
	s.Users.Value.Nodes = agelessNodes(s.Users.Value.Nodes)
	s.About.Value.Nodes = agelessNodes(s.About.Value.Nodes)
	h := fnv.New64a()
	lines := json.NewEncoder(h)
	for _, part := range []any{s.About.Value, s.Volumes.Value, s.Users.Value, s.Newest.Value.Snapshot, s.Usage.Value, s.Docker.Value, complaints(w, s, time.Now())} {
		_ = lines.Encode(part) // of what was decoded from JSON
	}
	return h.Sum64()
}

func wholeMinutes(seconds float64) float64 { return math.Floor(seconds / 60) }

func ageless(users []cluster.User) []cluster.User {
	users = slices.Clone(users)
	for i := range users {
		users[i].Age = wholeMinutes(users[i].Age)
	}
	return users
}

func agelessNodes(nodes []cluster.NodeInfo) []cluster.NodeInfo {
	nodes = slices.Clone(nodes)
	for i := range nodes {
		nodes[i].Age, nodes[i].Beat = wholeMinutes(nodes[i].Age), time.Time{}
	}
	return nodes
}

// complaint is a source that does not answer.
type complaint struct {
	Source string
	Text   string
	Hint   string    `json:",omitempty"`
	Last   time.Time // the answer that is shown instead; zero: none
}

// complaints lists the sources that do not answer, each in its own words.
func complaints(w *world, s *seen, now time.Time) (out []complaint) {
	out = complain(out, &w.about, s.About, now)
	out = complain(out, &w.volumes, s.Volumes, now)
	out = complain(out, &w.users, s.Users, now)
	out = complain(out, &w.newest, s.Newest, now)
	out = complain(out, &w.docker, s.Docker, now)
	if s.Usage.Err != nil { // walking the trash takes as long as it takes
		out = complain(out, &w.usage, s.Usage, now)
	}
	return out
}

// patience is how long a question may be open before the page says so.
const patience = 3 * time.Second

func complain[T any](out []complaint, f *feed[T], s state[T], now time.Time) []complaint {
	c := complaint{Source: f.name, Last: s.At}
	switch {
	case s.Err != nil:
		c.Text, c.Hint = words(s.Err)
	case !s.Asking.IsZero() && now.Sub(s.Asking) > patience || s.At.IsZero():
		c.Text = "has not answered yet"
	default:
		return out
	}
	// If the plugin is away, three questions fail with one error.
	if slices.ContainsFunc(out, func(o complaint) bool { return s.Err != nil && o.Text == c.Text }) {
		return out
	}
	return append(out, c)
}

package cluster

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/casit/berth/export"
	"github.com/casit/berth/rota"
)

// User is one node's use of a volume or a view of it.
type User struct {
	Volume string    `json:"volume"` // NAME or NAME@SNAPSHOT
	Node   string    `json:"node"`
	Since  time.Time `json:"since"`
	Mounts int       `json:"mounts"`
	State  Life      `json:"state"`
	Age    float64   `json:"heartbeat_age_seconds"`
	// Stale: it uses an old mount of the export; restart it to heal.
	Stale bool `json:"stale,omitempty"`
	// Fenced is the trash item that it writes to, if the volume was taken over
	// from its node.
	Fenced string `json:"fenced,omitempty"`
}

// LastSign says how old the node's last sign of life is.
func (u User) LastSign() string {
	if u.State == Unattended {
		return "its berth was stopped, its containers go on"
	}
	return fmt.Sprintf("heartbeat %s ago", time.Duration(u.Age*float64(time.Second)).Round(time.Second))
}

func (c *Cluster) user(l *Lease) User {
	life, age := c.Life(l.Node)
	u := User{Volume: l.Volume, Node: l.Node, Since: l.Since, State: life, Age: age.Seconds(), Mounts: len(l.Mounts)}
	current, fenced := 0, 0
	c.peer(l.Node, func(p *peer) { current = p.beat.Generation })
	for _, m := range l.Mounts {
		u.Stale = u.Stale || current != 0 && m.Generation != current
		if m.Fenced != "" {
			u.Fenced = m.Fenced
			fenced++
		}
	}
	if fenced > 0 && fenced == len(l.Mounts) {
		u.State = Fenced
	}
	return u
}

// OwnUse is this node's use of a name, from memory.
func (c *Cluster) OwnUse(name string) (u User, ok bool) {
	l, ok := c.uses.copy(name)
	if !ok || len(l.Mounts) == 0 {
		return User{}, false
	}
	return c.user(l), true
}

// Users reads who uses a name on all nodes, as of the last look at their
// heartbeats.
func (c *Cluster) Users(ctx context.Context, e *export.Export, name string) ([]User, error) {
	leases, err := readLeases(ctx, e.FS, name)
	if err != nil {
		return nil, err
	}
	out := make([]User, len(leases))
	for i, l := range leases {
		out[i] = c.user(l)
	}
	return out, nil
}

// seenUsers is who uses what, as it was read last.
type seenUsers struct {
	mu      sync.Mutex // guards byName
	byName  map[string][]User
	reading rota.Rota
}

// readAtOnce is how many names' leases are read at the same time.
const readAtOnce = 64

// ReadUsers reads who uses anything, for SeenUsers: as much as ctx lets it, and the
// next call goes on where this one stopped. whole tells whether it is all. Names
// whose leases cannot be read are reported and left out.
func (c *Cluster) ReadUsers(ctx context.Context, e *export.Export) (whole bool, err error) {
	names, err := LeasedNames(ctx, e.FS)
	if err != nil {
		return false, err
	}
	c.seenUsers.keep(names)
	return c.seenUsers.reading.Round(ctx, names, readAtOnce, func(ctx context.Context, name string) error {
		users, err := c.Users(ctx, e, name)
		if err == nil {
			c.seenUsers.set(name, users)
		}
		return c.passOver(ctx, e, "the leases of a volume cannot be read", name, err)
	})
}

// AllUsers reads who uses anything, by name.
func (c *Cluster) AllUsers(ctx context.Context, e *export.Export) (out []User, err error) {
	whole, err := c.ReadUsers(ctx, e)
	if err != nil || !whole {
		return nil, cmp.Or(err, ctx.Err())
	}
	c.seenUsers.mu.Lock()
	defer c.seenUsers.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(c.seenUsers.byName)) {
		out = append(out, c.seenUsers.byName[name]...)
	}
	return out, nil
}

// SeenUsers is who uses a name, from memory.
func (s *seenUsers) SeenUsers(name string) []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.byName[name])
}

// keep forgets names that nobody has a lease of any more.
func (s *seenUsers) keep(names []string) {
	there := map[string]bool{}
	for _, name := range names {
		there[name] = true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.byName, func(name string, _ []User) bool { return !there[name] })
}

func (s *seenUsers) set(name string, users []User) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byName == nil {
		s.byName = map[string][]User{}
	}
	s.byName[name] = users
}

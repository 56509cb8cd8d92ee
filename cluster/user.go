package cluster

import (
	"context"
	"fmt"
	"time"

	"github.com/casit/berth/export"
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

// AllUsers reads who uses anything. Names whose leases cannot be read are
// reported and left out.
func (c *Cluster) AllUsers(ctx context.Context, e *export.Export) ([]User, error) {
	names, err := LeasedNames(ctx, e.FS)
	if err != nil {
		return nil, err
	}
	var out []User
	for _, name := range names {
		users, err := c.Users(ctx, e, name)
		if err := c.passOver(ctx, e, "the leases of a volume cannot be read", name, err); err != nil {
			return nil, err
		}
		out = append(out, users...)
	}
	return out, nil
}

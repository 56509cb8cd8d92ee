package volume

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

// heartbeat says how old the node's last sign of life is.
func (u User) heartbeat() string {
	if u.State == Unattended {
		return "its berth was stopped, its containers go on"
	}
	return fmt.Sprintf("heartbeat %s ago", time.Duration(u.Age*float64(time.Second)).Round(time.Second))
}

func (s *Store) user(l *Lease) User {
	life, age := s.life(l.Node)
	u := User{Volume: l.Volume, Node: l.Node, Since: l.Since, State: life, Age: age.Seconds(), Mounts: len(l.Mounts)}
	current, fenced := s.generationOf(l.Node), 0
	for _, c := range l.Mounts {
		u.Stale = u.Stale || current != 0 && c.Generation != current
		if c.Fenced != "" {
			u.Fenced = c.Fenced
			fenced++
		}
	}
	if fenced > 0 && fenced == len(l.Mounts) {
		u.State = Fenced
	}
	return u
}

// generationOf is the mount generation that a node beat with last.
func (s *Store) generationOf(node string) int {
	s.peers.mu.Lock()
	defer s.peers.mu.Unlock()
	if p := s.peers.byName[node]; p != nil {
		return p.beat.Generation
	}
	return 0
}

// usersOf is who uses name as far as memory goes: the other nodes as of the
// last tick, this one as of now.
func (s *Store) usersOf(name string) []User {
	users := []User{}
	for _, u := range s.polled.usersOf(name) {
		if u.Node != s.cfg.Node {
			users = append(users, u)
		}
	}
	if l, ok := s.leases.copy(name); ok && len(l.Mounts) > 0 {
		users = append(users, s.user(l))
	}
	return users
}

// othersUsing reads the other nodes' leases of a name afresh.
func (s *Store) othersUsing(ctx context.Context, e *export.Export, name string) ([]User, error) {
	leases, err := readLeases(ctx, e.FS, name)
	if err != nil {
		return nil, err
	}
	var out []User
	for _, l := range leases {
		if l.Node != s.cfg.Node {
			out = append(out, s.user(l))
		}
	}
	return out, nil
}

// Users reads who uses volume, or every volume for "", with their views, from
// the export as it is now.
func (s *Store) Users(ctx context.Context, volume string) ([]User, error) {
	out := []User{}
	err := s.with(ctx, "list the users", func(e *export.Export) error {
		if err := s.poll(ctx, e); err != nil {
			return err
		}
		users, err := s.readUsers(ctx, e)
		for _, u := range users {
			if ref, _ := ParseRef(u.Volume); volume == "" || ref.Name == volume || u.Volume == volume {
				out = append(out, u)
			}
		}
		return err
	})
	return out, err
}

func (s *Store) readUsers(ctx context.Context, e *export.Export) ([]User, error) {
	names, err := leasedNames(ctx, e.FS)
	if err != nil {
		return nil, export.Absent(err)
	}
	var out []User
	for _, name := range names {
		leases, err := readLeases(ctx, e.FS, name)
		if err := s.passOver("the leases of a volume cannot be read", name, err); err != nil {
			return nil, err
		}
		for _, l := range leases {
			out = append(out, s.user(l))
		}
	}
	return out, nil
}

// silentHolder refuses to do what would leave a tree to a node that may still
// write to it, and that nobody may use then. taken over from, it has a tree of
// its own.
func (s *Store) silentHolder(ctx context.Context, e *export.Export, name string, meta *Meta) error {
	if !meta.single() {
		return nil
	}
	h, _, err := s.holderOf(ctx, e, name)
	if err != nil || h == nil || h.node == s.cfg.Node || s.over(h) {
		return err
	}
	return s.heldBy(name, h)
}

package reference

import (
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/text"
	"github.com/casit/berth/volume"
)

// Exact is a version that a plan has found. The job of the plan uses it and
// resolves nothing again. It means this snapshot and no other, also where
// another snapshot has the name by now.
type Exact struct {
	Volume   string    `json:"volume"`
	Snapshot text.Text `json:"snapshot,omitempty"` // its whole name
	// UUID and Time tell the snapshot from a later one of the same name; both are
	// zero where nobody knows them.
	UUID string    `json:"uuid,omitempty"`
	Time time.Time `json:"time,omitzero"`
	Path text.Text `json:"path,omitempty"`
	// Trash is the item that an undo puts back, instead of a snapshot.
	Trash string `json:"trash,omitempty"`
}

// ExactOf is the version of r in the snapshot s.
func ExactOf(r Ref, s Snapshot) *Exact {
	e := &Exact{Volume: r.Volume, Snapshot: text.Text(s.Name), Path: text.Text(r.Path), UUID: s.UUID}
	if !s.Named {
		e.Time = s.Time
	}
	return e
}

// Check refuses a version that no reference can name, and cleans the path:
// requests come from anywhere.
func (e *Exact) Check() error {
	if err := volume.CheckName(e.Volume); err != nil {
		return err
	}
	a := Asked{Ref: Ref{Volume: e.Volume}, after: string(e.Snapshot)}
	r, err := a.cut(string(e.Snapshot), string(e.Path))
	e.Path = text.Text(r.Path)
	return err
}

// Ref is the version as a reference.
func (e *Exact) Ref() Ref {
	return Ref{Volume: e.Volume, Snapshot: string(e.Snapshot), Path: string(e.Path)}
}

// Find finds the snapshot by its name, and refuses a later one of that name.
func (e *Exact) Find(all []Snapshot) (*Snapshot, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	hint := "'berth snapshot ls " + e.Volume + "' lists those that there are"
	for i, s := range all {
		if s.Name != string(e.Snapshot) {
			continue
		}
		if !e.is(s) {
			return nil, problem.New(problem.NotFound, hint, "no snapshot %q any more: the one of that name was made later", s.Name)
		}
		return &all[i], nil
	}
	return nil, problem.New(problem.NotFound, hint, "no snapshot %q any more", string(e.Snapshot))
}

// is tells whether s is the snapshot, by what both sides know.
func (e *Exact) is(s Snapshot) bool {
	switch {
	case e.UUID != "" && s.UUID != "":
		return e.UUID == s.UUID
	case e.UUID != "" || s.UUID != "" || s.Named:
		return true // the filer's API told one of them, and the name the other
	}
	return e.Time.IsZero() || s.Time.IsZero() || e.Time.Equal(s.Time)
}

package show

import (
	"time"

	"github.com/casit/berth/snapshot/reference"
)

// Times prints times: in the zone of the person who reads them, as of now.
type Times struct {
	Zone *time.Location
	UTC  bool
	Now  time.Time
}

// When is a time in a table: local, or UTC on request.
func (t Times) When(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case t.UTC:
		return at.UTC().Format("2006-01-02 15:04:05Z")
	}
	return at.In(t.Zone).Format(time.DateTime)
}

// Stamp is a time with its zone, as the times of versions are shown: it can be
// typed behind the @.
func (t Times) Stamp(at time.Time) string {
	if at.IsZero() || t.UTC {
		return t.When(at)
	}
	return at.In(t.Zone).Format(time.DateTime + " MST")
}

// Snapshot is a snapshot's time, marked where it is a guess.
func (t Times) Snapshot(s reference.Snapshot) string {
	if s.Approximate && !s.Time.IsZero() {
		return "~" + t.Stamp(s.Time)
	}
	return t.Stamp(s.Time)
}

// Made says when a snapshot was made, and how long ago.
func (t Times) Made(s reference.Snapshot) string {
	if s.Time.IsZero() {
		return "nobody says when it was made"
	}
	return t.Snapshot(s) + ", " + t.Ago(s.Time)
}

// Since is how long ago something was made. A time in the future is no age.
func (t Times) Since(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case at.Sub(t.Now) > reference.Skew:
		return "in the future"
	}
	return Age(t.Now.Sub(at).Seconds())
}

// Ago is since in a sentence.
func (t Times) Ago(at time.Time) string {
	if at.Sub(t.Now) > reference.Skew {
		return t.Since(at)
	}
	return t.Since(at) + " ago"
}

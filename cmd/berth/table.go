package main

import (
	"time"

	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
)

// times prints times: in the zone of the person who reads them, as of now.
type times struct {
	zone *time.Location
	utc  bool
	now  time.Time
}

// when is a time in a table: local, or UTC on request.
func (t times) when(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case t.utc:
		return at.UTC().Format("2006-01-02 15:04:05Z")
	}
	return at.In(t.zone).Format(time.DateTime)
}

// stamp is a time with its zone, as the times of versions are shown: it can be
// typed behind the @.
func (t times) stamp(at time.Time) string {
	if at.IsZero() || t.utc {
		return t.when(at)
	}
	return at.In(t.zone).Format(time.DateTime + " MST")
}

// snapshot is a snapshot's time, marked where it is a guess.
func (t times) snapshot(s snapshot.Snapshot) string {
	if s.Approximate && !s.Time.IsZero() {
		return "~" + t.stamp(s.Time)
	}
	return t.stamp(s.Time)
}

// made says when a snapshot was made, and how long ago.
func (t times) made(s snapshot.Snapshot) string {
	if s.Time.IsZero() {
		return "nobody says when it was made"
	}
	return t.snapshot(s) + ", " + t.ago(s.Time)
}

// since is how long ago something was made. A time in the future is no age.
func (t times) since(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case at.Sub(t.now) > snapshot.Skew:
		return "in the future"
	}
	return show.Age(t.now.Sub(at).Seconds())
}

// ago is since in a sentence.
func (t times) ago(at time.Time) string {
	if at.Sub(t.now) > snapshot.Skew {
		return t.since(at)
	}
	return t.since(at) + " ago"
}

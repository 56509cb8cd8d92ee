package reference

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/text"
)

// Snapshot is one snapshot of the export.
type Snapshot struct {
	Name string `json:"name"`
	// Time is when the snapshot was made; zero if nobody knows. Time is approximate
	// where it is the time of the snapshot's directory, and not the filer's word.
	Time        time.Time `json:"time,omitzero"`
	Approximate bool      `json:"approximate,omitempty"`
	// Origin is the label of the policy that made it, "berth", or "manual";
	// "" if the filer's API could not be asked.
	Origin  string `json:"origin,omitempty"`
	Comment string `json:"comment,omitempty"`
	// LockedUntil is until when the filer does not delete the snapshot, whoever
	// asks; zero where it is not locked, or the filer does not tell.
	LockedUntil time.Time `json:"locked_until,omitzero"`
	UUID        string    `json:"uuid,omitempty"`

	// Taken is what berth's own copies of volumes in it take on the disk, in bytes,
	// and Copies what each of them does, as far as it is known. A filer says of a
	// snapshot only how large its whole filesystem was, which is no version's size.
	Taken  int64            `json:"-"`
	Copies map[string]int64 `json:"-"`

	// WithoutAPI says why the filer's API did not answer, where .snapshot shows the
	// snapshot instead: the snapshot is there, and what is said of it is a guess.
	WithoutAPI string `json:"without_api,omitempty"`

	// Hidden: the filer has it, and the export does not show it. Nobody knows then
	// what is in it.
	Hidden bool `json:"hidden,omitempty"`

	Copied bool   `json:"-"` // the snapshot shares no file with the export
	Named  bool   `json:"-"` // Time was read from the name
	Day    string `json:"-"` // of a name with a day and no time: 2026-11-24
}

// Dir is the directory of the export that shows the snapshots. It is looked up,
// and never expected in a listing.
const Dir = ".snapshot"

// FromDirectory describes a snapshot by the name and the time of its directory. zone is
// the zone of times in names. Where the name has a day alone, the directory's
// time counts if it is of that day.
func FromDirectory(name string, changed time.Time, zone *time.Location) Snapshot {
	s := Snapshot{Name: name, Origin: OriginOf(name)}
	if s.Time, s.Named = timeFromName(name, zone); s.Named {
		s.Time = s.Time.UTC()
		return s
	}
	s.Approximate = true
	if y := changed.UTC().Year(); 0 < y && y < 9999 { // JSON has no others
		s.Time = changed.UTC()
	}
	if day, ok := dayFromName(name, zone); ok {
		if s.Day = day.Format(time.DateOnly); s.Time.In(zone).Format(time.DateOnly) != s.Day {
			s.Time, s.Named = day.UTC(), true
		}
	}
	return s
}

// ID tells a snapshot from a later snapshot with the same name.
func (s Snapshot) ID() string { return s.Name + " " + s.UUID + " " + s.Time.UTC().String() }

// Sort sorts snapshots newest first; those of unknown times come last, by name.
func Sort(all []Snapshot) {
	slices.SortStableFunc(all, func(a, b Snapshot) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		return strings.Compare(b.Name, a.Name)
	})
}

// dayOf is the snapshot's day: the day in its name, else the day of its time.
func (s Snapshot) dayOf(loc *time.Location) string {
	if s.Day != "" {
		return s.Day
	}
	return s.Time.In(loc).Format(time.DateOnly)
}

type plain Snapshot

// Wire is a Snapshot on its way through JSON, where a name that is no UTF-8 is beside
// itself as bytes: a file system takes any name for a snapshot.
type Wire struct {
	plain
	NameB64 []byte `json:"name_b64,omitempty"`
}

// Wire is what is written of s.
func (s Snapshot) Wire() Wire { return Wire{plain(s), text.B64(s.Name)} }

// Snapshot is what was written.
func (w Wire) Snapshot() Snapshot {
	if w.NameB64 != nil {
		w.Name = string(w.NameB64)
	}
	return Snapshot(w.plain)
}

// MarshalJSON keeps every byte of the name.
func (s Snapshot) MarshalJSON() ([]byte, error) { return json.Marshal(s.Wire()) }

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Snapshot) UnmarshalJSON(data []byte) error {
	var w Wire
	err := json.Unmarshal(data, &w)
	*s = w.Snapshot()
	return err
}

package snapshot

import "time"

// Snapshot is one snapshot of the export.
type Snapshot struct {
	Name string `json:"name"`
	// Time is when it was made; zero if nobody knows. It is approximate where
	// it is not the filer's word but the time of the snapshot's directory.
	Time        time.Time `json:"time,omitzero"`
	Approximate bool      `json:"approximate,omitempty"`
	// Origin is the label of the policy that made it, "berth", or "manual";
	// "" if the filer's API could not be asked.
	Origin  string `json:"origin,omitempty"`
	Comment string `json:"comment,omitempty"`
	// SizeBytes is what the filer says that it holds alone; 0 if unknown.
	SizeBytes int64  `json:"size_bytes,omitempty"`
	UUID      string `json:"uuid,omitempty"`

	// copied: it shares no file with the export.
	copied bool
	named  bool   // the time was read from the name
	day    string // where the name has a day alone: 2026-11-24
}

package plugin

import (
	"time"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/sweep"
	"github.com/casit/berth/volume"
)

// The operator's routes are on the same socket as Docker's. Requests and answers
// are JSON; the answers have the fields of the commands' --json. Failure has the
// kind and the words of an error:
//
//	POST /Berth.TrashRestore {"which":"site1"}
//	{"Err":"a volume \"site1\" exists","Hint":"bring it back …","Kind":"in-use"}

// Failure is the answer of a request that failed.
type Failure struct {
	Err  string       // reason and hint, as Docker shows them
	Kind problem.Kind `json:",omitempty"`
	// Reason and Hint are the two parts of Err.
	Reason string `json:",omitempty"`
	Hint   string `json:",omitempty"`
}

// Error is the reason.
func (f *Failure) Error() string { return f.Reason }

// Empty is a request or an answer without fields.
type Empty struct{}

// About is the answer to Berth.Version.
type About struct {
	Version string             `json:"version"`
	Node    string             `json:"node"`
	Export  string             `json:"export"`
	ID      string             `json:"export_id"`
	Health  string             `json:"health"`
	Mount   string             `json:"mount"`
	Metrics string             `json:"metrics,omitempty"` // their address, if they are served
	Nodes   []cluster.NodeInfo `json:"nodes"`
}

// InspectRequest asks for volumes; no name means all. Size asks also for what they
// hold, Walk for that without the counts of a filer.
type InspectRequest struct {
	Names []string `json:"names"`
	Size  bool     `json:"size"`
	Walk  bool     `json:"walk,omitempty"`
}

// Volumes is the answer to Berth.VolumeInspect.
type Volumes struct {
	Volumes []*volume.Info `json:"volumes"`
}

// Names is the answer to Berth.VolumeNames.
type Names struct {
	Names []string `json:"names"`
}

// NameRequest names one volume.
type NameRequest struct {
	Name   string `json:"name"`
	DryRun bool   `json:"dry_run"`
}

// UsersRequest names one volume, or all volumes by "". Late asks also for the late
// writes into fenced trees, which reads those trees.
type UsersRequest struct {
	Name string `json:"name"`
	Late bool   `json:"late,omitempty"`
}

// Users is the answer to Berth.VolumeUsers.
type Users struct {
	Users []cluster.User     `json:"users"`
	Locks []cluster.Lock     `json:"operations"`
	Jobs  []*job.Job         `json:"jobs"` // unfinished
	Nodes []cluster.NodeInfo `json:"nodes"`
	// Fenced are the fenced trees in the trash, with the late writes of their
	// nodes.
	Fenced []*volume.Trashed `json:"fenced"`
}

// SetRequest changes options. An empty value sets the default.
type SetRequest struct {
	Name    string            `json:"name"`
	Options map[string]string `json:"options"`
}

// TakeoverRequest takes a volume over from its holder, a silent node.
type TakeoverRequest struct {
	Name   string `json:"name"`
	From   string `json:"from"`
	DryRun bool   `json:"dry_run"`
	Force  bool   `json:"force,omitempty"` // also where there seems to be no room
}

// ReleaseRequest takes back this node's mount references to a volume that are
// older than Older.
type ReleaseRequest struct {
	Name   string        `json:"name"`
	Older  time.Duration `json:"older_ns"`
	DryRun bool          `json:"dry_run"`
}

// Released is the answer to Berth.VolumeRelease: how many mount references were
// taken back, and how many were too young.
type Released struct {
	Gone  int `json:"gone"`
	Young int `json:"young"`
}

// Trash is the answer to Berth.TrashList and Berth.TrashPurge.
type Trash struct {
	Items []*volume.Trashed `json:"items"`
	// Stuck are purged trees that are still there after an hour.
	Stuck []sweep.Stuck `json:"stuck,omitempty"`
}

// TrashRestoreRequest names a trash item by its id or its volume.
type TrashRestoreRequest struct {
	Which string `json:"which"`
	As    string `json:"as"`
}

// TrashRestored is the answer to Berth.TrashRestore.
type TrashRestored struct {
	Name string          `json:"name"`
	Item *volume.Trashed `json:"item"`
}

// TrashPurgeRequest selects trash items to delete for good.
type TrashPurgeRequest struct {
	IDs    []string      `json:"ids"`
	Older  time.Duration `json:"older_ns"`
	DryRun bool          `json:"dry_run"`
}

// ImportRequest asks for Convoy's volumes; the answer is a *convoy.Report.
type ImportRequest struct {
	DryRun bool `json:"dry_run"`
	Adopt  bool `json:"adopt_orphans"`
	Undo   bool `json:"undo"`
}

// AuditRequest selects audit records.
type AuditRequest struct {
	Volume string    `json:"volume"`
	Since  time.Time `json:"since"`
}

// Audit is the answer to Berth.Audit.
type Audit struct {
	Records []audit.Record `json:"records"`
}

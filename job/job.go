package job

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
)

// State is how far a job has come.
type State string

// The states of a job. Before Swapping, the volumes are as they were
// (but for files that a live restore has replaced); from it on, any node that
// finds the job's owner dead completes it.
const (
	Prepared State = "prepared" // written down; nothing is locked or copied
	Copying  State = "copying"
	Swapping State = "swapping" // every tree is complete
	Swapped  State = "swapped"  // done, but for what was stopped
	Failed   State = "failed"   // the volumes are as they were; see Error

	// Unreadable is one whose journal cannot be read, see Error: nothing is
	// done to its trees. Its volumes are those that are locked for it. Never on
	// the export.
	Unreadable State = "unreadable"
)

// Job is .berth/staging/ID/journal.json: an operation that brings other trees
// into the place of volumes, outlives the request that began it, and can be
// resumed or aborted after a crash. Its trees are beside the journal.
type Job struct {
	Version int        `json:"version"`
	ID      string     `json:"id"`
	Op      cluster.Op `json:"op"`
	State   State      `json:"state"`
	Live    bool       `json:"live,omitempty"` // containers go on meanwhile
	// Small: what it brings is possible on a full export (export.Small).
	Small bool `json:"small,omitempty"`
	// Force: the administrator wants it where there seems to be no room for it.
	Force       bool      `json:"force,omitempty"`
	Engine      string    `json:"engine"`
	Node        string    `json:"node"`
	Incarnation string    `json:"incarnation"`
	By          string    `json:"by,omitempty"`
	Since       time.Time `json:"since"`
	Items       []Item    `json:"items"`
	Error       string    `json:"error,omitempty"`
	// From and Epoch are the node from which a takeover takes its volume, and
	// the epoch in which that node holds it.
	From  string `json:"from,omitempty"`
	Epoch uint64 `json:"epoch,omitempty"`
	// Unattended: From's berth was stopped with containers going on, and the
	// administrator says that the node is off. Began is when the new tree was
	// begun, in the export's time.
	Unattended bool      `json:"unattended,omitempty"`
	Began      time.Time `json:"began,omitzero"`

	// Reads is the version that a clone copies, VOLUME@SNAPSHOT, "" if it copies a
	// volume as it is.
	Reads string `json:"reads,omitempty"`

	// Keep is how long what was there is kept in trash; 0 for the setting.
	Keep time.Duration `json:"keep_ns,omitempty"`
	// Request and Stopped are the caller's: what was asked for, to run it
	// again, and what has to be started when the job is over.
	Request json.RawMessage `json:"request,omitempty"`
	Stopped json.RawMessage `json:"stopped,omitempty"`

	// Interrupted: its owner is dead. Never on the export.
	Interrupted bool `json:"interrupted,omitempty"`

	why error // of Unreadable

	// Sign is that of From when the takeover began. Never on the export.
	Sign *cluster.Sign `json:"-"`
}

// Fits implements export.Record: the journal is of the job that its place says, and
// each tree comes from and goes to where such a job has trees.
func (j *Job) Fits(name string) error {
	err := cmp.Or(export.CheckVersion(j.Version), export.CheckTime(j.Since, j.Began))
	switch {
	case err != nil:
		return err
	case j.ID != path.Base(path.Dir(name)) || !export.IsItem(j.ID, export.JobPrefix):
		return export.Unfit("belongs to job %q", j.ID)
	case !j.Op.HasJob() && j.Op != cluster.OpClone, !slices.Contains([]State{Prepared, Copying, Swapping, Swapped, Failed}, j.State), len(j.Items) == 0, !export.IsName(j.Node):
		return export.Unfit("is a %q in the state %q of %d volumes", j.Op, j.State, len(j.Items))
	}
	for _, it := range j.Items {
		_, kept := cutTrash(it.From)
		switch {
		case !export.IsName(it.Volume) || it.Dest != it.Volume && !export.IsBelow(it.Volume, it.Dest):
			return export.Unfit("brings %q to %q", it.Volume, it.Dest)
		case it.From != "" && !kept && !export.IsBelow(j.Dir(), it.From) && !export.IsBelow(path.Join(it.Volume, tree.Inside), it.From):
			return export.Unfit("takes %q from %q", it.Volume, it.From)
		case it.Trash != "" && !export.IsItem(it.Trash):
			return export.Unfit("keeps %q in %q", it.Volume, it.Trash)
		}
	}
	return nil
}

// cutTrash returns the item of the trash whose tree a path below the export is.
func cutTrash(name string) (id string, ok bool) {
	id, ok = strings.CutPrefix(path.Dir(name), export.TrashDir+"/")
	return id, ok && export.IsItem(id) && name == export.TrashData(id)
}

// Item is one tree of a job.
type Item struct {
	Volume string `json:"volume"` // locked while the job runs
	Ref    string `json:"ref"`    // what it is brought back to
	Dest   string `json:"dest"`   // below the export: VOLUME, or a path in it
	// From is the tree that goes to Dest, below the export; "" if the job
	// changes files in place.
	From string `json:"from,omitempty"`
	// Trash is the id under which what was at Dest is kept; "" if nothing may
	// be there.
	Trash string `json:"trash,omitempty"`
	// Old and New are the file ids of the two trees, known from Swapping on.
	// They tell what has happened from what has not.
	Old uint64 `json:"old,omitempty"`
	New uint64 `json:"new,omitempty"`
	// Meta is what the volume gets if it does not exist: also one that is
	// removed while the job is prepared.
	Meta json.RawMessage `json:"meta,omitempty"`
	// Plan is the caller's: how From is made.
	Plan json.RawMessage `json:"plan,omitempty"`
}

// Dir is the job's own directory below the export.
func (j *Job) Dir() string { return path.Join(export.StagingDir, j.ID) }

// Status says how far a job is, and what to type if nobody goes on with it.
func (j *Job) Status() string {
	switch {
	case j.State == Unreadable:
		return j.Error
	case j.Op == cluster.OpTakeover:
		return fmt.Sprintf("takeover from %s %s", j.From, j.State)
	case j.Waits():
		state := string(j.State)
		if j.Interrupted {
			state = "interrupted"
		}
		return fmt.Sprintf("%s %s: 'berth snapshot restore --resume %s' or '--abort %s'", j.Op, state, j.Volumes()[0], j.Volumes()[0])
	}
	return fmt.Sprintf("%s %s", j.Op, j.State)
}

// Waits tells whether nothing goes on until somebody resumes or aborts the job.
func (j *Job) Waits() bool {
	return j.State == Unreadable || j.Op != cluster.OpTakeover && j.Op != cluster.OpClone && (j.Interrupted || j.State == Failed || j.State == Swapped || j.State == Prepared)
}

// spends is ctx for the records of the job. An undo and what is small are possible on a
// full export.
func (j *Job) spends(ctx context.Context) context.Context {
	if j.Op == cluster.OpUndo || j.Small {
		return export.Spend(ctx)
	}
	return ctx
}

// Volumes are the names of the job's volumes, each once, sorted.
func (j *Job) Volumes() []string {
	var names []string
	for _, it := range j.Items {
		names = append(names, it.Volume)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// blocks is the answer to a job on a volume that has this one.
func (j *Job) blocks(name string) error {
	if j.State == Unreadable {
		return unreadableJob(j.ID, j.why)
	}
	if j.Op == cluster.OpClone {
		return (&cluster.Lock{Op: j.Op, Volume: name, Node: j.Node}).Busy()
	}
	if j.Op == cluster.OpTakeover {
		return problem.New(problem.InUse, "try again in a moment", "volume %q is being taken over from %s, on %s", name, j.From, j.Node)
	}
	way := fmt.Sprintf("'berth snapshot restore --resume %s' completes it, '--abort %s' ends it", name, name)
	switch {
	case j.State == Prepared:
		return problem.New(problem.InUse, "wait, or if its command line is gone: "+way, "a %s of volume %q is being prepared on %s", j.Op, name, j.Node)
	case j.Interrupted || j.State == Failed || j.State == Swapped:
		return problem.New(problem.InUse, way, "a %s of volume %q was interrupted on %s", j.Op, name, j.Node)
	}
	return problem.New(problem.InUse, fmt.Sprintf("wait for it; 'berth volume ps %s' shows how far it is", name), "a %s of volume %q is under way on %s", j.Op, name, j.Node)
}

// ErrSessionEnds is in the cause of the context of a job that is to be left as
// it is, so that it can be resumed: the session that carries it out ends.
var ErrSessionEnds = errors.New("the session ends")

// interrupted is the end of a job whose session ends.
func (j *Job) interrupted(why error) error {
	return problem.New(problem.Failed, j.ways(), "the %s of volume %q was interrupted on %s: %v", j.Op, j.Volumes()[0], j.Node, why).Because(why)
}

func (j *Job) incomplete() error {
	return problem.New(problem.Failed, "it is completed as soon as the export allows", "the %s was not completed", j.Op)
}

// ways is how a job that nobody is at work on goes on.
func (j *Job) ways() string {
	if j.Op == cluster.OpTakeover {
		return fmt.Sprintf("'berth volume takeover %s --from %s' begins it anew", j.Items[0].Volume, j.From)
	}
	name := j.Volumes()[0]
	return fmt.Sprintf("'berth snapshot restore --resume %s' completes it, '--abort %s' ends it", name, name)
}

// End tells whether nobody is at work on a job that this process does not run,
// and why it is not done. Only a job that has swapped its trees ends without an
// error.
func (j *Job) End() (over bool, err error) {
	switch {
	case j.State == Swapped:
		return true, nil
	case j.State == Unreadable:
		return true, unreadableJob(j.ID, j.why)
	case j.State == Failed:
		return true, &problem.Error{Kind: problem.Failed, Reason: j.Error}
	case j.State == Prepared:
		return true, problem.New(problem.Failed, j.ways(), "the %s of volume %q was never begun", j.Op, j.Volumes()[0])
	case j.State == Swapping && j.Interrupted:
		return true, j.incomplete()
	case j.Interrupted:
		return true, problem.New(problem.Failed, j.ways(), "the %s of volume %q was interrupted on %s and is not done", j.Op, j.Volumes()[0], j.Node)
	}
	return false, nil
}

func noJob(id string) error {
	return problem.New(problem.NotFound, "'berth volume ps' lists what is under way", "no job %q", id)
}

func unreadableJob(id string, why error) *problem.Error {
	return problem.New(problem.Failed, fmt.Sprintf("nothing was changed; upgrade berth if a newer one has written it, or 'berth volume repair %s'", export.JournalPath(id)),
		"the journal %s is not readable by this berth: %v", export.JournalPath(id), export.Why(why)).Because(why)
}

// MarshalJSON writes the item; dest_b64 is beside a dest that is no UTF-8.
func (i Item) MarshalJSON() ([]byte, error) {
	type fields Item
	return json.Marshal(struct {
		fields
		DestB64 []byte `json:"dest_b64,omitempty"`
	}{fields(i), text.B64(i.Dest)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (i *Item) UnmarshalJSON(data []byte) error {
	type fields Item
	in := struct {
		*fields
		DestB64 []byte `json:"dest_b64"`
	}{fields: (*fields)(i)}
	err := json.Unmarshal(data, &in)
	if in.DestB64 != nil {
		i.Dest = string(in.DestB64)
	}
	return err
}

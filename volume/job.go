package volume

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/text"
	"github.com/casit/berth/tree"
)

// JobState is how far a job has come.
type JobState string

// The states of a job. Before JobSwapping, the volumes are as they were
// (but for files that a live restore has replaced); from it on, any node that
// finds the job's owner dead completes it.
const (
	JobPrepared JobState = "prepared" // written down; nothing is locked or copied
	JobCopying  JobState = "copying"
	JobSwapping JobState = "swapping" // every tree is complete
	JobSwapped  JobState = "swapped"  // done, but for what was stopped
	JobFailed   JobState = "failed"   // the volumes are as they were; see Error

	// JobUnreadable is one whose journal cannot be read, see Error: nothing is
	// done to its trees. Its volumes are those that are locked for it. Never on
	// the export.
	JobUnreadable JobState = "unreadable"
)

// Job is .berth/staging/ID/journal.json: an operation that brings other trees
// into the place of volumes, outlives the request that began it, and can be
// resumed or aborted after a crash. Its trees are beside the journal.
type Job struct {
	Version     int        `json:"version"`
	ID          string     `json:"id"`
	Op          cluster.Op `json:"op"`
	State       JobState   `json:"state"`
	Live        bool       `json:"live,omitempty"` // containers go on meanwhile
	Engine      string     `json:"engine"`
	Node        string     `json:"node"`
	Incarnation string     `json:"incarnation"`
	By          string     `json:"by,omitempty"`
	Since       time.Time  `json:"since"`
	Items       []JobItem  `json:"items"`
	Error       string     `json:"error,omitempty"`
	// From and Epoch are the node from which a takeover takes its volume, and
	// the epoch in which that node holds it.
	From  string `json:"from,omitempty"`
	Epoch uint64 `json:"epoch,omitempty"`
	// Unattended: From's berth was stopped with containers going on, and the
	// administrator says that the node is off. Began is when the new tree was
	// begun, in the export's time.
	Unattended bool      `json:"unattended,omitempty"`
	Began      time.Time `json:"began,omitzero"`

	// Keep is how long what was there is kept in trash; 0 for the setting.
	Keep time.Duration `json:"keep_ns,omitempty"`
	// Request and Stopped are the caller's: what was asked for, to run it
	// again, and what has to be started when the job is over.
	Request json.RawMessage `json:"request,omitempty"`
	Stopped json.RawMessage `json:"stopped,omitempty"`

	// Interrupted: its owner is dead. Never on the export.
	Interrupted bool `json:"interrupted,omitempty"`

	sign *cluster.Sign // of From, when the takeover began
}

// JobItem is one tree of a job.
type JobItem struct {
	Volume string `json:"volume"` // locked while the job runs
	Ref    string `json:"ref"`    // what it is brought back to
	Dest   string `json:"dest"`   // below the export: VOLUME, or a path in it
	// From is the tree that goes to Dest, below the export; "" if the job
	// changes files in place.
	From string `json:"from,omitempty"`
	// Trash is the id under which what was at Dest is kept; "" if nothing may
	// be there.
	Trash string `json:"trash,omitempty"`
	// Old and New are the file ids of the two trees, known from JobSwapping on.
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
	case j.State == JobUnreadable:
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
	return j.State == JobUnreadable || j.Op != cluster.OpTakeover && (j.Interrupted || j.State == JobFailed || j.State == JobSwapped || j.State == JobPrepared)
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

// PrepareJob writes a new job down. Op, Items and the caller's fields are
// given, the rest is filled in. It refuses volumes that have an unfinished job.
func (s *Store) PrepareJob(ctx context.Context, j *Job) error {
	return s.with(ctx, "prepare a "+string(j.Op), func(e *export.Export) error {
		if err := s.checkJobs(ctx, e, j.Volumes()); err != nil {
			return err
		}
		j.Version, j.ID, j.State = export.FormatVersion, export.JobPrefix+s.conn.NewID(), JobPrepared
		j.By, _ = ctx.Value(callerKey{}).(string)
		j.Since = s.cfg.Now().UTC().Truncate(time.Second)
		s.own(j)
		// A job has its journal from the moment that it has its name; what a
		// crash leaves before is swept.
		tmp := path.Join(export.StagingDir, export.TmpPrefix+j.ID)
		if err := export.Mkdir(ctx, e.FS, tmp); err != nil {
			return err
		}
		if err := e.Replace(ctx, path.Join(tmp, "journal.json"), j); err != nil {
			return err
		}
		return e.FS.Rename(ctx, tmp, j.Dir())
	})
}

// CheckJobs refuses volumes that have an unfinished job, and says what to type.
func (s *Store) CheckJobs(ctx context.Context, names []string) error {
	return s.with(ctx, "look for jobs", func(e *export.Export) error { return s.checkJobs(ctx, e, names) })
}

func (s *Store) checkJobs(ctx context.Context, e *export.Export, names []string) error {
	jobs, err := s.jobList(ctx, e)
	if err != nil {
		return err
	}
	for _, j := range jobs {
		for _, v := range j.Volumes() {
			if slices.Contains(names, v) {
				return j.blocks(v)
			}
		}
	}
	return nil
}

func (s *Store) own(j *Job) { j.Node, j.Incarnation = s.cfg.Node, s.Cluster.Incarnation() }

// blocks is the answer to a job on a volume that has this one.
func (j *Job) blocks(name string) error {
	if j.State == JobUnreadable {
		return unreadableJob(j.ID)
	}
	if j.Op == cluster.OpTakeover {
		return problem.New(problem.InUse, "try again in a moment", "volume %q is being taken over from %s, on %s", name, j.From, j.Node)
	}
	way := fmt.Sprintf("'berth snapshot restore --resume %s' completes it, '--abort %s' ends it", name, name)
	switch {
	case j.State == JobPrepared:
		return problem.New(problem.InUse, "wait, or if its command line is gone: "+way, "a %s of volume %q is being prepared on %s", j.Op, name, j.Node)
	case j.Interrupted || j.State == JobFailed || j.State == JobSwapped:
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
	case j.State == JobSwapped:
		return true, nil
	case j.State == JobUnreadable:
		return true, unreadableJob(j.ID)
	case j.State == JobFailed:
		return true, &problem.Error{Kind: problem.Failed, Reason: j.Error}
	case j.State == JobPrepared:
		return true, problem.New(problem.Failed, j.ways(), "the %s of volume %q was never begun", j.Op, j.Volumes()[0])
	case j.State == JobSwapping && j.Interrupted:
		return true, j.incomplete()
	case j.Interrupted:
		return true, problem.New(problem.Failed, j.ways(), "the %s of volume %q was interrupted on %s and is not done", j.Op, j.Volumes()[0], j.Node)
	}
	return false, nil
}

// Jobs lists the unfinished jobs of all nodes, oldest first.
func (s *Store) Jobs(ctx context.Context) ([]*Job, error) {
	out := []*Job{}
	err := s.with(ctx, "list the jobs", func(e *export.Export) error {
		jobs, err := s.jobList(ctx, e)
		out = append(out, jobs...)
		return err
	})
	return out, err
}

// Job returns one job, by its id.
func (s *Store) Job(ctx context.Context, id string) (j *Job, err error) {
	err = s.with(ctx, "read the journal", func(e *export.Export) error {
		if j, err = s.readJob(ctx, e, id); err == nil && j == nil {
			err = noJob(id)
		}
		return err
	})
	return j, err
}

func noJob(id string) error {
	return problem.New(problem.NotFound, "'berth volume ps' lists what is under way", "no job %q", id)
}

func (s *Store) jobList(ctx context.Context, e *export.Export) ([]*Job, error) {
	ids, err := export.Pick(ctx, e.FS, export.StagingDir, func(d tree.Entry) (string, bool) {
		return d.Name, len(d.Name) > len(export.JobPrefix) && strings.HasPrefix(d.Name, export.JobPrefix)
	})
	if err != nil {
		return nil, export.Absent(err)
	}
	var out []*Job
	for _, id := range ids {
		j, err := s.readJob(ctx, e, id)
		if err != nil && problem.OfExport(err) {
			return nil, err
		}
		if err != nil {
			if j, err = s.unreadableJob(ctx, e, id); err != nil {
				return nil, err
			}
		}
		if j != nil {
			out = append(out, j)
		}
	}
	slices.SortStableFunc(out, func(a, b *Job) int { return a.Since.Compare(b.Since) })
	return out, nil
}

// unreadableJob is a job of which only the locks tell.
func (s *Store) unreadableJob(ctx context.Context, e *export.Export, id string) (*Job, error) {
	locks, err := cluster.Locks(ctx, e.FS)
	if err != nil {
		return nil, err
	}
	j := &Job{ID: id, State: JobUnreadable, Error: unreadableJob(id).Reason}
	for _, l := range locks {
		if l.Work == id {
			j.Op, j.Node, j.Since = l.Op, l.Node, l.Since
			j.Items = append(j.Items, JobItem{Volume: l.Volume})
		}
	}
	return j, nil
}

func unreadableJob(id string) *problem.Error {
	return problem.New(problem.Failed, "nothing was changed; move its directory away on the export to go on", "the journal %s is not readable by this berth", export.JournalPath(id))
}

// readJob returns a job, nil if there is none. A journal that cannot be read
// is an error: nothing is done to its trees.
func (s *Store) readJob(ctx context.Context, e *export.Export, id string) (*Job, error) {
	if path.Base(id) != id {
		return nil, nil
	}
	var j Job
	err := export.Read(ctx, e.FS, export.JournalPath(id), &j)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case export.IsBroken(err), err == nil && (j.ID != id || j.Version != export.FormatVersion):
		return nil, unreadableJob(id)
	}
	if why, ok := s.unsaved.Load(id); ok && j.State == JobCopying {
		j.State, j.Error = JobFailed, why.(string)
	}
	j.Interrupted = (j.State == JobCopying || j.State == JobSwapping) && s.Cluster.Gone(j.Node, j.Incarnation)
	return &j, err
}

// saveJob writes a job's state down.
func (s *Store) saveJob(ctx context.Context, e *export.Export, j *Job) error {
	saved := *j
	saved.Interrupted = false
	return e.Replace(ctx, export.JournalPath(j.ID), &saved)
}

// RunJob carries a prepared or interrupted job out: it locks the volumes,
// refuses unless live is allowed while anybody uses one, has fill make every
// From below the job's directory, and swaps. After an error before the swap
// the volumes are as they were, and the job has failed; after one during the
// swap it is completed as soon as the export allows. Cancelling ctx ends fill,
// never a swap.
func (s *Store) RunJob(ctx context.Context, id string, fill func(ctx context.Context, fsys tree.FS, j *Job) error) (*Job, error) {
	var j *Job
	err := s.with(ctx, "run the job", func(e *export.Export) (err error) {
		if j, err = s.readJob(ctx, e, id); err != nil {
			return err
		}
		if j == nil {
			return noJob(id)
		}
		unlock, err := s.lockAll(ctx, e, j)
		if err != nil {
			return err
		}
		if j.State == JobSwapping || j.State == JobSwapped {
			// Somebody finished it, or lockAll just did.
			unlock(true)
			if j, err = s.readJob(ctx, e, id); err == nil && j == nil {
				err = noJob(id)
			}
			return err
		}
		err = s.runLocked(ctx, e, j, fill)
		unlock(j.State != JobSwapping)
		return err
	})
	if err == nil && j.State == JobSwapping {
		err = j.incomplete()
	}
	return j, s.conn.Explain(string(cluster.OpRestore), err)
}

// lockAll takes the locks of the job's volumes in the order of their names.
// The function it returns gives them back; not done, they are left to be
// finished like a dead node's.
func (s *Store) lockAll(ctx context.Context, e *export.Export, j *Job) (unlock func(done bool), err error) {
	var held []*cluster.Locking
	unlock = func(done bool) {
		for _, l := range held {
			if done {
				l.Unlock(ctx)
			} else {
				l.Leave()
			}
		}
	}
	for _, name := range j.Volumes() {
		l, err := s.lockOne(ctx, e, j, name)
		if err != nil {
			unlock(true)
			return nil, err
		}
		held = append(held, l)
	}
	return unlock, nil
}

func (s *Store) lockOne(ctx context.Context, e *export.Export, j *Job, name string) (*cluster.Locking, error) {
	end, err := s.Cluster.Turn(ctx, name)
	if err != nil {
		return nil, err
	}
	defer end()
	return s.Cluster.Lock(ctx, e, cluster.Lock{Op: j.Op, Volume: name, Work: j.ID})
}

// runLocked is RunJob under the locks. A panic is the job's failure.
func (s *Store) runLocked(ctx context.Context, e *export.Export, j *Job, fill func(ctx context.Context, fsys tree.FS, j *Job) error) error {
	s.own(j)
	j.State, j.Error, j.Interrupted = JobCopying, "", false
	if err := s.saveJob(ctx, e, j); err != nil {
		return err
	}
	s.unsaved.Delete(j.ID)
	done := context.WithoutCancel(ctx)
	err := guard.Run(func() error { return s.bring(ctx, e, j, fill) })
	switch {
	case err == nil:
		return guard.Run(func() error { return s.swapAll(done, e, j) })
	case errors.Is(context.Cause(ctx), ErrSessionEnds):
		return j.interrupted(context.Cause(ctx)) // the journal says "copying": the next start of this node finds it so
	}
	j.State, j.Error = JobFailed, err.Error()
	if s.saveJob(done, e, j) != nil {
		s.unsaved.Store(j.ID, j.Error)
	}
	return err
}

// bring checks the volumes, makes their new trees, and writes down that the swap
// begins.
func (s *Store) bring(ctx context.Context, e *export.Export, j *Job, fill func(ctx context.Context, fsys tree.FS, j *Job) error) error {
	err := s.checkJob(ctx, e, j)
	if err == nil && j.Op == cluster.OpTakeover {
		err = s.checkTakeover(ctx, e, j)
	}
	if err == nil && fill != nil {
		err = fill(ctx, e.FS, j)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil && j.Op == cluster.OpTakeover {
		err = s.checkTakeover(ctx, e, j)
	}
	if err == nil {
		err = s.plan(context.WithoutCancel(ctx), e, j)
	}
	return err
}

// checkJob refuses volumes that are in use, unless the job is live, those
// whose metadata nobody understands, and those with something mounted in them.
func (s *Store) checkJob(ctx context.Context, e *export.Export, j *Job) error {
	if err := s.Cluster.Poll(ctx, e); err != nil {
		return err
	}
	for _, name := range j.Volumes() {
		meta, err := readMeta(ctx, e.FS, name)
		if err != nil {
			return err
		}
		if err := checkMounts(ctx, e, name); err != nil {
			return err
		}
		if j.Live || j.Op == cluster.OpTakeover {
			continue // checkTakeover looks at the holder
		}
		if err := s.silentHolder(ctx, e, name, meta); err != nil {
			return err
		}
		users, err := s.holders(ctx, e, name)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return inUse(name, users)
		}
	}
	return nil
}

// holders lists who uses a volume, this node too; those whose node has been
// silent for its whole lease no longer count.
func (s *Store) holders(ctx context.Context, e *export.Export, name string) ([]cluster.User, error) {
	users, err := s.Cluster.Users(ctx, e, name)
	return slices.DeleteFunc(users, func(u cluster.User) bool { return !u.State.Holds() }), err
}

func inUse(name string, users []cluster.User) error {
	where := ""
	for i, u := range users {
		if i > 0 {
			where += ", "
		}
		where += fmt.Sprintf("%s (%s)", u.Node, u.LastSign())
	}
	return problem.New(problem.InUse, "--stop stops what uses it, restores, and starts it again; --live replaces changed files while it runs",
		"volume %q is in use on %s", name, where)
}

// plan notes which tree is which, and that from here on the job goes forward.
func (s *Store) plan(ctx context.Context, e *export.Export, j *Job) error {
	for i := range j.Items {
		it := &j.Items[i]
		if it.From == "" {
			continue
		}
		a, err := e.FS.Stat(ctx, it.From)
		if err != nil {
			return err
		}
		it.New = a.FileID
		there, err := fileID(ctx, e.FS, it.Dest)
		if err != nil {
			return err
		}
		it.Old = there
		switch {
		case there == 0:
			it.Trash = ""
			if err := s.freshItem(ctx, e, it); err != nil {
				return err
			}
		case it.Trash == "":
			return problem.New(problem.InUse, "choose another name", "%q exists", it.Dest)
		}
	}
	j.State = JobSwapping
	return s.saveJob(ctx, e, j)
}

// EndJob forgets a job that is at its end, done or failed: what was stopped for
// it has been started, or is not going to be. Its trees, if it has any left, are
// deleted in the background. It refuses a job that may still be resumed.
func (s *Store) EndJob(ctx context.Context, id string) error { return s.endJob(ctx, id, false) }

// AbortJob forgets a job that nobody is at work on, also one that was prepared
// and never begun, or interrupted. A swap that has begun is never aborted.
func (s *Store) AbortJob(ctx context.Context, id string) error { return s.endJob(ctx, id, true) }

func (s *Store) endJob(ctx context.Context, id string, abort bool) error {
	return s.with(ctx, "end the job", func(e *export.Export) error {
		j, err := s.readJob(ctx, e, id)
		if err != nil || j == nil {
			return err
		}
		switch {
		case j.State == JobSwapped, j.State == JobFailed, abort && (j.State == JobPrepared || j.State == JobCopying && j.Interrupted):
		default:
			return j.blocks(j.Items[0].Volume)
		}
		if err := s.discardStaging(ctx, e, id); err != nil {
			return err
		}
		s.unsaved.Delete(id)
		if j.State != JobSwapped && j.State != JobPrepared {
			for _, name := range j.Volumes() {
				s.audit(ctx, e, AuditRecord{Op: string(j.Op) + " aborted", Volume: name, Detail: j.Error})
			}
		}
		s.sweepSoon()
		return nil
	})
}

// MarshalJSON writes the item; dest_b64 is beside a dest that is no UTF-8.
func (i JobItem) MarshalJSON() ([]byte, error) {
	type fields JobItem
	return json.Marshal(struct {
		fields
		DestB64 []byte `json:"dest_b64,omitempty"`
	}{fields(i), text.B64(i.Dest)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (i *JobItem) UnmarshalJSON(data []byte) error {
	type fields JobItem
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

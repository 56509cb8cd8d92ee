package job

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

// Progress is how far a job has come.
type Progress struct {
	Job     string   `json:"job"`
	Volumes []string `json:"volumes"`
	Engine  string   `json:"engine"`
	State   State    `json:"state"`
	Files   int64    `json:"files"`
	Bytes   int64    `json:"bytes"`
	Total   int64    `json:"total_files"`
	Of      int64    `json:"total_bytes"`
	Seconds float64  `json:"seconds"`
	Over    bool     `json:"over"` // nobody is at work on it
	// Interrupted: its process died, or it was never begun. Error is why a job
	// that is over is not done.
	Interrupted bool   `json:"interrupted,omitempty"`
	Error       string `json:"error,omitempty"`
	// Warnings are what could not be done as asked, or changed meanwhile.
	Warnings []string `json:"warnings,omitempty"`
}

// Done tells whether the job is over and has done what it was to do.
func (p Progress) Done() bool { return p.Over && p.State == Swapped && p.Error == "" }

// Run is a job that this process carries out. It belongs to the plugin: whoever
// asked for it may go away.
type Run struct {
	Job *Job // as it was when it began

	cancel context.CancelCauseFunc
	done   chan struct{}
	began  time.Time
	ended  time.Time // valid once done

	mu    sync.Mutex // guards the fields below
	p     Progress
	base  tree.Progress // of the trees that are complete
	warns []string
	err   error
}

// Work is what a job does.
type Work struct {
	// Fill makes the tree of every item that has one, and sets its From.
	Fill func(ctx context.Context, fsys tree.FS, r *Run, j *Job) error
	// Ended is called when the job has ended, before anybody who waits for the
	// end hears of it. j is nil if the journal could not be read.
	Ended func(ctx context.Context, r *Run, j *Job, p Progress, err error)
}

// rememberedFor is how long the progress of a job that has ended stays in memory.
// Its end is in the journal until somebody takes note of it.
const rememberedFor = time.Hour

// Running returns the run of a job that this process carries out or has carried
// out, nil for none.
func (js *Jobs) Running(id string) *Run {
	js.mu.Lock()
	defer js.mu.Unlock()
	return js.running[id]
}

// Start sets a prepared, failed or interrupted job going in the background, or
// returns its run if it is at work. Values of ctx stay, as of who asked; its end
// does not matter.
func (js *Jobs) Start(ctx context.Context, j *Job, w Work) (*Run, error) {
	js.mu.Lock()
	defer js.mu.Unlock()
	if js.stopped != nil {
		return nil, problem.New(problem.Unreachable, "again in a moment", "no job begins on this node: %v", js.stopped)
	}
	if r := js.running[j.ID]; r != nil && !r.Over() {
		return r, nil
	}
	for id, r := range js.running { // jobs that ended long ago are forgotten
		if r.Over() && js.cfg.Now().Sub(r.ended) > rememberedFor {
			delete(js.running, id)
		}
	}
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	r := &Run{Job: j, cancel: cancel, done: make(chan struct{}), began: js.cfg.Now()}
	r.p = Progress{Job: j.ID, Volumes: j.Volumes(), Engine: j.Engine, State: j.State}
	js.running[j.ID] = r
	go js.carryOut(ctx, r, w)
	return r, nil
}

// carryOut is a job's goroutine. A panic is the job's failure.
func (js *Jobs) carryOut(ctx context.Context, r *Run, w Work) {
	defer r.cancel(nil)
	defer close(r.done)
	defer func() { r.ended = js.cfg.Now() }()
	var j *Job
	err := guard.Run(func() (err error) {
		j, err = js.Run(ctx, r.Job.ID, func(ctx context.Context, fsys tree.FS, j *Job) error { return w.Fill(ctx, fsys, r, j) })
		return err
	})
	what := string(r.Job.Op) + " of " + strings.Join(r.Job.Volumes(), ", ")
	js.cfg.Caught(what, err)
	p := r.end(j, err, js.cfg.Now())
	if w.Ended != nil {
		js.cfg.Caught(what, guard.Run(func() error {
			w.Ended(ctx, r, j, p, err)
			return nil
		}))
	}
}

// end notes how a job has ended. A job without an error has swapped its trees.
func (r *Run) end(j *Job, err error, now time.Time) Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	if j != nil {
		r.p.State = j.State
	}
	r.p.Interrupted = errors.Is(err, ErrSessionEnds)
	if err != nil && r.p.State != Swapping && !r.p.Interrupted {
		r.p.State = Failed
	}
	if r.err = err; err != nil {
		r.p.Error = err.Error()
	}
	r.p.Seconds = now.Sub(r.began).Seconds()
	p := r.p
	p.Over = true
	return p
}

// Done is closed when the job has ended.
func (r *Run) Done() <-chan struct{} { return r.done }

// Over tells whether the job has ended.
func (r *Run) Over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Err is why a job that has ended is not done.
func (r *Run) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Percent is how much of the job's bytes is there.
func (r *Run) Percent() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.p.Of == 0 {
		return 0
	}
	return min(99, 100*r.p.Bytes/r.p.Of)
}

// Expect notes what the job is going to bring.
func (r *Run) Expect(files, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.p.State, r.p.Total, r.p.Of = Copying, files, bytes
}

// Progress is told how far the tree at work has come.
func (r *Run) Progress(p tree.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.p.Files, r.p.Bytes = r.base.Files+p.Files, r.base.Bytes+p.Bytes
	r.p.Of = max(r.p.Of, r.p.Bytes) // what is compared comes on top
}

// Next goes on with another tree.
func (r *Run) Next() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.base = tree.Progress{Files: r.p.Files, Bytes: r.p.Bytes}
}

// Warn tells those who wait for the job of something that could not be done.
func (r *Run) Warn(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.warns = append(r.warns, line)
}

// Stop interrupts the jobs of this process and waits for them, for as long as
// ctx lets it. why is told to those who wait for the jobs, and has ErrSessionEnds in
// it. No job begins any more. The next start of this node finds the jobs interrupted,
// to be resumed or aborted.
func (js *Jobs) Stop(ctx context.Context, why error) error {
	js.mu.Lock()
	js.stopped = why
	all := slices.Collect(maps.Values(js.running))
	js.mu.Unlock()
	for _, r := range all {
		r.cancel(why)
	}
	for _, r := range all {
		select {
		case <-r.done:
		case <-ctx.Done():
			return fmt.Errorf("the %s of %s has not ended: %w", r.Job.Op, strings.Join(r.Job.Volumes(), ", "), ctx.Err())
		}
	}
	return nil
}

// AtWork counts this node's jobs that are at work, from memory.
func (js *Jobs) AtWork() map[cluster.Op]int {
	js.mu.Lock()
	defer js.mu.Unlock()
	n := map[cluster.Op]int{}
	for _, r := range js.running {
		if !r.Over() {
			n[r.Job.Op]++
		}
	}
	return n
}

// Of returns the job on a volume that is at work here, nil for none.
func (js *Jobs) Of(op cluster.Op, volume string) *Run {
	js.mu.Lock()
	defer js.mu.Unlock()
	for _, r := range js.running {
		if r.Job.Op == op && r.Job.Items[0].Volume == volume && !r.Over() {
			return r
		}
	}
	return nil
}

// waitFor bounds how long one request for progress waits for the end.
const waitFor = time.Second

// Wait returns how far a job has come: at once when it is over, else within a
// second. A job that is over without an error is done. Of a job that is over and
// not done, Wait returns the progress and the reason.
func (js *Jobs) Wait(ctx context.Context, id string) (Progress, error) {
	r := js.Running(id)
	if r == nil {
		return js.waitElsewhere(ctx, id)
	}
	select {
	case <-r.done:
	case <-time.After(waitFor):
	case <-ctx.Done():
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.p
	if p.Over = r.Over(); !p.Over {
		p.Seconds = js.cfg.Now().Sub(r.began).Seconds()
	}
	p.Warnings = append([]string{}, r.warns...)
	return p, r.err
}

// waitElsewhere waits for a job that this process does not run: another node
// does, or its process died.
func (js *Jobs) waitElsewhere(ctx context.Context, id string) (Progress, error) {
	for waited := false; ; waited = true {
		j, err := js.Get(ctx, id)
		if err != nil {
			return Progress{}, err
		}
		over, err := j.End()
		// The swap of a dead process is completed within moments.
		if waited || over && j.State != Swapping {
			p := Progress{Job: id, Volumes: j.Volumes(), Engine: j.Engine, State: j.State, Over: over, Interrupted: over && (j.Interrupted || j.State == Prepared)}
			if err != nil {
				p.Error = err.Error()
			}
			return p, err
		}
		select {
		case <-time.After(waitFor):
		case <-ctx.Done():
			return Progress{}, ctx.Err()
		}
	}
}

// Cancel ends a job of this node before its swap, and waits until it has ended.
// What has been swapped stays: undo takes it back.
func (js *Jobs) Cancel(ctx context.Context, id string) error {
	r := js.Running(id)
	if r == nil {
		return nil
	}
	r.cancel(problem.New(problem.Failed, "", "the %s of volume %q was ended before it was done, as somebody asked for", r.Job.Op, r.Job.Volumes()[0]))
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Find returns the unfinished job of a volume.
func (js *Jobs) Find(ctx context.Context, name string) (*Job, error) {
	jobs, err := js.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if slices.Contains(j.Volumes(), name) {
			return j, nil
		}
	}
	return nil, problem.New(problem.Nothing, "'berth volume ps' lists what is under way", "no restore of volume %q is unfinished", name)
}

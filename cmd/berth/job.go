package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/docker"
	"github.com/casit/berth/job"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
)

// carried is a job as the command line carries it out:
//
//	prepared ─► what uses the volumes is stopped ─► the plugin runs it ─► what was stopped is started ─► ended
//
// What has to be started is in the job's journal before it is stopped. After a
// stop in between, --resume goes on from there.
type carried struct {
	app     *app
	engine  *client.Client // nil where nothing has to be stopped
	job     *job.Job
	request snapshot.RestoreRequest
	stops   docker.Stops
}

// carryOut writes the job of a plan down and completes it. The plugin prepares the
// plan as it was shown; one of an earlier version reads the request.
func carryOut(ctx context.Context, a *app, engine *client.Client, p *snapshot.Plan, r snapshot.RestoreRequest, stops docker.Stops) error {
	j, err := ask[job.Job](ctx, a, "Berth.RestorePrepare", plugin.PrepareRequest{Plan: p, Request: r, Stopped: stops.Stopped})
	if err != nil {
		return err
	}
	return (&carried{a, engine, &j, r, stops}).complete(ctx)
}

// runUnfinished completes or ends the unfinished job of a volume.
func runUnfinished(ctx context.Context, a *app, name string, abort bool) error {
	j, err := ask[job.Job](ctx, a, "Berth.JobFind", plugin.JobRequest{Volume: name})
	if err != nil {
		return err
	}
	c := &carried{app: a, job: &j}
	if len(j.Stopped) > 0 {
		if err := json.Unmarshal(j.Stopped, &c.stops.Stopped); err != nil {
			return fmt.Errorf("read the journal of %s: %w", name, err)
		}
	}
	_ = json.Unmarshal(j.Request, &c.request) // a takeover has none
	if !c.stops.Empty() {
		if c.engine, err = client.New(client.FromEnv); err != nil {
			return err
		}
		defer c.engine.Close()
	}
	if abort {
		return c.abort(ctx)
	}
	if err := c.mayResume(ctx); err != nil {
		return err
	}
	return c.complete(ctx)
}

// mayResume refuses before anything is stopped what the plugin would refuse
// afterwards: a job that another node carries out, and users that are not
// stopped by what the journal says.
func (c *carried) mayResume(ctx context.Context) error {
	about, err := ask[plugin.About](ctx, c.app, "Berth.Version", plugin.Empty{})
	if err != nil {
		return err
	}
	if !c.job.Waits() && c.job.Node != about.Node {
		return &plugin.Failure{Kind: problem.InUse, Reason: fmt.Sprintf("the %s is under way on %s", nameOf(c.job), c.job.Node),
			Hint: fmt.Sprintf("wait for it; 'berth volume ps %s' shows how far it is", c.job.Volumes()[0])}
	}
	if c.job.State == job.Swapped || len(c.stops.Containers) == 0 || len(c.stops.Services) > 0 {
		return nil
	}
	for _, name := range c.job.Volumes() {
		users, err := usersOf(ctx, c.app, name)
		if err != nil {
			return err
		}
		for _, u := range users {
			if u.Node != about.Node {
				return &plugin.Failure{Kind: problem.InUse, Reason: fmt.Sprintf("%s is in use on %s, and nothing here can be stopped for it", name, u.Node),
					Hint: fmt.Sprintf("stop its containers on %s first; or '--abort %s' ends the %s", u.Node, name, c.job.Op)}
			}
		}
	}
	return nil
}

// nameOf names a job in a sentence: "restore of blog".
func nameOf(j *job.Job) string {
	return string(j.Op) + " of " + strings.Join(j.Volumes(), ", ")
}

// tell reports what is stopped and started.
func (c *carried) tell(line string) { c.app.say("%s", line) }

// complete stops what the journal says, has the plugin run the job, starts
// everything again and ends the job. It starts things again after a failure
// too, and when this is a second run.
func (c *carried) complete(ctx context.Context) error {
	began := time.Now()
	end := ending{progress: job.Progress{State: c.job.State}}
	if c.job.State != job.Swapped {
		if err := c.stop(ctx); err == nil {
			end = follow(ctx, c.app, c.job)
		} else if c.job.State == job.Prepared {
			end = ending{err: err, givenUp: true}
		} else {
			end = ending{err: wayOn(c.job, err)}
		}
	}
	// From here on the way back has to be gone to its end.
	ctx = context.WithoutCancel(ctx)
	gone, back := c.start(ctx)
	if back != nil {
		back = fmt.Errorf("%w; 'berth snapshot restore --resume %s' tries again to start what was stopped", back, c.job.Volumes()[0])
	} else if end.ended() {
		_, endErr := ask[plugin.Empty](ctx, c.app, "Berth.JobEnd", plugin.JobRequest{ID: c.job.ID, Abort: end.givenUp})
		switch {
		case endErr == nil:
		case end.failed: // the journal says that it may be resumed
			end = ending{progress: end.progress, err: wayOn(c.job, end.err)}
		default:
			back = wayOn(c.job, endErr)
		}
	}
	if end.done() {
		end.err = c.report(end.progress, time.Since(began))
	} else {
		c.saySynced(!end.ended())
	}
	return joined(end.err, back, lostError(gone))
}

// stop stops what uses the volumes, and waits until no node uses them.
func (c *carried) stop(ctx context.Context) error {
	if c.stops.Empty() {
		return nil
	}
	if err := docker.Stop(ctx, c.engine, c.stops.Stopped, c.tell); err != nil {
		return err
	}
	return waitUnused(ctx, c.app, c.job.Volumes())
}

// start starts what was stopped, but for what Docker has removed; gone are the
// names of those.
func (c *carried) start(ctx context.Context) (gone []string, err error) {
	if c.stops.Empty() {
		return nil, nil
	}
	return docker.Start(ctx, c.engine, c.stops.Stopped, c.tell)
}

// lostError says what was stopped and cannot be started again.
func lostError(gone []string) error {
	if len(gone) == 0 {
		return nil
	}
	return &plugin.Failure{Kind: problem.Failed, Reason: strings.Join(gone, ", ") + " could not be started again: Docker has removed it",
		Hint: "start it as it was started first; Docker removes a container of 'docker run --rm' when it stops"}
}

// joined makes one error of several, so that what is printed has all of them:
// the first says of which kind it is.
func joined(errs ...error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) < 2 {
		return errors.Join(errs...)
	}
	f := failureOf(errs[0])
	for _, err := range errs[1:] {
		also := failureOf(err)
		f.Reason += "; and " + also.Reason
		f.Hint = cmp.Or(f.Hint, also.Hint)
	}
	return f
}

// failureOf is a copy of the failure that an error is, to be changed.
func failureOf(err error) *plugin.Failure {
	if f := (*plugin.Failure)(nil); errors.As(err, &f) {
		own := *f
		return &own
	}
	if p := (*problem.Error)(nil); errors.As(err, &p) {
		return &plugin.Failure{Kind: p.Kind, Reason: p.Reason, Hint: p.Hint}
	}
	return &plugin.Failure{Kind: problem.Failed, Reason: err.Error()}
}

// unusedWithin is how long other nodes may take to give up volumes after the
// containers there have ended.
const unusedWithin = 30 * time.Second

// waitUnused waits until no node uses the volumes. After unusedWithin it
// returns all the same: the plugin then refuses the job and names the users.
func waitUnused(ctx context.Context, a *app, names []string) error {
	for end := time.Now().Add(unusedWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		used := false
		for _, name := range names {
			users, err := usersOf(ctx, a, name)
			if err != nil {
				return err
			}
			used = used || len(users) > 0
		}
		if !used {
			return nil
		}
	}
	return nil
}

// ending is how a job ended, in one value: it is done, or there is an error.
type ending struct {
	progress job.Progress
	err      error
	givenUp  bool // before the plugin began it, or by Ctrl-C
	failed   bool // the plugin carried it out to this end: the volume is as it was
}

// done tells whether the job did what it was asked for.
func (e ending) done() bool { return e.err == nil }

// ended tells whether nobody has to go on with the job: it is done, it failed and
// says why, or it was given up. Any other job stays for --resume. The plugin
// refuses to end a job whose journal does not agree.
func (e ending) ended() bool { return e.done() || e.givenUp || e.failed }

// endOf is the one place that says what a job's last answer means: a job that
// is done says so, and every other answer is an error.
func endOf(j *job.Job, p job.Progress, err error) ending {
	switch {
	case err == nil && p.Done():
		return ending{progress: p}
	case err != nil && p.State == job.Failed && !p.Interrupted:
		return ending{progress: p, err: err, failed: true}
	case err == nil: // an answer of an earlier plugin
		err = &plugin.Failure{Kind: problem.Failed, Reason: fmt.Sprintf("the %s is not done, and nobody is at work on it", nameOf(j))}
	}
	return ending{progress: p, err: wayOn(j, err)}
}

// wayOn adds to an error what to type where the job is still there.
func wayOn(j *job.Job, err error) error {
	f := failureOf(err)
	name := j.Volumes()[0]
	way := fmt.Sprintf("'berth snapshot restore --resume %s' completes it, '--abort %s' ends it", name, name)
	if j.Op == cluster.OpTakeover {
		way = fmt.Sprintf("'berth volume takeover %s --from %s' begins it again", name, j.From)
	}
	if !strings.Contains(f.Hint, "--resume") {
		f.Hint = strings.TrimPrefix(f.Hint+"; "+way, "; ")
	}
	return f
}

// follow starts a job and shows its progress until it is over. Ctrl-C ends the
// job too, unless the swap has begun.
func follow(ctx context.Context, a *app, j *job.Job) ending {
	if _, err := ask[plugin.Empty](ctx, a, "Berth.JobStart", plugin.JobRequest{ID: j.ID}); err != nil {
		return ending{err: wayOn(j, err)}
	}
	line := &shown{app: a}
	for {
		p, err := poll(ctx, a, j)
		if ctx.Err() != nil {
			line.clear()
			return cancel(ctx, a, j)
		}
		if err != nil || p.Over {
			line.clear()
			return endOf(j, p, err)
		}
		line.print(p)
	}
}

// cancel ends a job that runs. One whose swap has begun is completed all the
// same.
func cancel(ctx context.Context, a *app, j *job.Job) ending {
	a.say("cancelling")
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer stop()
	if _, err := ask[plugin.Empty](ctx, a, "Berth.JobCancel", plugin.JobRequest{ID: j.ID}); err != nil {
		return ending{err: wayOn(j, err)}
	}
	p, err := poll(ctx, a, j)
	end := endOf(j, p, err)
	if p.State == job.Failed && !p.Interrupted {
		end.givenUp = true
		end.err = &plugin.Failure{Kind: problem.Failed, Reason: "cancelled; the volume is as it was"}
		if j.Engine == string(snapshot.EngineSync) {
			end.err = &plugin.Failure{Kind: problem.Failed, Reason: "cancelled; some files may have been replaced"}
		}
	}
	return end
}

// awayFor is how long a plugin may be away while a job is followed: it may be
// restarted, and connects to its export then.
const awayFor = 15 * time.Second

// poll asks how far a job is. An answer that is an error is the job's own, or
// the plugin cannot be asked.
func poll(ctx context.Context, a *app, j *job.Job) (job.Progress, error) {
	for end := time.Now().Add(awayFor); ; time.Sleep(200 * time.Millisecond) {
		p, err := ask[job.Progress](ctx, a, "Berth.JobWait", plugin.JobRequest{ID: j.ID})
		f := (*plugin.Failure)(nil)
		answered := errors.As(err, &f) && f.Kind != problem.Unreachable
		if err == nil || ctx.Err() != nil || p.Over || answered || time.Now().After(end) {
			return p, err
		}
	}
}

// report says what was done.
func (c *carried) report(p job.Progress, took time.Duration) error {
	a := c.app
	for _, line := range p.Warnings {
		a.say("%s", show.Sentence(line))
	}
	what := "restored"
	if c.job.Op == cluster.OpUndo {
		what = "undone"
	}
	if a.json {
		return a.printJSON(map[string]any{"done": what, "volumes": c.job.Volumes(), "items": c.job.Items, "files": p.Files, "bytes": p.Bytes, "seconds": took.Seconds()})
	}
	for _, it := range c.job.Items {
		if err := a.done(it.Volume, fmt.Sprintf("%s, %s (%.1f s)", what, it.Ref, took.Seconds())); err != nil {
			return err
		}
	}
	if c.request.To == "" {
		way := ""
		if c.request.Stop {
			way = " --stop"
		} else if c.job.Live {
			way = " --live"
		}
		a.say("to take it back: berth undo %s%s", strings.Join(c.job.Volumes(), " "), way)
	}
	return nil
}

// abort ends the job, and starts what was stopped for it.
func (c *carried) abort(ctx context.Context) error {
	if _, err := ask[plugin.Empty](ctx, c.app, "Berth.JobCancel", plugin.JobRequest{ID: c.job.ID}); err != nil {
		return err
	}
	gone, err := c.start(ctx)
	if err != nil {
		return err
	}
	if _, err := ask[plugin.Empty](ctx, c.app, "Berth.JobEnd", plugin.JobRequest{ID: c.job.ID, Abort: true}); err != nil {
		return err
	}
	outcome := "the restore is ended"
	if c.job.State == job.Swapped {
		outcome = "the restore was done already, and is ended"
	} else {
		c.saySynced(false)
	}
	return errors.Join(c.app.done(c.job.Volumes()[0], outcome), lostError(gone))
}

// saySynced says what a restore file by file leaves when it is not done. A job
// that is kept has to be ended before its volumes can be changed.
func (c *carried) saySynced(kept bool) {
	if c.job.Engine != string(snapshot.EngineSync) {
		return
	}
	way := ""
	if kept {
		way = fmt.Sprintf("'--abort %s' and then ", c.job.Volumes()[0])
	}
	c.app.say("files that were replaced before stay so; to put them back: %sberth undo %s --live", way, strings.Join(c.job.Volumes(), " "))
}

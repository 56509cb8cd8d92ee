package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/client"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/volume"
)

// carryOut stops, runs the job, and starts again what was stopped.
func (x *restoring) carryOut(ctx context.Context, p *snapshot.Plan) error {
	var stopped snapshot.Stopped
	var docker *client.Client
	var names []string
	for _, it := range p.Items {
		names = append(names, it.Volume)
	}
	if x.r.Stop {
		var err error
		if docker, err = client.New(client.FromEnv); err != nil {
			return err
		}
		defer docker.Close()
		if stopped, err = planStop(ctx, docker, names, p.Users); err != nil {
			return err
		}
	}
	job, err := ask[volume.Job](ctx, x.app, "Berth.RestorePrepare", plugin.PrepareRequest{Request: x.r, Stopped: stopped})
	if err != nil {
		return err
	}
	return x.complete(ctx, docker, &job, stopped)
}

// tell reports what is stopped and started.
func (x *restoring) tell(line string) { x.app.say("%s", line) }

// complete stops what the journal says, runs the job, starts everything again
// and ends the job: also when something failed, and when this is a second run.
func (x *restoring) complete(ctx context.Context, docker *client.Client, job *volume.Job, stopped snapshot.Stopped) error {
	began := time.Now()
	var progress snapshot.Progress
	var err error
	if job.State != volume.JobSwapped {
		if !stopped.Empty() {
			err = stopAll(ctx, docker, stopped, x.tell)
			if err == nil {
				err = x.waitUnused(ctx, job.Volumes())
			}
		}
		if err == nil {
			progress, err = x.follow(ctx, job)
		}
	}
	// From here on the way back has to be gone to its end.
	done := context.WithoutCancel(ctx)
	var back error
	if !stopped.Empty() {
		back = startAll(done, docker, stopped, x.tell)
	}
	if back == nil && progress.State != volume.JobSwapping {
		_, back = ask[plugin.Empty](done, x.app, "Berth.JobEnd", plugin.JobRequest{ID: job.ID})
	} else if back != nil {
		back = fmt.Errorf("%w; 'berth snapshot restore --resume %s' tries again to start what was stopped", back, job.Volumes()[0])
	}
	if err != nil && job.Engine == string(snapshot.EngineSync) {
		x.saySynced(job)
	}
	if err = errors.Join(err, back); err != nil {
		return err
	}
	return x.report(job, progress, time.Since(began))
}

// unusedWithin is how long other nodes may take to give up volumes after the
// containers there have ended.
const unusedWithin = 30 * time.Second

// waitUnused waits until no node uses the volumes; whoever still does then is
// named by the refusal of the job.
func (x *restoring) waitUnused(ctx context.Context, names []string) error {
	for end := time.Now().Add(unusedWithin); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		used := false
		for _, name := range names {
			got, err := ask[plugin.Users](ctx, x.app, "Berth.VolumeUsers", plugin.UsersRequest{Name: name})
			if err != nil {
				return err
			}
			used = used || slices.ContainsFunc(got.Users, func(u volume.User) bool { return u.Volume == name && u.State.Holds() })
		}
		if !used {
			return nil
		}
	}
	return nil
}

// follow starts the job and shows its progress until it is over. Ctrl-C ends
// the job too, unless the swap has begun.
func (x *restoring) follow(ctx context.Context, job *volume.Job) (p snapshot.Progress, err error) {
	if _, err = ask[plugin.Empty](ctx, x.app, "Berth.JobStart", plugin.JobRequest{ID: job.ID}); err != nil {
		return p, err
	}
	show := x.progress()
	for {
		p, err = ask[snapshot.Progress](ctx, x.app, "Berth.JobWait", plugin.JobRequest{ID: job.ID})
		if ctx.Err() != nil {
			show.clear()
			x.tell("cancelling")
			end, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer stop()
			_, err = ask[plugin.Empty](end, x.app, "Berth.JobCancel", plugin.JobRequest{ID: job.ID})
			p, waitErr := ask[snapshot.Progress](end, x.app, "Berth.JobWait", plugin.JobRequest{ID: job.ID})
			if p.State == volume.JobSwapped {
				return p, err
			}
			return p, errors.Join(err, waitErr, &plugin.Failure{Kind: problem.Failed, Reason: "cancelled; the volume is as it was"})
		}
		if err != nil || p.Over {
			show.clear()
			return p, err
		}
		show.print(p)
	}
}

func (x *restoring) report(job *volume.Job, p snapshot.Progress, took time.Duration) error {
	for _, line := range p.Warnings {
		x.app.say("%s", sentence(line))
	}
	what := "restored"
	if job.Op == volume.OpUndo {
		what = "undone"
	}
	if x.app.json {
		return x.app.printJSON(map[string]any{"done": what, "volumes": job.Volumes(), "items": job.Items, "files": p.Files, "bytes": p.Bytes, "seconds": took.Seconds()})
	}
	for _, it := range job.Items {
		if err := x.app.done(it.Volume, fmt.Sprintf("%s, %s (%.1f s)", what, it.Ref, took.Seconds())); err != nil {
			return err
		}
	}
	if x.r.To == "" && !x.app.quiet {
		way := ""
		if x.r.Stop {
			way = " --stop"
		} else if job.Live {
			way = " --live"
		}
		x.app.say("to take it back: berth undo %s%s", strings.Join(job.Volumes(), " "), way)
	}
	return nil
}

// goOn completes or ends an unfinished job.
func (x *restoring) goOn(ctx context.Context, name string) error {
	job, err := ask[volume.Job](ctx, x.app, "Berth.JobFind", plugin.JobRequest{Volume: name})
	if err != nil {
		return err
	}
	var stopped snapshot.Stopped
	if len(job.Stopped) > 0 {
		if err := json.Unmarshal(job.Stopped, &stopped); err != nil {
			return fmt.Errorf("read the journal of %s: %w", name, err)
		}
	}
	_ = json.Unmarshal(job.Request, &x.r)
	var docker *client.Client
	if !stopped.Empty() {
		if docker, err = client.New(client.FromEnv); err != nil {
			return err
		}
		defer docker.Close()
	}
	if x.resume {
		return x.complete(ctx, docker, &job, stopped)
	}
	if _, err := ask[plugin.Empty](ctx, x.app, "Berth.JobCancel", plugin.JobRequest{ID: job.ID}); err != nil {
		return err
	}
	if !stopped.Empty() {
		if err := startAll(ctx, docker, stopped, x.tell); err != nil {
			return err
		}
	}
	if _, err := ask[plugin.Empty](ctx, x.app, "Berth.JobEnd", plugin.JobRequest{ID: job.ID}); err != nil {
		return err
	}
	if job.Engine == string(snapshot.EngineSync) {
		x.saySynced(&job)
	}
	return x.app.done(name, "the restore is ended")
}

// saySynced says what a restore file by file leaves when it does not end.
func (x *restoring) saySynced(job *volume.Job) {
	x.app.say("files that were replaced before stay so; to put them back: berth undo %s --live", strings.Join(job.Volumes(), " "))
}

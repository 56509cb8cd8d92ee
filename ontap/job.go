package ontap

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// States of a Job.
const (
	JobQueued  = "queued"
	JobRunning = "running"
	JobPaused  = "paused"
	JobSuccess = "success"
	JobFailure = "failure"
)

// Job is an asynchronous operation of the cluster
// (GET /cluster/jobs/{uuid}, 9.6).
type Job struct {
	State   string // one of the Job constants
	Message string // of a failure: what went wrong
	Code    string // of a failure: ONTAP's code
}

// jobRecord is ONTAP's record of a job. The record of a failed job has message and
// code twice; the ones inside error say more.
type jobRecord struct {
	State   string `json:"state"`
	Message string `json:"message"`
	Code    code   `json:"code"`
	Error   struct {
		Message string `json:"message"`
		Code    code   `json:"code"`
	} `json:"error"`
}

// changed is the answer to a POST, PATCH or DELETE: empty, or a job.
type changed struct {
	Job struct {
		UUID string `json:"uuid"`
	} `json:"job"`
}

// firstPoll and longestPoll bound the pauses between two questions about a job.
const (
	firstPoll   = 100 * time.Millisecond
	longestPoll = 5 * time.Second
	// longestJob is how long a job is waited for: longer than the deletion of a
	// directory of many million files takes.
	longestJob = 12 * time.Hour
)

// maxJobID is the longest uuid of a job, in bytes; it goes into a path.
const maxJobID = 100

// change sends a change and waits for its job, if there is one.
func change(ctx context.Context, c *Client, r request) error {
	_, err := changeBy(ctx, c, r)
	return err
}

// changeBy is change, and says whether a job made the change. An answer of success
// without a job may mean that the cluster holds the change until another
// administrator approves it (multi-admin verification).
func changeBy(ctx context.Context, c *Client, r request) (byJob bool, err error) {
	got, err := do[changed](ctx, c, r)
	if err != nil {
		return false, err
	}
	job := got.body.Job.UUID
	if job == "" && got.status == http.StatusAccepted {
		return false, broken(r, got.status, "accepted without naming a job", nil)
	}
	if job == "" {
		return false, nil
	}
	if len(job) > maxJobID {
		return false, broken(r, got.status, fmt.Sprintf("a job's uuid of %d bytes", len(job)), nil)
	}
	return true, c.PollJobStatus(ctx, r.op(), job)
}

// JobGet reads a job (GET /cluster/jobs/{uuid}, 9.6).
func (c *Client) JobGet(ctx context.Context, uuid string) (Job, error) {
	raw, err := get[jobRecord](ctx, c, "/cluster/jobs/"+segment(uuid), nil)
	return Job{State: raw.State, Message: or(raw.Error.Message, raw.Message), Code: string(or(raw.Error.Code, raw.Code))}, err
}

// PollJobStatus waits until a job ends. It returns nil if the job succeeded, an
// Error with the job's code if it failed, and an Error matching
// ErrOutcomeUnknown if the context ended first, if the job vanished, or if
// the cluster did not answer for longer than the client's patience, which
// outlasts a fail-over. Op names the operation that started the job.
func (c *Client) PollJobStatus(ctx context.Context, op, uuid string) error {
	answered, missing, last := c.now(), 0, JobQueued
	began := answered
	for pause := firstPoll; ; pause = min(pause*3/2, longestPoll) {
		job, err := c.JobGet(ctx, uuid)
		var e *Error
		switch {
		case err == nil && job.State == JobSuccess:
			return nil
		case err == nil && job.State == JobFailure:
			return job.failure(op, uuid)
		case err == nil && !job.unfinished():
			return unknown(op, uuid, fmt.Sprintf("job has state %.40q", job.State), nil)
		case err == nil && c.now().Sub(began) > longestJob:
			return unknown(op, uuid, "job is still "+job.State+"; berth has stopped waiting for it", nil)
		case err == nil:
			answered, missing, last = c.now(), 0, job.State
		case ctx.Err() != nil:
			return unknown(op, uuid, "job is still "+last+"; berth has stopped waiting for it", ctx.Err())
		case errors.As(err, &e) && e.HTTP == http.StatusNotFound:
			// One answer is not enough: during a fail-over the new node may not
			// have loaded its jobs.
			if missing++; missing == 3 {
				return unknown(op, uuid, "job is gone from the cluster", nil)
			}
		case !transient(err) || c.now().Sub(answered) > c.patience:
			return unknown(op, uuid, "job cannot be asked: "+err.Error(), errors.Unwrap(err))
		}
		if err := c.wait(ctx, pause); err != nil {
			return unknown(op, uuid, "job is still "+last+"; berth has stopped waiting for it", err)
		}
	}
}

// transient says that err may pass by itself, as in a fail-over.
func transient(err error) bool {
	var e *Error
	if !errors.As(err, &e) {
		return false
	}
	return e.HTTP == http.StatusTooManyRequests || e.HTTP >= 500 || e.HTTP == 0 && !permanent(e.err)
}

func (j Job) unfinished() bool {
	return j.State == JobQueued || j.State == JobRunning || j.State == JobPaused
}

func (j Job) failure(op, uuid string) *Error {
	return &Error{Op: op, HTTP: http.StatusOK, Job: uuid, Code: j.Code,
		Message: or(j.Message, "job failed without saying why")}
}

func unknown(op, job, message string, cause error) *Error {
	return &Error{Op: op, Job: job, Message: message, Unknown: true, err: cause}
}

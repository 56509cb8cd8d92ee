package simulator

import (
	"net/http"
	"net/url"
	"time"

	"github.com/casit/berth/ontap"
)

// keptJobs is how many jobs are remembered; ONTAP forgets old jobs too.
const keptJobs = 1000

// job is an asynchronous operation. It runs in a goroutine of its own.
type job struct {
	uuid        string
	description string
	began       time.Time
	done        chan struct{} // closed when it ends

	// Guarded by Simulator.mu.
	ended    time.Time
	state    string
	failure  *failure
	vanished bool
}

// start begins a job that calls do, as the call's fault wants it, and
// answers the call: 202 with the job, or the outcome if it comes within
// return_timeout. Created is the status of success for a POST.
func (s *Simulator) start(r *call, location string, do func() error) (any, error) {
	wait, err := r.waits()
	if err != nil {
		return nil, err
	}
	j := &job{uuid: s.drawUUID(), description: r.Method + " " + r.URL.Path, began: s.cfg.Now(), done: make(chan struct{}), state: ontap.JobRunning}
	s.mu.Lock()
	if s.jobs = append(s.jobs, j); len(s.jobs) > keptJobs {
		s.jobs = s.jobs[1:]
	}
	s.mu.Unlock()
	s.running.Add(1)
	go func() {
		defer s.running.Done()
		s.run(j, r.job, do)
	}()
	if r.Method == http.MethodPost && location != "" {
		r.header.Set("Location", location)
	}
	if wait > 0 && !s.cfg.NoWaiting && s.finished(r, j, wait) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if j.failure != nil {
			return nil, j.failure
		}
		if !j.vanished {
			if r.Method == http.MethodPost {
				r.status = http.StatusCreated
			}
			return record{"job": j.link()}, nil
		}
	}
	r.status = http.StatusAccepted
	return record{"job": j.link()}, nil
}

// finished waits for a job, for wait at most.
func (s *Simulator) finished(r *call, j *job, wait time.Duration) bool {
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-j.done:
		return true
	case <-t.C:
	case <-r.Context().Done():
	case <-s.closed:
	}
	return false
}

func (j *job) link() record {
	return record{"uuid": j.uuid, "_links": record{"self": record{"href": "/api/cluster/jobs/" + j.uuid}}}
}

// run calls do, or does what the fault says instead.
func (s *Simulator) run(j *job, fault *Fault, do func() error) {
	kind := ""
	if fault != nil {
		kind = fault.Job
	}
	var err error
	switch kind {
	case "stick":
		<-s.closed
		return
	case "fail":
		err = fail(http.StatusInternalServerError, orString(fault.Code, "460770"), "", "%s", orString(fault.Message, "Job failed."))
	default:
		s.changing.Lock()
		err = do()
		s.changing.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	j.state, j.ended, j.vanished = ontap.JobSuccess, s.cfg.Now(), kind == "vanish"
	if err != nil {
		j.state, j.failure = ontap.JobFailure, fromDir(err)
	}
	close(j.done)
}

func (s *Simulator) drawUUID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.uuid()
}

// jobCalls answers for jobs.
type jobCalls struct{ *Simulator }

// all copies all jobs. It takes mu.
func (s jobCalls) all() collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: "/cluster/jobs", key: "uuid", expensive: []string{"error"}, self: hrefOf("/cluster/jobs")}
	for _, j := range s.jobs {
		if j.vanished {
			continue
		}
		x := rec("uuid", j.uuid, "description", j.description, "state", j.state, "start_time", stamp(j.began),
			"code", 0, "message", j.state, "node.name", s.node(), "svm.name", s.ours(), "svm.uuid", s.world.SVMUUIDs[s.cfg.SVM])
		if j.state == ontap.JobSuccess {
			x.set("message", "success")
		}
		if !j.ended.IsZero() {
			x.set("end_time", stamp(j.ended))
		}
		if j.failure != nil {
			x.set("code", number(j.failure.code))
			x.set("message", j.failure.message)
			x.set("error.code", j.failure.code)
			x.set("error.message", j.failure.message)
		}
		c.records = append(c.records, x)
	}
	return c
}

func (s jobCalls) list(r *call) (any, error) { return s.all().list(r) }

func (s jobCalls) get(r *call) (any, error) { return s.all().one(r, r.vars["uuid"]) }

// patch refuses PATCH action=: no job of the simulator can be paused or cancelled.
func (s jobCalls) patch(r *call) (any, error) {
	if err := r.onlyQuery("action"); err != nil {
		return nil, err
	}
	if _, err := s.all().one(&call{Request: r.Request, query: url.Values{}}, r.vars["uuid"]); err != nil {
		return nil, err
	}
	switch action := r.query.Get("action"); action {
	case "pause":
		return nil, fail(http.StatusBadRequest, "458783", "action", "This job does not support pause.")
	case "cancel":
		return nil, fail(http.StatusBadRequest, "458784", "action", "This job does not support cancel.")
	case "":
		return nil, missing("action")
	default:
		return nil, invalid(action, "action")
	}
}

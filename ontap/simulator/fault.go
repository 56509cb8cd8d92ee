package simulator

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strconv"
	"time"
)

// Fault spoils requests that match Method and Path, Times times. Of several
// faults the one that was injected first is tried first.
type Fault struct {
	// Method and Path choose requests; "" is any. Path is a pattern of
	// path.Match below /api, e.g. /storage/volumes/*/snapshots.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`

	// Skip is how many matching requests pass first; Times is how many the fault
	// then spoils, 0 for all.
	Skip  int `json:"skip,omitempty"`
	Times int `json:"times,omitempty"`

	// Latency delays the request.
	Latency time.Duration `json:"latency,omitempty"` // nanoseconds

	// Status answers at once with this status and ONTAP's envelope of Code and
	// Message, and with a Retry-After header if that is set. 401 with code
	// 6691623 is an expired password.
	Status     int    `json:"status,omitempty"`
	Code       string `json:"code,omitempty"`
	Message    string `json:"message,omitempty"`
	RetryAfter string `json:"retry_after,omitempty"`

	// Drop cuts the connection before the request is carried out, DropAnswer
	// afterwards.
	Drop       bool `json:"drop,omitempty"`
	DropAnswer bool `json:"drop_answer,omitempty"`

	// Body is sent instead of the answer, with status 200; Truncate cuts the
	// true answer in the middle and the connection with it.
	Body     string `json:"body,omitempty"`
	Truncate bool   `json:"truncate,omitempty"`

	// Endless is one of Endless: an answer without an end, or of far too much.
	Endless string `json:"endless,omitempty"`

	// Held answers a change with 200 and no job, and does not carry it out: it waits
	// for the approval of other administrators (multi-admin verification).
	Held bool `json:"held,omitempty"`

	// EmptyPage answers a collection with no records and a next link to the
	// same question, as ONTAP does when return_timeout runs out.
	EmptyPage bool `json:"empty_page,omitempty"`

	// Job decides the job that the request starts: fail (the job does nothing and
	// fails with Code and Message), stick (it does nothing and runs for ever) or
	// vanish (it does its work, and then nobody knows the job).
	Job string `json:"job,omitempty"`
}

// Check says what is wrong with a fault.
func (f Fault) Check() error {
	if _, err := path.Match(f.Path, ""); err != nil {
		return fmt.Errorf("fault path %q: %w", f.Path, err)
	}
	if !slices.Contains([]string{"", "fail", "stick", "vanish"}, f.Job) {
		return fmt.Errorf("fault job %q is not fail, stick or vanish", f.Job)
	}
	if f.Endless != "" && !slices.Contains(Endless, f.Endless) {
		return fmt.Errorf("fault endless %q is not one of %q", f.Endless, Endless)
	}
	if f.Status != 0 && (f.Status < 400 || f.Status > 599) {
		return fmt.Errorf("fault status %d is not from 400 to 599", f.Status)
	}
	if f.Skip < 0 || f.Times < 0 || f.Latency < 0 {
		return errors.New("fault skip, times and latency cannot be negative")
	}
	return nil
}

// Inject adds faults.
func (s *Simulator) Inject(faults ...Fault) error {
	for _, f := range faults {
		if err := f.Check(); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		s.faults = append(s.faults, &f)
	}
	return nil
}

// Heal removes all faults.
func (s *Simulator) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

// fault takes the first fault that matches a request, nil if none does.
func (s *Simulator) fault(method, below string) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, f := range s.faults {
		match, _ := path.Match(f.Path, below)
		if f.Method != "" && f.Method != method || f.Path != "" && !match {
			continue
		}
		if f.Skip > 0 {
			f.Skip--
			continue
		}
		if f.Times == 1 {
			s.faults = append(s.faults[:i:i], s.faults[i+1:]...)
		} else if f.Times > 1 {
			f.Times--
		}
		out := *f
		return &out
	}
	return nil
}

// spoiled is an answer that a fault has ruined: text is sent, and the
// connection cut if cut is set.
type spoiled struct {
	text []byte
	cut  bool
}

func (*spoiled) Error() string { return "spoiled by a fault" }

func (p *spoiled) write(w http.ResponseWriter, r *call) {
	if p.cut && len(p.text) > 0 {
		r.header.Set("Content-Length", strconv.Itoa(2*len(p.text)))
	}
	if len(p.text) > 0 {
		_, _ = w.Write(p.text)
		_ = http.NewResponseController(w).Flush()
	}
	if p.cut {
		r.status = 0
		panic(http.ErrAbortHandler) // net/http's way to cut a connection
	}
}

// suffer applies a fault to a request. If done is false, the request goes on.
func (s controls) suffer(r *call, f *Fault) (answer any, done bool, err error) {
	r.note = "fault"
	if f.Latency > 0 {
		t := time.NewTimer(f.Latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		case <-s.closed:
		}
	}
	switch {
	case f.Drop:
		return nil, true, &spoiled{cut: true}
	case f.Status != 0:
		if f.RetryAfter != "" {
			r.header.Set("Retry-After", f.RetryAfter)
		}
		code := orString(f.Code, "262160")
		return nil, true, fail(f.Status, code, "", "%s", orString(f.Message, http.StatusText(f.Status)))
	case f.Body != "":
		return nil, true, &spoiled{text: []byte(f.Body)}
	case f.Endless != "":
		return nil, true, &endless{f.Endless}
	case f.Held:
		return record{}, true, nil
	case f.EmptyPage:
		self := record{"href": r.URL.RequestURI()}
		next := record{"href": again(r)}
		return record{"records": []record{}, "num_records": 0, "_links": record{"self": self, "next": next}}, true, nil
	case f.DropAnswer, f.Truncate:
		return nil, true, s.ruin(r, f)
	}
	r.job = f
	return nil, false, nil
}

// again is the URL of the same question, with a mark that makes it another URL.
func again(r *call) string {
	query := r.URL.Query()
	n, _ := strconv.Atoi(query.Get("offset"))
	query.Set("offset", strconv.Itoa(n))
	return r.URL.EscapedPath() + "?" + query.Encode()
}

// ruin carries the request out and spoils the answer.
func (s controls) ruin(r *call, f *Fault) *spoiled {
	answer, err := wire(s).afterFaults(r)
	if f.DropAnswer {
		return &spoiled{cut: true}
	}
	if err != nil {
		answer = fromDir(err).envelope()
	}
	text := encode(answer)
	return &spoiled{text: text[:len(text)/2], cut: true}
}

package netapp

import (
	"errors"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/problem"
)

// offerFor is for how long an answer to "can you do that" is kept, and for how
// long a filer is not asked again that has refused what it offered.
const offerFor = time.Hour

// offer is something that some filers can do in the place of berth. It may be
// used concurrently.
type offer struct {
	mu      sync.Mutex // guards the fields, held across the network
	at      time.Time  // of the answer or the refusal; zero for never
	has     bool
	refusal error // what the filer said when it was to do it
}

// holds tells whether the filer can do it. ask asks the filer; an answer that
// could not be had is not kept.
func (o *offer) holds(ask func() (bool, error)) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.at.IsZero() && time.Since(o.at) < offerFor {
		return o.has, o.refusal
	}
	has, err := ask()
	if err != nil {
		return false, err
	}
	o.at, o.has, o.refusal = time.Now(), has, nil
	return has, nil
}

// refused notes that the filer did not do what it offered.
func (o *offer) refused(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at, o.has = time.Now(), false
	o.refusal = problem.New(problem.Failed, "it is asked again in an hour; 'berth ontap status' shows what the role lacks", "the filer has refused what it offered: %v", err)
}

// refusal tells whether err is the filer's No to the call itself, so that it
// will say No again: not a thing that is missing, nor a filer that is busy or
// away. A job that failed counts too.
func refusal(err error) bool {
	e := (*ontap.Error)(nil)
	if !errors.As(err, &e) || e.Unknown || errors.Is(err, ontap.ErrBusy) || errors.Is(err, fs.ErrExist) {
		return false
	}
	switch e.HTTP {
	case http.StatusNotFound:
		return e.Code == ontap.CodeUnsupported || e.Code == ""
	case http.StatusBadRequest, http.StatusForbidden, http.StatusMethodNotAllowed:
		return true
	}
	return e.Job != "" && e.Code != ontap.CodeNoSpace
}

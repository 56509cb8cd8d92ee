package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/casit/berth/bound"
	"github.com/casit/berth/problem"
)

// What callers may have at once. The socket belongs to root, but one loop in a
// script is enough for a storm, and Docker's verbs must not wait behind it.
const (
	mostConnections = 4096
	bodyLimit       = 8 * time.Second // until a request is there, with its body
	smallBody       = 8 << 10         // bytes; dockerd's are smaller
	maxBody         = 1 << 20         // bytes; a plan is the largest
)

// turns say how many requests are at work at once. Docker's verbs wait for none
// of them, unless their body is large.
type turns struct {
	bodies  *bound.Turns // requests with a large body, from its first byte to their end
	short   *bound.Turns // calls of the command line that take seconds
	long    *bound.Turns // those that may take hours
	streams *bound.Turns // those whose reader may take its time
	waits   *bound.Turns // those that wait for a job
}

func newTurns() turns {
	return turns{bodies: bound.NewTurns(8, 1<<10), short: bound.NewTurns(16, 1<<10), long: bound.NewTurns(32, 1<<10),
		streams: bound.NewTurns(64, 0), waits: bound.NewTurns(512, 0)}
}

// take waits for a turn for at most shortLimit. release is never nil.
func take(ctx context.Context, t *bound.Turns) (release func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, shortLimit)
	defer cancel()
	if release, ok := t.Take(ctx); ok {
		return release, nil
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return func() {}, errNoAnswer
	}
	return func() {}, problem.New(problem.Failed, "try again when they have ended; 'ps -C berth' on this node shows who asks",
		"berth has too many requests at once to begin another one")
}

// ask is route for a call of the command line, which waits for its turn.
func ask[Req, Resp any](s *Server, op string, limit time.Duration, quiet bool, act func(context.Context, Req) (Resp, error)) http.HandlerFunc {
	turns := s.turns.short
	if limit == noLimit {
		turns = s.turns.long
	}
	return route(s, op, limit, quiet, func(ctx context.Context, req Req) (resp Resp, err error) {
		release, err := take(ctx, turns)
		defer release()
		if err != nil {
			return resp, err
		}
		return act(ctx, req)
	})
}

// decode reads a request's body, for which the server's ReadTimeout is. dockerd may repeat a request
// without its body, so an empty body is an error, except for requests that have no
// fields. release ends the request's turn, and is never nil.
func (t *turns) decode(w http.ResponseWriter, r *http.Request, req any) (release func(), err error) {
	release = func() {}
	data, err := io.ReadAll(io.LimitReader(r.Body, smallBody))
	if err == nil && len(data) == smallBody {
		ctx, cancel := context.WithTimeout(r.Context(), bodyLimit)
		defer cancel()
		if release, err = take(ctx, t.bodies); err != nil {
			return release, err
		}
		all := bytes.NewBuffer(data)
		_, err = all.ReadFrom(io.LimitReader(r.Body, maxBody+1-smallBody))
		data = all.Bytes()
	}
	if err == nil && len(data) <= maxBody {
		// The server's ReadTimeout would end the request, too.
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	}
	return release, unmarshal(data, err, req)
}

func unmarshal(data []byte, err error, req any) error {
	switch _, nothing := req.(*Empty); {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return problem.New(problem.Invalid, "send it again", "the request did not arrive within %s", bodyLimit)
	case err != nil:
		return problem.New(problem.Invalid, "", "the request was cut short: %v", err)
	case len(data) > maxBody:
		return problem.New(problem.Invalid, "", "the request is too large")
	case nothing:
		return nil
	case len(data) == 0:
		return problem.New(problem.Invalid, "send it again", "the request has no body")
	}
	if err := json.Unmarshal(data, req); err != nil {
		return problem.New(problem.Invalid, "", "the request is not JSON of the expected form: %v", err)
	}
	return nil
}

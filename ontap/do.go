package ontap

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// maxAnswer bounds one answer, in bytes. A page of volumes with all fields
	// is far smaller. None of our questions has a larger answer.
	maxAnswer = 8 << 20

	// attempts is how often a request is sent at most.
	attempts = 5

	// longestRetryAfter bounds what a Retry-After may ask for.
	longestRetryAfter = time.Minute
)

// request is one HTTP exchange below /api.
type request struct {
	method string
	path   string // below /api, already escaped
	query  url.Values
	body   any // marshalled to JSON; nil for none
}

// op is the request's name in errors. It leaves out the query, which may be long.
func (r request) op() string { return r.method + " " + r.path }

// safe says whether sending r twice is the same as sending it once.
func (r request) safe() bool {
	return r.method == http.MethodGet || r.method == http.MethodOptions
}

// reply is an answer with a success status.
type reply[T any] struct {
	status int
	header http.Header
	body   T
}

// do sends r, again where that is safe, and decodes the answer into T:
//
//   - 401: the password file is read again; if it has changed, once more. No client
//     of this process sends the refused password again.
//   - 429: refused before anything happened, so any method is sent again after
//     Retry-After.
//   - No answer, 500, 502, 503, 504: only what is safe is sent again.
func do[T any](ctx context.Context, c *Client, r request) (reply[T], error) {
	var out reply[T]
	body, err := encode(r)
	if err != nil {
		return out, err
	}
	renewed := false
	for try := 1; ; try++ {
		password, end, err := c.enter(ctx)
		if err != nil {
			return out, c.password.refusal(r, err)
		}
		began := c.now()
		out, err = once[T](ctx, c, r, body, password)
		end(out.status)
		c.observe(r.method, out.status, c.now().Sub(began))
		var e *Error
		if err == nil || errors.As(err, &e) {
			c.uses.note(c.String(), r, e, c.now())
		}
		if err == nil {
			return out, nil
		}
		if e == nil || ctx.Err() != nil || try == attempts {
			return out, err
		}
		if e.HTTP == http.StatusUnauthorized && c.pair != nil && c.pair.outdated() {
			continue
		}
		if e.HTTP == http.StatusUnauthorized && !renewed && c.pair == nil {
			renewed = true
			if changed, renewErr := c.password.renew(ctx, c.wait, password); renewErr != nil || !changed {
				return out, err
			}
			continue
		}
		pause, again := retry(r, e, try, out.header, c.now())
		if !again {
			return out, err
		}
		if ended := c.wait(ctx, pause); ended != nil {
			e.err = ended
			return out, e
		}
	}
}

// enter returns the password for one exchange, and the func to call with the status
// of the answer. A password that the cluster has refused is an error. With a
// certificate there is no password: nil.
func (c *Client) enter(ctx context.Context) (*secret, func(status int), error) {
	if c.pair != nil {
		return nil, func(int) {}, c.pair.refresh()
	}
	for {
		password, err := c.password.allowed(ctx, c.wait)
		if err != nil {
			return nil, nil, err
		}
		end, err := c.password.verdicts.begin(ctx, c.password.login, password.sum)
		if err != nil {
			return nil, nil, err
		}
		// The request that begin waited for may have been refused.
		if !c.password.verdicts.refused(c.password.login, password.sum) {
			return password, end, nil
		}
		end(0)
	}
}

func encode(r request) ([]byte, error) {
	if r.body == nil {
		return nil, nil
	}
	body, err := json.Marshal(r.body)
	if err != nil {
		return nil, fmt.Errorf("ontap: %s: encode request: %w", r.op(), err)
	}
	return body, nil
}

// retry decides whether r is sent again after e, and after how long.
func retry(r request, e *Error, try int, header http.Header, now time.Time) (time.Duration, bool) {
	backoff := 250 * time.Millisecond << (try - 1)
	switch e.HTTP {
	case http.StatusTooManyRequests:
		return retryAfter(header.Get("Retry-After"), now, backoff), true
	case http.StatusServiceUnavailable:
		return retryAfter(header.Get("Retry-After"), now, backoff), r.safe()
	case 0, http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return backoff, r.safe() && !permanent(e.err)
	}
	return 0, false
}

// retryAfter reads RFC 9110 §10.2.3, seconds or a date.
func retryAfter(value string, now time.Time, otherwise time.Duration) time.Duration {
	wait := otherwise
	if seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if date, err := http.ParseTime(value); err == nil {
		wait = date.Sub(now)
	}
	return max(0, min(wait, longestRetryAfter))
}

// once sends r one time.
func once[T any](ctx context.Context, c *Client, r request, body []byte, password *secret) (reply[T], error) {
	var out reply[T]
	req, err := c.newRequest(ctx, r, body)
	if err != nil {
		return out, err
	}
	if password != nil {
		req.SetBasicAuth(c.user, password.text())
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return out, c.lost(ctx, r, password, err)
	}
	defer resp.Body.Close()
	out.status, out.header = resp.StatusCode, resp.Header
	isError := resp.StatusCode < 200 || resp.StatusCode > 299
	limit := int64(maxAnswer)
	if isError {
		limit = maxError
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	raw = password.without(raw, isError || strings.HasPrefix(r.path, "/cluster/jobs/")) // a job's record has an error's text
	switch {
	case isError:
		return out, refused(r, resp.StatusCode, raw)
	case err != nil:
		return out, c.lost(ctx, r, password, fmt.Errorf("answer is truncated: %w", err))
	case len(raw) > maxAnswer:
		return out, broken(r, resp.StatusCode, "answer is larger than 8 MiB", nil)
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		if r.method == http.MethodGet {
			return out, broken(r, resp.StatusCode, "answer is empty", nil)
		}
		return out, nil
	}
	if err := json.Unmarshal(raw, &out.body); err != nil {
		return out, broken(r, resp.StatusCode, "answer is not what ONTAP documents: "+describe(err), err)
	}
	return out, nil
}

func (c *Client) newRequest(ctx context.Context, r request, body []byte) (*http.Request, error) {
	plain, err := url.PathUnescape(r.path)
	if err != nil {
		return nil, &Error{Op: r.op(), Message: "path is not escaped"}
	}
	u := *c.base
	u.Path, u.RawPath = "/api"+plain, "/api"+r.path
	u.RawQuery = r.query.Encode()
	// net/url drops a RawPath that it finds unnecessary or invalid. An un-encoded
	// ".." destroys the volume, so no other path than ours may be sent.
	if u.EscapedPath() != "/api"+r.path {
		return nil, &Error{Op: r.op(), Message: "path cannot be sent as it is written"}
	}
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), content)
	if err != nil {
		return nil, &Error{Op: r.op(), Message: "request cannot be made"}
	}
	req.Header.Set("Accept", "application/hal+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// lost makes the error of a request that got no answer, or only a part of one.
// Its words may be the server's: net/http quotes what is no HTTP.
func (c *Client) lost(ctx context.Context, r request, password *secret, err error) *Error {
	cause := err
	var u *url.Error
	if errors.As(err, &u) {
		cause = u.Err // without the URL, whose query may be long
	}
	if ctx.Err() != nil {
		cause = ctx.Err()
	}
	e := &Error{Op: r.op(), Message: password.hide(cause.Error()), err: cause}
	if e.Message == hidden {
		e.err = errors.New(hidden)
	}
	e.Unknown = !r.safe() && !neverSent(err)
	return e
}

// broken makes the error of a complete answer that makes no sense. The cluster
// may have done what the request asked for all the same.
func broken(r request, status int, message string, err error) *Error {
	return &Error{Op: r.op(), HTTP: status, Message: message, Unknown: !r.safe(), err: err}
}

// refused reads ONTAP's error envelope.
func refused(r request, status int, raw []byte) *Error {
	e := &Error{Op: r.op(), HTTP: status}
	var envelope struct {
		Error errorBody `json:"error"`
	}
	// Unmarshal reads on after a value that does not fit; an answer that is no JSON
	// leaves all of it empty.
	_ = json.Unmarshal(raw, &envelope)
	e.Message, e.Code, e.Target = envelope.Error.Message, string(envelope.Error.Code), envelope.Error.Target
	// A proxy that has lost the cluster's answer, or an error without the cluster's
	// words, says nothing about what the cluster has done.
	lost := status == http.StatusBadGateway || status == http.StatusGatewayTimeout || status == http.StatusInternalServerError && e.Code == ""
	e.Unknown = lost && !r.safe()
	if e.Message == "" {
		e.Message = fmt.Sprintf("http status %d without an ONTAP error", status)
	}
	return e
}

// errorBody is the inside of ONTAP's error envelope.
type errorBody struct {
	Message string `json:"message"`
	Code    code   `json:"code"`
	Target  string `json:"target"`
}

// code is an ONTAP error code: documented as a string, a number in job records.
type code string

// UnmarshalJSON takes "525059" and 525059. Anything else, a zero too, is no code:
// an odd code must not lose the message beside the code.
func (c *code) UnmarshalJSON(b []byte) error {
	*c = ""
	if n, err := strconv.ParseInt(strings.Trim(string(b), `"`), 10, 64); err == nil && n != 0 {
		*c = code(strconv.FormatInt(n, 10))
	}
	return nil
}

package plugin

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
)

// Client sends the command line's requests to a Server. It may be used
// concurrently.
type Client struct {
	Socket string
	Caller string // the user's name, for the audit trail
	Zone   string // the user's time zone, as LoadZone reads it; "" is UTC
	http   http.Client
}

// NewClient returns a client of the server on socket.
func NewClient(socket, caller string) *Client {
	c := &Client{Socket: socket, Caller: caller}
	c.http.Transport = &http.Transport{DialContext: dialUnix(socket)}
	return c
}

// dialUnix connects to socket, whatever the address of the request is.
func dialUnix(socket string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
}

// Call sends a request to a route such as "Berth.TrashList" and decodes the
// answer into resp. A failure that the server names is a *Failure; resp has what the
// answer says beside it.
func (c *Client) Call(ctx context.Context, route string, req, resp any) error {
	answer, err := c.post(ctx, route, req)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	return decodeAnswer(answer, route, resp)
}

// post sends a request; the caller closes the answer's body.
func (c *Client) post(ctx context.Context, route string, req any) (*http.Response, error) {
	body, err := json.Marshal(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", route, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://berth/"+route, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", route, err)
	}
	r.Header.Set(callerHeader, c.Caller)
	if c.Zone != "" {
		r.Header.Set(zoneHeader, c.Zone)
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, fmt.Errorf("ask berth on %s: %w", c.Socket, err)
	}
	if answer.StatusCode == http.StatusNotFound {
		answer.Body.Close()
		return nil, fmt.Errorf("the berth on %s is another version and does not know %s", c.Socket, route)
	}
	return answer, nil
}

// maxAnswer bounds an answer, in bytes: all that berth says of 100,000 volumes has
// 30 MB. Streams have no bound: who reads them keeps nothing.
const maxAnswer = 64 << 20

func decodeAnswer(answer *http.Response, route string, resp any) error {
	var raw json.RawMessage
	body := &io.LimitedReader{R: answer.Body, N: maxAnswer}
	if err := json.NewDecoder(body).Decode(&raw); body.N == 0 {
		return fmt.Errorf("the answer of %s is larger than %d MiB", route, maxAnswer>>20)
	} else if err != nil {
		return fmt.Errorf("read the answer of %s: %w", route, err)
	}
	var f Failure
	if err := json.Unmarshal(raw, &f); err == nil && f.Err != "" {
		_ = json.Unmarshal(raw, resp) // what else it says, as of a job
		return &f
	}
	if err := json.Unmarshal(raw, resp); err != nil {
		return fmt.Errorf("read the answer of %s: %w", route, err)
	}
	return nil
}

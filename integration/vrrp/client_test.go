package vrrp

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/casit/berth/integration/netns"
)

// A client asks one URL from inside a host.
type client struct {
	host *netns.Host
	http *http.Client
	url  string
}

// A client whose requests are sent this often, waits so long for each, and
// stops after so many even if nobody stops it.
const (
	every   = 50 * time.Millisecond
	timeout = time.Second
	most    = 2400
)

func newClient(h *netns.Host, url string) *client {
	return &client{host: h, url: url, http: &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{DialContext: h.Dial, DisableKeepAlives: true},
	}}
}

// ask returns which proxy answered.
func (c *client) ask() (proxy string, err error) {
	answer, err := c.http.Get(c.url)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s", answer.Status)
	}
	return answer.Header.Get("Proxy"), nil
}

// Traffic is a stream of requests, each of which is sent whether or not those
// before it have been answered.
type traffic struct {
	stop chan struct{}
	all  sync.WaitGroup

	mu   sync.Mutex // guards sent
	sent []request
}

type request struct {
	at   time.Time
	lost bool
}

func (c *client) start() *traffic {
	s := &traffic{stop: make(chan struct{})}
	s.all.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for range most {
			s.all.Go(func() { s.send(c) })
			select {
			case <-tick.C:
			case <-s.stop:
				return
			}
		}
	})
	return s
}

func (s *traffic) send(c *client) {
	r := request{at: time.Now()}
	_, err := c.ask()
	r.lost = err != nil
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = append(s.sent, r)
}

// report stops the stream and prints how many requests were lost, and for how
// long: from the first lost one to the last.
func (s *traffic) report(t *testing.T, what string) {
	close(s.stop)
	s.all.Wait()
	var lost int
	var first, last time.Time
	for _, r := range s.sent {
		if !r.lost {
			continue
		}
		lost++
		if first.IsZero() || r.at.Before(first) {
			first = r.at
		}
		if r.at.After(last) {
			last = r.at
		}
	}
	t.Logf("failover: %s: %d of %d requests lost, %.1f s", what, lost, len(s.sent), last.Sub(first).Seconds())
}

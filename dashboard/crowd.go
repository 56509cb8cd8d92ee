package dashboard

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
)

// What is done at once, and for one client. A browser has six connections to a
// server, and a page that is open one stream.
const (
	requestsAtOnce, requestsAClient   = 512, 32
	downloadsAtOnce, downloadsAClient = 8, 2
	walksAtOnce, walksAClient         = 2, 1
)

// crowd lets so much be under way at once, and so much for each client: one client
// does not take what is there for all.
type crowd struct {
	slots chan struct{}
	each  int

	mu    sync.Mutex               // guards count
	count map[string]chan struct{} // the slots of the clients that have something under way or wait
	using map[string]int           // how many of them, by client
}

func newCrowd(all, each int) *crowd {
	return &crowd{slots: make(chan struct{}, all), each: each, count: map[string]chan struct{}{}, using: map[string]int{}}
}

// enter takes a slot of the client's and one of all; leave gives both back. ok is
// false if they do not become free before ctx ends.
func (c *crowd) enter(ctx context.Context, client string) (leave func(), ok bool) {
	c.mu.Lock()
	own := c.count[client]
	if own == nil {
		own = make(chan struct{}, c.each)
		c.count[client] = own
	}
	c.using[client]++
	c.mu.Unlock()
	gone := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.using[client]--; c.using[client] == 0 {
			delete(c.using, client)
			delete(c.count, client)
		}
	}
	select {
	case own <- struct{}{}:
	case <-ctx.Done():
		gone()
		return nil, false
	}
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots; <-own; gone() }, true
	case <-ctx.Done():
		<-own
		gone()
		return nil, false
	}
}

// clientOf names who asks: an address, or of IPv6 the network that one host has to
// itself. Behind a proxy it is the address that the proxy saw, which the proxy puts
// last.
func (s *Server) clientOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr // of a unix socket: nothing
	}
	if s.cfg.BehindProxy {
		seen := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		if last := strings.TrimSpace(seen[len(seen)-1]); last != "" {
			host = last
		}
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	if ip != nil && ip.To4() == nil {
		ip = ip.Mask(net.CIDRMask(64, 128))
	}
	if ip == nil {
		return host[:min(len(host), 64)]
	}
	return ip.String()
}

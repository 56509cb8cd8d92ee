package plugin

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/casit/berth/guard"
)

// scrapes is the listener for Prometheus, on one address at a time.
type scrapes struct {
	mu     sync.Mutex // guards the fields below
	wanted string
	server *http.Server // nil: there is no listener
	at     net.Addr
	err    error       // why there is no listener on the wanted address
	tasks  guard.Tasks // the listeners
	ended  bool        // for good: the plugin ends
}

// scrapeLimit bounds one scrape, which reads memory alone.
const scrapeLimit = 10 * time.Second

// serveMetrics serves metrics on address, "" for nowhere. It may be repeated, and
// tries a taken port again; the log has that once. A taken port is no error of
// the plugin.
func (s *Server) serveMetrics(address string) {
	sc := &s.scrapes
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.ended || address == sc.wanted && (sc.server != nil || address == "") {
		return
	}
	if sc.server != nil {
		_ = sc.server.Close()
	}
	was := sc.err
	sc.wanted, sc.server, sc.at, sc.err = address, nil, nil, nil
	if address == "" {
		return
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		if sc.err = err; !sameError(was, err) {
			s.log.WithError(err).Warn("metrics are not served; free the port or change BERTH_METRICS")
		}
		return
	}
	sc.server, sc.at = s.metricsServer(), l.Addr()
	s.log.WithField("address", l.Addr().String()).Info("metrics are served")
	end := sc.tasks.Begin("metrics on " + address)
	go func(server *http.Server) {
		defer end()
		sc.serve(server, l)
	}(sc.server)
}

func (s *Server) metricsServer() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4, Timeout: scrapeLimit, ErrorHandling: promhttp.ContinueOnError}))
	return &http.Server{Handler: mux, ReadHeaderTimeout: scrapeLimit, ReadTimeout: scrapeLimit, WriteTimeout: 2 * scrapeLimit,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10}
}

// serve answers until the server is closed. After a failure the next look at the
// settings begins another server.
func (sc *scrapes) serve(server *http.Server, l net.Listener) {
	err := server.Serve(l)
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.server == server && !errors.Is(err, http.ErrServerClosed) {
		sc.server, sc.at, sc.err = nil, nil, err
	}
}

// close ends serving for good, and waits for the listeners.
func (sc *scrapes) close() {
	sc.mu.Lock()
	server := sc.server
	sc.server, sc.at, sc.ended = nil, nil, true
	sc.mu.Unlock()
	if server != nil {
		_ = server.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	_ = sc.tasks.Wait(ctx) // a closed listener ends
}

// url is the address of the metrics, "" if they are not served.
func (sc *scrapes) url() string {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.at == nil {
		return ""
	}
	return "http://" + sc.at.String() + "/metrics"
}

// problem says why wanted metrics are not served, else "".
func (sc *scrapes) problem() string {
	sc.mu.Lock()
	defer sc.mu.Unlock()
	if sc.err == nil {
		return ""
	}
	return "metrics are not served: " + sc.err.Error()
}

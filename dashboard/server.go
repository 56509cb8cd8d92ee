package dashboard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/bound"
)

// Config is what a Server is made with. Berth and Docker are required.
type Config struct {
	_ struct{}

	Berth  Berth
	Docker Docker
	// Listen is HOST:PORT, or unix:PATH. On another host than loopback either Cert
	// and Key are files, read for each connection so that a renewed certificate
	// counts, or BehindProxy says that a proxy in front speaks TLS. On loopback, and
	// without a proxy, other users of this machine than root and who has started the
	// page are refused.
	Listen      string
	Cert, Key   string
	BehindProxy bool
	// Hosts are names by which the page may be asked for, besides loopback's
	// and Listen's.
	Hosts []string
	// Every is how often berth and Docker are asked while somebody watches;
	// default 3 s.
	Every time.Duration
	// NoDownload keeps the content of files from being read.
	NoDownload bool
	Zone       *time.Location // of the times; default time.Local
	Version    string
}

// Server is the page.
type Server struct {
	cfg      Config
	world    *world
	hub      *hub
	pages    *pages
	measured measurements
	requests *crowd
	walks    *crowd // comparisons and measurements
	taking   *crowd // downloads
	private  bool   // on loopback, for the owners alone
	owners   []int
	life     context.Context
	end      context.CancelFunc
}

const (
	leastEvery = 100 * time.Millisecond

	connectionsAtOnce = 1024
	// pageLimit is how long a page may take to be made and to be read. Streams and
	// downloads have limits of their own.
	pageLimit = 90 * time.Second
)

// UsageError says why a configuration is wrong, and what to type.
type UsageError struct{ Reason, Hint string }

// Error is the reason.
func (e *UsageError) Error() string { return e.Reason }

// New checks the configuration.
func New(cfg Config) (*Server, error) {
	socket, isSocket := strings.CutPrefix(cfg.Listen, "unix:")
	host, _, err := net.SplitHostPort(cfg.Listen)
	if err != nil && !isSocket || isSocket && !filepath.IsAbs(socket) {
		return nil, &UsageError{fmt.Sprintf("--listen %q is no address", cfg.Listen), "for example --listen 127.0.0.1:8080, or --listen unix:/run/berth-dashboard.sock"}
	}
	local := isSocket || loopback(host)
	switch {
	case cfg.Every != 0 && cfg.Every < leastEvery:
		return nil, &UsageError{fmt.Sprintf("--every %s is too short", cfg.Every), "3s is enough for people; at least " + leastEvery.String()}
	case (cfg.Cert == "") != (cfg.Key == ""):
		return nil, &UsageError{"--tls-cert and --tls-key belong together", "give both, or none"}
	case cfg.Cert != "" && cfg.BehindProxy:
		return nil, &UsageError{"--tls-cert and --plain-http-behind-proxy exclude each other", "give one of them"}
	case cfg.Cert == "" && !cfg.BehindProxy && !local:
		return nil, &UsageError{fmt.Sprintf("--listen %s is not loopback: the page would cross the network unencrypted", cfg.Listen),
			"add --tls-cert FILE --tls-key FILE, or --plain-http-behind-proxy where a proxy on the same network speaks TLS, or listen on 127.0.0.1:8080"}
	}
	if cfg.Cert != "" {
		if _, err := tls.LoadX509KeyPair(cfg.Cert, cfg.Key); err != nil {
			return nil, &UsageError{"read the certificate: " + err.Error(), "--tls-cert and --tls-key are PEM files"}
		}
	}
	if cfg.Every == 0 {
		cfg.Every = 3 * time.Second
	}
	if cfg.Zone == nil {
		cfg.Zone = time.Local
	}
	s := &Server{cfg: cfg, world: newWorld(cfg.Berth, cfg.Docker, cfg.Every),
		requests: newCrowd(requestsAtOnce, requestsAClient), walks: newCrowd(walksAtOnce, walksAClient), taking: newCrowd(downloadsAtOnce, downloadsAClient),
		private: loopback(host) && !cfg.BehindProxy, owners: owners()}
	s.life, s.end = context.WithCancel(context.Background())
	s.hub = &hub{world: s.world, every: cfg.Every, life: s.life}
	s.pages, err = newPages(cfg)
	return s, err
}

// URL is where a browser finds the page.
func (s *Server) URL(address net.Addr) string {
	if address.Network() == "unix" {
		return "unix:" + address.String()
	}
	if s.cfg.Cert != "" {
		return "https://" + address.String()
	}
	return "http://" + address.String()
}

// Serve answers on l until ctx ends.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	defer s.end()
	srv := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ConnContext: s.whose,
	} // and no ReadTimeout: it would cut the stream of events
	bound.Connections(srv, connectionsAtOnce)
	served := make(chan error, 1)
	go func() {
		if s.cfg.Cert == "" {
			served <- srv.Serve(l)
			return
		}
		srv.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			c, err := tls.LoadX509KeyPair(s.cfg.Cert, s.cfg.Key)
			return &c, err
		}}
		served <- srv.ServeTLS(l, "", "")
	}()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
		s.end()
		quiet, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if err := srv.Shutdown(quiet); errors.Is(err, context.DeadlineExceeded) {
			return srv.Close()
		}
		return nil
	}
}

// handler serves every address of the page. It answers only GET and HEAD.
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.overview)
	mux.HandleFunc("GET /nodes/{node}", s.node)
	mux.HandleFunc("GET /volumes/{volume}", s.volume)
	mux.HandleFunc("GET /volumes/{volume}/snapshots/{snapshot}", s.snapshot)
	mux.HandleFunc("GET /volumes/{volume}/snapshots/{snapshot}/diff", s.diff)
	if !s.cfg.NoDownload {
		mux.HandleFunc("GET /volumes/{volume}/snapshots/{snapshot}/download", s.download)
	}
	mux.HandleFunc("GET /events", s.hub.events)
	mux.HandleFunc("GET /assets/{sum}/{name}", s.pages.asset)
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, http.StatusNotFound, "there is no page "+r.URL.Path, "begin at the overview")
	})
	return s.guard(mux)
}

// policy is the page's content security policy: scripts and styles are files
// of ours, nothing comes from elsewhere, nothing is inline.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// guard lets through what may be answered, and sets the headers of all answers.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the dashboard changes nothing: GET and HEAD alone", http.StatusMethodNotAllowed)
		case !s.mayBeCalled(r.Host):
			// If another site's name led here, that site's scripts could read
			// the page.
			http.Error(w, fmt.Sprintf("this page does not answer to the name %+q; if it should: berth dashboard --host NAME", r.Host), http.StatusMisdirectedRequest)
		case r.Context().Value(strangerKey{}) != nil:
			http.Error(w, "this page is for root and for who has started it; for other users of this machine, or for a proxy on it: berth dashboard --plain-http-behind-proxy", http.StatusForbidden)
		case r.ContentLength != 0:
			h.Set("Connection", "close") // nobody waits for the end of it
			http.Error(w, "the dashboard reads no request's body", http.StatusRequestEntityTooLarge)
		default:
			short, cancel := context.WithTimeout(r.Context(), 2*time.Second)
			leave, ok := s.requests.enter(short, s.clientOf(r))
			cancel()
			if !ok {
				h.Set("Retry-After", "5")
				http.Error(w, "too many requests of one client at the same time", http.StatusTooManyRequests)
				return
			}
			defer leave()
			flow := http.NewResponseController(w)
			_ = flow.SetWriteDeadline(time.Now().Add(pageLimit)) // a reader who stands still is left
			defer flow.SetWriteDeadline(time.Time{})             //nolint:errcheck // as before
			next.ServeHTTP(w, r)
		}
	})
}

// mayBeCalled tells whether a Host header names this page.
func (s *Server) mayBeCalled(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(strings.ToLower(strings.TrimSuffix(name, ".")), "[]")
	listen, _, _ := net.SplitHostPort(s.cfg.Listen)
	return loopback(name) || name != "" && name == strings.ToLower(listen) || slices.ContainsFunc(s.cfg.Hosts, func(h string) bool { return strings.EqualFold(h, name) })
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

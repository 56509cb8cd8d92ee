package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/netns"
)

// asBackend in the environment makes the test's program a service: on the
// ports that it lists, and on controlPort for the test.
const asBackend = "BERTH_TEST_BACKEND"

const controlPort = 9000

func TestMain(m *testing.M) {
	if ports := os.Getenv(asBackend); ports != "" {
		serveBackend(strings.Split(ports, ","))
	}
	os.Exit(m.Run())
}

// An echo is what the service answers: the request as it got it.
type echo struct {
	Node    string      `json:"node"`
	Port    string      `json:"port"`
	Method  string      `json:"method"`
	Host    string      `json:"host"`
	URI     string      `json:"uri"`
	Count   int         `json:"count"` // how often this URI was asked for here
	Headers http.Header `json:"headers"`
}

// backend is a service's task on one node.
type backend struct {
	node string

	mu     sync.Mutex // guards what follows
	mode   string     // "" answers, fail is 503, hang answers never
	counts map[string]int
}

func serveBackend(ports []string) {
	name, _ := os.Hostname()
	b := &backend{node: name, counts: map[string]int{}}
	for _, p := range ports {
		go func() { fatal(http.ListenAndServe(":"+p, b)) }()
	}
	fatal(http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", controlPort), http.HandlerFunc(b.control)))
}

func fatal(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// control sets the mode and tells how often a URI was asked for.
func (b *backend) control(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if mode, ok := r.URL.Query()["mode"]; ok {
		b.mode = mode[0]
	}
	fmt.Fprint(w, b.counts[r.URL.Query().Get("count")])
}

// ServeHTTP answers with the request, and with the headers that its query asks
// for as h=NAME:VALUE.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.counts[r.RequestURI]++
	count, mode := b.counts[r.RequestURI], b.mode
	b.mu.Unlock()
	switch mode {
	case "fail":
		http.Error(w, "out of order", http.StatusServiceUnavailable)
		return
	case "hang":
		select {
		case <-r.Context().Done():
		case <-time.After(time.Hour):
		}
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // as applications do
	if r.Header.Get("Upgrade") != "" {
		upgrade(w, r)
		return
	}
	for _, h := range r.URL.Query()["h"] {
		name, value, _ := strings.Cut(h, ":")
		w.Header().Add(name, value)
	}
	_, port, _ := net.SplitHostPort(r.Context().Value(http.LocalAddrContextKey).(net.Addr).String())
	_ = json.NewEncoder(w).Encode(echo{b.node, port, r.Method, r.Host, r.RequestURI, count, r.Header})
}

// upgrade says what it was asked to become, becomes it, and echoes one line.
func upgrade(w http.ResponseWriter, r *http.Request) {
	conn, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: %s\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Connection"), r.Header.Get("Upgrade"))
	_ = rw.Flush()
	line, _ := rw.ReadString('\n')
	fmt.Fprint(rw, "echo ", line)
	_ = rw.Flush()
}

// startBackend runs the service on a node.
func startBackend(t *testing.T, h *netns.Host, ports ...string) *netns.Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := h.Start(t, "env", asBackend+"="+strings.Join(ports, ","), self)
	lab.Eventually(t, "the service on "+h.Name, func() error {
		_, err := h.Try("curl", "-sf", fmt.Sprintf("http://127.0.0.1:%s/", ports[0]))
		return err
	})
	return p
}

// control asks a node's service, past all proxies.
func control(t *testing.T, h *netns.Host, query string) string {
	t.Helper()
	return h.Run(t, "curl", "-sf", fmt.Sprintf("http://127.0.0.1:%d/?%s", controlPort, query))
}

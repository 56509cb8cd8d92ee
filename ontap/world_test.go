package ontap_test

import (
	"context"
	"encoding/pem"
	"io"
	"log"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/ontap/simulator/simulatortest"
)

const password = "s3cret-Horse-Battery"

// world is a simulated cluster over HTTPS on 127.0.0.1 and our client for it.
// Every exchange is validated against the reference where that is at hand.
type world struct {
	*simulator.Simulator
	validator *validator
	t         *testing.T
	client    *ontap.Client
	root      string // the FlexVol
	address   string
	ca        string
	secret    string // the password's file
	volume    string // the FlexVol's uuid
	svm       string // its SVM's uuid
	spoiled   atomic.Bool
	waits     *waits
	log       *requests
}

// waits stands in for the clock of a client: it waits for nothing.
type waits struct {
	mu    sync.Mutex // guards all
	slept []time.Duration
	now   time.Time
	hook  func(n int) // called at the n-th wait, from 1
}

func (w *waits) wait(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	w.slept = append(w.slept, d)
	w.now = w.now.Add(d)
	n, hook := len(w.slept), w.hook
	w.mu.Unlock()
	if hook != nil {
		hook(n)
	}
	time.Sleep(time.Millisecond) // gives the cluster a turn; nothing depends on how long
	return ctx.Err()
}

func (w *waits) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *waits) all() []time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]time.Duration(nil), w.slept...)
}

// requests are the simulator's log.
type requests struct {
	mu   sync.Mutex // guards list
	list []simulator.Entry
}

func (r *requests) add(e simulator.Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, e)
}

// matching are the requests whose line contains text.
func (r *requests) matching(text string) []simulator.Entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []simulator.Entry
	for _, e := range r.list {
		if strings.Contains(e.Method+" "+e.URI, text) {
			out = append(out, e)
		}
	}
	return out
}

func newWorld(t *testing.T, change ...func(*simulator.Config)) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, root: filepath.Join(dir, "vol"), ca: filepath.Join(dir, "ca.pem"), secret: filepath.Join(dir, "password"),
		waits: &waits{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, log: &requests{}}
	require.NoError(t, os.Mkdir(w.root, 0o755))
	require.NoError(t, os.WriteFile(w.secret, []byte(password+"\n"), 0o600))
	var tick atomic.Int64
	cfg := simulator.Config{Root: w.root, SVM: "svm1", Volume: "docker_vols", Junction: "/docker_vols",
		User: "berth", PasswordFile: w.secret, Version: simulatortest.Release(t), Log: w.log.add, Random: rand.NewChaCha8([32]byte{1}),
		Now: func() time.Time {
			return time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC).Add(time.Duration(tick.Add(1)) * time.Second)
		}}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	w.Simulator, err = simulator.New(cfg)
	require.NoError(t, err)
	w.validator = &validator{t: t, doc: spec(t), inner: w.Simulator, broken: w.spoiled.Load}
	server := httptest.NewUnstartedServer(w.validator)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that distrust it are tests
	server.StartTLS()
	t.Cleanup(func() {
		w.Simulator.Close() // lets stuck requests go
		server.Close()
	})
	w.address = server.Listener.Addr().String()
	require.NoError(t, os.WriteFile(w.ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o644))
	w.client = w.newClient(w.config())
	w.volume, w.svm = w.UUIDs()
	return w
}

// ofDefaultRelease is for tests of one release's answers, whichever release the
// tests of this run play.
func ofDefaultRelease(c *simulator.Config) { c.Version = simulator.DefaultRelease }

// ageless has both whoami and directory-restore, as no release has, whichever
// release the tests of this run play.
func ageless(c *simulator.Config) { c.Ageless, c.Version = true, simulator.DefaultRelease }

func (w *world) config() ontap.Config {
	return ontap.Config{Address: w.address, User: "berth", PasswordFile: w.secret, CAFile: w.ca, Now: w.waits.clock, Wait: w.waits.wait}
}

func (w *world) newClient(cfg ontap.Config) *ontap.Client {
	c, err := ontap.New(cfg)
	require.NoError(w.t, err)
	w.t.Cleanup(c.Close)
	return c
}

// inject adds faults, and stops judging answers if they are spoiled.
func (w *world) inject(faults ...simulator.Fault) {
	w.t.Helper()
	require.NoError(w.t, w.Inject(faults...))
}

// write makes a file in the FlexVol.
func (w *world) write(name, content string) {
	w.t.Helper()
	full := filepath.Join(w.root, name)
	require.NoError(w.t, os.MkdirAll(filepath.Dir(full), 0o755))
	require.NoError(w.t, os.WriteFile(full, []byte(content), 0o644))
}

func (w *world) read(name string) string {
	w.t.Helper()
	raw, err := os.ReadFile(filepath.Join(w.root, name))
	require.NoError(w.t, err)
	return string(raw)
}

func (w *world) snapshot(name string) ontap.Snapshot {
	w.t.Helper()
	s, err := w.client.SnapshotCreate(w.t.Context(), w.volume, ontap.Snapshot{Name: name})
	require.NoError(w.t, err)
	return s
}

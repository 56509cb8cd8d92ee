package ontap_test

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
)

// hostileCalls are what berth asks of a filer.
var hostileCalls = []struct {
	name string
	ask  func(ctx context.Context, w *world, c *ontap.Client) error
}{
	{"get", func(ctx context.Context, _ *world, c *ontap.Client) error { _, err := c.ClusterInfo(ctx); return err }},
	{"list", func(ctx context.Context, w *world, c *ontap.Client) error {
		_, err := c.SnapshotList(ctx, w.volume)
		return err
	}},
	{"by name", func(ctx context.Context, w *world, c *ontap.Client) error {
		_, err := c.SnapshotGetByName(ctx, w.volume, "s1")
		return err
	}},
	{"export", func(ctx context.Context, _ *world, c *ontap.Client) error {
		_, err := c.ExportGet(ctx, "", []netip.Addr{netip.MustParseAddr("127.0.0.1")}, "/docker_vols")
		return err
	}},
	{"locks", func(ctx context.Context, w *world, c *ontap.Client) error {
		_, err := c.LockList(ctx, w.svm, w.volume, "")
		return err
	}},
	{"create", func(ctx context.Context, w *world, c *ontap.Client) error {
		_, err := c.SnapshotCreate(ctx, w.volume, ontap.Snapshot{Name: "new"})
		return err
	}},
	{"delete a directory", func(ctx context.Context, w *world, c *ontap.Client) error {
		return c.DirectoryDelete(ctx, w.volume, "gone")
	}},
}

// Whatever answers in a filer's place, each call ends, with an error of a few words,
// after a few requests and in little memory.
func TestHostileFilerEndsEachCall(t *testing.T) {
	for _, kind := range append(simulator.Endless, "job") {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.spoiled.Store(true)
			w.write("gone/file", "x")
			fault := simulator.Fault{Endless: kind}
			if kind == "job" {
				fault = simulator.Fault{Job: "stick"}
			}
			w.inject(fault)
			cfg := w.config()
			cfg.CAFile = filepath.Join(t.TempDir(), "ca.pem")
			require.NoError(t, w.Listen("127.0.0.1:0", cfg.CAFile)) // without the validator, which keeps answers
			cfg.Address = w.Simulator.Address()
			if kind == "trickle" {
				cfg.RequestTimeout = 100 * time.Millisecond
			}
			cfg.Wait = func(ctx context.Context, _ time.Duration) error { return w.waits.wait(ctx, time.Hour) }
			peak := watchMemory(t)
			for _, call := range hostileCalls {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				err := call.ask(ctx, w, w.newClient(cfg))
				assert.NoError(t, ctx.Err(), "%s did not end", call.name)
				cancel()
				if kind == "job" && call.name != "create" && call.name != "delete a directory" || (kind == "pages" || kind == "records" || kind == "record") && call.name == "delete a directory" {
					continue // no job; not a page
				}
				if assert.Error(t, err, call.name) {
					assert.Less(t, len(err.Error()), 2000, call.name)
				}
			}
			assert.Less(t, peak()>>20, uint64(64), "MiB")
		})
	}
}

// watchMemory returns a func that tells by how much the heap grew at most.
func watchMemory(t *testing.T) func() uint64 {
	was := debug.SetGCPercent(20) // what is in use counts, not what waits for the collector
	t.Cleanup(func() { debug.SetGCPercent(was) })
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	before := m.HeapAlloc
	var peak atomic.Uint64
	ctx, stop := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		for ctx.Err() == nil {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapAlloc))
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() uint64 {
		stop()
		done.Wait()
		return peak.Load() - min(before, peak.Load())
	}
}

// A filer that answers about another object than the one that was asked for, or
// names one twice, leads to no decision.
func TestAnswersAboutOtherObjectsAreRefused(t *testing.T) {
	record := func(name string) string {
		return fmt.Sprintf(`{"uuid":"u-%s","name":%q,"svm":{"uuid":"other"}}`, name, name)
	}
	for what, c := range map[string]struct {
		body, says string
		ask        func(w *world) error
	}{
		"a snapshot by name": {`{"records":[` + record("other") + `]}`, "another object than snapshot s1", func(w *world) error {
			_, err := w.client.SnapshotGetByName(t.Context(), w.volume, "s1")
			return err
		}},
		"a snapshot by uuid": {record("other"), "another object than u-1", func(w *world) error {
			_, err := w.client.SnapshotGet(t.Context(), w.volume, "u-1")
			return err
		}},
		"a volume by name": {`{"records":[` + record("docker_vols") + `]}`, "another object than volume docker_vols", func(w *world) error {
			_, err := w.client.VolumeGetByName(t.Context(), w.svm, "docker_vols")
			return err
		}},
		"a volume by uuid": {record("x"), "another object than", func(w *world) error {
			_, err := w.client.VolumeGet(t.Context(), w.volume)
			return err
		}},
		"an SVM": {`{"records":[` + record("svm2") + `]}`, "another object than SVM svm1", func(w *world) error {
			_, err := w.client.SvmGetByName(t.Context(), "svm1")
			return err
		}},
		"an export elsewhere": {`{"records":[{"name":"v","nas":{"path":"/elsewhere"},"style":"flexvol"}]}`, "another object than", func(w *world) error {
			_, err := w.client.ExportGet(t.Context(), "", nil, "/docker_vols/sub")
			return err
		}},
		"no list at all": {`{}`, "no records", func(w *world) error { _, err := w.client.SnapshotList(t.Context(), w.volume); return err }},
		"nothing":        {" ", "answer is empty", func(w *world) error { _, err := w.client.SnapshotList(t.Context(), w.volume); return err }},
		"a snapshot twice": {`{"records":[` + record("s") + `,` + record("s") + `]}`, "a snapshot twice", func(w *world) error {
			_, err := w.client.SnapshotList(t.Context(), w.volume)
			return err
		}},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t)
			w.spoiled.Store(true)
			w.inject(simulator.Fault{Method: "GET", Body: c.body})
			require.ErrorContains(t, c.ask(w), c.says)
		})
	}
}

package snapshot

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/job"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
	"github.com/casit/berth/volume"
)

var ctx = context.Background()

// world is an export on a local directory whose snapshots are directories that
// the test makes, as a filer would show them, and a node that has it.
type world struct {
	t     testing.TB
	dir   string
	store *volume.Store
	*Versions

	stops func() // ends the node's heartbeat

	mu   sync.Mutex // guards said
	said []event
}

type event struct {
	what   string
	fields map[string]any
}

// reported are the fields of the events of that name.
func (w *world) reported(what string) (out []map[string]any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.said {
		if e.what == what {
			out = append(out, e.fields)
		}
	}
	return out
}

// foreign hides that a filesystem is local, so that .snapshot is a server's.
type foreign struct{ tree.FS }

// SyncAll makes what a copy has written durable.
func (f foreign) SyncAll(context.Context) error { return nil }

func newWorld(t *testing.T, change ...func(*volume.Config)) *world {
	t.Helper()
	return worldOn(t, t.TempDir(), "n1", change...)
}

func worldOn(t testing.TB, dir, node string, change ...func(*volume.Config)) *world {
	t.Helper()
	cfg := volume.Config{URL: "file://" + dir, Node: node, Boot: "boot-" + node, LeaseTTL: 3 * time.Second,
		Open: func(ctx context.Context) (tree.FS, error) {
			l, err := tree.OpenLocal(ctx, dir)
			return foreign{l}, err
		}}
	w := &world{t: t, dir: dir}
	cfg.Report = func(what string, fields map[string]any) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.said = append(w.said, event{what, fields})
	}
	cfg.TakeOver = func(ctx context.Context, name, from string) error { return w.TakeOver(ctx, name, from) }
	cfg.BreakLocks = func(ctx context.Context, name, node string) error { return w.BreakLocks(ctx, name, node) }
	cfg.DeleteTree = func(ctx context.Context, dir string) error { return w.DeleteTree(ctx, dir) }
	cfg.CloneFile = func(ctx context.Context, src, dst string, warn func(string)) bool {
		return w.CloneFile(ctx, src, dst, warn)
	}
	for _, f := range change {
		f(&cfg)
	}
	w.store = volume.New(cfg)
	w.Versions = New(Config{Volumes: w.store})
	running, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.store.Run(running)
	}()
	w.stops = func() {
		stop()
		<-ended
	}
	t.Cleanup(func() {
		w.stops()
		w.store.Close()
	})
	// Run has beaten once when the server's time is known.
	require.Eventually(t, func() bool { _, err := w.store.List(ctx); return err == nil && len(w.store.Cluster.Nodes()) > 0 }, time.Minute, time.Millisecond)
	return w
}

func (w *world) path(elem ...string) string {
	return filepath.Join(append([]string{w.dir}, elem...)...)
}

func (w *world) write(name, text string) {
	w.t.Helper()
	require.NoError(w.t, os.MkdirAll(filepath.Dir(w.path(name)), 0o755))
	require.NoError(w.t, os.WriteFile(w.path(name), []byte(text), 0o644))
}

func (w *world) read(name string) string {
	w.t.Helper()
	data, err := os.ReadFile(w.path(name))
	require.NoError(w.t, err)
	return string(data)
}

// snap makes a snapshot of the whole export, as a filer does.
func (w *world) snap(name string) {
	w.t.Helper()
	require.NoError(w.t, os.MkdirAll(w.path(".snapshot"), 0o755))
	out, err := exec.Command("rsync", "-aH", "--exclude=/.snapshot", "--exclude=/.berth/staging/tmp.*", w.dir+"/", w.path(".snapshot", name)+"/").CombinedOutput()
	require.NoError(w.t, err, string(out))
	// rsync leaves the time of a directory as it is if that is the same second as
	// its source's: it may be newer than that of a later snapshot.
	now := time.Now()
	require.NoError(w.t, os.Chtimes(w.path(".snapshot", name), now, now))
}

// site makes a volume with a bit of everything.
func (w *world) site(name string) {
	w.t.Helper()
	require.NoError(w.t, w.store.Create(ctx, name, map[string]string{"mode": "2775"}))
	w.write(name+"/index.php", "version 1")
	w.write(name+"/wp-content/plugins/a/a.php", "plugin a")
	w.write(name+"/wp-content/plugins/b/b.php", "plugin b")
	w.write(name+"/odd\nname \xff", "odd")
	require.NoError(w.t, os.Chmod(w.path(name, "index.php"), 0o4640))
	require.NoError(w.t, os.Symlink("index.php", w.path(name, "link")))
	require.NoError(w.t, os.Link(w.path(name, "index.php"), w.path(name, "hard")))
	when := time.Unix(1700000000, 123456789)
	require.NoError(w.t, os.Chtimes(w.path(name, "index.php"), when, when))
	require.NoError(w.t, os.Chtimes(w.path(name, "wp-content"), when, when))
}

// vandalize changes a bit of everything.
func (w *world) vandalize(name string) {
	w.t.Helper()
	require.NoError(w.t, os.Remove(w.path(name, "index.php")))
	w.write(name+"/index.php", "HACKED")
	w.write(name+"/uploads/x.php", "evil")
	require.NoError(w.t, os.RemoveAll(w.path(name, "wp-content/plugins/b")))
	require.NoError(w.t, os.Chmod(w.path(name, "wp-content/plugins/a/a.php"), 0o600))
	require.NoError(w.t, os.Remove(w.path(name, "link")))
	require.NoError(w.t, os.Mkdir(w.path(name, "link"), 0o755))
}

// different is what an independent tool finds different in two trees.
func different(t testing.TB, a, b string, options ...string) string {
	t.Helper()
	out, err := exec.Command("rsync", append(options, "-niaH", "--delete", "--checksum", a+"/", b+"/")...).CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// needRsync skips where the independent tool is missing.
func needRsync(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("rsync"); err != nil {
		treetest.Skip(t, "rsync, which compares trees independently, is not installed")
	}
	if os.Geteuid() != 0 {
		treetest.Skip(t, "owners can be restored by root only")
	}
}

// restore carries a request out as the command line does, and returns the plan.
func (w *world) restore(r RestoreRequest) *Plan {
	w.t.Helper()
	p, err := w.tryRestore(r)
	require.NoError(w.t, err)
	return p
}

func (w *world) tryRestore(r RestoreRequest) (*Plan, error) {
	p, err := w.Plan(ctx, r)
	if err != nil {
		return nil, err
	}
	j, err := w.Prepare(ctx, overTheWire(w.t, p), Stopped{})
	if err != nil {
		return p, err
	}
	if err := w.Start(ctx, j.ID); err != nil {
		return p, err
	}
	for {
		got, err := w.Jobs.Wait(ctx, j.ID)
		if got.Over || err != nil {
			if endErr := w.Jobs.End(ctx, j.ID); err == nil {
				err = endErr
			}
			return p, err
		}
	}
}

// nothingLeft requires that no lock and no job is left behind.
func (w *world) nothingLeft() {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		locks, err := w.store.Operations(ctx, "")
		staging, _ := os.ReadDir(w.path(".berth/staging"))
		for _, e := range staging {
			if !strings.HasPrefix(e.Name(), "tmp.") { // these wait for the sweep
				return false
			}
		}
		return err == nil && len(locks) == 0
	}, 10*time.Second, 10*time.Millisecond, "locks and staging are empty: %s", w.listing())
}

func (w *world) listing() (out string) {
	for _, d := range []string{".berth/locks", ".berth/staging", ".berth/trash"} {
		entries, _ := os.ReadDir(w.path(d))
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		out += fmt.Sprintf("%s: %s\n", d, strings.Join(names, " "))
	}
	return out
}

// prepare prepares a request without showing its plan to anybody, as an earlier
// command line does.
func (v *Versions) prepare(r RestoreRequest) (*job.Job, error) {
	p, err := v.Resolve(ctx, r)
	if err != nil {
		return nil, err
	}
	return v.Prepare(ctx, p, Stopped{})
}

// overTheWire is a plan as it comes back from the command line.
func overTheWire(t testing.TB, p *Plan) (back *Plan) {
	t.Helper()
	data, err := json.Marshal(p)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &back))
	return back
}

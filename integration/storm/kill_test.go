package storm

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot"
)

var (
	killSeeds = flag.Int("seeds", 14, "how many processes are killed")
	killFirst = flag.Uint64("seed", 1, "the first of them")
	killers   = flag.Int("at-once", 3, "how many at once")
)

// content is a tree: its names with their modes and contents.
type content map[string]string

func contentOf(dir string) (content, error) {
	c := content{}
	return c, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		below, _ := filepath.Rel(dir, name)
		c[below] = info.Mode().String()
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(name)
			c[below] += " " + string(data)
			return err
		}
		return nil
	})
}

// site writes a small site in one of its versions.
func site(dir, version string) error {
	for i := range 24 {
		name := filepath.Join(dir, fmt.Sprintf("d%d/e/f%02d", i%4, i))
		if i%5 == 0 && version == "new" {
			name += ".new"
		}
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		text := "same in all versions"
		if i%3 > 0 {
			text = fmt.Sprintf("%s %d %s", version, i, strings.Repeat(version, i*100))
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// world is an export that every story begins with, and what is in it.
type world struct {
	dir      string
	old, new content // of a site
	gone     string  // the trash item of volume gone
}

// newWorld makes it: blog is new and was old in the snapshot nightly; undone was
// brought back to old; gone is in the trash; db is for one writer; left is a
// volume of Convoy's.
func newWorld(t *testing.T) *world {
	w := &world{dir: filepath.Join(t.TempDir(), "x")}
	require.NoError(t, os.Mkdir(w.dir, 0o755))
	n := run(t, nodeOn(t.TempDir(), "n1", w.dir))
	for name, opts := range map[string]map[string]string{"blog": nil, "undone": nil, "gone": nil, "db": {"access": "single"}} {
		require.NoError(t, n.docker("Create", map[string]any{"Name": name, "Opts": opts}))
		require.NoError(t, site(filepath.Join(w.dir, name), "old"))
	}
	var err error
	w.old, err = contentOf(filepath.Join(w.dir, "blog"))
	require.NoError(t, err)
	require.NoError(t, n.ask("SnapshotCreate", snapshot.CreateRequest{Name: "nightly"}, &snapshot.Created{}))
	for _, name := range []string{"blog", "undone"} {
		below, err := filepath.Glob(filepath.Join(w.dir, name, "*"))
		require.NoError(t, err)
		for _, b := range below {
			require.NoError(t, os.RemoveAll(b))
		}
		require.NoError(t, site(filepath.Join(w.dir, name), "new"))
	}
	w.new, err = contentOf(filepath.Join(w.dir, "blog"))
	require.NoError(t, err)
	require.NoError(t, n.restore(snapshot.RestoreRequest{Refs: []string{"undone@nightly"}}))
	require.NoError(t, n.docker("Remove", map[string]any{"Name": "gone"}))
	require.NoError(t, os.MkdirAll(filepath.Join(w.dir, "config"), 0o755))
	require.NoError(t, site(filepath.Join(w.dir, "left"), "old"))
	require.NoError(t, os.WriteFile(filepath.Join(w.dir, "config/vfs_volume_left.json"),
		[]byte(`{"Name":"left","Size":0,"Path":"/mnt/left","MountPoint":"","PrepareForVM":false,"CreatedTime":"Sun Nov 22 17:46:33 +0000 2026","Snapshots":{}}`), 0o644))
	var trash plugin.Trash
	require.NoError(t, n.ask("TrashList", plugin.Empty{}, &trash))
	for _, item := range trash.Items {
		if item.Volume == "gone" {
			w.gone = item.ID
		}
	}
	require.NotEmpty(t, w.gone)
	n.close()
	return w
}

// verb is what is under way when the process is killed.
type verb struct {
	name string
	do   func(s *story) error
	// done checks that it is, after it was done again. A second time may be an
	// error, since the first one was completed meanwhile.
	done func(s *story) error
}

// story is one process that is killed.
type story struct {
	*world
	export string
	n      *node
	other  *node // a second node, of a takeover
}

func (s *story) is(name string, want content) error {
	got, err := contentOf(filepath.Join(s.export, name))
	if err == nil && !maps.Equal(got, want) {
		err = fmt.Errorf("%s is another tree: %s", name, difference(want, got))
	}
	return err
}

// difference names what two trees do not have in common.
func difference(want, got content) string {
	var names []string
	for name := range want {
		if got[name] != want[name] {
			names = append(names, "-"+name)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			names = append(names, "+"+name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (s *story) absent(name string) error {
	if _, err := os.Lstat(filepath.Join(s.export, name)); err == nil {
		return fmt.Errorf("%s is there", name)
	}
	return nil
}

func named(name string) map[string]any { return map[string]any{"Name": name, "ID": "a"} }

var verbs = []verb{
	{"create", func(s *story) error {
		return s.n.docker("Create", map[string]any{"Name": "fresh", "Opts": map[string]string{"mode": "0711"}})
	}, func(s *story) error {
		info, err := os.Stat(filepath.Join(s.export, "fresh"))
		if err == nil && info.Mode().Perm() != 0o711 {
			err = fmt.Errorf("its mode is %s", info.Mode())
		}
		return err
	}},
	{"mount", func(s *story) error {
		err := s.n.docker("Mount", named("db"))
		if err == nil {
			err = s.n.docker("Unmount", named("db"))
		}
		return err
	}, func(s *story) error { return s.is("db", s.old) }},
	{"remove", func(s *story) error { return s.n.docker("Remove", named("blog")) }, func(s *story) error { return s.absent("blog") }},
	{"undelete", func(s *story) error {
		return s.n.ask("TrashRestore", plugin.TrashRestoreRequest{Which: "gone"}, &plugin.TrashRestored{})
	}, func(s *story) error { return s.is("gone", s.old) }},
	{"restore", func(s *story) error { return s.n.restore(snapshot.RestoreRequest{Refs: []string{"blog@nightly"}}) },
		func(s *story) error { return s.is("blog", s.old) }},
	{"restore of a removed volume", func(s *story) error { return s.n.restore(snapshot.RestoreRequest{Refs: []string{"gone@nightly"}}) },
		func(s *story) error { return s.is("gone", s.old) }},
	{"live restore", func(s *story) error {
		return s.n.restore(snapshot.RestoreRequest{Refs: []string{"blog@nightly"}, Live: true})
	}, func(s *story) error { return s.is("blog", s.old) }},
	{"undo", func(s *story) error {
		if s.is("undone", s.new) == nil {
			return nil // a second undo would be a redo
		}
		return s.n.restore(snapshot.RestoreRequest{Refs: []string{"undone"}, Undo: true})
	}, func(s *story) error { return s.is("undone", s.new) }},
	{"purge", func(s *story) error {
		return s.n.ask("TrashPurge", plugin.TrashPurgeRequest{IDs: []string{s.gone}}, &plugin.Trash{})
	}, func(s *story) error { return s.absent(export.TrashData(s.gone)) }},
	{"import", func(s *story) error { return s.n.ask("ImportConvoy", plugin.ImportRequest{}, &map[string]any{}) }, func(s *story) error {
		var v plugin.Volumes
		if err := s.n.ask("VolumeInspect", plugin.InspectRequest{Names: []string{"left"}}, &v); err != nil {
			return err
		}
		if v.Volumes[0].Origin != "convoy" {
			return errors.New("left is not imported")
		}
		return s.is("left", s.old)
	}},
	{"clone", func(s *story) error {
		return s.n.docker("Create", map[string]any{"Name": "copy", "Opts": map[string]string{"from": "blog@nightly"}})
	}, func(s *story) error { return s.is("copy", s.old) }},
	{"set", func(s *story) error {
		return s.n.ask("VolumeSet", plugin.SetRequest{Name: "blog", Options: map[string]string{"on-remove": "retain"}}, &plugin.Empty{})
	}, func(s *story) error { return s.is("blog", s.new) }},
	{"snapshot", func(s *story) error {
		return s.n.ask("SnapshotCreate", snapshot.CreateRequest{Name: "later", Volumes: []string{"blog"}}, &snapshot.Created{})
	}, func(s *story) error { return s.is(".snapshot/later/blog", s.new) }},
	{"takeover", func(s *story) error {
		var jobs plugin.Jobs
		if err := s.n.ask("VolumeTakeover", plugin.TakeoverRequest{Name: "db", From: s.other.name}, &jobs); err != nil {
			return err
		}
		return s.n.complete(jobs.Jobs[0])
	}, (*story).takenOver},
}

// takenOver says that this node may write db.
func (s *story) takenOver() error {
	if err := s.n.docker("Mount", named("db")); err != nil {
		return err
	}
	return errors.Join(s.is("db", s.old), s.n.docker("Unmount", named("db")))
}

// places are the trees in which an acknowledged version of each volume must be:
// under its name, or in the trash.
func (s *story) lost(do string) error {
	var found []content
	dirs, _ := filepath.Glob(filepath.Join(s.export, ".berth/trash/*/data"))
	more, _ := filepath.Glob(filepath.Join(s.export, "*"))
	for _, dir := range append(dirs, more...) {
		if c, err := contentOf(dir); err == nil {
			found = append(found, c)
		}
	}
	count := func(want content) (n int) {
		for _, c := range found {
			if maps.Equal(c, want) {
				n++
			}
		}
		return n
	}
	// old: undone, gone, db, left. new: blog, and undone's undo copy.
	old, new := 4, 2
	switch do {
	case "purge":
		old = 3
	case "live restore":
		new = 1 // blog's files are in either place
	}
	if n := count(s.old); n < old {
		return fmt.Errorf("%d of %d old trees are there", n, old)
	}
	if n := count(s.new); n < new {
		return fmt.Errorf("%d of %d new trees are there", n, new)
	}
	return nil
}

// left names what an operation has left below .berth.
func (s *story) left() error {
	var left []string
	staging, _ := os.ReadDir(filepath.Join(s.export, ".berth/staging"))
	for _, e := range staging {
		if !strings.HasPrefix(e.Name(), export.TmpPrefix) { // private files are swept after an hour
			left = append(left, "staging/"+e.Name())
		}
	}
	locks, _ := os.ReadDir(filepath.Join(s.export, ".berth/locks"))
	for _, l := range locks {
		numbers, _ := os.ReadDir(filepath.Join(s.export, ".berth/locks", l.Name()))
		if len(numbers) == 0 {
			continue
		}
		last := slices.MaxFunc(numbers, func(a, b fs.DirEntry) int {
			return cmp.Or(len(a.Name())-len(b.Name()), strings.Compare(a.Name(), b.Name()))
		})
		text, _ := os.ReadFile(filepath.Join(s.export, ".berth/locks", l.Name(), last.Name()))
		if !strings.Contains(string(text), `"state":"free"`) {
			left = append(left, "locks/"+l.Name()+": "+string(text))
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("left: %s", strings.Join(left, ", "))
	}
	return nil
}

// tell kills one process in the middle of one verb. killed says that the verb had
// not ended.
func (w *world) tell(dir string, seed uint64) (name string, killed bool, err error) {
	random := rand.New(rand.NewPCG(seed, 1))
	v := verbs[int(seed)%len(verbs)]
	s := &story{world: w, export: filepath.Join(dir, "x")}
	// All copies are one export to berth, so the nodes have names of their own.
	s.n, s.other = nodeOn(dir, fmt.Sprintf("a%d", seed), s.export), nodeOn(dir, fmt.Sprintf("b%d", seed), s.export)
	defer s.n.close()
	defer s.other.close()
	defer func() {
		if err != nil {
			log := s.n.logged()
			err = fmt.Errorf("seed %d, %s: %w\n%s", seed, v.name, err, log[max(0, len(log)-5000):])
		}
	}()
	if out, err := exec.Command("cp", "-a", w.dir, s.export).CombinedOutput(); err != nil {
		return v.name, false, fmt.Errorf("%w: %s", err, out)
	}
	if v.name == "takeover" {
		if err := s.other.start(); err != nil {
			return v.name, false, err
		}
		if err := s.other.docker("Mount", named("db")); err != nil {
			return v.name, false, err
		}
		s.other.kill()
	}
	if err := s.n.start(); err != nil {
		return v.name, false, err
	}
	if v.name == "takeover" {
		// It may be taken over when it is silent.
		if err := waitFor(time.Minute, func() error {
			return s.n.ask("VolumeTakeover", plugin.TakeoverRequest{Name: "db", From: s.other.name, DryRun: true}, &plugin.Jobs{})
		}); err != nil {
			return v.name, false, err
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- v.do(s) }()
	// Mostly early, and sometimes late: machines are not equally fast.
	time.Sleep(time.Duration(random.Int64N(int64(time.Millisecond) << random.IntN(9))))
	s.n.kill()
	killed = <-ended != nil

	if err := s.lost(v.name); err != nil {
		return v.name, killed, fmt.Errorf("at once: %w", err)
	}
	if err := s.n.start(); err != nil {
		return v.name, killed, err
	}
	if err := s.finish(random.IntN(2) == 0); err != nil {
		return v.name, killed, err
	}
	if err := s.lost(v.name); err != nil {
		return v.name, killed, fmt.Errorf("after the job: %w", err)
	}
	again := notInUse(func() error { return v.do(s) })
	if v.name == "takeover" {
		// A node that has just started has not seen yet that the other one is silent.
		again = waitFor(time.Minute, func() error {
			if s.takenOver() == nil {
				return nil
			}
			return v.do(s)
		})
	}
	if err := waitFor(time.Minute, func() error { return v.done(s) }); err != nil {
		return v.name, killed, fmt.Errorf("%w (doing it again: %v)", err, again)
	}
	if v.name == "live restore" && killed {
		if err := s.n.restore(snapshot.RestoreRequest{Refs: []string{"blog"}, Undo: true}); err != nil {
			return v.name, killed, err
		}
	}
	return v.name, killed, waitFor(time.Minute, s.left)
}

// finish resumes or aborts the jobs that the dead process has left.
func (s *story) finish(abort bool) error {
	var jobs plugin.Jobs
	if err := s.n.ask("JobList", plugin.Empty{}, &jobs); err != nil {
		return err
	}
	for _, j := range jobs.Jobs {
		if j.Op == cluster.OpTakeover && !abort {
			continue // the next takeover ends it: it is never resumed
		}
		err := notInUse(func() error {
			if abort && j.State != job.Swapped {
				return s.n.ask("JobEnd", plugin.JobRequest{ID: j.ID, Abort: true}, &plugin.Empty{})
			}
			return s.n.complete(j)
		})
		// If it has ended meanwhile, what is there now is looked at below.
		if kind := kindOf(err); err != nil && kind != problem.NotFound && kind != problem.Nothing {
			return fmt.Errorf("end job %s in state %s, abort %v: %w", j.ID, j.State, abort, err)
		}
	}
	return nil
}

// TestKilledAtAnyInstant kills plugins with SIGKILL while they are at work. The next
// process finds every tree whole, old or new, loses nothing, can do it again and
// leaves nothing.
func TestKilledAtAnyInstant(t *testing.T) {
	t.Parallel()
	needRoot(t)
	w := newWorld(t)
	base, err := os.MkdirTemp("", "k")
	require.NoError(t, err)
	t.Cleanup(func() { os.RemoveAll(base) })
	var mu sync.Mutex // guards the counts
	told, inside := map[string]int{}, map[string]int{}
	seeds := make(chan uint64)
	var all sync.WaitGroup
	began := time.Now()
	for range *killers {
		all.Go(func() {
			for seed := range seeds {
				dir := filepath.Join(base, fmt.Sprint(seed))
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Error(err)
					continue
				}
				name, killed, err := w.tell(dir, seed)
				mu.Lock()
				told[name]++
				if killed {
					inside[name]++
				}
				mu.Unlock()
				if err != nil {
					t.Errorf("%v\nagain: go test ./integration/storm -run TestKilledAtAnyInstant -seeds 1 -seed %d", err, seed)
				}
				os.RemoveAll(dir)
			}
		})
	}
	for i := range uint64(*killSeeds) {
		seeds <- *killFirst + i
	}
	close(seeds)
	all.Wait()
	t.Logf("%d processes killed in %s; of each verb: %v; before its end: %v", *killSeeds, time.Since(began).Round(time.Second), told, inside)
}

package volume

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/audit"
	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// testdata/release-N is an export, and a node's hint, as release N left them:
// every kind of control file, written by its code. What is to be released has
// to read the ones before it. Git keeps neither empty directories nor exact
// modes, so the file directories lists all of them: MODE PATH.
//
// The fixture of a release is made once, from its own code, and never changed:
//
//	git worktree add ../release v0.1.0
//	cp volume/upgrade_test.go ../release/volume/
//	(cd ../release && go test ./volume -run TheStateOf -args -write-release=release-1)
//	cp -r ../release/volume/testdata/release-1 volume/testdata/
var writeRelease = flag.String("write-release", "", "write volume/testdata/NAME as this code leaves an export, instead of testing it")

// exportURL is that of the hint: the same on every node and in every test.
const exportURL = "file:///export"

// longTrash keeps the items of a fixture from ever expiring, and retain from
// being the only reason.
const longTrash = 200 * 365 * 24 * time.Hour

// onRelease is a node on an export that another release has left.
func onRelease(t *testing.T, dir, name string, change ...func(*Config)) *testNode {
	t.Helper()
	return node(t, filepath.Join(dir, "export"), name, append(change, func(c *Config) {
		c.URL, c.Version, c.TrashTTL = exportURL, "0.1.0", longTrash
		if name == "n1" {
			c.HintPath = filepath.Join(dir, "index.json")
		}
	})...)
}

func TestTheStateOfARelease(t *testing.T) {
	if *writeRelease != "" {
		saveRelease(t, filepath.Join("testdata", *writeRelease))
		return
	}
	for _, release := range []string{"release-0", ""} {
		name, from := release, func(t *testing.T) string { return copyRelease(t, filepath.Join("testdata", release)) }
		if release == "" {
			name, from = "this code", leaveRelease
		}
		t.Run(name, func(t *testing.T) {
			t.Run("is read, and unchanged by that", func(t *testing.T) { readRelease(t, from(t)) })
			t.Run("is gone on with", func(t *testing.T) { useRelease(t, from(t)) })
			t.Run("is finished where a node died", func(t *testing.T) { mendRelease(t, from(t)) })
			t.Run("is known while the export is away", func(t *testing.T) { missRelease(t, from(t)) })
		})
	}
}

// leaveRelease has three nodes use an export in every way that leaves a trace,
// and stop or die.
func leaveRelease(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	root := filepath.Join(dir, "export")
	require.NoError(t, os.Mkdir(root, 0o755))
	write(t, root, "old_site/index.php", "made by hand")
	write(t, root, ".snapshot/nightly/blog/index.html", "hello of yesterday")
	n1, n2, n3 := onRelease(t, dir, "n1"), onRelease(t, dir, "n2"), onRelease(t, dir, "n3")
	for _, n := range []*testNode{n1, n2, n3} {
		n.beats()
	}
	by := audit.WithCaller(ctx, "root")

	n1.must(n1.Create(ctx, "blog", map[string]string{"mode": "0750", "on-remove": "retain"}))
	write(t, root, "blog/index.html", "hello")
	n2.must(n2.Create(ctx, "shop_db", map[string]string{"access": "single"}))
	write(t, root, "shop_db/table", "rows")
	n1.must(n1.Create(ctx, "copy", map[string]string{"from": "blog"}))
	n1.must(n1.Create(ctx, "gone", map[string]string{"mode": "0711"}))
	write(t, root, "gone/page", "bye")
	n1.must(n1.Remove(by, "gone"))
	n1.must(n1.Set(by, "copy", map[string]string{"on-remove": "retain"}))

	// What a restore leaves: the old tree, whole or in parts; a journal.
	restored, err := runJob(n1, by, "copy", nil)
	require.NoError(t, err)
	part := n1.Trash.NewUndo(restored, &job.Item{Volume: "blog", Ref: "blog@nightly:index.html", Trash: n1.Trash.NewID()})
	part.Path, part.Partial = "index.html", true
	n1.must(n1.Trash.Record(ctx, n1.conn.Current().FS, part))
	write(t, root, part.Data(), "files/index.html", "hello before")
	n1.must(n1.Jobs.End(ctx, restored.ID))
	_, err = runJob(n1, by, "old_site", errors.New("no space left on device"))
	require.ErrorContains(t, err, "no space left")
	prepared := newJob(n1, "blog")
	prepared.Stopped = []byte(`{"services":{"blog_web":3}}`)
	n1.must(n1.Jobs.Prepare(by, prepared))

	// Who uses what: n1 and n2 are replaced while their containers go on.
	for range 2 { // as docker cp does
		_, err = n1.Mount(ctx, "blog", "c1", 1)
		require.NoError(t, err)
	}
	_, err = n1.Mount(ctx, "blog@nightly", "c2", 1)
	require.NoError(t, err)
	_, err = n2.Mount(ctx, "shop_db", "c3", 1)
	require.NoError(t, err)
	n1.beats()
	n1.stops()
	n2.stops()

	// n3 dies in the middle of a removal: the data is in the trash already.
	left := &atomic.Int64{}
	left.Store(1 << 40)
	n3 = onRelease(t, dir, "n3", func(c *Config) {
		c.Open = func(ctx context.Context) (tree.FS, error) {
			l, err := tree.OpenLocal(ctx, root)
			return diesAt{treetest.Mortal{FS: l, Left: left}, export.MetaPath("leaving")}, err
		}
	})
	n3.must(n3.Create(ctx, "leaving", map[string]string{"mode": "0700"}))
	write(t, root, "leaving/page", "on its way")
	n3.beats()
	require.ErrorIs(t, n3.Remove(ctx, "leaving"), treetest.ErrKilled)
	require.NoDirExists(t, filepath.Join(root, "leaving"))
	require.FileExists(t, filepath.Join(root, export.MetaPath("leaving")))
	require.Equal(t, []string{"leaving"}, lockedVolumes(t, root))
	return dir
}

// diesAt is a filesystem whose process dies when it wants to remove name.
type diesAt struct {
	treetest.Mortal
	name string
}

func (d diesAt) Remove(ctx context.Context, name string) error {
	if name == d.name {
		d.Left.Store(0)
	}
	return d.Mortal.Remove(ctx, name)
}

// newJob is a restore of a whole volume to what fill makes.
func newJob(n *testNode, name string) *job.Job {
	return &job.Job{Op: cluster.OpRestore, Engine: "copy", Request: []byte(fmt.Sprintf(`{"refs":["%s@nightly"]}`, name)),
		Items: []job.Item{{Volume: name, Ref: name + "@nightly", Dest: name, Trash: n.Trash.NewID()}}}
}

// runJob restores a volume to one file; with an error it stops half-way.
func runJob(n *testNode, ctx context.Context, name string, fails error) (*job.Job, error) {
	j := newJob(n, name)
	if err := n.Jobs.Prepare(ctx, j); err != nil {
		return nil, err
	}
	return n.Jobs.Run(ctx, j.ID, fill(fails))
}

func fill(fails error) func(context.Context, tree.FS, *job.Job) error {
	return func(ctx context.Context, fsys tree.FS, j *job.Job) error {
		it := &j.Items[0]
		it.From = j.Dir() + "/0"
		mode, text := uint32(0o755), []byte("restored")
		if err := fsys.Mkdir(ctx, it.From, tree.SetAttr{Mode: &mode}); err != nil {
			return err
		}
		f, err := fsys.Create(ctx, it.From+"/page", tree.SetAttr{})
		if err != nil {
			return err
		}
		defer f.Close()
		if _, err := f.WriteAt(ctx, text, 0); err != nil {
			return err
		}
		return fails
	}
}

// saveRelease writes the fixture to.
func saveRelease(t *testing.T, to string) {
	t.Helper()
	dir := leaveRelease(t)
	require.NoError(t, os.CopyFS(to, os.DirFS(dir)))
	var list strings.Builder
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || p == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		fmt.Fprintf(&list, "%04o %s\n", info.Mode().Perm(), rel)
		return err
	}))
	require.NoError(t, os.WriteFile(filepath.Join(to, "directories"), []byte(list.String()), 0o644))
}

// copyRelease is a fixture as it was on its export.
func copyRelease(t *testing.T, from string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(from)))
	list := read(t, dir, "directories")
	require.NoError(t, os.Remove(filepath.Join(dir, "directories")))
	for line := range strings.Lines(list) {
		mode, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		require.True(t, ok, line)
		bits, err := strconv.ParseUint(mode, 8, 32)
		require.NoError(t, err)
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(path, 0o755))
		require.NoError(t, os.Chmod(path, os.FileMode(bits)))
	}
	return dir
}

// contents is every file below dir with what is in it, and every directory.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		all[rel] = info.Mode().String()
		if d.Type().IsRegular() {
			data, err := os.ReadFile(p)
			all[rel] += " " + string(data)
			return err
		}
		return nil
	}))
	return all
}

// readRelease asks a new node for everything that is there.
func readRelease(t *testing.T, dir string) {
	before := contents(t, dir)
	n := onRelease(t, dir, "n4")
	require.Equal(t, []string{"blog", "copy", "old_site", "shop_db"}, n.names())

	options := map[string]map[string]string{
		"blog":     {"mode": "0750", "on-remove": "retain"},
		"copy":     {"from": "blog", "on-remove": "retain"},
		"old_site": {},
		"shop_db":  {"access": "single"},
	}
	for name, given := range options {
		got, err := n.Get(ctx, name)
		require.NoError(t, err)
		require.Equal(t, "ok", got.Health, name)
		require.Equal(t, name == "old_site", got.Adopted, name)
		require.Equal(t, Options(given).Effective(), got.Options, name)
		require.Equal(t, name == "old_site", got.Created.IsZero(), name)
	}
	_, err := n.Get(ctx, "leaving")
	require.Equal(t, problem.NotFound, problem.KindOf(err), "it was as good as removed")

	users, err := n.Users(ctx, "")
	require.NoError(t, err)
	var used []string
	for _, u := range users {
		require.False(t, u.Since.IsZero())
		used = append(used, fmt.Sprintf("%s on %s: %d, %s", u.Volume, u.Node, u.Mounts, u.State))
	}
	require.ElementsMatch(t, []string{"blog on n1: 1, unattended", "blog@nightly on n1: 1, unattended", "shop_db on n2: 1, unattended"}, used)

	items, err := n.Trash.List(ctx)
	require.NoError(t, err)
	trash := map[string]*Trashed{}
	for _, i := range items {
		trash[i.Kind+" "+i.Volume] = i
	}
	require.Len(t, items, 4)
	require.Len(t, trash, 4)
	require.Equal(t, Options{"mode": "0711"}, trash["removed gone"].Meta.Options)
	require.Equal(t, "n1", trash["removed gone"].By)
	require.NotNil(t, trash["removed gone"].Expires)
	require.Equal(t, Options{"mode": "0700"}, trash["removed leaving"].Meta.Options)
	require.Equal(t, "restore to copy@nightly", trash["undo copy"].Reason)
	require.Equal(t, "blog", trash["undo copy"].Meta.Options["from"])
	require.True(t, trash["undo blog"].Partial)
	require.Equal(t, "index.html", trash["undo blog"].Path)

	records, err := n.Audit.Read(ctx, "", time.Time{})
	require.NoError(t, err)
	ops := map[string]int{}
	for _, r := range records {
		ops[fmt.Sprintf("%s: %s %s by %s", r.Node, r.Op, r.Volume, r.By)]++
	}
	require.Equal(t, map[string]int{
		"n1: create blog by ": 1, "n2: create shop_db by ": 1, "n1: clone copy by ": 1, "n1: create gone by ": 1,
		"n1: remove gone by root": 1, "n1: set copy by root": 1, "n1: restore copy by root": 1, "n3: create leaving by ": 1,
	}, ops)

	jobs, err := n.Jobs.List(ctx)
	require.NoError(t, err)
	byState := map[job.State]*job.Job{}
	for _, j := range jobs {
		byState[j.State] = j
	}
	require.Len(t, jobs, 2)
	require.Equal(t, []string{"old_site"}, byState[job.Failed].Volumes())
	require.Contains(t, byState[job.Failed].Error, "no space left on device")
	require.Equal(t, []string{"blog"}, byState[job.Prepared].Volumes())
	require.JSONEq(t, `{"services":{"blog_web":3}}`, string(byState[job.Prepared].Stopped))
	require.JSONEq(t, `{"refs":["blog@nightly"]}`, string(byState[job.Prepared].Request))
	require.Equal(t, "root", byState[job.Prepared].By)

	under, err := n.Operations(ctx, "")
	require.NoError(t, err)
	require.Len(t, under, 1)
	require.Equal(t, []string{string(cluster.OpRemove), "leaving", "n3", trash["removed leaving"].ID},
		[]string{string(under[0].Op), under[0].Volume, under[0].Node, under[0].Work})

	const idCopy = "export/.berth/export-copy.json" // of the export's id: whoever opens the export makes it
	read := contents(t, dir)
	delete(read, idCopy)
	delete(before, idCopy)
	require.Equal(t, before, read, "reading changes nothing")
	n.beats()
	after := contents(t, dir)
	delete(after, "export/"+export.NodePath("n4"))
	delete(after, idCopy)
	for _, all := range []map[string]string{before, after} {
		maps.DeleteFunc(all, func(name, _ string) bool { return strings.HasPrefix(name, "export/"+export.ReserveDir) })
	}
	require.Equal(t, before, after, "and to be there only adds a heartbeat, and the reserve")
	n.must(n.Close())
}

// useRelease goes on as the plugin of n1 that was replaced within one boot.
func useRelease(t *testing.T, dir string) {
	root := filepath.Join(dir, "export")
	n := onRelease(t, dir, "n1")
	n.beats()
	require.True(t, n.Cluster.InUse(), "its containers go on")
	if l, err := cluster.ReadLock(ctx, n.conn.Current().FS, "leaving"); err == nil && l.State == "" {
		err := n.Remove(ctx, "copy")
		require.Equal(t, problem.InUse, problem.KindOf(err))
		require.ErrorContains(t, err, "berth on n3 is older and would not see the lock; upgrade it first")
		n.must(n.Set(ctx, "old_site", map[string]string{"on-remove": "retain"}))
		n.must(n.Set(ctx, "old_site", map[string]string{"on-remove": ""}))
	}
	n.waits(12 * time.Second) // n3 is dead
	require.Equal(t, []int{1}, n.Cluster.Generations())

	err := n.Remove(ctx, "shop_db")
	require.Equal(t, problem.InUse, problem.KindOf(err))
	require.ErrorContains(t, err, "in use on n2 (its berth was stopped, its containers go on)")
	_, err = n.Mount(ctx, "shop_db", "c9", 1)
	require.Equal(t, problem.InUse, problem.KindOf(err), "one node at a time")

	n.must(n.Unmount(ctx, "blog", "c1"))
	require.FileExists(t, filepath.Join(root, export.LeasePath("blog", "n1")), "the second of two")
	n.must(n.Unmount(ctx, "blog", "c1"))
	require.NoFileExists(t, filepath.Join(root, export.LeasePath("blog", "n1")))
	n.must(n.Unmount(ctx, "blog@nightly", "c2"))
	require.False(t, n.Cluster.InUse())
	_, err = n.Mount(ctx, "old_site", "c8", 1)
	require.NoError(t, err)
	n.must(n.Unmount(ctx, "old_site", "c8"))

	n.must(n.Create(ctx, "blog", map[string]string{"mode": "0750"}))
	require.Error(t, n.Create(ctx, "blog", map[string]string{"mode": "0755"}))
	n.must(n.Remove(ctx, "copy"))
	_, name, err := n.Trash.Restore(ctx, "gone", "")
	require.NoError(t, err)
	require.Equal(t, "gone", name)
	require.Equal(t, "bye", read(t, root, "gone/page"))
	got, err := n.Get(ctx, "gone")
	require.NoError(t, err)
	require.Equal(t, "0711", got.Options["mode"])

	items, err := n.Trash.List(ctx)
	require.NoError(t, err)
	for _, i := range items {
		if i.Kind == "undo" && i.Volume == "copy" {
			_, _, err = n.Trash.Restore(ctx, i.ID, "copy-before")
			require.NoError(t, err)
		}
	}
	require.Equal(t, "hello", read(t, root, "copy-before/index.html"))

	jobs, err := n.Jobs.List(ctx)
	require.NoError(t, err)
	for _, j := range jobs {
		if j.State == job.Prepared {
			done, err := n.Jobs.Run(ctx, j.ID, fill(nil))
			require.NoError(t, err)
			require.Equal(t, job.Swapped, done.State)
		}
		n.must(n.Jobs.End(ctx, j.ID))
	}
	require.Equal(t, "restored", read(t, root, "blog/page"))
	require.Equal(t, "made by hand", read(t, root, "old_site/index.php"))
	n.sweeps()
	require.Empty(t, entries(t, root, ".berth/staging"))
	require.Equal(t, []string{"blog", "copy-before", "gone", "old_site", "shop_db"}, onRelease(t, dir, "n4").names())
}

// mendRelease outlives the node that died in the middle of a removal.
func mendRelease(t *testing.T, dir string) {
	n := onRelease(t, dir, "n4")
	n.beats()
	n.waits(12 * time.Second)
	under, err := n.Operations(ctx, "")
	require.NoError(t, err)
	require.Empty(t, under)
	require.NoFileExists(t, filepath.Join(dir, "export", export.MetaPath("leaving")))
	_, _, err = n.Trash.Restore(ctx, "leaving", "")
	require.NoError(t, err)
	require.Equal(t, "on its way", read(t, dir, "export/leaving/page"))
	got, err := n.Get(ctx, "leaving")
	require.NoError(t, err)
	require.Equal(t, "0700", got.Options["mode"])
}

// missRelease starts with nothing but the hint of the release before.
func missRelease(t *testing.T, dir string) {
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "export")))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "export"), 0o755))
	n := onRelease(t, dir, "n1")
	require.Contains(t, n.names(), "shop_db")
	got, err := n.Get(ctx, "shop_db")
	require.NoError(t, err)
	require.Contains(t, got.Health, "unverified")
	require.Equal(t, problem.Unreachable, problem.KindOf(n.Create(ctx, "new", nil)))
	require.Empty(t, entries(t, dir, "export"), "nothing is filled")
}

// Nodes of two releases work on one export while a swarm is upgraded.
func TestWhatANewerReleaseWroteIsLeftToIt(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	n1.beats()
	n2.beats()
	n1.must(n1.Create(ctx, "site1", nil))
	n1.lock("rekey", "site1", "")
	n2.must(n2.Create(ctx, "site2", nil))
	n2.beats()

	n1.stops() // dies with the lock
	held := filepath.Join(dir, export.LockDir, "site1@")
	before := contents(t, held)
	n2.beats()
	said := strings.Join(*n2.said, "\n")
	require.Contains(t, said, `an operation this berth does not know ("rekey", on n1)`)
	require.Contains(t, said, "upgrade berth on this node")
	err := n2.Remove(ctx, "site1")
	require.Equal(t, problem.InUse, problem.KindOf(err))
	require.ErrorContains(t, err, "upgrade berth on this node")
	_, err = n2.Mount(ctx, "site1", "a", 1)
	require.ErrorContains(t, err, "upgrade berth on this node")
	require.Equal(t, before, contents(t, held))
	_, err = n2.Mount(ctx, "site2", "a", 1)
	require.NoError(t, err, "the other volumes go on")

	write(t, dir, ".berth/export.json", `{"version":2,"id":"`+n2.ExportID()+`"}`)
	err = node(t, dir, "n3").Create(ctx, "site3", nil)
	require.ErrorContains(t, err, "has format version 2, this berth knows 1")
	require.ErrorContains(t, err, "upgrade berth on this node")
	require.NoDirExists(t, filepath.Join(dir, "site3"))
}

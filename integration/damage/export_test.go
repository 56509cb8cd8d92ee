package damage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/job"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// leaseTTL makes a round of a node take milliseconds.
const leaseTTL = 90 * time.Millisecond

// counted is a filesystem that counts its calls, and may refuse renames.
type counted struct {
	tree.FS
	calls, rounds *atomic.Int64
	refuse        func(from, to string) bool
}

func (c *counted) Check(ctx context.Context) error {
	return c.FS.(interface{ Check(context.Context) error }).Check(ctx)
}

func (c *counted) Stat(ctx context.Context, name string) (tree.Attr, error) {
	c.calls.Add(1)
	return c.FS.Stat(ctx, name)
}

func (c *counted) Open(ctx context.Context, name string) (tree.File, error) {
	c.calls.Add(1)
	return c.FS.Open(ctx, name)
}

func (c *counted) Create(ctx context.Context, name string, set tree.SetAttr) (tree.File, error) {
	c.calls.Add(1)
	return c.FS.Create(ctx, name, set)
}

func (c *counted) ReadDir(ctx context.Context, name string, f func(tree.Entry) error) error {
	c.calls.Add(1)
	if name == export.LockDir {
		c.rounds.Add(1)
	}
	return c.FS.ReadDir(ctx, name, f)
}

func (c *counted) Link(ctx context.Context, from, to string) error {
	c.calls.Add(1)
	return c.FS.Link(ctx, from, to)
}

func (c *counted) Rename(ctx context.Context, from, to string) error {
	c.calls.Add(1)
	if c.refuse != nil && c.refuse(from, to) {
		return errors.New("the node has died")
	}
	return c.FS.Rename(ctx, from, to)
}

// node is a store on an export, as a node has one.
type node struct {
	*volume.Store
	calls, rounds atomic.Int64 // rounds of upkeep look at the locks, once or a few times
	said          atomic.Int64
	panics        atomic.Pointer[string]
	refuse        func(from, to string) bool
}

func newNode(dir, name string) *node {
	n := &node{}
	n.Store = volume.New(volume.Config{
		URL: "file://" + dir, Node: name, Boot: "boot-" + name, Version: "damage", LeaseTTL: leaseTTL,
		HintPath: filepath.Join(filepath.Dir(dir), "index-"+name+".json"),
		Open: func(ctx context.Context) (tree.FS, error) {
			l, err := tree.OpenLocal(ctx, dir)
			if err != nil {
				return nil, export.Away("file://"+dir, err)
			}
			return &counted{l, &n.calls, &n.rounds, func(from, to string) bool { return n.refuse != nil && n.refuse(from, to) }}, nil
		},
		Report: func(event string, fields map[string]any) {
			n.said.Add(1)
			if line := fmt.Sprint(event, fields); strings.Contains(line, "panic") {
				n.panics.Store(&line)
			}
			if *verbose {
				fmt.Println(name, event, fields)
			}
		},
	})
	return n
}

// runs lets the node look after its export for some rounds, or for half a minute if
// it does not come to them.
func (n *node) runs(rounds int64) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		n.Run(ctx)
	}()
	for begin := n.rounds.Load(); n.rounds.Load()-begin < rounds && ctx.Err() == nil; {
		time.Sleep(leaseTTL / 10)
	}
	cancel()
	<-over
}

// volumes are those of the export, but for the one in the trash.
var volumes = []string{"alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda"}

// build makes the export that is damaged.
func build(t *testing.T, dir string) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		require.NoError(t, err)
	}
	write := func(name, text string) {
		must(os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		must(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	must(os.MkdirAll(dir, 0o755))
	s := serve(t, dir, "n2", "boot-n2")
	for _, v := range volumes {
		switch v {
		case "gamma":
			s.must("VolumeDriver.Create", `{"Name":"gamma","Opts":{"access":"single"}}`)
		case "beta":
			s.must("VolumeDriver.Create", `{"Name":"beta","Opts":{"on-remove":"retain","uid":"33"}}`)
		case "epsilon":
			must(os.Mkdir(filepath.Join(dir, v), 0o755))
		default:
			s.must("VolumeDriver.Create", fmt.Sprintf(`{"Name":%q}`, v))
		}
		write(v+"/index.html", "the site of "+v)
		write(v+"/sub/deep/file", strings.Repeat(v, 100))
	}
	s.must("Berth.SnapshotCreate", `{"name":"s1"}`)
	for _, v := range volumes {
		write(v+"/index.html", "newer, of "+v)
		write(v+"/sub/new", "new in "+v)
	}
	s.must("Berth.SnapshotDiff", `{"a":"delta@s1","b":"delta"}`)
	s.restore(`{"request":{"refs":["beta@s1"]}}`)
	s.restore(`{"request":{"refs":["delta@s1"],"live":true}}`)
	s.must("VolumeDriver.Mount", `{"Name":"gamma","ID":"c1"}`)
	s.must("VolumeDriver.Mount", `{"Name":"beta","ID":"c2"}`)
	s.must("VolumeDriver.Remove", `{"Name":"iota"}`)
	s.must("Berth.RestorePrepare", `{"request":{"refs":["kappa@s1"]}}`)
	s.stop()

	n1 := newNode(dir, "n1")
	n1.runs(1)
	_, err := n1.Mount(ctx, "alpha", "c3", 1)
	must(err)
	_, err = n1.Mount(ctx, "alpha@s1", "c4", 1)
	must(err)
	must(n1.Close())

	n3 := newNode(dir, "n3")
	n3.runs(1)
	must(n3.WithExport(ctx, "die", func(e *export.Export) error {
		l, err := n3.Cluster.Lock(ctx, e, cluster.Lock{Op: cluster.OpRemove, Volume: "zeta"})
		must(err)
		item := &volume.Trashed{Version: 1, ID: n3.Trash.NewID(), Kind: "removed", Volume: "zeta", Removed: n3.Now().UTC(), By: "n3"}
		must(l.SetWork(ctx, item.ID))
		must(n3.Trash.Record(ctx, e.FS, item))
		return nil
	}))
	n3.dies(t, "eta", cluster.OpRestore, export.TrashDir)
	n3.dies(t, "theta", cluster.OpRestore, "")
	n3.dies(t, "lambda", cluster.OpUndo, export.TrashDir)
	must(n3.Close())
	// A later start of n3: what it had under way is over.
	again := newNode(dir, "n3")
	must(again.Cluster.Beat(ctx))
	must(again.Close())
}

// dies begins a job that brings another tree, and dies at the rename to a directory, or
// before it has made the tree for "".
func (n *node) dies(t *testing.T, name string, op cluster.Op, at string) {
	ctx := t.Context()
	j := &job.Job{Op: op, Engine: "copy", Items: []job.Item{{Volume: name, Dest: name, Ref: name + "@s1", Trash: n.Trash.NewID()}}}
	require.NoError(t, n.Jobs.Prepare(ctx, j))
	ended := make(chan struct{})
	w := job.Work{
		Fill: func(ctx context.Context, fsys tree.FS, _ *job.Run, j *job.Job) error {
			if at == "" {
				close(ended)
				select {} // killed
			}
			j.Items[0].From = j.Dir() + "/" + name
			_, err := tree.Copy(ctx, fsys, ".snapshot/s1/"+name, j.Items[0].From, tree.CopyOptions{}, nil)
			n.refuse = func(_, to string) bool { return strings.HasPrefix(to, at+"/") && strings.HasSuffix(to, "/data") }
			return err
		},
		Ended: func(context.Context, *job.Run, *job.Job, job.Progress, error) { close(ended) },
	}
	_, err := n.Jobs.Start(ctx, j, w)
	require.NoError(t, err)
	<-ended
	n.refuse = nil
}

// controlFiles lists every file and directory of .berth, and the records of snapshots.
func controlFiles(t *testing.T, dir string) (files []string) {
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		name, err := filepath.Rel(dir, p)
		require.NoError(t, err)
		switch top, _, _ := strings.Cut(name, "/"); {
		case name == ".":
			return nil
		case top != ".berth" && top != ".snapshot":
			return filepath.SkipDir
		case d.IsDir() && (d.Name() == "data" || strings.HasPrefix(name, ".snapshot/s1/") && !strings.HasPrefix(name, ".snapshot/s1/.berth")):
			return filepath.SkipDir
		case strings.HasPrefix(name, ".berth/staging/job-") && d.IsDir() && strings.Count(name, "/") > 2:
			return filepath.SkipDir
		}
		if name != ".berth" && name != ".snapshot" {
			files = append(files, name)
		}
		return nil
	}))
	// In an order that is the same for every export, whatever ids its items have.
	slices.SortFunc(files, func(a, b string) int { return strings.Compare(key(dir, a), key(dir, b)) })
	return files
}

// key is a name with what an item is of in the place of its id.
func key(dir, name string) string {
	parts := strings.Split(name, "/")
	if len(parts) < 3 || parts[1] != "trash" && parts[1] != "staging" {
		return name
	}
	for _, record := range []string{"volume.json", "journal.json"} {
		if data, err := os.ReadFile(filepath.Join(dir, parts[0], parts[1], parts[2], record)); err == nil {
			parts[2] = strings.Join(kindAndVolume.FindAllString(string(data), 3), "")
		}
	}
	return strings.Join(parts, "/")
}

var kindAndVolume = regexp.MustCompile(`"(kind|volume|op)":"[a-z]*"`)

// copied copies an export. The journals of jobs know trees by their file ids, which are
// others in the copy.
func copied(t *testing.T, from, to string) {
	out, err := exec.Command("cp", "-a", from, to).CombinedOutput()
	require.NoError(t, err, string(out))
	ids := map[string]string{}
	require.NoError(t, filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		if d.IsDir() {
			rel, err := filepath.Rel(from, p)
			require.NoError(t, err)
			ids[inode(t, p)] = inode(t, filepath.Join(to, rel))
		}
		return nil
	}))
	journals, err := filepath.Glob(filepath.Join(to, ".berth/staging/job-*/journal.json"))
	require.NoError(t, err)
	for _, j := range journals {
		data, err := os.ReadFile(j)
		require.NoError(t, err)
		data = treeIDs.ReplaceAllFunc(data, func(b []byte) []byte {
			at := treeIDs.FindSubmatch(b)
			return append(at[1], ids[string(at[2])]...)
		})
		require.NoError(t, os.WriteFile(j, data, 0o600))
	}
}

var treeIDs = regexp.MustCompile(`("(?:old|new)":)([0-9]+)`)

func inode(t *testing.T, name string) string {
	st, err := os.Lstat(name)
	require.NoError(t, err)
	return fmt.Sprint(st.Sys().(*syscall.Stat_t).Ino)
}

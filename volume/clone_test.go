package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/tree"
)

// disturbed is a filesystem on which something happens as soon as a file is opened
// in what is copied.
type disturbed struct {
	tree.FS
	once sync.Once
	do   func()
}

func (d *disturbed) Open(ctx context.Context, name string) (tree.File, error) {
	if strings.HasSuffix(filepath.Dir(name), "up") { // the first of all
		d.once.Do(d.do)
	}
	return d.FS.Open(ctx, name)
}

func TestACloneOfWhatChangesMeanwhileIsNotThere(t *testing.T) {
	for name, test := range map[string]struct {
		from, want, hint string
		do               func(t *testing.T, dir string)
	}{
		"a snapshot is moved away": {"up@hourly", "the snapshot of up@hourly was deleted or moved while it was read", "berth snapshot ls up", func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, ".snapshot/hourly"), filepath.Join(dir, ".snapshot/.gone")))
		}},
		"a snapshot is deleted": {"up@hourly", "the snapshot of up@hourly was deleted or moved while it was read", "berth snapshot ls up", func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, ".snapshot/hourly")))
		}},
		"a snapshot is being deleted": {"up@hourly", ": the snapshot is being deleted, the first: .snapshot/hourly/up", "berth snapshot ls up", func(t *testing.T, dir string) {
			for i := range 100 {
				require.NoError(t, os.Remove(filepath.Join(dir, fmt.Sprintf(".snapshot/hourly/up/f%03d", i+10))))
			}
		}},
		"a volume is written": {"up", " names of up changed while they were read, the first: up/f", "from=up@SNAPSHOT", func(t *testing.T, dir string) {
			for i := range 120 {
				require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("up/f%03d", i)), []byte("longer than before"), 0o644))
			}
		}},
		"a volume is replaced": {"up", "up was removed or replaced while it was read", "from=up@SNAPSHOT", func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "up"), filepath.Join(dir, ".old")))
			require.NoError(t, os.Mkdir(filepath.Join(dir, "up"), 0o755))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := node(t, dir, "n1", func(c *Config) {
				open := c.Open
				c.Open = func(ctx context.Context) (tree.FS, error) {
					f, err := open(ctx)
					if err != nil {
						return nil, err
					}
					return &disturbed{FS: f, do: func() { test.do(t, dir) }}, nil
				}
			})
			n.must(n.Create(ctx, "up", nil))
			for i := range 120 {
				write(t, dir, fmt.Sprintf("up/f%03d", i), "content")
				write(t, dir, fmt.Sprintf(".snapshot/hourly/up/f%03d", i), "content")
				write(t, dir, fmt.Sprintf(".snapshot/daily/up/f%03d", i), "content")
			}
			err := n.Create(ctx, "copy", map[string]string{"from": test.from})
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, test.hint)
			require.NoDirExists(t, filepath.Join(dir, "copy"))
			require.NotContains(t, entries(t, dir, ".berth/volumes"), "copy.json")
			require.Equal(t, []string{"up"}, n.names())
			n.sweeps()
			require.Empty(t, entries(t, dir, ".berth/staging"))

			n.must(n.Create(ctx, "copy", map[string]string{"from": "up@daily"}))
			require.Len(t, entries(t, dir, "copy"), 120, "the next one begins anew")
		})
	}
}

// A clone that has ended is forgotten: the next one of that name is made anew.
func TestAFinishedCloneIsNotRemembered(t *testing.T) {
	dir := t.TempDir()
	h := &hooked{}
	n := node(t, dir, "n1", hook(h))
	n.beats()
	n.must(n.Create(ctx, "blog", nil))
	write(t, dir, "blog/f", "1")
	blocked, release := make(chan struct{}), make(chan struct{})
	h.rename = func(_, name string) error {
		if name == "copy" {
			close(blocked)
			<-release
		}
		return nil
	}
	from := map[string]string{"from": "blog"}
	short, cancel := context.WithCancel(ctx)
	go func() { <-blocked; cancel() }() // as dockerd does after two minutes
	require.ErrorContains(t, n.Create(short, "copy", from), "cloning")
	run := n.Jobs.Of(cluster.OpClone, "copy")
	require.NotNil(t, run)
	jobs, err := n.Jobs.List(ctx)
	require.NoError(t, err)
	require.Empty(t, jobs, "its lock tells of it")
	close(release)
	<-run.Done()
	h.rename = nil
	require.Equal(t, "1", read(t, dir, "copy/f"))

	n.must(n.Remove(ctx, "copy"))
	write(t, dir, "blog/f", "2")
	n.must(n.Create(ctx, "copy", from))
	require.Equal(t, "2", read(t, dir, "copy/f"))
	require.Empty(t, entries(t, dir, ".berth/staging"))
}

// The error of a clone is told once, to whoever asks for the same clone again.
func TestAFailedCloneIsToldOnce(t *testing.T) {
	dir := t.TempDir()
	h := &hooked{}
	n := node(t, dir, "n1", hook(h))
	n.beats()
	for _, name := range []string{"blog", "other"} {
		n.must(n.Create(ctx, name, nil))
		write(t, dir, name+"/f", name)
	}
	blocked, release := make(chan struct{}), make(chan struct{})
	fails := func() {
		h.rename = func(_, name string) error {
			if name == "copy" {
				close(blocked)
				<-release
				return syscall.EIO
			}
			return nil
		}
	}
	fails()
	short, cancel := context.WithCancel(ctx)
	go func() { <-blocked; cancel() }()
	require.ErrorContains(t, n.Create(short, "copy", map[string]string{"from": "blog"}), "cloning")
	run := n.Jobs.Of(cluster.OpClone, "copy")
	close(release)
	<-run.Done()
	h.rename = nil
	require.Error(t, run.Err())
	require.ErrorIs(t, n.Create(ctx, "copy", map[string]string{"from": "blog"}), syscall.EIO, "whoever waited for it is told")
	// The swap had begun: what is complete is published as soon as that works.
	n.beats()
	n.must(n.Create(ctx, "copy", map[string]string{"from": "blog"}))
	require.Equal(t, "blog", read(t, dir, "copy/f"))
	n.must(n.Create(ctx, "another", map[string]string{"from": "other"}))
	require.Equal(t, "other", read(t, dir, "another/f"))
}

// A clone whose node dies is completed if its tree is whole, and taken back if it
// is not. One of an earlier berth has no journal.
func TestACloneWhoseNodeDies(t *testing.T) {
	for name, whole := range map[string]bool{"copying": false, "swapping": true} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			h := &hooked{}
			n1, n2 := node(t, dir, "n1", hook(h)), node(t, dir, "n2")
			n1.beats()
			n2.beats()
			n1.must(n1.Create(ctx, "blog", map[string]string{"mode": "0750"}))
			write(t, dir, "blog/d/f", "1")
			died := make(chan struct{})
			die := func() error {
				close(died)
				select {} // it never goes on
			}
			h.list = func(name string) error {
				if !whole && name == "blog/d" && h.armed.Load() {
					return die()
				}
				return nil
			}
			h.rename = func(_, n string) error {
				if n == "copy" {
					return die()
				}
				return nil
			}
			h.armed.Store(whole)
			short, cancel := context.WithCancel(ctx)
			go func() { <-died; cancel() }()
			h.after = func(_, n string) error {
				if !whole && strings.HasSuffix(n, "/journal.json") { // it is measured, and begins
					h.armed.Store(true)
				}
				return nil
			}
			require.Error(t, n1.Create(short, "copy", map[string]string{"from": "blog"}))
			n2.waits(30 * time.Second)
			n2.beats()
			if whole {
				require.Equal(t, "1", read(t, dir, "copy/d/f"))
				i, err := n2.Get(ctx, "copy")
				require.NoError(t, err)
				require.Equal(t, "blog", i.Options.Get("from"))
			} else {
				require.NoDirExists(t, filepath.Join(dir, "copy"))
				require.NoFileExists(t, filepath.Join(dir, ".berth/volumes/copy.json"))
			}
			n2.sweeps()
			for _, e := range entries(t, dir, ".berth/staging") {
				require.False(t, strings.HasPrefix(e, export.JobPrefix), e)
			}
			n2.must(n2.Create(ctx, "copy", map[string]string{"from": "blog"}))
			require.Equal(t, "1", read(t, dir, "copy/d/f"))
		})
	}
}

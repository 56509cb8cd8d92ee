package repair

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// open returns a node on the export at dir, with the volumes blog and shop.
func open(t *testing.T, dir string) *volume.Store {
	t.Helper()
	s := volume.New(volume.Config{URL: "file://" + dir, Node: "n1", Boot: "b1", LeaseTTL: 300 * time.Millisecond,
		Open: func(ctx context.Context) (tree.FS, error) { return tree.OpenLocal(ctx, dir) }})
	t.Cleanup(func() { s.Close() })
	for _, v := range []string{"blog", "shop"} {
		require.NoError(t, s.Create(t.Context(), v, nil))
		write(t, dir, v+"/index.html", "of "+v)
	}
	write(t, dir, export.NodePath("n7"), `{"version":1,"node":"n7","incarnation":"x","boot":"b","ttl_seconds":9,"state":"stopped","berth":"1","health":"ok","locks":"numbered"}`)
	return s
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
}

// Each file is damaged in turn: doctor's look names it, nothing works on the volume
// that trusts it, the other volume is as it was, and one command mends it.
func TestADamagedFileIsNamedAndMended(t *testing.T) {
	fifo := func(dir, name string) error {
		_ = os.RemoveAll(filepath.Join(dir, name))
		return unix.Mkfifo(filepath.Join(dir, name), 0o600)
	}
	text := func(text string) func(dir, name string) error {
		return func(dir, name string) error {
			_ = os.RemoveAll(filepath.Join(dir, name))
			if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)
		}
	}
	ofShop := func(op, work string) string {
		return fmt.Sprintf(`{"version":1,"id":"aa","op":%q,"volume":"shop","node":"dead","incarnation":"x","work":%q}`, op, work)
	}
	for _, c := range []struct {
		name, file string
		do         func(dir, name string) error
		what       string // to mend: the volume, or the file
		refused    bool   // removing blog is refused until then
	}{
		{"a lock of another volume", ".berth/locks/blog", text(ofShop("create", "")), "blog", true},
		{"a removal of another volume", ".berth/locks/blog@/99", text(ofShop("remove", "20261130-1008-d2b30a")), "blog", true},
		{"a restore of another volume", ".berth/locks/blog@/99", text(ofShop("restore", "job-1")), "blog", true},
		{"an empty lock", ".berth/locks/blog@/99", text(""), "blog", true},
		{"a FIFO in a lock's place", ".berth/locks/blog@/99", fifo, "blog", true},
		{"a file in the place of locks", ".berth/locks/blog@", text("x"), "blog", true},
		{"a file in the place of leases", ".berth/leases/blog", text("x"), "blog", true},
		{"a lease of nobody", ".berth/leases/blog/n7.json", text(`{"version":1,"volume":"shop"}`), "blog", false},
		{"an epoch of nobody", ".berth/leases/blog/epoch.9", text("null"), "blog", false},
		{"metadata of another volume", ".berth/volumes/blog.json", text(`{"version":1,"name":"shop"}`), "blog", true},
		{"pauses", ".berth/pauses.json", text(`{"version":1,"pauses":[{"from":"9999-01-01T00:00:00Z"}]}`), ".berth/pauses.json", false},
		{"a heartbeat", ".berth/nodes/n7.json", text("{"), ".berth/nodes/n7.json", false},
		{"a journal", ".berth/staging/job-77/journal.json", text(`{"version":1,"id":"job-78"}`), ".berth/staging/job-77/journal.json", false},
		{"who the export is", ".berth/export.json", text("x"), ".berth/export.json", false},
		{"the copy of that", ".berth/export-copy.json", text(`{"version":1,"id":"0123456789abcdef"}`), ".berth/export-copy.json", false},
		{"a file in the place of heartbeats", ".berth/nodes", text("x"), ".berth/nodes", false},
		{"a file in the place of private files", ".berth/staging", text("x"), ".berth/staging", false},
		{"a file in the place of audit", ".berth/audit", text("x"), ".berth/audit", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, ctx := t.TempDir(), t.Context()
			s := open(t, dir)
			none, err := Faults(ctx, s)
			require.NoError(t, err)
			require.Empty(t, none)
			require.NoError(t, c.do(dir, c.file))
			round, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
			s.Run(round)
			cancel()

			faults, err := Faults(ctx, s)
			require.NoError(t, err)
			require.Len(t, faults, 1)
			require.Equal(t, c.file, faults[0].Path)
			require.FileExists(t, filepath.Join(dir, "blog/index.html"))
			begin := time.Now()
			if c.refused {
				require.ErrorContains(t, s.Remove(ctx, "blog"), "berth volume repair blog")
				require.Less(t, time.Since(begin), 10*time.Second, "at once, and not when the wait for a lock is over")
			}
			if c.file != export.StagingDir { // in which everything begins that is written
				require.NoError(t, s.Set(ctx, "shop", map[string]string{"on-remove": "retain"}))
			}
			would, err := All(ctx, s, c.what, true)
			require.NoError(t, err)
			again, err := Faults(ctx, s)
			require.NoError(t, err)
			require.Equal(t, faults, again, "a dry run changes nothing")
			mended, err := All(ctx, s, c.what, false)
			require.NoError(t, err)
			require.Equal(t, len(would.Files), len(mended.Files))
			none, err = Faults(ctx, s)
			require.NoError(t, err)
			require.Empty(t, none)
			_, err = All(ctx, s, c.what, false)
			require.Equal(t, problem.Nothing, problem.KindOf(err))
			require.NoError(t, s.Remove(ctx, "blog"))
			require.FileExists(t, filepath.Join(dir, "shop/index.html"))
		})
	}
}

func TestATreeWhoseRecordIsDamagedComesBack(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir)
	require.NoError(t, s.Remove(ctx, "blog"))
	items, err := s.Trash.List(ctx)
	require.NoError(t, err)
	id := items[0].ID
	write(t, dir, export.TrashMeta(id), `{"version":1,"id":"`+id+`","kind":"removed","volume":"blog","removed":"20`)
	_, err = s.Trash.Purge(ctx, nil, volume.Everything, false)
	require.NoError(t, err)
	require.DirExists(t, filepath.Join(dir, export.TrashData(id)), "what nobody can read is kept")
	_, err = All(ctx, s, export.TrashMeta(id), false)
	require.NoError(t, err)
	_, name, err := s.Trash.Restore(ctx, id, "")
	require.NoError(t, err)
	require.Equal(t, "blog", name)
	require.FileExists(t, filepath.Join(dir, "blog/index.html"))
}

// Only the node itself knows what it uses.
func TestTheLeaseOfAnotherNodeIsLeftToIt(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, dir)
	for _, node := range []string{"n1", "n2"} {
		write(t, dir, export.NodePath(node), `{"version":1,"node":"`+node+`","incarnation":"x","boot":"b","counter":1,"ttl_seconds":600,"state":"up","berth":"1","health":"ok"}`)
		write(t, dir, export.LeasePath("blog", node), "torn")
	}
	_, err := s.Holders(ctx, []string{"blog"})
	require.NoError(t, err)
	_, err = All(ctx, s, "blog", false)
	require.ErrorContains(t, err, `the lease of "blog" is that of n2, which is live`)
	require.NoError(t, os.Remove(filepath.Join(dir, export.LeasePath("blog", "n2"))))
	_, err = All(ctx, s, "blog", false)
	require.NoError(t, err)
}

// A lease of this node that is broken when the plugin starts still counts.
func TestAVolumeWhoseLeaseIsBrokenAtTheStartIsInUse(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	require.NoError(t, open(t, dir).Close())
	write(t, dir, export.LeasePath("blog", "n1"), "torn")
	s := volume.New(volume.Config{URL: "file://" + dir, Node: "n1", Boot: "b1", Open: func(ctx context.Context) (tree.FS, error) { return tree.OpenLocal(ctx, dir) }})
	defer s.Close()
	_, err := s.List(ctx)
	require.NoError(t, err)
	u, used := s.Cluster.OwnUse("blog")
	require.True(t, used)
	require.Equal(t, cluster.Live, u.State)
}

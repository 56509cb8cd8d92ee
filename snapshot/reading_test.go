package snapshot

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// local is a world whose snapshots berth makes itself.
func local(t *testing.T, dir, node string) *world {
	return worldOn(t, dir, node, func(cfg *volume.Config) {
		cfg.Open = func(ctx context.Context) (tree.FS, error) { return tree.OpenLocal(ctx, dir) }
	})
}

// What is being read is not removed.
func TestASnapshotThatIsReadIsInUse(t *testing.T) {
	dir := t.TempDir()
	w := local(t, dir, "n1")
	n2 := local(t, dir, "n2")
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	w.write("blog/i", "old")
	for _, name := range []string{"s", "other"} {
		_, err := w.Create(ctx, CreateRequest{Name: name})
		require.NoError(t, err)
	}
	w.write("blog/i", "newer")
	var beat cluster.Heartbeat
	require.NoError(t, json.Unmarshal([]byte(w.read(".berth/nodes/n2.json")), &beat))
	busy := func(what string) {
		t.Helper()
		for _, dry := range []bool{true, false} {
			_, err := w.Remove(ctx, RemoveRequest{Names: []string{"s"}, DryRun: dry})
			require.Equal(t, problem.InUse, problem.KindOf(err), "%v", err)
			require.ErrorContains(t, err, what)
			require.DirExists(t, w.path(".snapshot/s/blog"))
		}
		_, err := w.Remove(ctx, RemoveRequest{Names: []string{"other"}, DryRun: true})
		require.NoError(t, err, "another one is free")
	}

	lock := func(incarnation string) {
		w.write(".berth/locks/copy", fmt.Sprintf(`{"version":1,"id":"x","op":"clone","volume":"copy","node":"n2","incarnation":%q,"reads":"blog@s"}`, incarnation))
	}
	lock(beat.Incarnation)
	busy(`snapshot "s" is being copied to the new volume "copy" on n2`)
	lock("of one that died")
	_, err := w.Remove(ctx, RemoveRequest{Names: []string{"s"}, DryRun: true})
	require.NoError(t, err, "nobody copies any more")

	j, err := n2.prepare(RestoreRequest{Refs: []string{"blog@s"}})
	require.NoError(t, err)
	busy(`snapshot "s" is needed by the restore of volume "blog" on n2`)
	require.NoError(t, n2.Jobs.Abort(ctx, j.ID))

	// What looks, here: asked from within.
	var out bytes.Buffer
	require.NoError(t, w.Diff(ctx, DiffRequest{A: "blog@s"}, func(Diff) error {
		busy(`snapshot "s" is being read on this node by berth snapshot diff`)
		return nil
	}))
	require.NoError(t, w.Read(ctx, RefRequest{Ref: "blog@s:i"}, writer(func(p []byte) (int, error) {
		busy(`snapshot "s" is being read on this node by berth snapshot cat`)
		return out.Write(p)
	})))
	require.Equal(t, "old", out.String())

	_, err = w.Remove(ctx, RemoveRequest{Names: []string{"s"}})
	require.NoError(t, err)
	require.NoDirExists(t, w.path(".snapshot/s"))
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestACloneSaysWhatItReads(t *testing.T) {
	dir := t.TempDir()
	w := local(t, dir, "n1")
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	w.write("blog/i", "old")
	_, err := w.Create(ctx, CreateRequest{Name: "s"})
	require.NoError(t, err)
	var asked []cluster.Lock
	var removed error
	slow := worldOn(t, dir, "n2", func(cfg *volume.Config) {
		cfg.Open = func(ctx context.Context) (tree.FS, error) {
			l, err := tree.OpenLocal(ctx, dir)
			return asking{foreign{l}, func() {
				clones, err := w.store.Cloning(context.Background())
				if err == nil {
					_, err = w.Remove(context.Background(), RemoveRequest{Names: []string{"s"}})
				}
				asked, removed = clones, err
			}}, err
		}
	})
	require.NoError(t, slow.store.Create(ctx, "copy", map[string]string{"from": "blog@s"}))
	require.Len(t, asked, 1)
	require.Equal(t, "blog@s", asked[0].Reads)
	require.Equal(t, problem.InUse, problem.KindOf(removed), "%v", removed)
	require.Equal(t, "old", w.read("copy/i"))
	_, err = w.Remove(ctx, RemoveRequest{Names: []string{"s"}})
	require.NoError(t, err)
}

// asking asks something whenever a file is made in a job's directory.
type asking struct {
	foreign
	ask func()
}

func (a asking) Create(ctx context.Context, name string, set tree.SetAttr) (tree.File, error) {
	if strings.Contains(name, "/data/") {
		a.ask()
	}
	return a.foreign.Create(ctx, name, set)
}

func TestTheSnapshotThatAReferenceNames(t *testing.T) {
	all := []reference.Snapshot{{Name: "a"}, {Name: "a:b"}, {Name: "c"}}
	for ref, want := range map[string]string{
		"v@a": "a", "v@a:b": "a:b", "v@a:b/c": "a", "v@a:b:c": "a:b", "v@c:a": "c", "v@d": "", "v": "", "as before the restore to v@a": "a",
	} {
		require.Equal(t, want, snapshotOf(ref, all), ref)
	}
}

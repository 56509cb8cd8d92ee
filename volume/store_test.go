package volume

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
)

func TestCreateMakesADirectoryWithOwnerModeAndMetadata(t *testing.T) {
	dir := t.TempDir()
	n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
	opts := map[string]string{"mode": "2770", "access": "single"}
	if os.Geteuid() == 0 {
		opts["uid"], opts["gid"] = "33", "34"
	}
	n1.must(n1.Create(ctx, "site1", opts))
	info, err := os.Stat(filepath.Join(dir, "site1"))
	require.NoError(t, err)
	require.Equal(t, os.ModeDir|os.ModeSetgid|0o770, info.Mode())
	if os.Geteuid() == 0 {
		require.Equal(t, uint32(33), info.Sys().(*syscall.Stat_t).Uid)
		require.Equal(t, uint32(34), info.Sys().(*syscall.Stat_t).Gid)
	}
	require.Equal(t, []string{"site1"}, n2.names(), "seen on another node at once")
	got, err := n2.Get(ctx, "site1")
	require.NoError(t, err)
	require.Equal(t, "single", got.Options["access"])
	require.Equal(t, "ok", got.Health)

	n1.must(n1.Create(ctx, "site1", opts))
	n2.must(n2.Create(ctx, "site1", nil))
	n2.must(n2.Create(ctx, "site1", map[string]string{"mode": "02770"}))
	err = n2.Create(ctx, "site1", map[string]string{"access": "shared"})
	require.ErrorContains(t, err, "access=single, not access=shared")
	require.ErrorContains(t, err, "berth volume set site1 access=shared")
	require.Empty(t, lockedVolumes(t, dir), "no lock stays")
	require.Empty(t, entries(t, dir, ".berth/staging"), "no private file stays")
}

func entries(t *testing.T, parts ...string) []string {
	t.Helper()
	list, err := os.ReadDir(filepath.Join(parts...))
	require.NoError(t, err)
	var names []string
	for _, e := range list {
		names = append(names, e.Name())
	}
	return names
}

func TestAnUnfinishedCreateIsCompletedByTheSameCreate(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "site1", map[string]string{"mode": "0700"}))
	require.NoError(t, os.Remove(filepath.Join(dir, "site1")))
	n.index.Invalidate()
	_, err := n.Get(ctx, "site1")
	require.Equal(t, problem.NotFound, problem.KindOf(err))
	require.ErrorContains(t, n.Create(ctx, "site1", map[string]string{"mode": "0711"}), "mode=0700, not mode=0711")
	n.must(n.Create(ctx, "site1", map[string]string{"mode": "0700"}))
	require.Equal(t, []string{"site1"}, n.names())

	// Killed between MKDIR and the permissions: mode 0.
	require.NoError(t, os.Chmod(filepath.Join(dir, "site1"), 0))
	n.must(n.Create(ctx, "site1", nil))
	info, err := os.Stat(filepath.Join(dir, "site1"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

func TestEveryPlainDirectoryIsAVolumeAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "old_site/index.php", "x")
	write(t, dir, "config/vfs_volume_old_site.json", `{"Name":"old_site"}`)
	write(t, dir, "half.tmp/file", "x")
	write(t, dir, "plainfile", "x")
	write(t, dir, "with space/file", "x")
	write(t, dir, ".hidden/file", "x")
	require.NoError(t, os.Symlink("old_site", filepath.Join(dir, "link")))
	require.NoError(t, os.Chmod(filepath.Join(dir, "old_site"), 0o700))
	before := listing(t, filepath.Join(dir, "old_site"))

	n := node(t, dir, "n1")
	n.beats()
	require.Equal(t, []string{"old_site"}, n.names())
	got, err := n.Get(ctx, "old_site")
	require.NoError(t, err)
	require.True(t, got.Adopted)
	require.Equal(t, before, listing(t, filepath.Join(dir, "old_site")), "adopting changes nothing")

	for name, want := range map[string]string{"link": "is a symlink", "plainfile": "is a file", "config": "belongs to Rancher Convoy", "half.tmp": "belongs to Rancher Convoy"} {
		all := listing(t, dir)
		for _, err := range []error{n.Create(ctx, name, nil), n.Remove(ctx, name), func() error { _, err := n.Mount(ctx, name, "id", 1); return err }()} {
			require.ErrorContains(t, err, want, name)
		}
		_, err := n.Get(ctx, name)
		require.Error(t, err)
		require.Equal(t, all, listing(t, dir))
	}

	plain := t.TempDir()
	write(t, plain, "config/app.yml", "x")
	require.Equal(t, []string{"config"}, node(t, plain, "n1").names(), "config is Convoy's only beside its metadata")
}

func TestBrokenMetadataHarmsOneVolumeUntilRepaired(t *testing.T) {
	for name, content := range map[string]string{"empty": "", "torn": `{"version":1,"na`, "foreign": `{"version":1,"name":"other"}`, "newer": `{"version":9,"name":"bad"}`} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := node(t, dir, "n1")
			n.must(n.Create(ctx, "good", nil))
			n.must(n.Create(ctx, "bad", nil))
			write(t, dir, "bad/data", "precious")
			write(t, dir, ".berth/volumes/bad.json", content)
			n = node(t, dir, "n1")

			require.Equal(t, []string{"bad", "good"}, n.names())
			got, err := n.Get(ctx, "bad")
			require.NoError(t, err)
			require.Contains(t, got.Health, "berth volume repair bad")
			_, err = n.Mount(ctx, "bad", "id", 1)
			require.ErrorContains(t, err, "berth volume repair bad")
			require.ErrorContains(t, n.Remove(ctx, "bad"), "berth volume repair bad")
			_, err = n.Mount(ctx, "good", "id", 1)
			require.NoError(t, err)

			aside, err := n.Repair(ctx, "bad", true)
			require.NoError(t, err)
			require.NoFileExists(t, filepath.Join(dir, aside))
			aside, err = n.Repair(ctx, "bad", false)
			require.NoError(t, err)
			require.Equal(t, content, read(t, dir, aside))
			_, err = n.Mount(ctx, "bad", "id", 1)
			require.NoError(t, err)
			require.Equal(t, "precious", read(t, dir, "bad/data"))
			_, err = n.Repair(ctx, "bad", false)
			require.Equal(t, problem.Nothing, problem.KindOf(err))
		})
	}
}

func TestRemoveMovesIntoTheTrashAndRestoreBringsBackWithOptions(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "site1", map[string]string{"access": "single"}))
	write(t, dir, "site1/page", "hello")
	n.must(n.Remove(ctx, "site1"))
	n.must(n.Remove(ctx, "site1")) // again
	require.Empty(t, n.names())
	require.NoFileExists(t, filepath.Join(dir, ".berth/volumes/site1.json"))
	items, err := n.Trash.List(ctx)
	require.NoError(t, err)
	require.Len(t, items, 1)
	require.Equal(t, "removed", items[0].Kind)
	require.NotNil(t, items[0].Expires)

	n.must(n.Create(ctx, "site1", nil)) // a new one meanwhile
	_, _, err = n.Trash.Restore(ctx, "site1", "")
	require.ErrorContains(t, err, "--as site1-restored")
	_, name, err := n.Trash.Restore(ctx, "site1", "site2")
	require.NoError(t, err)
	require.Equal(t, "site2", name)
	require.Equal(t, "hello", read(t, dir, "site2/page"))
	got, err := n.Get(ctx, "site2")
	require.NoError(t, err)
	require.Equal(t, "single", got.Options["access"])
	items, err = n.Trash.List(ctx)
	require.NoError(t, err)
	require.Empty(t, items)
	_, _, err = n.Trash.Restore(ctx, "site1", "")
	require.Equal(t, problem.NotFound, problem.KindOf(err))

	records, err := n.Audit.Read(ctx, "", time.Time{})
	require.NoError(t, err)
	var ops []string
	for _, r := range records {
		ops = append(ops, r.Op+" "+r.Volume)
	}
	require.Equal(t, []string{"create site1", "remove site1", "create site1", "undelete site2"}, ops)
}

func TestTrashExpiresInTheExportsTimeAndRetainStays(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1", func(c *Config) { c.TrashTTL = time.Hour })
	n.beats()
	n.must(n.Create(ctx, "a", nil))
	n.must(n.Create(ctx, "b", map[string]string{"on-remove": "retain"}))
	write(t, dir, "a/deep/er/file", "x")
	n.must(n.Remove(ctx, "a"))
	n.must(n.Remove(ctx, "b"))
	n.clock.move(2 * time.Hour)
	n.must(n.Trash.expire(ctx, n.conn.Current()))
	n.sweeps()
	items, err := n.Trash.List(ctx)
	require.NoError(t, err)
	require.Len(t, items, 1)
	require.Equal(t, "b", items[0].Volume)
	require.Nil(t, items[0].Expires)
	require.Empty(t, entries(t, dir, ".berth/staging"))

	purged, err := n.Trash.Purge(ctx, []string{items[0].ID}, 0, true)
	require.NoError(t, err)
	require.Len(t, purged, 1)
	_, err = n.Trash.Purge(ctx, []string{"nonsense"}, 0, false)
	require.Equal(t, problem.NotFound, problem.KindOf(err))
	_, err = n.Trash.Purge(ctx, []string{items[0].ID}, 0, false)
	require.NoError(t, err)
	n.sweeps()
	require.Empty(t, entries(t, dir, ".berth/trash"))
	require.Empty(t, entries(t, dir, ".berth/staging"))
}

func TestSetChangesOptionsAndTheRootDirectoryOnly(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	write(t, dir, "old/sub/file", "x")
	n.must(n.Set(ctx, "old", map[string]string{"mode": "0750", "on-remove": "retain"}))
	info, err := os.Stat(filepath.Join(dir, "old"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o750), info.Mode().Perm())
	got, err := n.Get(ctx, "old")
	require.NoError(t, err)
	require.Equal(t, "retain", got.Options["on-remove"])
	n.must(n.Set(ctx, "old", map[string]string{"on-remove": ""}))
	got, err = n.Get(ctx, "old")
	require.NoError(t, err)
	require.Equal(t, "trash", got.Options["on-remove"])
	require.Equal(t, "0750", got.Options["mode"])
	require.Equal(t, problem.NotFound, problem.KindOf(n.Set(ctx, "none", map[string]string{"uid": "1"})))
	require.Equal(t, problem.Invalid, problem.KindOf(n.Set(ctx, "old", map[string]string{"from": "x"})))
	require.Equal(t, problem.Invalid, problem.KindOf(n.Set(ctx, "old", map[string]string{"uidd": ""})))
	require.Equal(t, problem.Invalid, problem.KindOf(n.Set(ctx, "old", nil)))
}

func TestViewsAreExactSnapshotNamesAndReadOnly(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "site1", nil))
	_, err := n.Mount(ctx, "site1@nightly", "id", 1)
	require.ErrorContains(t, err, "no snapshots")
	write(t, dir, ".snapshot/nightly.2026-11-21/site1/page", "old")
	write(t, dir, ".snapshot/nightly.2026-11-22/site1/page", "newer")
	past := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(dir, ".snapshot/nightly.2026-11-21"), past, past))

	m, err := n.Mount(ctx, "site1@nightly.2026-11-21", "id", 1)
	require.NoError(t, err)
	require.Equal(t, Mounted{Path: ".snapshot/nightly.2026-11-21/site1", ReadOnly: true}, m)
	for snap, want := range map[string]string{"latest": "site1@nightly.2026-11-22", "nightly": "site1@nightly.2026-11-2", "-1": "site1@nightly.2026-11-22", "nigthly.2026-11-21": "site1@nightly.2026-11-21"} {
		_, err := n.Get(ctx, "site1@"+snap)
		require.ErrorContains(t, err, want)
		require.Equal(t, problem.NotFound, problem.KindOf(err))
	}
	_, err = n.Get(ctx, "site9@nightly.2026-11-22")
	require.ErrorContains(t, err, `has no volume "site9"`)
	before := listing(t, dir)
	n.must(n.Remove(ctx, "site1@nightly.2026-11-21"))
	n.must(n.Create(ctx, "site1@nightly.2026-11-21", nil))
	require.Error(t, n.Create(ctx, "site1@nightly.2026-11-21", map[string]string{"uid": "1"}))
	require.Equal(t, before, listing(t, dir))
	require.Equal(t, []string{"site1"}, n.names(), "List never shows views")
	n.beats()
	got, err := n.Get(ctx, "site1")
	require.NoError(t, err)
	require.Equal(t, "nightly.2026-11-22", got.Newest)
	n.must(n.Unmount(ctx, "site1@nightly.2026-11-21", "id"))
}

func TestCloneIsWholeOrAbsent(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "site1", map[string]string{"mode": "0750"}))
	write(t, dir, "site1/sub/page", "hello")
	write(t, dir, ".snapshot/nightly/site1/sub/page", "old")
	n.must(n.Create(ctx, "copy", map[string]string{"from": "site1"}))
	n.must(n.Create(ctx, "copy", map[string]string{"from": "site1"})) // again
	n.must(n.Create(ctx, "past", map[string]string{"from": "site1@nightly", "mode": "0700"}))
	require.Equal(t, "hello", read(t, dir, "copy/sub/page"))
	require.Equal(t, "old", read(t, dir, "past/sub/page"))
	require.Equal(t, []string{"copy", "past", "site1"}, n.names())
	require.Empty(t, entries(t, dir, ".berth/staging"))
	for from, want := range map[string]string{"none": "no volume", "site1@none": "no snapshot", "copy/x": "not a volume name"} {
		before := listing(t, dir)
		require.ErrorContains(t, n.Create(ctx, "new", map[string]string{"from": from}), want)
		require.Equal(t, before, listing(t, dir))
	}
}

func TestMetadataIsStableOnDisk(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "site1", map[string]string{"uid": "0"}))
	before := read(t, dir, ".berth/volumes/site1.json")
	n = node(t, dir, "n1")
	_, err := n.Get(ctx, "site1")
	require.NoError(t, err)
	n.must(n.Create(ctx, "site1", nil))
	n.beats()
	require.Equal(t, before, read(t, dir, ".berth/volumes/site1.json"))
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(before), &m))
	require.True(t, strings.HasSuffix(before, "\n"))
	require.Equal(t, "site1", m["name"])
}

func TestARestoreThatIsOvertakenByAPurgeSaysSo(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "site1", nil))
	n.must(n.Remove(ctx, "site1"))
	items, err := n.Trash.List(ctx)
	require.NoError(t, err)
	n.must(n.Trash.purge(ctx, n.conn.Current(), items[0]))
	err = n.Trash.bringBack(ctx, n.conn.Current(), items[0], "site1")
	require.Equal(t, problem.NotFound, problem.KindOf(err))
	require.ErrorContains(t, err, "was purged meanwhile")
	require.Empty(t, n.names())
	require.Empty(t, entries(t, dir, ".berth/volumes"))
}

func TestAnEmptiedExportIsAwayAndForgetsNothing(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.must(n.Create(ctx, "site1", nil))
	n.beats()
	// The directory stays the same, as for whoever has it open when it is deleted.
	aside := t.TempDir()
	move := func(from, to string) {
		for _, name := range []string{".berth", "site1"} {
			require.NoError(t, os.Rename(filepath.Join(from, name), filepath.Join(to, name)))
		}
	}
	move(dir, aside)
	got, err := n.Get(ctx, "site1")
	require.NoError(t, err, "dockerd would forget it")
	require.Contains(t, got.Health, "unverified")
	require.Contains(t, n.names(), "site1")
	_, err = n.Get(ctx, "other")
	require.Equal(t, problem.Unreachable, problem.KindOf(err), "%v", err)
	require.Equal(t, problem.Unreachable, problem.KindOf(n.Create(ctx, "other", nil)))
	require.Empty(t, entries(t, dir, "."), "nothing is filled")

	move(aside, dir)
	n.clock.move(2 * time.Second)
	require.Eventually(t, func() bool {
		got, err := n.Get(ctx, "site1")
		return err == nil && got.Health == "ok"
	}, 10*time.Second, 10*time.Millisecond)
}

func TestOnRemoveDeleteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	n.must(n.Create(ctx, "anon", map[string]string{"on-remove": "delete"}))
	n.must(n.Create(ctx, "kept", nil))
	write(t, dir, "anon", "f", "x")
	meta, err := readMeta(ctx, n.conn.Current().FS, "anon")
	n.must(err)
	undone := func(name string) string {
		u := n.Trash.newItem("undo", name, nil)
		n.must(n.Trash.Record(ctx, n.conn.Current().FS, u))
		write(t, dir, export.TrashData(u.ID), "f", "old")
		return u.ID
	}
	undone("anon")
	other := undone("kept")
	require.Equal(t, "delete", meta.Options["on-remove"])

	n.must(n.Remove(ctx, "anon"))
	require.Equal(t, []string{other}, entries(t, dir, export.TrashDir))
	require.NotContains(t, n.names(), "anon")
	n.sweeps()
	require.Empty(t, entries(t, dir, export.StagingDir))
	did, err := n.Audit.Read(ctx, "anon", time.Time{})
	n.must(err)
	var ops []string
	for _, r := range did {
		ops = append(ops, r.Op)
	}
	require.Equal(t, []string{"create", "remove", "purge", "purge"}, ops)
	require.Contains(t, did[1].Detail, "deleted at once (on-remove=delete)")
	n.must(n.Remove(ctx, "anon"))
}

// A node that dies half-way leaves the rest to the next round of any node.
func TestARemovalForGoodIsCompletedByAnotherNode(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	n.must(n.Create(ctx, "anon", map[string]string{"on-remove": "delete"}))
	meta, err := readMeta(ctx, n.conn.Current().FS, "anon")
	n.must(err)
	u := n.Trash.newItem("undo", "anon", nil)
	n.must(n.Trash.Record(ctx, n.conn.Current().FS, u))
	write(t, dir, export.TrashData(u.ID), "f", "old")
	removed := n.Trash.newItem("removed", "anon", meta)
	n.must(n.Trash.put(ctx, n.conn.Current(), removed))

	n2 := node(t, dir, "n2")
	n2.beats()
	require.Empty(t, entries(t, dir, export.TrashDir))
	n2.sweeps()
}

package ontap_test

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/ontap/simulator/simulatortest"
)

func TestFirstContact(t *testing.T) {
	w := newWorld(t)
	cluster, err := w.client.ClusterInfo(t.Context())
	require.NoError(t, err)
	require.Equal(t, simulatortest.Release(t), cluster.Version.String())

	export, err := w.client.ExportGet(t.Context(), "", nil, "/docker_vols/sub/dir/")
	require.NoError(t, err)
	require.Equal(t, "svm1", export.SVM.Name)
	require.Equal(t, "docker_vols", export.Volume.Name)
	require.Equal(t, w.volume, export.Volume.UUID)
	require.Equal(t, "sub/dir", export.Sub)
	require.Positive(t, export.Volume.Space.Size)

	policy, err := w.client.SnapshotPolicyGet(t.Context(), export.Volume.SnapshotPolicy.UUID)
	require.NoError(t, err)
	require.Equal(t, "default: hourly 6, daily 2, weekly 2", policy.String())
	policy, err = w.client.SnapshotPolicyGetByName(t.Context(), "svm1", "none")
	require.NoError(t, err)
	require.Equal(t, "none: no schedule (disabled)", policy.String())
	schedule, err := w.client.ScheduleGetByName(t.Context(), "svm1", "weekly")
	require.NoError(t, err)
	require.Equal(t, []int{0}, schedule.Cron.Weekdays)
	require.Equal(t, []int{15}, schedule.Cron.Minutes)

	nfs, err := w.client.NFSServiceGet(t.Context(), export.SVM.UUID)
	require.NoError(t, err)
	require.Empty(t, export.Volume.Visibility(nfs))

	rules, err := w.client.ExportRuleList(t.Context(), export.Volume.NAS.ExportPolicy.ID)
	require.NoError(t, err)
	require.Len(t, rules, 1)
	require.Equal(t, "0.0.0.0/0", rules[0].Clients[0].Match)
	require.Equal(t, []string{"sys"}, rules[0].Superuser)

	byName, err := w.client.VolumeGetByName(t.Context(), export.SVM.UUID, "docker_vols")
	require.NoError(t, err)
	require.Equal(t, w.volume, byName.UUID)
	svms, err := w.client.SvmList(t.Context())
	require.NoError(t, err)
	require.Len(t, svms, 1)
}

func TestHiddenSnapshots(t *testing.T) {
	w := newWorld(t)
	w.Set(func(s *simulator.Settings) { s.SnapshotDirectory, s.HideSnapshot = false, true })
	volume, err := w.client.VolumeGet(t.Context(), w.volume)
	require.NoError(t, err)
	nfs, err := w.client.NFSServiceGet(t.Context(), w.svm)
	require.NoError(t, err)
	want := []string{"the FlexVol hides it; run: volume modify -vserver svm1 -volume docker_vols -snapdir-access true"}
	if simulatortest.AtLeast(t, "9.13.1") { // before, ONTAP does not tell
		want = append(want, "the NFS service hides it; run: vserver nfs modify -vserver svm1 -v3-hide-snapshot disabled")
	}
	require.Equal(t, want, volume.Visibility(nfs))
}

func TestExportGetRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		config func(*simulator.Config)
		svm    string
		addrs  []netip.Addr
		path   string
		kind   error
		says   string
	}{
		{name: "wrong SVM", svm: "svm9", path: "/docker_vols", kind: fs.ErrNotExist, says: "SVM svm9 does not exist"},
		{name: "no FlexVol", path: "/elsewhere/x", kind: fs.ErrNotExist, says: "no FlexVol is mounted at /elsewhere/x or above it; there are: / /docker_vols"},
		{name: "a neighbour's name", path: "/docker_vols2", kind: fs.ErrNotExist, says: "no FlexVol is mounted"},
		{name: "FlexGroup", config: func(c *simulator.Config) { c.Style = "flexgroup" }, path: "/docker_vols",
			kind: errors.ErrUnsupported, says: "berth needs a FlexVol"},
		{name: "ambiguous", config: func(c *simulator.Config) { c.OtherSVMs = []string{"svm2"} }, path: "/docker_vols",
			says: "junction path of several SVMs, svm1, svm2; name one"},
		{name: "address of another", config: func(c *simulator.Config) { c.OtherSVMs = []string{"svm2"} }, path: "/docker_vols",
			addrs: []netip.Addr{netip.MustParseAddr("127.9.9.9")}, kind: fs.ErrNotExist, says: "no FlexVol is mounted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, func(cfg *simulator.Config) {
				if c.config != nil {
					c.config(cfg)
				}
			})
			_, err := w.client.ExportGet(t.Context(), c.svm, c.addrs, c.path)
			require.ErrorContains(t, err, c.says)
			if c.kind != nil {
				require.ErrorIs(t, err, c.kind)
			}
		})
	}
}

func TestExportGetAmongSVMs(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.OtherSVMs = []string{"svm2"} })
	byAddress, err := w.client.ExportGet(t.Context(), "", []netip.Addr{netip.MustParseAddr("::ffff:127.0.1.1")}, "/docker_vols")
	require.NoError(t, err)
	require.Equal(t, "svm2", byAddress.SVM.Name)
	byName, err := w.client.ExportGet(t.Context(), "svm1", nil, "/docker_vols")
	require.NoError(t, err)
	require.Equal(t, "svm1", byName.SVM.Name)
	root, err := w.client.ExportGet(t.Context(), "svm1", nil, "/")
	require.NoError(t, err)
	require.Equal(t, "svm1_root", root.Volume.Name)
}

func TestSnapshotLife(t *testing.T) {
	w := newWorld(t)
	w.write("site1/index.php", "one")
	made, err := w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "nightly", Comment: "before update", Label: "daily"})
	require.NoError(t, err)
	require.NotEmpty(t, made.UUID)
	require.Equal(t, "before update", made.Comment)
	require.Equal(t, "daily", made.Label)
	require.False(t, made.CreateTime.IsZero())

	w.write("site1/index.php", "two")
	require.Equal(t, "one", w.read(".snapshot/nightly/site1/index.php"))

	_, err = w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "nightly"})
	require.ErrorIs(t, err, fs.ErrExist)
	require.NoError(t, w.client.SnapshotSetComment(t.Context(), w.volume, made.UUID, "kept"))
	got, err := w.client.SnapshotGet(t.Context(), w.volume, made.UUID)
	require.NoError(t, err)
	require.Equal(t, "kept", got.Comment)

	w.snapshot("a.second*one"[:8])
	all, err := w.client.SnapshotList(t.Context(), w.volume)
	require.NoError(t, err)
	require.Equal(t, []string{"nightly", "a.second"}, []string{all[0].Name, all[1].Name})
	_, err = w.client.SnapshotGetByName(t.Context(), w.volume, "a*")
	require.ErrorIs(t, err, fs.ErrNotExist, "a star in a name is no wildcard")

	require.NoError(t, w.client.SnapshotDelete(t.Context(), w.volume, made.UUID))
	require.NoDirExists(t, filepath.Join(w.root, ".snapshot/nightly"))
	_, err = w.client.SnapshotGet(t.Context(), w.volume, made.UUID)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorIs(t, w.client.SnapshotDelete(t.Context(), w.volume, made.UUID), fs.ErrNotExist)
	require.ErrorContains(t, w.client.SnapshotDelete(t.Context(), w.volume, ""), "no uuid")
}

func TestSnapshotRefused(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.MaxSnapshots = 2 })
	first := w.snapshot("owned")
	w.Own("owned", "snapmirror")
	err := w.client.SnapshotDelete(t.Context(), w.volume, first.UUID)
	require.ErrorIs(t, err, ontap.ErrBusy)
	require.ErrorContains(t, err, "owner")

	later, err := w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "kept", ExpiryTime: first.CreateTime.AddDate(1, 0, 0)})
	require.NoError(t, err)
	require.ErrorIs(t, w.client.SnapshotDelete(t.Context(), w.volume, later.UUID), ontap.ErrBusy)

	_, err = w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "one-too-many"})
	var e *ontap.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, ontap.CodeSnapshotLimit, e.Code)

	for _, name := range []string{"", "a/b", "..", ".hidden", "snapmirror.x", "a b", "a*"} {
		_, err := w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: name})
		require.Error(t, err, name)
		require.NotErrorIs(t, err, fs.ErrExist)
	}
	_, err = w.client.SnapshotList(t.Context(), "no-such-volume")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestFiles(t *testing.T) {
	w := newWorld(t)
	w.write("site1/wp/index.php", "one")
	require.NoError(t, os.Symlink("/etc/passwd", filepath.Join(w.root, "site1/wp/link")))
	w.snapshot("s1")
	volume := ontap.Ref{UUID: w.volume, Name: "docker_vols"}
	w.write("site1/wp/index.php", "two")

	require.NoError(t, w.client.FileClone(t.Context(), volume, "/.snapshot/s1/site1/wp/index.php", "site1/old.php"))
	require.Equal(t, "one", w.read("site1/old.php"))
	require.ErrorIs(t, w.client.FileClone(t.Context(), volume, "site1/wp/index.php", "site1/old.php"), fs.ErrExist)
	require.ErrorContains(t, w.client.FileClone(t.Context(), volume, "site1/wp", "site1/x"), "file handle")

	w.write("staging/wp/index.php", "one")
	require.NoError(t, w.client.DirectoryDelete(t.Context(), w.volume, "staging"))
	require.NoDirExists(t, filepath.Join(w.root, "staging"))
	require.ErrorIs(t, w.client.DirectoryDelete(t.Context(), w.volume, "staging"), fs.ErrNotExist)
	require.ErrorIs(t, w.client.DirectoryDelete(t.Context(), w.volume, ".snapshot/s1"), fs.ErrPermission)
	require.FileExists(t, "/etc/passwd")
}

func TestDirectoryRestore(t *testing.T) {
	w := newWorld(t, ofDefaultRelease)
	w.write("site1/wp/index.php", "one")
	w.snapshot("s1")
	w.write("site1/wp/index.php", "two")
	yes, err := w.client.DirectoryRestoreSupported(t.Context())
	require.NoError(t, err)
	require.True(t, yes)
	restore := ontap.Restore{SVM: "svm1", Volume: "docker_vols", Snapshot: "s1", Path: "site1", To: "staging"}
	require.NoError(t, w.client.DirectoryRestore(t.Context(), restore))
	require.Equal(t, "one", w.read("staging/wp/index.php"))
	require.ErrorIs(t, w.client.DirectoryRestore(t.Context(), restore), fs.ErrExist)
	restore.Snapshot = "s9"
	require.ErrorIs(t, w.client.DirectoryRestore(t.Context(), restore), fs.ErrNotExist)
}

func TestPathsThatWouldDestroy(t *testing.T) {
	w := newWorld(t)
	w.write("site1/a", "a")
	before := len(w.log.matching(""))
	for _, path := range []string{"", ".", "..", "/", "//", "../x", "a/../..", "a/..", "a//b", "./a", "a/.", "a\x00b"} {
		require.Error(t, w.client.DirectoryDelete(t.Context(), w.volume, path), "%q", path)
		require.Error(t, w.client.FileClone(t.Context(), ontap.Ref{UUID: w.volume}, path, "b"), "%q", path)
		require.Error(t, w.client.DirectoryRestore(t.Context(), ontap.Restore{Path: "a", To: path}), "%q", path)
	}
	require.Error(t, w.client.DirectoryDelete(t.Context(), "", "site1"))
	require.Len(t, w.log.matching(""), before, "nothing was sent")

	// Dots and slashes in a good path are sent escaped.
	w.write("..site.1/b", "b")
	require.NoError(t, w.client.DirectoryDelete(t.Context(), w.volume, "..site.1/b"))
	require.Len(t, w.log.matching("/files/%2E%2Esite%2E1%2Fb?"), 1)
}

func TestDirectoryRestoreByRelease(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.Version = "9.17.1" })
	yes, err := w.client.DirectoryRestoreSupported(t.Context())
	require.NoError(t, err)
	require.False(t, yes)
	err = w.client.DirectoryRestore(t.Context(), ontap.Restore{SVM: "svm1", Volume: "docker_vols", Snapshot: "s", Path: "a", To: "b"})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.NotErrorIs(t, err, fs.ErrNotExist)
}

func TestVersionTooOld(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.Version = "9.8.1" })
	cluster, err := w.client.ClusterInfo(t.Context())
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "ONTAP 9.8.1 is too old; berth needs 9.11.1 or newer")
	require.Equal(t, 8, cluster.Version.Major)
}

func TestLocks(t *testing.T) {
	w := newWorld(t)
	held := w.AddLock(ontap.Lock{Path: "/docker_vols/site1/db/ibdata1", ClientAddress: "10.0.0.7"})
	w.AddLock(ontap.Lock{Path: "/docker_vols/site10/x", ClientAddress: "10.0.0.8"})
	all, err := w.client.LockList(t.Context(), w.svm, w.volume, "")
	require.NoError(t, err)
	require.Len(t, all, 2)
	site1, err := w.client.LockList(t.Context(), w.svm, w.volume, "/docker_vols/site1")
	require.NoError(t, err)
	require.Len(t, site1, 1)
	require.Equal(t, "10.0.0.7", site1[0].ClientAddress)
	require.Equal(t, held.UUID, site1[0].UUID)
	require.NoError(t, w.client.LockBreak(t.Context(), site1[0]))
	all, err = w.client.LockList(t.Context(), w.svm, w.volume, "")
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.ErrorContains(t, w.client.LockBreak(t.Context(), ontap.Lock{}), "no uuid")
}

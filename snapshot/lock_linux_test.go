package snapshot

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/ontap/simulator/simulatortest"
	"github.com/casit/berth/problem"
)

// A locked snapshot is one that nobody removes; that there is none is said before
// anything is made.
func TestASnapshotIsLocked(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 64)
	f.write("blog/index.php", "<?php")
	request := CreateRequest{Name: "evidence", Lock: 30 * 24 * time.Hour}
	_, err := f.Create(ctx, request)
	require.Equal(t, problem.Failed, problem.KindOf(err), "%v", err)
	require.NoDirExists(t, f.path(".snapshot/evidence"))
	if !simulatortest.AtLeast(t, "9.12.1") {
		require.ErrorContains(t, err, "the filer's release does not say that it locks snapshots")
		f.take("plain")
		list, err := f.List(ctx, ListRequest{Volume: "blog"})
		require.NoError(t, err)
		require.Zero(t, list[0].Versions[0].LockedUntil)
		return
	}
	require.ErrorContains(t, err, "the FlexVol docker_vols does not allow snapshots to be locked")
	require.ErrorContains(t, err, "volume modify -vserver svm1 -volume docker_vols -snapshot-locking-enabled true")

	require.NoError(t, f.sim.Set(func(x *simulator.Settings) { x.SnapshotLocking = true }))
	made, err := f.Create(ctx, request)
	require.NoError(t, err)
	until := made.Snapshot.LockedUntil
	require.WithinDuration(t, time.Now().Add(request.Lock), until, time.Hour)
	f.take("plain")
	list, err := f.List(ctx, ListRequest{Volume: "blog"})
	require.NoError(t, err)
	for _, v := range list[0].Versions {
		require.Equal(t, map[string]time.Time{"evidence": until}[v.Name], v.LockedUntil, v.Name)
	}

	for _, dry := range []bool{true, false} {
		_, err = f.Remove(ctx, RemoveRequest{Names: []string{"plain", "evidence"}, DryRun: dry})
		require.Equal(t, problem.InUse, problem.KindOf(err), "%v", err)
		require.ErrorContains(t, err, `snapshot "evidence" is locked until `+until.Format(time.RFC3339))
	}
	require.DirExists(t, f.path(".snapshot/evidence"))
	require.DirExists(t, f.path(".snapshot/plain"), "none is removed where one cannot be")

	// The filer keeps it, whatever berth knows.
	snap := made.Snapshot
	snap.LockedUntil = time.Time{}
	err = f.tuned.Load().Filer.Remove(ctx, snap)
	require.ErrorContains(t, err, ontap.CodeSnapshotBusy)
	require.ErrorContains(t, err, "shows until when it is locked")

	require.NoError(t, os.Remove(f.path("blog/index.php")))
	f.restore(RestoreRequest{Refs: []string{"blog@evidence"}})
	require.Equal(t, "<?php", f.read("blog/index.php"))
}

func TestOnlyAFilerLocksSnapshots(t *testing.T) {
	w := newWorld(t)
	_, err := w.Create(ctx, CreateRequest{Name: "evidence", Lock: time.Hour})
	require.ErrorContains(t, err, "only a filer locks snapshots")
	_, err = w.Create(ctx, CreateRequest{Name: "evidence", Lock: -time.Hour})
	require.Equal(t, problem.Invalid, problem.KindOf(err))
}

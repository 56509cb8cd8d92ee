package snapshot

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/ontap/simulator/simulatortest"
	"github.com/casit/berth/volume"
)

// The sizes of all volumes cost what one of them costs where the filer counts, and
// are those of a walk. What it has not counted is walked, one volume or all.
func TestSizesOfAFilerThatCounts(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 128)
	const volumes, dirs, perDir = 50, 10, 10
	for v := range volumes {
		require.NoError(t, f.store.Create(ctx, fmt.Sprintf("site%02d", v), nil))
		for d := range dirs {
			require.NoError(t, os.MkdirAll(f.path(fmt.Sprintf("site%02d/%d", v, d)), 0o755))
			for i := range perDir {
				require.NoError(t, os.WriteFile(f.path(fmt.Sprintf("site%02d/%d/%d", v, d, i)), make([]byte, 4096), 0o644))
			}
		}
	}
	f.stops() // or its heartbeats and its upkeep count too
	measure := func(walk bool) (infos []*volume.Info, nfs, rest int64) {
		infos, err := f.store.Inspect(ctx, nil)
		require.NoError(t, err)
		require.Len(t, infos, volumes)
		_, err = f.tuned.Load().Filer.List(ctx) // the FlexVol is found once in a process
		require.NoError(t, err)
		f.wire.reset()
		f.rest.Store(0)
		require.NoError(t, f.Measure(ctx, infos, walk))
		return infos, f.wire.total(), f.rest.Load()
	}
	walked, walkNFS, walkREST := measure(false)
	for _, i := range walked {
		require.False(t, i.ByFiler)
		require.EqualValues(t, dirs*perDir, i.Files)
	}
	u, err := f.Usage(ctx, true)
	require.NoError(t, err)
	require.EqualValues(t, -1, u.Live, "nobody knows")

	require.NoError(t, f.sim.Set(func(s *simulator.Settings) { s.Analytics = "on" }))
	counted, nfs, rest := measure(false)
	for n, i := range counted {
		require.True(t, i.ByFiler)
		require.Zero(t, i.SizeBytes, "the filer does not tell it")
		require.InDelta(t, walked[n].UsedBytes, i.UsedBytes, (dirs+1)*4096, "directories count here")
		require.Equal(t, walked[n].Files, i.Files)
	}
	t.Logf("%d volumes of %d files: walked with %d NFS calls and %d REST requests; counted by the filer with %d and %d: %d times fewer",
		volumes, dirs*perDir, walkNFS, walkREST, nfs, rest, (walkNFS+walkREST)/(nfs+rest))
	require.Zero(t, nfs)
	require.LessOrEqual(t, rest, int64(3)) // 3: a release refuses a field once
	require.Less(t, 20*(nfs+rest), walkNFS+walkREST)

	u, err = f.Usage(ctx, true)
	require.NoError(t, err)
	require.True(t, u.ByFiler)
	require.Empty(t, u.Failed)
	require.InDelta(t, volumes*dirs*perDir*4096, u.Live, volumes*(dirs+1)*4096)

	again, _, rest := measure(true)
	require.Zero(t, rest)
	require.Equal(t, walked[7].SizeBytes, again[7].SizeBytes)
	require.False(t, again[7].ByFiler)

	if simulatortest.AtLeast(t, "9.12.1") { // an older release does not tell it
		require.NoError(t, f.sim.Set(func(s *simulator.Settings) { s.Incomplete = true }))
		some, nfs, _ := measure(false)
		require.False(t, some[0].ByFiler)
		require.Equal(t, walked[0].SizeBytes, some[0].SizeBytes)
		require.Positive(t, nfs)
		u, err = f.Usage(ctx, true)
		require.NoError(t, err)
		require.EqualValues(t, -1, u.Live)
	}

	require.NoError(t, f.sim.Set(func(s *simulator.Settings) { s.Incomplete, s.Analytics = false, "initializing" }))
	require.NoError(t, f.sim.Inject(simulator.Fault{Path: "/storage/volumes/*/files/*", Status: 500, Code: "1", Message: "not asked"}))
	some, _, _ := measure(false)
	require.False(t, some[0].ByFiler, "the first scan is not over")

	require.NoError(t, f.sim.Set(func(s *simulator.Settings) { s.Analytics = "on" }))
	some, _, _ = measure(false)
	require.False(t, some[0].ByFiler, "a filer that refuses is walked")
	require.EqualValues(t, dirs*perDir, some[0].Files)
}

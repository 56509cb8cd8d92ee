package snapshot

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap/simulator"
)

// An answer that is lost is no reason to do a thing twice, nor to call it
// failed: berth looks what has become of it.
func TestALostAnswerIsLookedAfter(t *testing.T) {
	if !inFiler(t) {
		return
	}
	f := newFiler(t, 64, func(cfg *simulator.Config) { cfg.NoWaiting = true })
	f.write("blog/index.php", "<?php")
	lost := func(method, path string, f simulator.Fault) simulator.Fault {
		f.Method, f.Path, f.Times = method, path, 1
		return f
	}
	const one, all = "/storage/volumes/*/snapshots/*", "/storage/volumes/*/snapshots"
	for name, fault := range map[string]simulator.Fault{"dropped": {DropAnswer: true}, "cut": {Truncate: true}, "vanished": {Job: "vanish"}} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, f.sim.Inject(lost(http.MethodPost, all, fault)))
			c, err := f.Create(ctx, CreateRequest{Name: name})
			require.NoError(t, err, "it was made")
			require.Equal(t, name, c.Snapshot.Name)
			require.NotEmpty(t, c.Snapshot.UUID)
			require.NoError(t, f.sim.Inject(lost(http.MethodDelete, one, fault)))
			_, err = f.Remove(ctx, RemoveRequest{Names: []string{name}})
			require.NoError(t, err, "it was deleted")
			require.NoDirExists(t, f.path(".snapshot", name))
		})
	}
	t.Run("before anything happened", func(t *testing.T) {
		require.NoError(t, f.sim.Inject(lost(http.MethodPost, all, simulator.Fault{Drop: true})))
		_, err := f.Create(ctx, CreateRequest{Name: "never"})
		require.ErrorContains(t, err, "outcome unknown")
		require.ErrorContains(t, err, `the filer has no snapshot "never" now`)
		f.take("kept")
		require.NoError(t, f.sim.Inject(lost(http.MethodDelete, one, simulator.Fault{Drop: true})))
		_, err = f.Remove(ctx, RemoveRequest{Names: []string{"kept"}})
		require.ErrorContains(t, err, "outcome unknown")
		require.ErrorContains(t, err, `the filer still has snapshot "kept"`)
		require.DirExists(t, f.path(".snapshot", "kept"))
	})
	t.Run("and then the filer is away", func(t *testing.T) {
		require.NoError(t, f.sim.Inject(lost(http.MethodPost, all, simulator.Fault{DropAnswer: true})))
		require.NoError(t, f.sim.Inject(simulator.Fault{Method: http.MethodGet, Path: all, Status: http.StatusForbidden, Code: "6"}))
		_, err := f.Create(ctx, CreateRequest{Name: "dark"})
		require.ErrorContains(t, err, "it could not be looked for")
		f.sim.Heal()
	})
}

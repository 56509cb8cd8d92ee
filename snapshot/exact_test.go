package snapshot

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/tree"
)

func (w *world) live(name, text string) { w.write(name, text) }

// dated makes a snapshot whose one file says which it is.
func (w *world) dated(name string, made time.Time) {
	w.t.Helper()
	w.write(".snapshot/"+name+"/blog/i", name)
	require.NoError(w.t, os.Chtimes(w.path(".snapshot", name), made, made))
}

// TestFromPlanToActItIsOneVersion is the case of snapshots that are named by
// dates and made on the day before: a name resolved twice became another one.
func TestFromPlanToActItIsOneVersion(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	w.live("blog/i", "live")
	for d := time.Date(2026, 11, 10, 0, 0, 0, 0, time.UTC); d.Day() < 21; d = d.AddDate(0, 0, 1) {
		w.dated(d.Format(time.DateOnly), d.AddDate(0, 0, -1).Add(8*time.Hour))
	}
	p, err := w.Plan(ctx, RestoreRequest{Refs: []string{"blog@2026-11-12"}})
	require.NoError(t, err)
	require.Equal(t, "blog@2026-11-12", p.Items[0].Ref)
	w.restore(RestoreRequest{Refs: []string{"blog@2026-11-12"}})
	require.Equal(t, "2026-11-12", w.read("blog/i"))
	c, err := w.MakeClone(ctx, CloneRequest{Ref: "blog@2026-11-12", As: "other"})
	require.NoError(t, err)
	require.Equal(t, "blog@2026-11-12", c.Ref)
	require.Equal(t, "2026-11-12", w.read("other/i"))
	_, err = w.MakeClone(ctx, CloneRequest{Ref: "blog@2026-11-12:i", As: "third"})
	require.Equal(t, problem.Invalid, problem.KindOf(err))
}

// TestAPlanIsNeverResolvedAgain: whatever appears or goes between a plan and
// its act, the act is on the plan's snapshot or on none.
func TestAPlanIsNeverResolvedAgain(t *testing.T) {
	for name, r := range map[string]RestoreRequest{
		"latest": {Refs: []string{"shop_web@latest"}}, "-1": {Refs: []string{"shop_web@-1"}}, "prefix": {Refs: []string{"shop_web@nigh"}},
		"file": {Refs: []string{"shop_web@latest:i"}}, "stack": {Stack: "shop@latest"}, "live": {Refs: []string{"shop_web@latest"}, Live: true},
		"beside": {Refs: []string{"shop_web@latest:i"}, To: "old"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			require.NoError(t, w.store.Create(ctx, "shop_web", nil))
			w.live("shop_web/i", "live")
			snap := func(name, text string, made time.Time) {
				w.write(".snapshot/"+name+"/shop_web/i", text)
				require.NoError(t, os.Chtimes(w.path(".snapshot", name), made, made))
			}
			snap("nightly", "planned", at("2026-11-20 10:00"))
			act, err := w.Plan(ctx, r)
			require.NoError(t, err)
			snap("newer", "newer", at("2026-11-21 10:00"))
			snap("nightly2", "newer", at("2026-11-21 11:00"))
			prepare := func(p *Plan) error {
				j, err := w.Prepare(ctx, overTheWire(t, p), Stopped{})
				if err == nil {
					require.NoError(t, w.Jobs.Abort(ctx, j.ID))
				}
				old, oldErr := w.prepare(p.Request) // as an earlier command line does
				require.Equal(t, err, oldErr)
				if err != nil {
					return err
				}
				require.Equal(t, j.Items[0].Dest, old.Items[0].Dest)
				j = old
				var again RestoreRequest
				require.NoError(t, json.Unmarshal(j.Request, &again))
				require.Equal(t, "nightly", string(again.Exact[0].Snapshot), "the journal is exact too")
				require.Empty(t, again.Stack)
				return w.Jobs.Abort(ctx, j.ID)
			}
			require.NoError(t, prepare(act))

			// Another one has its name.
			require.NoError(t, os.RemoveAll(w.path(".snapshot/nightly")))
			snap("nightly", "another", at("2026-11-22 10:00"))
			err = prepare(act)
			require.ErrorContains(t, err, `no snapshot "nightly" any more`)
			require.Equal(t, problem.NotFound, problem.KindOf(err))

			// It is gone: its name is the beginning of another one.
			require.NoError(t, os.RemoveAll(w.path(".snapshot/nightly")))
			err = prepare(act)
			require.ErrorContains(t, err, `no snapshot "nightly" any more`)
			require.Equal(t, "live", w.read("shop_web/i"))
		})
	}
}

// TestAResumedRestoreTakesItsOwnVersion runs the journal after the snapshot was
// deleted, and after another one was made in its name.
func TestAResumedRestoreTakesItsOwnVersion(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	w.live("blog/i", "live")
	w.dated("daily", at("2026-11-20 10:00"))
	w.dated("daily.2026-11-20_1100", at("2026-11-20 11:00"))
	for _, again := range []bool{false, true} {
		j, err := w.prepare(RestoreRequest{Refs: []string{"blog@daily"}})
		require.NoError(t, err)
		require.NoError(t, os.RemoveAll(w.path(".snapshot/daily")))
		if again {
			w.dated("daily", at("2026-11-21 10:00"))
		}
		require.NoError(t, w.Start(ctx, j.ID))
		require.Eventually(t, func() bool { p, _ := w.Jobs.Wait(ctx, j.ID); return p.Over }, time.Minute, time.Millisecond)
		_, err = w.Jobs.Wait(ctx, j.ID)
		require.ErrorContains(t, err, `no snapshot "daily" any more`)
		require.Equal(t, "live", w.read("blog/i"))
		require.NoError(t, w.Jobs.End(ctx, j.ID))
		w.dated("daily", at("2026-11-20 10:00"))
	}
}

// TestAnOldJournalIsOfItsExactNames: berth 0.1 wrote them as strings.
func TestAnOldJournalIsOfItsExactNames(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	w.live("blog/i", "live")
	for _, name := range []string{"daily", "daily.2026-11-20_1100"} {
		w.dated(name, at("2026-11-20 10:00"))
	}
	old := RestoreRequest{Refs: []string{"blog@daily:i"}}
	require.NoError(t, w.volumes.With(ctx, "resume", func(fsys tree.FS) error {
		p, err := w.plan(ctx, fsys, old, "job")
		require.NoError(t, err)
		require.Equal(t, "daily", p.Items[0].Snapshot.Name)
		require.NoError(t, os.RemoveAll(w.path(".snapshot/daily")))
		_, err = w.plan(ctx, fsys, old, "job")
		require.ErrorContains(t, err, `no snapshot "daily" any more`)
		_, err = w.plan(ctx, fsys, old, "")
		require.NoError(t, err, "typed, it is the beginning of a name")
		return nil
	}))
}

// TestDatesAreReadInTheZoneOfWhoTypes: what 10:00 of a listing names is what
// 1000 behind the @ means.
func TestDatesAreReadInTheZoneOfWhoTypes(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	for h := range 48 {
		w.dated(reference.NewName(time.Date(2026, 11, 28, 0, 30, 0, 0, time.UTC).Add(time.Duration(h)*time.Hour)), at("2026-01-01 00:00"))
	}
	l, err := w.List(ctx, ListRequest{Volume: "blog"})
	require.NoError(t, err)
	inZones(t, func(t *testing.T, zone *time.Location) {
		here := reference.WithZone(ctx, zone)
		for _, v := range l[0].Versions {
			typed := v.Time.In(zone).Format("2006-01-02T1504")
			got, err := w.Browse(here, BrowseRequest{Ref: "blog@" + typed})
			require.NoError(t, err)
			require.Equal(t, v.Name, got.Side.Snapshot.Name, typed)
		}
		day := "2026-11-28"
		got, err := w.Browse(here, BrowseRequest{Ref: "blog@" + day})
		require.NoError(t, err)
		require.Equal(t, day, got.Side.Snapshot.Time.In(zone).Format(time.DateOnly))
		require.NotEqual(t, day, got.Side.Snapshot.Time.Add(time.Hour).In(zone).Format(time.DateOnly), "it is the newest of the day")
	})
	require.Equal(t, time.UTC, reference.ZoneOf(context.Background()), "nobody's zone is this process's")
}

// TestAnUndoIsOfTheRestoreThatWasPlannedWith: another restore comes between.
func TestAnUndoIsOfTheRestoreThatWasPlannedWith(t *testing.T) {
	needRsync(t)
	w := newWorld(t)
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	for _, text := range []string{"one", "two"} {
		w.live("blog/i", text)
		w.snap(text)
	}
	w.live("blog/i", "live")
	w.restore(RestoreRequest{Refs: []string{"blog@one"}})
	p, err := w.Plan(ctx, RestoreRequest{Undo: true, Refs: []string{"blog"}})
	require.NoError(t, err)
	w.restore(RestoreRequest{Refs: []string{"blog@two"}})
	_, err = w.Prepare(ctx, p, Stopped{})
	require.ErrorContains(t, err, "since this undo was planned")
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}})
	require.Equal(t, "one", w.read("blog/i"))
}

// berlin has a time zone that is not UTC, whatever the machine has.
var berlin = time.FixedZone("somewhere", 2*3600)

// at is a time in berlin.
func at(text string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", text, berlin)
	if err != nil {
		panic(err)
	}
	return t
}

// inZones runs a test where there is no daylight saving, with it on either side
// of Greenwich, with half hours, and with half an hour of it.
func inZones(t *testing.T, test func(t *testing.T, zone *time.Location)) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"} {
		t.Run(name, func(t *testing.T) {
			zone, err := time.LoadLocation(name)
			require.NoError(t, err)
			test(t, zone)
		})
	}
}

package snapshot

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

func named(names ...string) (all []Snapshot) {
	for i, n := range names {
		all = append(all, Snapshot{Name: n, Time: at("2026-11-20 00:00").Add(time.Duration(i) * time.Hour)})
	}
	return all
}

func (w *world) live(name, text string) { w.write(name, text) }

// dated makes a snapshot whose one file says which it is.
func (w *world) dated(name string, made time.Time) {
	w.t.Helper()
	w.write(".snapshot/"+name+"/blog/i", name)
	require.NoError(w.t, os.Chtimes(w.path(".snapshot", name), made, made))
}

func TestAnExactNameWinsOverEveryWord(t *testing.T) {
	words := []string{"2026-11-12", "2026-11-12T1000", "latest", "-1", "yesterday", "monday", "2h"}
	all := named(append(words, "other", "newest")...)
	for _, word := range words {
		got, err := Resolve(word, all, at("2026-11-23 09:00"), berlin)
		require.NoError(t, err)
		require.Equal(t, word, got.Name)
	}
}

func TestNamesWithColonsAndSpacesAreRead(t *testing.T) {
	all := named("autosnap_2026-11-27_00:00:01_daily", "before:update", "before", "a b", "nightly", "x", "x:y", "x:y:z", "@GMT-2026.11.26-10.00.00", "2026-11-20T03:00")
	for spec, want := range map[string]Ref{
		"blog@autosnap_2026-11-27_00:00:01_daily":      {"blog", "autosnap_2026-11-27_00:00:01_daily", ""},
		"blog@autosnap_2026-11-27_00:00:01_daily:i":    {"blog", "autosnap_2026-11-27_00:00:01_daily", "i"},
		"blog@autosnap_2026-11-27_00:00:01_daily:a:b":  {"blog", "autosnap_2026-11-27_00:00:01_daily", "a:b"},
		"blog@autosnap_2026-11-27_00:00:01_daily:/a/b": {"blog", "autosnap_2026-11-27_00:00:01_daily", "a/b"},
		"blog@before:update:i":                         {"blog", "before:update", "i"},
		"blog@before:update":                           {"blog", "before:update", ""},
		"blog@before:/update":                          {"blog", "before", "update"},
		"blog@before:updates":                          {"blog", "before", "updates"},
		"blog@before":                                  {"blog", "before", ""},
		"blog@a b: c ":                                 {"blog", "a b", " c "},
		"blog@x:y:z":                                   {"blog", "x:y:z", ""},
		"blog@x:y:w":                                   {"blog", "x:y", "w"},
		"blog@x:/y:z":                                  {"blog", "x", "y:z"},
		"blog@@GMT-2026.11.26-10.00.00:i":              {"blog", "@GMT-2026.11.26-10.00.00", "i"},
		"blog@2026-11-20T03:00:i":                      {"blog", "2026-11-20T03:00", "i"},
		"blog@night:i":                                 {"blog", "nightly", "i"},
		"blog@-1:a:b":                                  {"blog", "2026-11-20T03:00", "a:b"},
		"blog:i@x":                                     {"blog", "", "i@x"},
	} {
		a, err := parse(spec)
		require.NoError(t, err, spec)
		got, _, err := a.resolve(all, at("2026-11-23 09:00"), berlin)
		require.NoError(t, err, spec)
		require.Equal(t, want, got, spec)
		again, err := parse(got.text(all))
		require.NoError(t, err)
		back, _, err := again.resolve(all, at("2026-11-23 09:00"), berlin)
		require.NoError(t, err)
		require.Equal(t, want, back, "%s is written %s", spec, got.text(all))
	}
	for spec, says := range map[string]string{
		"blog@2026-11-21T03:00":   "blog@2026-11-21T0300",
		"blog@2026-11-21T03:00:i": "blog@2026-11-21T0300",
		"blog@before:../x":        "leads out",
		"blog@before:update:../x": "leads out",
		"blog@":                   "names no snapshot",
		"blog@:i":                 "names no snapshot",
		"blog@none:such":          `no snapshot "none"`,
	} {
		a, err := parse(spec)
		require.NoError(t, err, spec)
		_, _, err = a.resolve(all, at("2026-11-23 09:00"), berlin)
		require.Error(t, err, spec)
		require.Contains(t, err.Error(), says, spec)
	}
}

func FuzzReferencesRoundTrip(f *testing.F) {
	f.Add("before", "before:update", "i:j")
	f.Add("a", "a:b", "b")
	f.Add("2026-11-20T03", "2026-11-20T03:00", "00")
	f.Fuzz(func(t *testing.T, one, two, p string) {
		p, err := cleanPath(p)
		bad := func(n string) bool {
			return n == "" || n == "." || n == ".." || len(n) > 255 || strings.ContainsAny(n, "/\x00\n")
		}
		if err != nil || bad(one) || bad(two) || one == two {
			return // no names of snapshots
		}
		all := named(one, two)
		want := Ref{Volume: "blog", Snapshot: one, Path: p}
		a, err := parse(want.text(all))
		require.NoError(t, err)
		got, s, err := a.resolve(all, time.Time{}, time.UTC)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, one, s.Name)
	})
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
	ref, err := w.Clone(ctx, "blog@2026-11-12", "other", false)
	require.NoError(t, err)
	require.Equal(t, "blog@2026-11-12", ref)
	require.Equal(t, "2026-11-12", w.read("other/i"))
	_, err = w.Clone(ctx, "blog@2026-11-12:i", "third", false)
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
			plan := func() RestoreRequest {
				p, err := w.Plan(ctx, r)
				require.NoError(t, err)
				act := p.exact()
				act.To = r.To
				return act
			}
			act := plan()
			snap("newer", "newer", at("2026-11-21 10:00"))
			snap("nightly2", "newer", at("2026-11-21 11:00"))
			prepare := func(r RestoreRequest) error {
				j, err := w.Prepare(ctx, r, Stopped{})
				if err != nil {
					return err
				}
				var again RestoreRequest
				require.NoError(t, json.Unmarshal(j.Request, &again))
				require.Equal(t, "nightly", string(again.Exact[0].Snapshot), "the journal is exact too")
				require.Empty(t, again.Stack)
				return w.End(ctx, j.ID)
			}
			require.NoError(t, prepare(act))

			// Another one has its name.
			require.NoError(t, os.RemoveAll(w.path(".snapshot/nightly")))
			snap("nightly", "another", at("2026-11-22 10:00"))
			err := prepare(act)
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
		j, err := w.Prepare(ctx, RestoreRequest{Refs: []string{"blog@daily"}}, Stopped{})
		require.NoError(t, err)
		require.NoError(t, os.RemoveAll(w.path(".snapshot/daily")))
		if again {
			w.dated("daily", at("2026-11-21 10:00"))
		}
		require.NoError(t, w.Start(ctx, j.ID))
		require.Eventually(t, func() bool { p, _ := w.Wait(ctx, j.ID); return p.Over }, 10*time.Second, time.Millisecond)
		_, err = w.Wait(ctx, j.ID)
		require.ErrorContains(t, err, `no snapshot "daily" any more`)
		require.Equal(t, "live", w.read("blog/i"))
		require.NoError(t, w.End(ctx, j.ID))
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

func TestWhatTellsASnapshotFromAnother(t *testing.T) {
	one, two := at("2026-11-20 10:00"), at("2026-11-21 10:00")
	for _, c := range []struct {
		what string
		e    Exact
		s    Snapshot
		is   bool
	}{
		{"the same id", Exact{UUID: "a", Time: one}, Snapshot{UUID: "a", Time: two}, true},
		{"another id", Exact{UUID: "a", Time: one}, Snapshot{UUID: "b", Time: one}, false},
		{"the API is away", Exact{UUID: "a", Time: one}, Snapshot{Time: two, named: true}, true},
		{"the same time", Exact{Time: one}, Snapshot{Time: one}, true},
		{"another time", Exact{Time: one}, Snapshot{Time: two}, false},
		{"unknown times", Exact{}, Snapshot{Time: two}, true},
	} {
		c.e.Volume, c.e.Snapshot, c.s.Name = "blog", "s", "s"
		_, err := c.e.find([]Snapshot{c.s})
		require.Equal(t, c.is, err == nil, "%s: %v", c.what, err)
	}
	// One whose time is in its name is not another one when BERTH_TZ changes.
	require.Zero(t, exactly(Ref{}, Snapshot{Time: one, named: true}).Time)
}

// TestDatesAreReadInTheZoneOfWhoTypes: what 10:00 of a listing names is what
// 1000 behind the @ means.
func TestDatesAreReadInTheZoneOfWhoTypes(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, w.store.Create(ctx, "blog", nil))
	for h := range 48 {
		w.dated(newName(time.Date(2026, 11, 28, 0, 30, 0, 0, time.UTC).Add(time.Duration(h)*time.Hour)), at("2026-01-01 00:00"))
	}
	l, err := w.List(ctx, ListRequest{Volume: "blog"})
	require.NoError(t, err)
	inZones(t, func(t *testing.T, zone *time.Location) {
		here := WithZone(ctx, zone)
		for _, v := range l[0].Versions {
			typed := v.Time.In(zone).Format(minuteForm)
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
	require.Equal(t, time.UTC, zoneOf(context.Background()), "nobody's zone is this process's")
}

// TestWordsOverDaylightSaving: days of 23 and 25 hours, hours that come twice
// or never, also where it is half an hour.
func TestWordsOverDaylightSaving(t *testing.T) {
	for _, c := range []struct {
		zone, day string
		hours     float64
	}{
		{"UTC", "2026-03-29", 24}, {"Europe/Berlin", "2026-03-29", 23}, {"Europe/Berlin", "2026-10-25", 25}, {"America/New_York", "2026-03-08", 23},
		{"America/New_York", "2026-11-01", 25}, {"Australia/Lord_Howe", "2026-04-05", 24.5}, {"Australia/Lord_Howe", "2026-10-04", 23.5}, {"Asia/Kolkata", "2026-10-25", 24},
		{"Africa/Cairo", "2026-04-24", 23}, // its midnight does not exist
	} {
		zone, err := time.LoadLocation(c.zone)
		require.NoError(t, err)
		noon, err := time.ParseInLocation("2006-01-02 15", c.day+" 12", zone)
		require.NoError(t, err)
		var all []Snapshot
		count := 0.0
		for m := noon.Add(-40 * time.Hour); m.Before(noon.Add(40 * time.Hour)); m = m.Add(30 * time.Minute) {
			all = append(all, Snapshot{Name: m.UTC().Format(time.RFC3339), Time: m})
			if m.In(zone).Format(time.DateOnly) == c.day {
				count += 0.5
			}
		}
		require.InDelta(t, c.hours, count, 0.01, c.zone+c.day)
		last := func(day string) (name string) {
			for _, s := range all {
				if s.Time.In(zone).Format(time.DateOnly) == day {
					name = s.Name
				}
			}
			return name
		}
		for h := 0; h < 24; h++ { // every hour of the day after
			now := noon.Add(time.Duration(12+h) * time.Hour)
			if now.In(zone).Format(time.DateOnly) == c.day {
				continue
			}
			got, err := Resolve("yesterday", all, now, zone)
			require.NoError(t, err)
			require.Equal(t, last(c.day), got.Name, "%s %s", c.zone, now.In(zone))
			got, err = Resolve(noon.Weekday().String(), all, now, zone)
			require.NoError(t, err)
			require.Equal(t, last(c.day), got.Name)
		}
		got, err := Resolve(c.day, all, noon, zone)
		require.NoError(t, err)
		require.Equal(t, last(c.day), got.Name)
		for m := 0; m < 24*60; m += 10 {
			word := c.day + time.Date(2000, 1, 1, 0, m, 0, 0, time.UTC).Format("T1504")
			got, err := Resolve(word, all, noon, zone)
			require.NoError(t, err)
			require.LessOrEqual(t, got.Time.In(zone).Format(minuteForm), word, c.zone)
		}
	}
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
	_, err = w.Prepare(ctx, p.exact(), Stopped{})
	require.ErrorContains(t, err, "since this undo was planned")
	w.restore(RestoreRequest{Undo: true, Refs: []string{"blog"}})
	require.Equal(t, "one", w.read("blog/i"))
}

package reference

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func named(names ...string) (all []Snapshot) {
	for i, n := range names {
		all = append(all, Snapshot{Name: n, Time: at("2026-11-20 00:00").Add(time.Duration(i) * time.Hour)})
	}
	return all
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
		a, err := Ask(spec)
		require.NoError(t, err, spec)
		got, _, err := a.Resolve(all, at("2026-11-23 09:00"), berlin)
		require.NoError(t, err, spec)
		require.Equal(t, want, got, spec)
		again, err := Ask(got.Text(all))
		require.NoError(t, err)
		back, _, err := again.Resolve(all, at("2026-11-23 09:00"), berlin)
		require.NoError(t, err)
		require.Equal(t, want, back, "%s is written %s", spec, got.Text(all))
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
		a, err := Ask(spec)
		require.NoError(t, err, spec)
		_, _, err = a.Resolve(all, at("2026-11-23 09:00"), berlin)
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
		a, err := Ask(want.Text(all))
		require.NoError(t, err)
		got, s, err := a.Resolve(all, time.Time{}, time.UTC)
		require.NoError(t, err)
		require.Equal(t, want, got)
		require.Equal(t, one, s.Name)
	})
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
		{"the API is away", Exact{UUID: "a", Time: one}, Snapshot{Time: two, Named: true}, true},
		{"the same time", Exact{Time: one}, Snapshot{Time: one}, true},
		{"another time", Exact{Time: one}, Snapshot{Time: two}, false},
		{"unknown times", Exact{}, Snapshot{Time: two}, true},
	} {
		c.e.Volume, c.e.Snapshot, c.s.Name = "blog", "s", "s"
		_, err := c.e.Find([]Snapshot{c.s})
		require.Equal(t, c.is, err == nil, "%s: %v", c.what, err)
	}
	// One whose time is in its name is not another one when BERTH_TZ changes.
	require.Zero(t, ExactOf(Ref{}, Snapshot{Time: one, Named: true}).Time)
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

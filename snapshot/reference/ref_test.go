package reference

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]Ref{
		"blog":                       {Volume: "blog"},
		"blog@nightly":               {Volume: "blog", Snapshot: "nightly"},
		"blog:wp/a.php":              {Volume: "blog", Path: "wp/a.php"},
		"blog@-2:/wp//a.php/":        {Volume: "blog", Snapshot: "-2", Path: "wp/a.php"},
		"blog@2026-11-20T0300:a:b@c": {Volume: "blog", Snapshot: "2026-11-20T0300", Path: "a:b@c"},
		"blog:.":                     {Volume: "blog"},
		"blog:a@b":                   {Volume: "blog", Path: "a@b"},
		"blog@2026-11-20T03:2026/x":  {Volume: "blog", Snapshot: "2026-11-20T03", Path: "2026/x"},
		"blog@2026-11-20T03:/00":     {Volume: "blog", Snapshot: "2026-11-20T03", Path: "00"},
		"blog@x:odd\nname \xff":      {Volume: "blog", Snapshot: "x", Path: "odd\nname \xff"},
	} {
		got, err := Parse(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
		again, err := Parse(got.String())
		require.NoError(t, err, in)
		require.Equal(t, got, again, in)
	}
	for _, in := range []string{"", "@x", ".berth", "a/b", "blog@", "blog@..", "blog@a/b", "blog:../x", "blog:a/../../b", "blog:a\x00b", "blog@2026-11-20T03:00"} {
		_, err := Parse(in)
		require.Equal(t, problem.Invalid, problem.KindOf(err), in)
	}
	_, err := Parse("blog@2026-11-20T03:00")
	require.ErrorContains(t, err, "blog@2026-11-20T0300")
	require.Equal(t, ".snapshot/nightly/blog/a", Ref{Volume: "blog", Path: "a"}.Source("nightly"))
	require.Equal(t, "blog", Ref{Volume: "blog"}.Source(""))
}

// berlin has a time zone that is not UTC, whatever the machine has.
var berlin = time.FixedZone("somewhere", 2*3600)

// at is a time of the test's week: 2026-11-23 is a Monday.
func at(text string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", text, berlin)
	if err != nil {
		panic(err)
	}
	return t
}

var week = []Snapshot{
	{Name: "daily.2026-11-20_0010", Time: at("2026-11-20 00:10")},
	{Name: "before-update", Time: at("2026-11-20 17:30")},
	{Name: "daily.2026-11-22_0010", Time: at("2026-11-22 00:10")},
	{Name: "hourly.2026-11-22_2305", Time: at("2026-11-22 23:05")},
	{Name: "hourly.2026-11-23_0805", Time: at("2026-11-23 08:05")},
	{Name: "2h", Time: at("2026-11-16 08:05")},
}

func TestResolve(t *testing.T) {
	now := at("2026-11-23 09:00")
	for word, want := range map[string]string{
		"2026-11-20":            "before-update",
		"2026-11-20T0010":       "daily.2026-11-20_0010",
		"2026-11-21T0000":       "before-update",
		"before-update":         "before-update",
		"latest":                "hourly.2026-11-23_0805",
		"-1":                    "hourly.2026-11-23_0805",
		"-2":                    "hourly.2026-11-22_2305",
		"yesterday":             "hourly.2026-11-22_2305",
		"Sunday":                "hourly.2026-11-22_2305",
		"fri":                   "before-update",
		"monday":                "2h", // not today
		"55m":                   "hourly.2026-11-23_0805",
		"1d":                    "daily.2026-11-22_0010",
		"1w":                    "2h",
		"2h":                    "2h", // an exact name
		"before":                "before-update",
		"hourly.2026-11-22":     "hourly.2026-11-22_2305",
		"daily.2026-11-20_0010": "daily.2026-11-20_0010",
	} {
		got, err := Resolve(word, week, now, berlin)
		require.NoError(t, err, word)
		require.Equal(t, want, got.Name, word)
	}
	for word, c := range map[string]struct {
		kind problem.Kind
		says string
	}{
		"2026-11-21":      {problem.NotFound, "the next before is before-update of 2026-11-20 17:30; the next after is daily.2026-11-22_0010"},
		"2026-13-41":      {problem.Invalid, "no date"},
		"2026-01-01T0000": {problem.NotFound, "none is so old"},
		"wed":             {problem.NotFound, "none is of 2026-11-18"},
		"-9":              {problem.NotFound, "there are only 6"},
		"3w":              {problem.NotFound, "the oldest is 2h"},
		"hourly":          {problem.Invalid, "2 snapshots begin"},
		"nope":            {problem.NotFound, `no snapshot "nope"`},
		"":                {problem.NotFound, ""},
	} {
		_, err := Resolve(word, week, now, berlin)
		require.Equal(t, c.kind, problem.KindOf(err), "%s: %v", word, err)
		require.ErrorContains(t, err, c.says, word)
	}
}

func TestWithoutTimesThereIsNoOrder(t *testing.T) {
	all := append([]Snapshot{{Name: "mystery"}}, week...)
	for _, word := range []string{"latest", "-1", "yesterday", "2d", "2026-11-20"} {
		_, err := Resolve(word, all, at("2026-11-23 09:00"), berlin)
		require.ErrorContains(t, err, "nobody says when", word)
	}
	got, err := Resolve("mystery", all, at("2026-11-23 09:00"), berlin)
	require.NoError(t, err)
	require.Equal(t, "mystery", got.Name)
}

func TestGuessedTimesThatAreEqualHaveNoOrder(t *testing.T) {
	now := at("2026-11-23 09:00")
	guessed := []Snapshot{{Name: "a", Time: at("2026-11-22 09:00"), Approximate: true}, {Name: "b", Time: at("2026-11-22 09:00"), Approximate: true},
		{Name: "c", Time: at("2026-11-21 09:00"), Approximate: true}}
	for _, word := range []string{"latest", "-2", "1h", "yesterday"} {
		_, err := Resolve(word, guessed, now, berlin)
		require.ErrorContains(t, err, "any of 2 snapshots", word)
	}
	for word, want := range map[string]string{"-3": "c", "a": "a", "36h": "c"} {
		got, err := Resolve(word, guessed, now, berlin)
		require.NoError(t, err)
		require.Equal(t, want, got.Name)
	}
	_, err := Resolve("15251w", week, now, berlin)
	require.Equal(t, problem.NotFound, problem.KindOf(err))
}

func TestAnAgeNeverMeansAYoungerOne(t *testing.T) {
	now := at("2026-11-23 09:00")
	for m := 1; m < 20000; m += 7 {
		word := time.Duration(m) * time.Minute
		got, err := Resolve(fmt.Sprintf("%dm", m), week, now, berlin)
		if err == nil {
			require.GreaterOrEqual(t, now.Sub(got.Time), word)
		}
	}
}

func TestTimesAndOriginsInNames(t *testing.T) {
	for name, c := range map[string]struct{ want, origin string }{
		"hourly.2026-11-22_1705":                  {"2026-11-22 17:05:00 +0200", "hourly"},
		"daily.2026-11-22_0010":                   {"2026-11-22 00:10:00 +0200", "daily"},
		"berth.20261122T170501Z":                  {"2026-11-22 17:05:01 +0000", "berth"},
		"before-2026-11-22T17:05:09":              {"2026-11-22 17:05:09 +0200", "manual"},
		"snapmirror.12_2147484.2026-11-22_171500": {"2026-11-22 17:15:00 +0200", "manual"},
		"snapmirror.20201122-1234-11e2-93ba-005056123456_2147484677.2026-11-22_171500": {"2026-11-22 17:15:00 +0200", "manual"},
	} {
		got, ok := timeFromName(name, berlin)
		require.True(t, ok, name)
		require.Equal(t, c.want, got.Format("2006-01-02 15:04:05 -0700"), name)
		require.Equal(t, c.origin, OriginOf(name), name)
	}
	for _, name := range []string{"nightly", "daily.x", "2026-13-22_1705", "v1.2.3", "12026-11-22_17059", "order-199912312359", "x_2026-11-22_1705pm", "0001-01-01_0000"} {
		_, ok := timeFromName(name, berlin)
		require.False(t, ok, name)
		require.Equal(t, "manual", OriginOf(name), name)
	}
	got, ok := timeFromName(NewName(at("2026-11-23 09:00")), berlin)
	require.True(t, ok)
	require.True(t, got.Equal(at("2026-11-23 09:00")))
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"blog", "blog@x:y", "blog:../..", "blog@2026-11-20T03:/00", "a@b@c:d:e"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s)
		if err != nil {
			return
		}
		again, err := Parse(r.String())
		require.NoError(t, err)
		require.Equal(t, r, again)
		require.NotContains(t, "/"+r.Source("x")+"/", "/../")
	})
}

func FuzzTimeFromName(f *testing.F) {
	f.Add("hourly.2026-11-22_1705")
	f.Fuzz(func(t *testing.T, s string) {
		if got, ok := timeFromName(s, time.UTC); ok {
			require.GreaterOrEqual(t, got.Year(), 1970)
		}
	})
}

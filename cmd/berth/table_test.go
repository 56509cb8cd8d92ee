package main

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot/reference"
)

// TestATimeInTheFutureIsNoAge: it is never young, and no age is negative.
func TestATimeInTheFutureIsNoAge(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		ahead      time.Duration
		since, ago string
		code       int
	}{
		{-time.Hour, "60m", "60m ago", 0}, {-27 * time.Hour, "27h", "27h ago", 2}, {0, "0s", "0s ago", 0}, {time.Minute, "0s", "0s ago", 0},
		{61 * time.Second, "in the future", "in the future", 3}, {time.Hour, "in the future", "in the future", 3}, {9000 * time.Hour, "in the future", "in the future", 3},
	} {
		at := now.Add(c.ahead)
		require.Equal(t, c.since, show.Times{Now: now}.Since(at))
		require.Equal(t, c.ago, show.Times{Now: now}.Ago(at))
		v := (*verdict)(nil)
		require.True(t, errors.As(judgeAge(&reference.Snapshot{Name: "s", Time: at}, now, 26*time.Hour, 0), &v))
		require.Equal(t, c.code, v.code, v.line)
		require.NotContains(t, v.line, "-1")
	}
	require.Equal(t, "0s", show.Age(-5))
	require.Empty(t, show.Times{Now: now}.Since(time.Time{}))
}

// TestTimesOfVersionsHaveTheirZone in three zones, over both changes of
// daylight saving.
func TestTimesOfVersionsHaveTheirZone(t *testing.T) {
	for _, c := range []struct{ tz, at, want string }{
		{"UTC", "2026-03-29T01:30:00Z", "2026-03-29 01:30:00 UTC"},
		{"Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29 01:30:00 CET"},
		{"Europe/Berlin", "2026-03-29T01:30:00Z", "2026-03-29 03:30:00 CEST"},
		{"Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25 02:30:00 CEST"},
		{"Europe/Berlin", "2026-10-25T01:30:00Z", "2026-10-25 02:30:00 CET"},
		{"Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2026-04-05 01:45:00 +11"},
		{"Australia/Lord_Howe", "2026-04-04T15:15:00Z", "2026-04-05 01:45:00 +1030"},
		{"Asia/Kolkata", "2026-11-28T01:00:00Z", "2026-11-28 06:30:00 IST"},
	} {
		t.Setenv("TZ", c.tz)
		at, err := time.Parse(time.RFC3339, c.at)
		require.NoError(t, err)
		a := &app{}
		require.Equal(t, c.want, a.times().Stamp(at))
		require.Equal(t, "~"+c.want, a.times().Snapshot(reference.Snapshot{Time: at, Approximate: true}))
		a.utc = true
		require.Equal(t, at.Format("2006-01-02 15:04:05Z"), a.times().Stamp(at))
	}
}

func TestAGuessedAgeIsNeverOK(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		s    reference.Snapshot
		code int
		says string
	}{
		{reference.Snapshot{Name: "s", Time: now.Add(-time.Hour)}, 0, "OK - "},
		{reference.Snapshot{Name: "s", Time: now.Add(-time.Hour), Approximate: true}, 3, "set BERTH_ONTAP"},
		{reference.Snapshot{Name: "s", Time: now.Add(-time.Hour), Approximate: true, WithoutAPI: "password refused"}, 3, "password refused"},
		{reference.Snapshot{Name: "s", Time: now.Add(-time.Hour), WithoutAPI: "password refused"}, 1, "WARNING - its name says so"},
		{reference.Snapshot{Name: "s", Time: now.Add(-time.Hour), Hidden: true}, 1, "WARNING - hidden"},
		{reference.Snapshot{Name: "s", Time: now.Add(-30 * time.Hour), WithoutAPI: "password refused"}, 2, "CRITICAL"},
	} {
		var v *verdict
		require.True(t, errors.As(judgeAge(&c.s, now, 26*time.Hour, 0), &v))
		require.Equal(t, c.code, v.code, "%+v", c.s)
		require.Contains(t, v.line, c.says)
	}
}

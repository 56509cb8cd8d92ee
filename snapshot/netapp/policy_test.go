package netapp

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
)

func TestNextRunOfASchedule(t *testing.T) {
	now := time.Date(2026, 11, 23, 9, 30, 12, 0, time.UTC) // a Monday
	cron := func(minutes, hours, weekdays []int) ontap.Schedule {
		s := ontap.Schedule{Type: "cron"}
		s.Cron.Minutes, s.Cron.Hours, s.Cron.Weekdays = minutes, hours, weekdays
		return s
	}
	for name, c := range map[string]struct {
		s    ontap.Schedule
		want string
	}{
		"hourly": {cron([]int{5}, nil, nil), "2026-11-23 10:05"},
		"daily":  {cron([]int{10}, []int{0}, nil), "2026-11-24 00:10"},
		"weekly": {cron([]int{15}, []int{0}, []int{0}), "2026-11-29 00:15"},
		"soon":   {cron([]int{31}, []int{9}, []int{1}), "2026-11-23 09:31"},
	} {
		got, ok := nextRun(c.s, now)
		require.True(t, ok, name)
		require.Equal(t, c.want, got.Format("2006-01-02 15:04"), name)
	}
	for _, city := range []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"} {
		zone, err := time.LoadLocation(city)
		require.NoError(t, err)
		for name, c := range map[string]struct {
			s         ontap.Schedule
			now, want string
		}{
			"hourly":       {cron([]int{5}, nil, nil), "2026-11-23 09:30", "2026-11-23 10:05"},
			"an hour":      {cron([]int{0}, []int{14}, nil), "2026-11-23 09:30", "2026-11-23 14:00"},
			"daily":        {cron([]int{10}, []int{0}, nil), "2026-11-23 09:30", "2026-11-24 00:10"},
			"over spring":  {cron([]int{10}, []int{0}, nil), "2026-03-28 09:30", "2026-03-29 00:10"},
			"after spring": {cron([]int{10}, []int{6}, nil), "2026-03-29 01:30", "2026-03-29 06:10"},
			"after autumn": {cron([]int{10}, []int{6}, nil), "2026-10-25 01:30", "2026-10-25 06:10"},
			"weekly":       {cron([]int{15}, []int{0}, []int{0}), "2026-10-29 09:30", "2026-11-01 00:15"},
		} {
			now, err := time.ParseInLocation("2006-01-02 15:04", c.now, zone)
			require.NoError(t, err)
			got, ok := nextRun(c.s, now)
			require.True(t, ok, name)
			require.Equal(t, c.want, got.Format("2006-01-02 15:04"), "%s in %s", name, city)
		}
	}
	cairo, err := time.LoadLocation("Africa/Cairo") // the midnight of 24 April does not exist
	require.NoError(t, err)
	got, ok := nextRun(cron([]int{10}, []int{5}, []int{5}), time.Date(2026, 4, 23, 12, 0, 0, 0, cairo))
	require.True(t, ok)
	require.Equal(t, "2026-04-24 05:10", got.Format("2006-01-02 15:04"))
	never := cron([]int{0}, nil, nil)
	never.Cron.Days, never.Cron.Months = []int{31}, []int{2}
	for _, s := range []ontap.Schedule{never, {Type: "interval"}} {
		_, ok := nextRun(s, now)
		require.False(t, ok)
	}
}

package reference

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// zones are where tests of time run: without daylight saving, with it on
// either side of Greenwich, with half hours, and with half an hour of it.
var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"}

func inZones(t *testing.T, test func(t *testing.T, zone *time.Location)) {
	for _, name := range zones {
		t.Run(name, func(t *testing.T) {
			zone, err := time.LoadLocation(name)
			require.NoError(t, err)
			test(t, zone)
		})
	}
}

// made are names as tools make them. A time that ends in Z is UTC, or has an
// offset, in every zone; the others are what the clock of the zone shows.
var madeByTools = map[string]string{
	// NetApp ONTAP, its schedules, SnapMirror, SnapCenter, Trident
	"hourly.2026-11-22_1005":  "2026-11-22 10:05:00",
	"daily.2026-11-22_0010":   "2026-11-22 00:10:00",
	"weekly.2026-11-22_0015":  "2026-11-22 00:15:00",
	"monthly.2026-11-01_0020": "2026-11-01 00:20:00",
	"5min.2026-11-26_1005":    "2026-11-26 10:05:00",
	"8hour.2026-11-26_0215":   "2026-11-26 02:15:00",
	"snapmirror.12345678-1234-11e2-93ba-005056123456_2147484677.2026-11-26_101500": "2026-11-26 10:15:00",
	"snapmirror.20201122-1234-11e2-93ba-005056123456_2147484677.2026-11-26_101500": "2026-11-26 10:15:00",
	"sc_host_policy_11-23-2026_10.15.00.1234":                                      "2026-11-23 10:15:00",
	"rg1_host_hourly_11-05-2026_10.15.00.0001":                                     "2026-11-05 10:15:00",
	"sc_host_policy_02-03-2026_10.15.00":                                           "2026-02-03 10:15:00",
	"snapshot-2026-11-29T131700Z":                                                  "2026-11-29 13:17:00Z",
	"NAS+NBU+PFI+host+policy+SR+7+2026.11.29.13h17m05s":                            "2026-11-29 13:17:05",
	// Windows' previous versions, Samba
	"@GMT-2026.11.26-10.00.00": "2026-11-26 10:00:00Z",
	"GMT-2026.11.26-10.00.00":  "2026-11-26 10:00:00Z",
	// sanoid, TrueNAS, zfs-auto-snapshot, zrepl, pyznap, httm, zfSnap, zfstools
	"autosnap_2026-11-27_00:00:01_daily":                   "2026-11-27 00:00:01",
	"autosnap_2026-11-27_00:15:01_frequently":              "2026-11-27 00:15:01",
	"syncoid_host_2026-11-29:13:17:00-GMT01:00":            "2026-11-29 12:17:00Z",
	"syncoid_host_2026-11-29:13:17:00-GMT-05:00":           "2026-11-29 18:17:00Z",
	"syncoid_host_2026-11-29:13:17:00":                     "2026-11-29 13:17:00",
	"auto-2026-11-29_20-46":                                "2026-11-29 20:46:00",
	"auto-20261129.2046-2w":                                "2026-11-29 20:46:00",
	"manual-2026-11-29_20-46":                              "2026-11-29 20:46:00",
	"zfs-auto-snap_hourly-2026-11-29-1317":                 "2026-11-29 13:17:00Z",
	"zrepl_20261129_131700_000":                            "2026-11-29 13:17:00Z",
	"pyznap_2026-11-29_13:17:00_hourly":                    "2026-11-29 13:17:00",
	"snap_2026-11-29-13:17:00_httmSnapFileMount":           "2026-11-29 13:17:00",
	"2026-11-29_13.17.00--2w":                              "2026-11-29 13:17:00",
	"zfs-auto-snap_daily-2026-11-29-13h17":                 "2026-11-29 13:17:00Z",
	"tank-20261129131700":                                  "2026-11-29 13:17:00",
	"@daily-2026-11-29 13:17":                              "2026-11-29 13:17:00",
	"bak 2026-11-29 01.17.00 PM":                           "2026-11-29 13:17:00",
	"2026-11-29 12.17 AM":                                  "2026-11-29 00:17:00",
	"com.apple.TimeMachine.2026-11-29-131700.local":        "2026-11-29 13:17:00",
	"__replicate_2026_11_29_13_17_00__":                    "2026-11-29 13:17:00",
	"rep_100_2026-11-29_13:17:00":                          "2026-11-29 13:17:00",
	"site.20261129T1317":                                   "2026-11-29 13:17:00",
	"site.20261129T131700+0100":                            "2026-11-29 12:17:00Z",
	"site.20261129T131700-0530":                            "2026-11-29 18:47:00Z",
	"site.20261129T1317_1":                                 "2026-11-29 13:17:00",
	"2026-11-29_13-17-01":                                  "2026-11-29 13:17:01",
	"GMT+01-2026.11.29-13.17.00":                           "2026-11-29 12:17:00Z",
	"GMT-05-2026.11.29-13.17.00":                           "2026-11-29 18:17:00Z",
	"GMT+0530-2026.11.29-13.17.00":                         "2026-11-29 07:47:00Z",
	"GMT+08_2026-11-29_0100":                               "2026-11-28 17:00:00Z",
	"SIQ-policy-2026-11-29_13-17-00":                       "2026-11-29 13:17:00",
	"Weekly_11-29-2026_13:17":                              "2026-11-29 13:17:00",
	"Nightly_2026-11-29_13:17":                             "2026-11-29 13:17:00",
	"sicher_29-11-2026_13-17":                              "2026-11-29 13:17:00",
	"VeeamSourceSnapshot_Backup Job 1_2026-11-29T13:17:05": "2026-11-29 13:17:05",
	"2026-11-29T13:17:00.123Z":                             "2026-11-29 13:17:00Z",
	"2026-11-29T13:17:00+01:00":                            "2026-11-29 12:17:00Z",
	"before_2026-11-29_1317_UTC":                           "2026-11-29 13:17:00Z",
	"backup-1764422220":                                    "2025-11-29 13:17:00Z",
	"1764422220":                                           "2025-11-29 13:17:00Z",
	"berth.20261122T170501Z":                               "2026-11-22 17:05:01Z",
	"before-2026-11-22T17:05:09":                           "2026-11-22 17:05:09",
	// A day and no more.
	"daily-2026-11-24":           "2026-11-24",
	"2026-11-24":                 "2026-11-24",
	"site.20261124":              "2026-11-24",
	"site.20261124_1":            "2026-11-24",
	"daily_2026_11_24":           "2026-11-24",
	"before 2026.11.24":          "2026-11-24",
	"2026-11-24-before-update":   "2026-11-24",
	"x_2026-11-24_2560":          "2026-11-24",
	"x_2026-11-24_1705pm":        "2026-11-24",
	"upgrade-6.9.1-2026-11-24":   "2026-11-24",
	"2026-11-24_from-2147484677": "2026-11-24",
	// None.
	"nightly": "", "hourly.0": "", "v6.9.1": "", "wp-6.9.1-to-6.9.2": "", "before-8.4.12": "", "1": "", "10.0.0.5": "",
	"20201122-1234-11e2-93ba-005056123456": "", "clone_20261122-1234-11e2-93ba-005056123456": "",
	"2026-13-22_1705": "", "2026-02-30_1200": "", "2026-02-30": "", "2026-00-10": "", "20261301": "", "20260230T1200": "",
	"12026-11-22_17059": "", "order-199912312359": "", "0001-01-01_0000": "", "snap-1234567890123": "", "id-99999999": "",
	"vol_2147484677": "", "ticket-4711-1764422220": "", "a1764422220": "", "1234567890": "", "5551234567": "",
	"03-04-2026_10-15": "", "2026-11": "", "v2026": "", "deadbeef20261124cafe": "", "v2026.11.24": "", "2026-11-241": "",
}

func TestTheNamesThatToolsMake(t *testing.T) {
	inZones(t, func(t *testing.T, zone *time.Location) {
		for name, want := range madeByTools {
			at, timed := timeFromName(name, zone)
			day, dated := dayFromName(name, zone)
			switch len(want) {
			case 0:
				require.False(t, timed || dated, "%s: %s %s", name, at, day)
			case len("2026-11-24"):
				require.False(t, timed, "%s: %s", name, at)
				require.True(t, dated, name)
				require.Equal(t, want+" 00:00:00", day.In(zone).Format(time.DateTime), name)
			case len("2026-11-24 13:17:00Z"):
				require.True(t, timed, name)
				require.Equal(t, want, at.UTC().Format(time.DateTime+"Z"), name)
			default:
				require.True(t, timed, name)
				require.Equal(t, want, at.In(zone).Format(time.DateTime), name)
			}
		}
	})
}

// TestADayAloneIsRoughAndInOrder: of a name that says the day alone the time is
// the directory's, where that is of this day, and else the day's beginning.
func TestADayAloneIsRoughAndInOrder(t *testing.T) {
	inZones(t, func(t *testing.T, zone *time.Location) {
		day := time.Date(2026, 11, 24, 0, 0, 0, 0, zone)
		for name, c := range map[string]struct{ changed, want time.Time }{
			"that day":       {day.Add(9 * time.Hour), day.Add(9 * time.Hour)},
			"its last hour":  {day.Add(24*time.Hour - time.Second), day.Add(24*time.Hour - time.Second)},
			"long before":    {day.AddDate(-1, 0, 0), day},
			"after, nonsens": {day.AddDate(0, 0, 3), day},
		} {
			s := FromDirectory("daily-2026-11-24", c.changed, zone)
			require.True(t, s.Time.Equal(c.want), "%s: %s", name, s.Time)
			require.True(t, s.Approximate, name)
		}
		far := FromDirectory("odd", time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), zone)
		require.True(t, far.Time.IsZero(), "JSON has no such year")
	})
}

// TestAnHourThatComesTwice: where a clock shows a time twice, the first one
// counts, in both directions of daylight saving and also for half an hour of it.
func TestAnHourThatComesTwice(t *testing.T) {
	for _, c := range []struct{ zone, name, want string }{
		{"Europe/Berlin", "hourly.2026-10-25_0205", "2026-10-25 00:05:00"},
		{"Europe/Berlin", "hourly.2026-10-25_0305", "2026-10-25 02:05:00"},
		{"Europe/Berlin", "hourly.2026-03-29_0305", "2026-03-29 01:05:00"},
		{"America/New_York", "hourly.2026-11-01_0105", "2026-11-01 05:05:00"},
		{"America/New_York", "hourly.2026-11-01_0205", "2026-11-01 07:05:00"},
		{"Australia/Lord_Howe", "hourly.2026-04-05_0145", "2026-04-04 14:45:00"},
		{"Australia/Lord_Howe", "hourly.2026-04-05_0205", "2026-04-04 15:35:00"},
		{"Asia/Kolkata", "hourly.2026-10-25_0205", "2026-10-24 20:35:00"},
	} {
		zone, err := time.LoadLocation(c.zone)
		require.NoError(t, err)
		got, ok := timeFromName(c.name, zone)
		require.True(t, ok)
		require.Equal(t, c.want, got.UTC().Format(time.DateTime), "%s %s", c.zone, c.name)
	}
}

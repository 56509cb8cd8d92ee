package show

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/plugin"
)

// TestTheZoneOfWhoTypes: the plugin reads the same zone as the command line,
// however it is set.
func TestTheZoneOfWhoTypes(t *testing.T) {
	dir := t.TempDir()
	berlin, err := os.ReadFile("/usr/share/zoneinfo/Europe/Berlin")
	require.NoError(t, err)
	copied := filepath.Join(dir, "copied")
	require.NoError(t, os.WriteFile(copied, berlin, 0o644))
	link := filepath.Join(dir, "link")
	require.NoError(t, os.Symlink("/usr/share/zoneinfo/Asia/Tokyo", link))
	summer, winter := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	none := "none"
	for _, c := range []struct{ tz, localtime, told, summer, winter string }{
		{"Asia/Tokyo", "", "Asia/Tokyo", "21:00 JST", "21:00 JST"},
		{":Europe/Berlin", "", "Europe/Berlin", "14:00 CEST", "13:00 CET"},
		{"UTC", link, "UTC", "12:00 UTC", "12:00 UTC"},
		{"", link, "UTC", "12:00 UTC", "12:00 UTC"},
		{"Nowhere/Land", link, "UTC", "12:00 UTC", "12:00 UTC"},
		{"../../etc/passwd", link, "UTC", "12:00 UTC", "12:00 UTC"},
		{"/usr/share/zoneinfo/Asia/Kolkata", "", "Asia/Kolkata", "17:30 IST", "17:30 IST"},
		{copied, "", "", "14:00 CEST", "13:00 CET"},
		{"CET-1CEST,M3.5.0,M10.5.0/3", "", "", "14:00 CEST", "13:00 CET"},
		{"<+0530>-5:30", "", "", "17:30 +0530", "17:30 +0530"},
		{"EST5EDT", "", "EST5EDT", "08:00 EDT", "07:00 EST"},
		{none, link, "Asia/Tokyo", "21:00 JST", "21:00 JST"},
		{none, copied, "", "14:00 CEST", "13:00 CET"},
		{none, filepath.Join(dir, "nothing"), "UTC", "12:00 UTC", "12:00 UTC"},
	} {
		zone, told := ZoneHere(func(string) (string, bool) { return c.tz, c.tz != none }, c.localtime)
		if c.told != "" {
			require.Equal(t, c.told, told, c.tz)
		}
		there, err := plugin.LoadZone(told)
		require.NoError(t, err, c.tz)
		for _, z := range []*time.Location{zone, there} {
			require.Equal(t, c.summer, summer.In(z).Format("15:04 MST"), c.tz)
			require.Equal(t, c.winter, winter.In(z).Format("15:04 MST"), c.tz)
		}
	}
	for _, told := range []string{"Local", "Nowhere/Land", "../x", "tzif:!", "tzif:AAAA"} {
		_, err := plugin.LoadZone(told)
		require.Error(t, err, told)
	}
}

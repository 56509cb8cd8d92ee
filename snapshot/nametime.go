package snapshot

import (
	"regexp"
	"strings"
	"time"
)

// stamp is a time in a snapshot's name: daily.2026-11-22_0010,
// berth.20261122T170501Z, before-2026-11-22T17:05:01.
var stamp = regexp.MustCompile(`^(\d{4})-?(\d{2})-?(\d{2})[T_ -](\d{2}):?(\d{2})(?::?(\d{2}))?(Z?)(?:$|[^0-9A-Za-z+:])`)

// timeFromName reads the time that whoever made a snapshot has put into its
// name, the last one in it; loc is the zone of those that do not say UTC.
func timeFromName(name string, loc *time.Location) (time.Time, bool) {
	for i := len(name) - 1; i >= 0; i-- {
		m := stamp.FindStringSubmatch(name[i:])
		if m == nil || i > 0 && name[i-1] >= '0' && name[i-1] <= '9' {
			continue
		}
		if m[6] == "" {
			m[6] = "00"
		}
		zone := loc
		if m[7] == "Z" {
			zone = time.UTC
		}
		t, err := time.ParseInLocation("20060102150405", strings.Join(m[1:7], ""), zone)
		if err == nil && t.Year() >= 1970 {
			return t, true
		}
	}
	return time.Time{}, false
}

// newName is the name of a snapshot that berth makes at that time, if nobody
// has chosen one.
func newName(now time.Time) string { return now.UTC().Format("berth.20060102T150405Z") }

// originOf tells from its name who made a snapshot: the label of a schedule,
// "berth", or "manual".
func originOf(name string) string {
	label, rest, ok := strings.Cut(name, ".")
	if _, dated := timeFromName(rest, time.UTC); !ok || !dated {
		return "manual"
	}
	switch label {
	case "hourly", "daily", "weekly", "monthly", "yearly", "berth":
		return label
	}
	return "manual"
}

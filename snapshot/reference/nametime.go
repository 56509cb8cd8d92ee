package reference

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The parts of a time in a name. The characters before and behind a time belong
// to no number.
const (
	date    = `(?P<Y>\d{4})(?:-(?P<M>\d{2})-(?P<D>\d{2})|_(?P<M>\d{2})_(?P<D>\d{2})|\.(?P<M>\d{2})\.(?P<D>\d{2})|(?P<M>\d{2})(?P<D>\d{2}))`
	clocked = `(?P<h>\d{2})(?::?(?P<m>\d{2})(?::?(?P<s>\d{2}))?|-(?P<m>\d{2})(?:-(?P<s>\d{2}))?|\.(?P<m>\d{2})(?:\.(?P<s>\d{2}))?|_(?P<m>\d{2})(?:_(?P<s>\d{2}))?|h(?P<m>\d{2})(?:m(?P<s>\d{2})s)?)`
	zoned   = `(?:[.,]\d{1,9})?(?: ?(?P<half>[AaPp]\.?[Mm]\.?))?(?P<utc>Z|[ _-]?(?:UTC|GMT))?(?P<off>\+\d{2}:?\d{2})?`
	behind  = `(?:$|[^0-9A-Za-z+:])`
)

// dated are the forms of times in names, as the tools write them.
var dated = []form{
	// 20261129T131700-0500; 2026-11-29:13:17:00-GMT01:00 and -GMT-05:00: syncoid
	newForm(date + `T` + clocked + `(?P<off>-\d{2}:?\d{2})` + behind),
	newForm(date + `[:_]` + clocked + `-GMT(?P<off>-?\d{2}:\d{2})` + behind),
	// daily.2026-11-22_0010, 2026-11-22T17:05:01+01:00, 20261129.2046, 2026.05.31.10h49m04s
	newForm(date + `[T _.:-]` + clocked + zoned + behind),
	// 20261129131700
	newForm(`(?P<Y>20\d{2})(?P<M>\d{2})(?P<D>\d{2})(?P<h>\d{2})(?P<m>\d{2})(?P<s>\d{2})(?P<utc>Z)?` + behind),
	// 11-23-2026_10.15.00.1234: SnapCenter
	newForm(`(?P<M>\d{2})-(?P<D>\d{2})-(?P<Y>\d{4})[_ ](?P<h>\d{2})\.(?P<m>\d{2})\.(?P<s>\d{2})(?:\.\d{1,6})?` + behind),
	// 11-23-2026_10:15: OneFS, where no other order of day and month can be meant
	newForm(`(?P<M>\d{2})-(?P<D>1[3-9]|[23]\d)-(?P<Y>\d{4})[_ T-]` + clocked + behind),
	newForm(`(?P<D>1[3-9]|[23]\d)-(?P<M>\d{2})-(?P<Y>\d{4})[_ T-]` + clocked + behind),
}

// days are the forms of a day without a time. Behind a letter, digits are a version.
var days = []form{newForm(date + behind)}

var (
	// uuid may hold digits that look like a date.
	uuid          = regexp.MustCompile(`[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}`)
	versionNumber = regexp.MustCompile(`[0-9A-Za-z]*[A-Za-z]\d+(?:\.\d+)*`)
	// epoch is the only number in a name: the seconds since 1970.
	epoch = regexp.MustCompile(`^(?:\D*[^0-9A-Za-z])?(1[4-9]\d{8}|20\d{8}|21[0-3]\d{7})(?:[^0-9A-Za-z]\D*)?$`)
	// before is a zone that comes before the time: GMT+01-2026.11.29-13.17.00 of
	// Synology, @GMT-2026.11.26-10.00.00 of Windows.
	before = regexp.MustCompile(`GMT([+-]\d{2}(?::?\d{2})?)?[-_]$`)
	// utcTools name their snapshots in UTC without saying so.
	utcTools = regexp.MustCompile(`^(?:zfs-auto-snap|zrepl)_`)
)

// form is one way to write a time. Its groups are Y, M, D, h, m and s; half is AM or
// PM, utc matches if the time is in UTC, off is an offset from UTC.
type form struct{ *regexp.Regexp }

func newForm(rule string) form { return form{regexp.MustCompile(`^` + rule)} }

// fields returns the form's groups if text begins with the form, else nil.
func (f form) fields(text string) map[string]string {
	m := f.FindStringSubmatch(text)
	if m == nil {
		return nil
	}
	out := map[string]string{}
	for i, group := range f.SubexpNames() {
		if m[i] != "" {
			out[group] = m[i]
		}
	}
	return out
}

// timeFromName reads the last time in a snapshot's name. loc is the zone of times
// without a zone.
func timeFromName(name string, loc *time.Location) (time.Time, bool) {
	if utcTools.MatchString(name) {
		loc = time.UTC
	}
	if t, ok := lastIn(name, dated, loc); ok {
		return t, true
	}
	if m := epoch.FindStringSubmatch(name); m != nil {
		n, err := strconv.ParseInt(m[1], 10, 64)
		return time.Unix(n, 0).In(loc), err == nil
	}
	return time.Time{}, false
}

// dayFromName reads the day in a name without a time. It returns the beginning of the
// day.
func dayFromName(name string, loc *time.Location) (time.Time, bool) {
	name = uuid.ReplaceAllString(name, "uuid")
	return lastIn(versionNumber.ReplaceAllString(name, "version"), days, loc)
}

// lastIn reads the last time in a name.
func lastIn(name string, forms []form, loc *time.Location) (time.Time, bool) {
	name = uuid.ReplaceAllString(name, "uuid")
	for i := len(name) - 1; i >= 0; i-- {
		if !isDigit(name[i]) || i > 0 && isDigit(name[i-1]) {
			continue
		}
		zone := before.FindStringSubmatch(name[:i])
		for _, f := range forms {
			if fields := f.fields(name[i:]); fields != nil {
				if zone != nil {
					fields["utc"], fields["off"] = "GMT", zone[1]
				}
				if t, ok := timeOf(fields, loc); ok {
					return t, true
				}
			}
		}
	}
	return time.Time{}, false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// timeOf is the time of a form's fields. It returns false for a time that does not
// exist.
func timeOf(fields map[string]string, loc *time.Location) (time.Time, bool) {
	n := func(group string) int {
		v, _ := strconv.Atoi(fields[group])
		return v
	}
	hour := n("h")
	if half := strings.ToLower(fields["half"]); half != "" {
		if hour < 1 || hour > 12 {
			return time.Time{}, false
		}
		if hour %= 12; half[0] == 'p' {
			hour += 12
		}
	}
	if _, utc := fields["utc"]; utc {
		loc = time.UTC
	}
	if off := strings.ReplaceAll(fields["off"], ":", ""); off != "" {
		if isDigit(off[0]) {
			off = "+" + off
		}
		h, _ := strconv.Atoi(off[1:3])
		m, _ := strconv.Atoi(off[3:])
		if h > 14 || m > 59 {
			return time.Time{}, false
		}
		seconds := h*3600 + m*60
		if off[0] == '-' {
			seconds = -seconds
		}
		loc = time.FixedZone("", seconds)
	}
	clock := time.Date(n("Y"), time.Month(n("M")), n("D"), hour, n("m"), n("s"), 0, time.UTC)
	if clock.Year() != n("Y") || int(clock.Month()) != n("M") || clock.Day() != n("D") || clock.Hour() != hour || clock.Minute() != n("m") || clock.Second() != n("s") ||
		clock.Year() < 1970 {
		return time.Time{}, false
	}
	return onClock(clock, loc), true
}

// onClock is the time at which the clocks of the zone loc show the same as clock. Of two
// such times it is the first, so that no snapshot seems younger than it is.
func onClock(clock time.Time, loc *time.Location) time.Time {
	y, m, d := clock.Date()
	t := time.Date(y, m, d, clock.Hour(), clock.Minute(), clock.Second(), 0, loc)
	for _, near := range []time.Time{t.Add(-24 * time.Hour), t.Add(24 * time.Hour)} {
		_, offset := near.Zone()
		other := clock.Add(-time.Duration(offset) * time.Second).In(loc)
		if other.Before(t) && other.Format(time.DateTime) == clock.Format(time.DateTime) {
			t = other
		}
	}
	return t
}

// NewName names a snapshot that berth makes at now, where nobody has chosen a name.
func NewName(now time.Time) string { return now.UTC().Format("berth.20060102T150405Z") }

// OriginOf tells from a snapshot's name who has made it: the label of a schedule,
// "berth", or "manual".
func OriginOf(name string) string {
	label, rest, ok := strings.Cut(name, ".")
	_, timed := timeFromName(rest, time.UTC)
	_, dated := dayFromName(rest, time.UTC)
	if !ok || !timed && !dated {
		return "manual"
	}
	switch label {
	case "hourly", "daily", "weekly", "monthly", "yearly", "berth":
		return label
	}
	return "manual"
}

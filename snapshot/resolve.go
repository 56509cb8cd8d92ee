package snapshot

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casit/berth/volume"
)

// Sort sorts snapshots newest first; those of unknown times come last, by name.
func Sort(all []Snapshot) {
	slices.SortStableFunc(all, func(a, b Snapshot) int {
		if c := b.Time.Compare(a.Time); c != 0 {
			return c
		}
		return strings.Compare(b.Name, a.Name)
	})
}

var (
	dateRule = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(T\d{4})?$`)
	nthRule  = regexp.MustCompile(`^-[1-9]\d{0,3}$`)
	ageRule  = regexp.MustCompile(`^(\d{1,4})(m|h|d|w)$`) // no more: weeks have to fit a Duration
)

// Resolve finds the snapshot that a word after @ means, as seen at now from
// the time zone loc: a date or a date and time; else an exact name, "latest",
// -N (the N-th newest), "yesterday", a weekday (the last one before today), an
// age (the newest that is at least so old), or the one name that begins so.
func Resolve(word string, all []Snapshot, now time.Time, loc *time.Location) (Snapshot, error) {
	if dateRule.MatchString(word) {
		return byDate(word, all, loc)
	}
	for _, s := range all {
		if s.Name == word {
			return s, nil
		}
	}
	all = slices.Clone(all)
	Sort(all)
	lower := strings.ToLower(word)
	switch day, isDay := weekday(lower); {
	case lower == "latest":
		return nth(word, all, 1)
	case nthRule.MatchString(word):
		n, _ := strconv.Atoi(word[1:])
		return nth(word, all, n)
	case lower == "yesterday":
		return onDay(word, all, now.In(loc).AddDate(0, 0, -1), loc)
	case isDay:
		back := (int(now.In(loc).Weekday())-int(day)+6)%7 + 1
		return onDay(word, all, now.In(loc).AddDate(0, 0, -back), loc)
	case ageRule.MatchString(lower):
		return byAge(lower, all, now)
	}
	return byPrefix(word, all)
}

// nth is the n-th newest.
func nth(word string, all []Snapshot, n int) (Snapshot, error) {
	if err := ordered(word, all); err != nil {
		return Snapshot{}, err
	}
	if n > len(all) {
		return Snapshot{}, notFound(word, all, fmt.Sprintf("there are only %d", len(all)))
	}
	return sure(word, all[n-1], all)
}

// sure refuses a snapshot whose time is a guess that another one shares: which
// of them is the newer one nobody knows.
func sure(word string, s Snapshot, all []Snapshot) (Snapshot, error) {
	var same []Snapshot
	for _, other := range all {
		if other.Time.Equal(s.Time) && (s.Approximate || other.Approximate) {
			same = append(same, other)
		}
	}
	if len(same) > 1 {
		return Snapshot{}, errorf(volume.Failed, "give an exact name: "+some(same), "%q may be any of %d snapshots, whose times nobody tells", word, len(same))
	}
	return s, nil
}

// ordered refuses what takes an order where times are unknown.
func ordered(word string, all []Snapshot) error {
	if len(all) == 0 {
		return notFound(word, all, "the export has no snapshot")
	}
	for _, s := range all {
		if s.Time.IsZero() {
			return errorf(volume.Failed, "give an exact name: "+some(all), "nobody says when snapshot %q was made, so %q means nothing", s.Name, word)
		}
	}
	return nil
}

// onDay is the newest of a day.
func onDay(word string, all []Snapshot, day time.Time, loc *time.Location) (Snapshot, error) {
	if err := ordered(word, all); err != nil {
		return Snapshot{}, err
	}
	y, m, d := day.Date()
	begin := time.Date(y, m, d, 0, 0, 0, 0, loc)
	end := time.Date(y, m, d+1, 0, 0, 0, 0, loc)
	for _, s := range all {
		if s.Time.Before(end) && !s.Time.Before(begin) {
			return sure(word, s, all)
		}
	}
	return Snapshot{}, notFound(word, all, "none is of "+begin.Format("2006-01-02")+around(all, begin, end, loc))
}

// byDate is the newest of a date, or the newest at a minute or before.
func byDate(word string, all []Snapshot, loc *time.Location) (Snapshot, error) {
	all = slices.Clone(all)
	Sort(all)
	if day, err := time.ParseInLocation("2006-01-02", word, loc); err == nil {
		return onDay(word, all, day, loc)
	}
	t, err := time.ParseInLocation("2006-01-02T1504", word, loc)
	if err != nil {
		return Snapshot{}, errorf(volume.Invalid, "write YYYY-MM-DD or YYYY-MM-DDTHHMM", "%q is no date", word)
	}
	if err := ordered(word, all); err != nil {
		return Snapshot{}, err
	}
	for _, s := range all {
		if s.Time.Before(t.Add(time.Minute)) {
			return sure(word, s, all)
		}
	}
	return Snapshot{}, notFound(word, all, "none is so old"+around(all, t, t, loc))
}

// byAge is the newest that is at least so old.
func byAge(word string, all []Snapshot, now time.Time) (Snapshot, error) {
	if err := ordered(word, all); err != nil {
		return Snapshot{}, err
	}
	m := ageRule.FindStringSubmatch(word)
	n, _ := strconv.Atoi(m[1])
	unit := map[string]time.Duration{"m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[m[2]]
	limit := now.Add(-time.Duration(n) * unit)
	for _, s := range all {
		if !s.Time.After(limit) {
			return sure(word, s, all)
		}
	}
	return Snapshot{}, notFound(word, all, "none is so old; the oldest is "+all[len(all)-1].Name)
}

// byPrefix is the one whose name begins so.
func byPrefix(word string, all []Snapshot) (Snapshot, error) {
	var found []Snapshot
	for _, s := range all {
		if word != "" && strings.HasPrefix(s.Name, word) {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return Snapshot{}, notFound(word, all, "")
	case 1:
		return found[0], nil
	}
	return Snapshot{}, errorf(volume.Invalid, "write more of it: "+some(found), "%d snapshots begin with %q", len(found), word)
}

func notFound(word string, all []Snapshot, why string) error {
	reason := fmt.Sprintf("no snapshot %q", word)
	if why != "" {
		reason += ": " + why
	}
	hint := "'berth snapshot create' makes the first one"
	if len(all) > 0 {
		hint = "'berth snapshot ls VOLUME' lists them: " + some(all)
	}
	return errorf(volume.NotFound, hint, "%s", reason)
}

// some names a few.
func some(all []Snapshot) string {
	const few = 5
	var names []string
	for _, s := range all[:min(few, len(all))] {
		names = append(names, s.Name)
	}
	if len(all) > few {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// around names the neighbours of a time.
func around(all []Snapshot, begin, end time.Time, loc *time.Location) (text string) {
	var before, after *Snapshot
	for i, s := range all {
		if !s.Time.Before(end) {
			after = &all[i]
		} else if s.Time.Before(begin) && before == nil {
			before = &all[i]
		}
	}
	for _, n := range []struct {
		word string
		s    *Snapshot
	}{{"before", before}, {"after", after}} {
		if n.s != nil {
			text += fmt.Sprintf("; the next %s is %s of %s", n.word, n.s.Name, n.s.Time.In(loc).Format("2006-01-02 15:04"))
		}
	}
	return text
}

// weekday reads a day's name, whole or its first three letters.
func weekday(word string) (time.Weekday, bool) {
	for d := time.Sunday; d <= time.Saturday; d++ {
		name := strings.ToLower(d.String())
		if word == name || word == name[:3] {
			return d, true
		}
	}
	return 0, false
}

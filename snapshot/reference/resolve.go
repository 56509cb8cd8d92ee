package reference

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/text"
)

var (
	dateRule = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}(T\d{4})?$`)
	nthRule  = regexp.MustCompile(`^-[1-9]\d{0,3}$`)
	ageRule  = regexp.MustCompile(`^(\d{1,4})(m|h|d|w)$`) // no more: weeks have to fit a Duration
)

// Resolve finds the snapshot that a word after @ means at the time now in the zone loc.
// The word is, in this order: an exact name; a date, or a date and time; "latest";
// -N (the N-th newest); "yesterday"; a weekday (the last one before today); an age
// (the newest snapshot of at least that age); the beginning of one name only.
func Resolve(word string, all []Snapshot, now time.Time, loc *time.Location) (Snapshot, error) {
	for _, s := range all {
		if s.Name == word {
			return s, nil
		}
	}
	all = slices.Clone(all)
	Sort(all)
	lower := strings.ToLower(word)
	switch day, isDay := weekday(lower); {
	case dateRule.MatchString(word):
		return byDate(word, all, loc)
	case lower == "latest":
		return nth(word, all, 1)
	case nthRule.MatchString(word):
		n, _ := strconv.Atoi(word[1:])
		return nth(word, all, n)
	case lower == "yesterday":
		return onDay(word, all, daysBefore(now.In(loc), 1), loc)
	case isDay:
		back := (int(now.In(loc).Weekday())-int(day)+6)%7 + 1
		return onDay(word, all, daysBefore(now.In(loc), back), loc)
	case ageRule.MatchString(lower):
		return byAge(lower, all, now)
	}
	return byPrefix(word, all)
}

// nth finds the n-th newest snapshot.
func nth(word string, all []Snapshot, n int) (Snapshot, error) {
	if err := ordered(word, all); err != nil {
		return Snapshot{}, err
	}
	if n > len(all) {
		return Snapshot{}, notFound(word, all, fmt.Sprintf("there are only %d", len(all)))
	}
	return sure(word, all[n-1], all)
}

// sure refuses a snapshot that has the same approximate time as another one, because
// nobody knows which of them is newer.
func sure(word string, s Snapshot, all []Snapshot) (Snapshot, error) {
	var same []Snapshot
	for _, other := range all {
		if other.Time.Equal(s.Time) && (s.Approximate || other.Approximate) {
			same = append(same, other)
		}
	}
	if len(same) > 1 {
		return Snapshot{}, problem.New(problem.Failed, "give an exact name: "+some(same), "%q may be any of %d snapshots, whose times nobody tells", word, len(same))
	}
	return s, nil
}

// ordered refuses a word that needs an order of snapshots where a time is unknown.
func ordered(word string, all []Snapshot) error {
	if len(all) == 0 {
		return notFound(word, all, "the export has no snapshot")
	}
	for _, s := range all {
		if s.Time.IsZero() {
			return problem.New(problem.Failed, "give an exact name: "+some(all), "nobody says when snapshot %q was made, so %q means nothing", s.Name, word)
		}
	}
	return nil
}

// minuteForm writes a time so that times compare as text, by the clock of a zone: a day
// may have 23 or 25 hours there, and an hour may come twice or never.
const minuteForm = "2006-01-02T1504"

// daysBefore is the date n days before now.
func daysBefore(now time.Time, n int) string {
	y, m, d := now.Date()
	return time.Date(y, m, d-n, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// onDay finds the newest snapshot of a day.
func onDay(word string, all []Snapshot, day string, loc *time.Location) (Snapshot, error) {
	if err := ordered(word, all); err != nil {
		return Snapshot{}, err
	}
	for _, s := range all {
		if s.dayOf(loc) == day {
			return sure(word, s, all)
		}
	}
	return Snapshot{}, notFound(word, all, "none is of "+day+around(all, loc, func(s Snapshot) int { return strings.Compare(s.dayOf(loc), day) }))
}

// byDate finds the newest snapshot of a date, or the newest one up to a minute.
func byDate(word string, all []Snapshot, loc *time.Location) (Snapshot, error) {
	if _, err := time.Parse(time.DateOnly, word); err == nil {
		return onDay(word, all, word, loc)
	}
	if _, err := time.Parse(minuteForm, word); err != nil {
		return Snapshot{}, problem.New(problem.Invalid, "write YYYY-MM-DD or YYYY-MM-DDTHHMM", "%q is no date", word)
	}
	if err := ordered(word, all); err != nil {
		return Snapshot{}, err
	}
	compare := func(s Snapshot) int { return strings.Compare(s.Time.In(loc).Format(minuteForm), word) }
	for _, s := range all {
		if compare(s) <= 0 {
			return sure(word, s, all)
		}
	}
	return Snapshot{}, notFound(word, all, "none is so old"+around(all, loc, compare))
}

// byAge finds the newest snapshot of at least that age.
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

// byPrefix finds the only snapshot whose name begins with word.
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
	return Snapshot{}, problem.New(problem.Invalid, "write more of it: "+some(found), "%d snapshots begin with %q", len(found), word)
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
	return problem.New(problem.NotFound, hint, "%s", reason)
}

// some names the first few snapshots.
func some(all []Snapshot) string {
	const few = 5
	var names []string
	for _, s := range all[:min(few, len(all))] {
		names = append(names, text.Quote(s.Name))
	}
	if len(all) > few {
		names = append(names, "…")
	}
	return strings.Join(names, ", ")
}

// around names the last snapshot before a time and the first one after it; compare
// compares a snapshot with the time.
func around(all []Snapshot, loc *time.Location, compare func(Snapshot) int) (near string) {
	var before, after *Snapshot
	for i, s := range all {
		if c := compare(s); c > 0 {
			after = &all[i]
		} else if c < 0 && before == nil {
			before = &all[i]
		}
	}
	var zones []string
	for _, n := range []struct {
		word string
		s    *Snapshot
	}{{"before", before}, {"after", after}} {
		if n.s != nil {
			at := n.s.Time.In(loc)
			near += fmt.Sprintf("; the next %s is %s of %s", n.word, text.Quote(n.s.Name), at.Format("2006-01-02 15:04"))
			zones = append(zones, at.Format("MST"))
		}
	}
	if len(zones) > 0 {
		near += " (" + strings.Join(slices.Compact(zones), ", then ") + ")"
	}
	return near
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

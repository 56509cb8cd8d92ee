package tree

import "slices"

// namesAtOnce is how many names of one directory, on one side, are in memory at a
// time: 6 MB. A larger directory is listed once for each part of its names.
var namesAtOnce = 20_000 // tests have less

// span is a part of a directory's names: the first ones, in order, behind a name.
type span struct {
	after   string // "" for the beginning
	entries []entryAt
	last    string // where there are more names than entries: the last one
	cut     bool
}

// wants tells whether a name may be in the span.
func (s *span) wants(name string) bool { return name > s.after && !(s.cut && name > s.last) }

// add adds a name that the span wants.
func (s *span) add(e entryAt) {
	s.entries = append(s.entries, e)
	if len(s.entries) >= namesAtOnce+namesAtOnce/4 {
		s.sort()
	}
}

// sort sorts the names, and keeps the first ones. A name that was listed twice is
// there once.
func (s *span) sort() {
	slices.SortStableFunc(s.entries, byName)
	s.entries = slices.CompactFunc(s.entries, func(x, y entryAt) bool { return byName(x, y) == 0 })
	if len(s.entries) > namesAtOnce {
		clear(s.entries[namesAtOnce:])
		s.entries = s.entries[:namesAtOnce]
		s.cut, s.last = true, s.entries[namesAtOnce-1].base()
	}
}

// align cuts both sides behind the same name, and returns that name if there are
// more names behind it.
func align(a, b *span) (last string, more bool) {
	for _, s := range []*span{a, b} {
		if s.cut && (!more || s.last < last) {
			last, more = s.last, true
		}
	}
	if more {
		for _, s := range []*span{a, b} {
			s.entries = slices.DeleteFunc(s.entries, func(e entryAt) bool { return e.base() > last })
		}
	}
	return last, more
}

package simulator

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// filter is one query parameter that selects records, parsed. The grammar is
// that of the "Getting started" page: a|b and a,b are alternatives, !x negates,
// * is any text, <, >, <=, >= and a..b compare, null is a field without a value,
// "quotes", {braces} and \x take characters literally.
type filter struct {
	field string
	terms []term
}

type term struct {
	not  bool
	test func(value string) bool // false for what has no value
	null bool                    // asks for what has no value
}

// parseFilter reads a query's value for a field of a kind.
func parseFilter(field, kind, value string) (filter, error) {
	f := filter{field: field}
	parts, err := split(value)
	if err != nil {
		return f, invalid(value, field)
	}
	for _, part := range parts {
		t, err := parseTerm(part, kind)
		if err != nil {
			return f, invalid(value, field)
		}
		f.terms = append(f.terms, t)
	}
	return f, nil
}

// char is a character of a value, and whether it was escaped.
type char struct {
	r       rune
	literal bool
}

// split takes a value apart at | and , and resolves quotes, braces and escapes.
func split(value string) ([][]char, error) {
	var parts [][]char
	var part []char
	quoted, braces, escaped := false, 0, false
	for _, r := range value {
		switch {
		case escaped:
			part, escaped = append(part, char{r, true}), false
		case r == '\\':
			escaped = true
		case r == '"' && braces == 0:
			quoted = !quoted
			part = append(part, char{0, true}) // "" is a value: the empty one
		case quoted:
			part = append(part, char{r, true})
		case r == '{':
			if braces++; braces > 1 {
				part = append(part, char{r, true})
			}
		case r == '}' && braces > 0:
			if braces--; braces > 0 {
				part = append(part, char{r, true})
			}
		case braces > 0:
			part = append(part, char{r, true})
		case r == '|' || r == ',':
			parts, part = append(parts, part), nil
		default:
			part = append(part, char{r, false})
		}
	}
	if quoted || braces > 0 || escaped {
		return nil, fmt.Errorf("unbalanced")
	}
	return append(parts, part), nil
}

func parseTerm(part []char, kind string) (term, error) {
	var t term
	if t.not = starts(part, "!"); t.not {
		part = part[1:]
	}
	if len(part) == 0 {
		return t, fmt.Errorf("no value")
	}
	if plain(part) == "null" && !part[0].literal {
		t.null = true
		t.test = func(string) bool { return false }
		return t, nil
	}
	for _, op := range []string{"<=", ">=", "<", ">"} {
		if starts(part, op) {
			bound := plain(part[len(op):])
			if err := check(bound, kind); err != nil {
				return t, err
			}
			t.test = func(v string) bool { return satisfies(op, compare(v, bound, kind)) }
			return t, nil
		}
	}
	for i := 0; i+1 < len(part); i++ {
		if part[i] == (char{'.', false}) && part[i+1] == (char{'.', false}) {
			low, high := plain(part[:i]), plain(part[i+2:])
			if err := cmp.Or(check(low, kind), check(high, kind)); err != nil {
				return t, err
			}
			t.test = func(v string) bool { return compare(v, low, kind) >= 0 && compare(v, high, kind) <= 0 }
			return t, nil
		}
	}
	return t, t.literally(part, kind)
}

// literally makes the term one of equality, with * as a wildcard.
func (t *term) literally(part []char, kind string) error {
	var pieces []string
	var piece strings.Builder
	for _, c := range part {
		if c == (char{'*', false}) {
			pieces = append(pieces, piece.String())
			piece.Reset()
		} else if c.r != 0 {
			piece.WriteRune(c.r)
		}
	}
	pieces = append(pieces, piece.String())
	if len(pieces) == 1 {
		want := pieces[0]
		if err := check(want, kind); err != nil {
			return err
		}
		t.test = func(v string) bool { return v == want || compare(v, want, kind) == 0 }
		return nil
	}
	t.test = func(v string) bool { return glob(pieces, v) }
	return nil
}

// glob says whether v is the pieces in order with anything between them.
func glob(pieces []string, v string) bool {
	first, last := pieces[0], pieces[len(pieces)-1]
	if len(v) < len(first)+len(last) || !strings.HasPrefix(v, first) || !strings.HasSuffix(v, last) {
		return false
	}
	v = v[len(first) : len(v)-len(last)]
	for _, piece := range pieces[1 : len(pieces)-1] {
		_, after, found := strings.Cut(v, piece)
		if !found {
			return false
		}
		v = after
	}
	return true
}

func starts(part []char, prefix string) bool {
	if len(part) < len(prefix) {
		return false
	}
	for i, r := range prefix {
		if part[i] != (char{r, false}) {
			return false
		}
	}
	return true
}

func plain(part []char) string {
	var b strings.Builder
	for _, c := range part {
		if c.r != 0 {
			b.WriteRune(c.r)
		}
	}
	return b.String()
}

// check refuses a value that is not of the kind.
func check(value, kind string) error {
	var err error
	switch kind {
	case "integer", "number":
		_, err = strconv.ParseFloat(value, 64)
	case "boolean":
		_, err = strconv.ParseBool(value)
	}
	return err
}

// compare orders numbers as numbers, times as times and all else as text.
func compare(a, b, kind string) int {
	if kind == "integer" || kind == "number" {
		x, errX := strconv.ParseFloat(a, 64)
		y, errY := strconv.ParseFloat(b, 64)
		if errX == nil && errY == nil {
			return cmp.Compare(x, y)
		}
	}
	x, errX := time.Parse(time.RFC3339, a)
	y, errY := time.Parse(time.RFC3339, b)
	if errX == nil && errY == nil {
		return x.Compare(y)
	}
	return cmp.Compare(a, b)
}

func satisfies(op string, order int) bool {
	switch op {
	case "<":
		return order < 0
	case ">":
		return order > 0
	case "<=":
		return order <= 0
	}
	return order >= 0
}

// match says whether the values of a record's field pass: one term is enough,
// but all of several negated ones must hold.
func (f filter) match(values []string) bool {
	all, any := true, false
	for _, t := range f.terms {
		hit := t.null && len(values) == 0
		for _, v := range values {
			hit = hit || t.test(v)
		}
		hit = hit != t.not
		all, any = all && hit, any || hit
	}
	for _, t := range f.terms {
		if !t.not {
			return any
		}
	}
	return all
}

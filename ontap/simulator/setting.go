package simulator

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rule is what a settable field takes, and the refusal of anything else.
type rule struct {
	good func(value string) bool
	code string // "" is invalid value
}

func oneOf(values ...string) rule {
	return rule{good: func(v string) bool { return slices.Contains(values, v) }}
}

func between(low, high int64) rule {
	return rule{good: func(v string) bool {
		n, err := strconv.ParseInt(v, 10, 64)
		return err == nil && n >= low && n <= high
	}}
}

func atMost(bytes int) rule { return rule{good: func(v string) bool { return len(v) <= bytes }} }

// or gives a rule the code with which ONTAP refuses.
func (x rule) or(code string) rule {
	x.code = code
	return x
}

var (
	anything = rule{good: func(string) bool { return true }}
	uint32s  = between(0, math.MaxUint32)
	percent  = between(0, 100)
	octal    = rule{good: regexp.MustCompile(`^[0-7]{1,4}$`).MatchString}
)

// bodyLeaves are the members of a body under their dotted names.
func bodyLeaves(body record) map[string]any {
	out := map[string]any{}
	var walk func(prefix string, r record)
	walk = func(prefix string, r record) {
		for key, value := range r {
			if inner, ok := value.(record); ok {
				walk(prefix+key+".", inner)
			} else {
				out[prefix+key] = plainValue(value)
			}
		}
	}
	walk("", body)
	return out
}

// plainValue is a number of a body as int64, and all else as it is.
func plainValue(value any) any {
	if n, ok := value.(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			return i
		}
		return n.String()
	}
	return value
}

// obey checks the leaves of a body against rules. A field without a rule is not
// played, so it is refused: nothing is answered with success that has no effect.
func obey(body record, rules map[string]rule) (map[string]any, error) {
	got := bodyLeaves(body)
	for _, name := range slices.Sorted(mapKeys(got)) {
		x, ok := rules[name]
		if !ok {
			return nil, notSettable(name)
		}
		for _, value := range textsOf(got[name]) {
			if x.good(value) {
				continue
			}
			if x.code != "" {
				return nil, fail(http.StatusBadRequest, x.code, name, "The value %q is invalid for field %q.", value, name)
			}
			return nil, invalid(value, name)
		}
	}
	return got, nil
}

func textsOf(value any) []string {
	if list, ok := value.([]record); ok {
		return []string{fmt.Sprint(list)}
	}
	return texts(value)
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

func notSettable(name string) *failure {
	return fail(http.StatusBadRequest, "262196", name, "Field %q cannot be set in this operation.", name)
}

// settings are fields that an administrator has set, by their dotted names. They
// are kept in the state file.
type settings map[string]any

// UnmarshalJSON keeps whole numbers whole.
func (x *settings) UnmarshalJSON(raw []byte) error {
	var tree map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return err
	}
	*x = settings{}
	for name, value := range tree {
		if list, ok := value.([]any); ok {
			words := []string{}
			for _, word := range list {
				words = append(words, fmt.Sprint(word))
			}
			value = words
		}
		(*x)[name] = plainValue(value)
	}
	return nil
}

// show lays the settings over a record.
func (x settings) show(r record) {
	for name, value := range x {
		r.set(name, value)
	}
}

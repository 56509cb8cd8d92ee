package simulator

import (
	"fmt"
	"slices"
	"strings"
)

// record is one object as ONTAP shows it, nested like its JSON.
type record map[string]any

// rec makes a record of dotted names and values. It leaves out a nil value, as
// ONTAP leaves out a field without a value.
func rec(pairs ...any) record {
	out := record{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out.set(pairs[i].(string), pairs[i+1])
	}
	return out
}

func (r record) set(name string, value any) {
	if value == nil {
		return
	}
	head, tail, nested := strings.Cut(name, ".")
	if !nested {
		r[name] = value
		return
	}
	inner, ok := r[head].(record)
	if !ok {
		inner = record{}
		r[head] = inner
	}
	inner.set(tail, value)
}

// values are the values of a dotted name, as text: none, one, or those of a list.
func (r record) values(name string) []string {
	head, tail, nested := strings.Cut(name, ".")
	value, ok := r[head]
	if !ok {
		return nil
	}
	if !nested {
		return texts(value)
	}
	switch inner := value.(type) {
	case record:
		return inner.values(tail)
	case []record:
		var out []string
		for _, i := range inner {
			out = append(out, i.values(tail)...)
		}
		return out
	}
	return nil
}

func texts(value any) []string {
	switch v := value.(type) {
	case []string:
		return v
	case []int:
		var out []string
		for _, n := range v {
			out = append(out, fmt.Sprint(n))
		}
		return out
	case record, []record:
		return nil
	}
	return []string{fmt.Sprint(value)}
}

// pick copies the leaves for whose dotted names want is true, and every _links.
func (r record) pick(prefix string, want func(name string) bool) record {
	out := record{}
	for key, value := range r {
		name := strings.TrimPrefix(prefix+"."+key, ".")
		if key == "_links" {
			out[key] = value
			continue
		}
		switch inner := value.(type) {
		case record:
			if picked := inner.pick(name, want); len(picked) > 0 && !picked.onlyLinks() {
				out[key] = picked
			}
		case []record:
			list := []record{}
			for _, i := range inner {
				if picked := i.pick(name, want); len(picked) > 0 && !picked.onlyLinks() {
					list = append(list, picked)
				}
			}
			if len(list) > 0 || len(inner) == 0 && want(name) {
				out[key] = list
			}
		default:
			if want(name) {
				out[key] = value
			}
		}
	}
	return out
}

func (r record) onlyLinks() bool { return len(r) == 1 && r["_links"] != nil }

// selection is a parsed fields= of a query.
type selection struct {
	names     []string // asked for, each a leaf or an object
	not       []string // !x
	all       bool     // * or **
	expensive bool     // **
}

// parseFields reads fields=. An empty value means the default fields. It refuses
// an unknown field, or ignores it if the query says so.
func parseFields(s schema, value string, ignoreUnknown bool) (selection, error) {
	var sel selection
	names, err := expandBraces(value)
	if err != nil {
		return sel, fieldsError(value)
	}
	for _, name := range names {
		switch name = strings.TrimSpace(name); {
		case name == "":
		case name == "*":
			sel.all = true
		case name == "**":
			sel.all, sel.expensive = true, true
		default:
			bare := strings.TrimSuffix(strings.TrimPrefix(name, "!"), ".*")
			if s.kind(bare) == "" && !s.prefix(bare) && bare != "_links" {
				if ignoreUnknown {
					continue
				}
				return sel, fieldsError(bare)
			}
			if strings.HasPrefix(name, "!") {
				sel.not = append(sel.not, bare)
			} else {
				sel.names = append(sel.names, bare)
			}
		}
	}
	return sel, nil
}

func fieldsError(value string) *failure {
	return fail(400, "262197", "fields", "The value %q is invalid for field %q (<field,...>)", value, "fields")
}

// expandBraces turns svm{name,uuid},size into svm.name, svm.uuid, size.
func expandBraces(value string) ([]string, error) {
	var out []string
	var walk func(prefix, rest string, depth int) (string, error)
	walk = func(prefix, rest string, depth int) (string, error) {
		if depth > 10 {
			return "", fmt.Errorf("too deep")
		}
		for {
			end := strings.IndexAny(rest, ",{}")
			if end < 0 {
				if depth > 0 {
					return "", fmt.Errorf("unbalanced")
				}
				out = append(out, prefix+rest)
				return "", nil
			}
			name, sep := rest[:end], rest[end]
			rest = rest[end+1:]
			switch sep {
			case '{':
				var err error
				if rest, err = walk(prefix+name+".", rest, depth+1); err != nil {
					return "", err
				}
				rest = strings.TrimPrefix(rest, ",")
				if rest == "" && depth == 0 {
					return "", nil
				}
			case '}':
				if depth == 0 {
					return "", fmt.Errorf("unbalanced")
				}
				if name != "" {
					out = append(out, prefix+name)
				}
				return rest, nil
			default:
				out = append(out, prefix+name)
			}
		}
	}
	_, err := walk("", value, 0)
	return out, err
}

// wants says whether a leaf is shown, given the resource's default and
// expensive fields and those that the query filters by.
func (sel selection) wants(name string, defaults, expensive, filtered []string) bool {
	switch {
	case under(name, sel.not):
		return false
	case under(name, sel.names), under(name, defaults), under(name, filtered):
		return true
	case sel.all:
		return sel.expensive || !under(name, expensive)
	}
	return false
}

func under(name string, objects []string) bool {
	return slices.ContainsFunc(objects, func(o string) bool {
		return name == o || strings.HasPrefix(name, o) && name[len(o)] == '.'
	})
}

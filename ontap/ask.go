package ontap

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// where is a query that selects records: names and values in turn.
func where(pairs ...string) url.Values {
	query := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return query
}

// read sends a GET for records of type T. It asks for the fields that T has and
// for no others. Where the release refuses a field, read asks again without the
// field, and the client never asks for the field again.
func read[T, Answer any](ctx context.Context, c *Client, path string, query url.Values) (request, reply[Answer], error) {
	record := reflect.TypeFor[T]()
	for {
		r := request{method: http.MethodGet, path: path, query: url.Values{}}
		for name, values := range query {
			r.query[name] = values
		}
		names := c.refused.without(record, fieldsOf(record))
		if len(names) > 0 {
			r.query.Set("fields", strings.Join(names, ","))
		}
		got, err := do[Answer](ctx, c, r)
		if err == nil || !c.refused.learn(record, names, err) {
			return r, got, err
		}
	}
}

// fieldsOf are the dotted names of what a record of type t reads, as ONTAP's
// query "fields" takes them. A list has one name, however its elements look.
func fieldsOf(t reflect.Type) []string {
	var out []string
	eachLeaf(t, nil, func(path []string, _ reflect.Type) { out = append(out, strings.Join(path, ".")) })
	return out
}

// eachLeaf visits the fields of t that are no objects of other fields.
func eachLeaf(t reflect.Type, above []string, visit func(path []string, leaf reflect.Type)) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			eachLeaf(f.Type, above, visit)
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		path := append(slices.Clone(above), name)
		if object := f.Type; isObject(object) {
			eachLeaf(object, path, visit)
		} else if object.Kind() == reflect.Pointer && isObject(object.Elem()) {
			eachLeaf(object.Elem(), path, visit)
		} else {
			visit(path, object)
		}
	}
}

func isObject(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]() && !reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// refusals are the fields that this cluster's release does not have, by the type
// of the record.
type refusals struct {
	mu     sync.Mutex // guards fields; held across nothing
	fields map[reflect.Type][]string
}

func (r *refusals) without(record reflect.Type, names []string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(r.fields[record], n) })
}

// learn says whether err refuses some of the names, and remembers them. ONTAP
// quotes the field in its message. If the message names none of ours, the fields
// that the oldest supported release lacks are given up.
func (r *refusals) learn(record reflect.Type, names []string, err error) bool {
	var e *Error
	if !errors.As(err, &e) || e.HTTP != http.StatusBadRequest || e.Target != "fields" {
		return false
	}
	named := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !mentions(e.Message, n) })
	if len(named) == 0 {
		named = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !newer(record, n) })
	}
	if len(named) == 0 {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fields[record] = append(r.fields[record], named...)
	return true
}

// mentions says whether a message quotes a field, or an object above the field.
func mentions(message, field string) bool {
	for name := field; ; {
		if strings.Contains(message, `"`+name+`"`) {
			return true
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			return false
		}
		name = name[:dot]
	}
}

// decode reads a record. A value that does not fit its field loses the record only
// where the field is always needed: an optional field (a pointer) stays nil, which
// means "not told". The error names the field that does not fit.
func decode[T any](raw json.RawMessage, out *T) error {
	first := json.Unmarshal(raw, out)
	if first == nil || reflect.TypeFor[T]().Kind() != reflect.Struct {
		return first
	}
	var object map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	if decoder.Decode(&object) != nil {
		return first
	}
	var bad error
	dropped := false
	eachLeaf(reflect.TypeFor[T](), nil, func(path []string, leaf reflect.Type) {
		parent, value, found := lookUp(object, path)
		if !found || fits(value, leaf) {
			return
		}
		if leaf.Kind() == reflect.Pointer {
			delete(parent, path[len(path)-1])
			dropped = true
			return
		}
		if bad == nil {
			bad = &misfit{field: strings.Join(path, "."), value: value}
		}
	})
	if bad != nil || !dropped {
		return or(bad, first)
	}
	mended, err := json.Marshal(object)
	if err != nil {
		return first
	}
	var again T
	if err := json.Unmarshal(mended, &again); err != nil {
		return err
	}
	*out = again
	return nil
}

// lookUp finds a value and the object that holds the value.
func lookUp(object map[string]any, path []string) (parent map[string]any, value any, found bool) {
	for _, name := range path[:len(path)-1] {
		below, ok := object[name].(map[string]any)
		if !ok {
			return nil, nil, false
		}
		object = below
	}
	value, found = object[path[len(path)-1]]
	return object, value, found
}

func fits(value any, leaf reflect.Type) bool {
	raw, err := json.Marshal(value)
	return err == nil && json.Unmarshal(raw, reflect.New(leaf).Interface()) == nil
}

// misfit is a value that does not fit the field that reads the value.
type misfit struct {
	field string
	value any
}

func (m *misfit) Error() string { return describe(m) }

// kind is what the value is in JSON.
func (m *misfit) kind() string {
	switch m.value.(type) {
	case string:
		return "string"
	case json.Number:
		return "number"
	case bool:
		return "bool"
	case map[string]any:
		return "object"
	case []any:
		return "array"
	}
	return "null"
}

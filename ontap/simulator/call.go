package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 1 << 20

// call is one request on its way through the simulator.
type call struct {
	*http.Request
	template string // e.g. /storage/volumes/{uuid}
	vars     map[string]string
	query    url.Values
	header   http.Header // of the answer
	status   int         // of the answer, 200 unless the handler says otherwise
	note     string      // for the log
	job      *Fault      // what shall happen to the job of this call
	pageSize int         // records on a page at most; 0 is no limit but the query's

	user    user                   // who asks; the zero value is the cluster's administrator
	schemas map[string]schema      // of the release; nil is all of them
	plays   func(span string) bool // says whether the release has what came with another
}

// body decodes a JSON object and checks it against the documented fields. It
// refuses an unknown field, a field that no body may set, and a value of another
// type.
func (r *call) body(schemaName string) (record, error) {
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil || len(raw) > maxBody {
		return nil, fail(http.StatusBadRequest, "262201", "", "Invalid JSON input, an unknown format was provided.")
	}
	var tree map[string]any
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil || tree == nil {
		return nil, fail(http.StatusBadRequest, "262199", "", "Invalid JSON input at byte %d.", decoder.InputOffset())
	}
	if err := checkBody(r.schema(schemaName), "", tree); err != nil {
		return nil, err
	}
	return toRecord(tree), nil
}

func checkBody(s schema, prefix string, tree map[string]any) error {
	for _, key := range slices.Sorted(maps.Keys(tree)) {
		name := strings.TrimPrefix(prefix+"."+key, ".")
		if inner, ok := tree[key].(map[string]any); ok && (s.prefix(name) || s.kind(name) != "" && len(inner) > 0) {
			// Of an object where there is only a value, each member is unknown.
			if err := checkBody(s, name, inner); err != nil {
				return err
			}
			continue
		}
		if list, ok := tree[key].([]any); ok && s.prefix(name) {
			for _, item := range list {
				inner, ok := item.(map[string]any)
				if !ok {
					return invalid(fmt.Sprint(item), name)
				}
				if err := checkBody(s, name, inner); err != nil {
					return err
				}
			}
			continue
		}
		if err := checkValue(s, name, tree[key]); err != nil {
			return err
		}
	}
	return nil
}

func checkValue(s schema, name string, value any) error {
	var ok bool
	switch s.kind(name) {
	case "":
		return unexpected(name)
	case "string":
		_, ok = value.(string)
	case "boolean":
		_, ok = value.(bool)
	case "integer", "number":
		var number json.Number
		if number, ok = value.(json.Number); ok && s.kind(name) == "integer" {
			_, err := number.Int64()
			ok = err == nil
		}
	case "array":
		_, ok = value.([]any)
	}
	if !ok {
		return invalid(fmt.Sprint(value), name)
	}
	if !s.settable(name) {
		return fail(http.StatusBadRequest, "262196", name, "Field %q cannot be set in this operation.", name)
	}
	return nil
}

// toRecord nests a checked body. To ONTAP "svm.name" means the same as an object.
func toRecord(tree map[string]any) record {
	out := record{}
	for key, value := range tree {
		switch v := value.(type) {
		case map[string]any:
			inner := toRecord(v)
			for name := range inner {
				out.set(key+"."+name, inner[name])
			}
		case []any:
			var objects []record
			scalars := []string{}
			for _, item := range v {
				if inner, ok := item.(map[string]any); ok {
					objects = append(objects, toRecord(inner))
				} else {
					scalars = append(scalars, fmt.Sprint(item))
				}
			}
			if objects != nil {
				out.set(key, objects)
			} else {
				out.set(key, scalars)
			}
		default:
			out.set(key, value)
		}
	}
	return out
}

// text is a string member of a body, "" if it is absent.
func (r record) text(name string) string { return strings.Join(r.values(name), ",") }

// has says whether a body has a member.
func (r record) has(name string) bool {
	head, tail, nested := strings.Cut(name, ".")
	value, ok := r[head]
	if !nested || !ok {
		return ok
	}
	inner, ok := value.(record)
	return ok && inner.has(tail)
}

// waits is how long a change waits for its job.
func (r *call) waits() (time.Duration, error) {
	value := r.query.Get("return_timeout")
	if value == "" {
		return 0, nil
	}
	n, err := timeout(value)
	return time.Duration(n) * time.Second, err
}

// onlyQuery refuses all query parameters of a change but the standard ones and
// those in names.
func (r *call) onlyQuery(names ...string) error {
	for _, name := range slices.Sorted(mapsKeys(r.query)) {
		value := r.query.Get(name)
		switch {
		case len(r.query[name]) > 1:
			return fail(http.StatusBadRequest, "262188", name, "Field %q was specified twice (to %q and %q).", name, r.query[name][0], r.query[name][1])
		case name == "return_timeout":
			if _, err := timeout(value); err != nil {
				return err
			}
		case name == "return_records":
			if err := boolean(name, value); err != nil {
				return err
			}
		case !slices.Contains(names, name) || !r.knows(name):
			return unexpected(name)
		}
	}
	return nil
}

func mapsKeys(v url.Values) iter.Seq[string] { return maps.Keys(v) }

package simulator

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// collection is a resource: its records, and the rules by which ONTAP shows them.
type collection struct {
	schema    string   // its name in fields.json
	key       string   // the leaf that identifies a record
	defaults  []string // shown without fields=, besides the key
	expensive []string // shown only by name or with **
	records   []record
	self      func(record) string // its href, nil if it has none
	top       record              // further members of the answer
}

// list answers GET on a collection.
func (c collection) list(r *call) (any, error) {
	q, err := c.parse(r)
	if err != nil {
		return nil, err
	}
	return c.answer(r, q), nil
}

// query is a parsed query string.
type query struct {
	fields  selection
	schema  schema // what the release documents
	user    user   // who asks
	filters []filter
	order   []order
	max     int
	start   string // key of the first record to show
	offset  int
	count   bool // return_records=false
}

// order is one field of order_by.
type order struct {
	field string
	down  bool
}

func (c collection) parse(r *call) (q query, err error) {
	s := r.schema(c.schema)
	q = query{max: 10000, schema: s, user: r.user}
	if r.pageSize > 0 {
		defer func() { q.max = min(q.max, r.pageSize) }()
	}
	ignore := r.query.Get("ignore_unknown_fields") == "true"
	for _, name := range slices.Sorted(mapsKeys(r.query)) {
		values := r.query[name]
		if len(values) > 1 {
			return q, fail(http.StatusBadRequest, "262188", name, "Field %q was specified twice (to %q and %q).", name, values[0], values[1])
		}
		var err error
		switch value := values[0]; name {
		case "fields":
			q.fields, err = parseFields(s, value, ignore)
		case "order_by":
			err = q.orderBy(value)
		case "max_records":
			if q.max, err = strconv.Atoi(value); err != nil || q.max < 1 {
				err = invalid(value, name)
			}
		case "offset":
			if q.offset, err = strconv.Atoi(value); err != nil || q.offset < 0 {
				err = invalid(value, name)
			}
		case "return_timeout":
			_, err = timeout(value)
		case "return_records":
			q.count, err = value == "false", boolean(name, value)
		case "ignore_unknown_fields":
			err = boolean(name, value)
		case "start." + c.key:
			q.start = value
		default:
			var f filter
			kind := s.kind(name)
			if kind == "" && (!slices.Contains(s.Query[r.Method], name) || !r.knows(name)) {
				err = unexpected(name)
			} else if kind != "" {
				if f, err = parseFilter(name, kind, value); err == nil {
					q.filters = append(q.filters, f)
				}
			}
		}
		if err != nil {
			return q, err
		}
	}
	return q, nil
}

// orderBy reads a list like "svm.name desc,size".
func (q *query) orderBy(value string) error {
	for _, part := range strings.Split(value, ",") {
		field, direction, _ := strings.Cut(strings.TrimSpace(part), " ")
		if q.schema.kind(field) == "" || direction != "" && direction != "asc" && direction != "desc" {
			return invalid(part, "order_by")
		}
		q.order = append(q.order, order{field, direction == "desc"})
	}
	return nil
}

// selected are the records that pass the filters, in order.
func (c collection) selected(q query) []record {
	out := slices.DeleteFunc(slices.Clone(c.records), func(r record) bool {
		return !q.user.sees(c.schema, r) || slices.ContainsFunc(q.filters, func(f filter) bool { return !f.match(r.values(f.field)) })
	})
	by := q.order
	if len(by) == 0 {
		by = []order{{field: c.key}}
	}
	slices.SortStableFunc(out, func(a, b record) int {
		for _, o := range by {
			n := compare(strings.Join(a.values(o.field), ","), strings.Join(b.values(o.field), ","), q.schema.kind(o.field))
			if n != 0 && o.down {
				return -n
			} else if n != 0 {
				return n
			}
		}
		return 0
	})
	return out
}

func (c collection) answer(r *call, q query) any {
	found := c.selected(q)
	first := min(q.offset, len(found))
	if q.start != "" {
		kind := q.schema.kind(c.key)
		first = slices.IndexFunc(found, func(x record) bool { return compare(strings.Join(x.values(c.key), ","), q.start, kind) >= 0 })
		if first < 0 {
			first = len(found)
		}
	}
	page := found[first:]
	links := record{"self": record{"href": r.URL.RequestURI()}}
	if len(page) > q.max {
		next := url.Values{}
		for name, values := range r.query {
			next[name] = values
		}
		next.Del("offset")
		next.Del("start." + c.key)
		if len(q.order) == 0 {
			next.Set("start."+c.key, strings.Join(page[q.max].values(c.key), ","))
		} else {
			next.Set("offset", strconv.Itoa(first+q.max))
		}
		href := r.URL.EscapedPath() + "?" + next.Encode()
		links["next"] = record{"href": href}
		r.header.Set("Link", "<"+href+`>; rel="next"`)
		page = page[:q.max]
	}
	out := record{"num_records": len(page), "_links": links}
	for name, value := range c.top {
		out[name] = value
	}
	if q.count {
		delete(links, "next")
		out["num_records"] = len(found)
		return out
	}
	records := make([]record, 0, len(page))
	for _, x := range page {
		records = append(records, c.show(x, q))
	}
	out["records"] = records
	return out
}

// show is a record with the fields that the query asks for.
func (c collection) show(x record, q query) record {
	defaults := append([]string{c.key}, c.defaults...)
	var filtered []string
	for _, f := range q.filters {
		filtered = append(filtered, f.field)
	}
	out := x.pick("", func(name string) bool {
		return q.fields.wants(name, defaults, c.expensive, filtered) && !q.schema.lacks(c.schema, name)
	})
	if c.self != nil {
		out["_links"] = record{"self": record{"href": c.self(x)}}
	}
	return out
}

// one answers GET on a record, all of whose cheap fields are shown without fields=.
func (c collection) one(r *call, key string) (any, error) {
	q, err := c.parse(r)
	if err != nil {
		return nil, err
	}
	if len(q.fields.names) == 0 {
		q.fields.all = true
	}
	for _, x := range c.records {
		if strings.Join(x.values(c.key), ",") == key && q.user.sees(c.schema, x) {
			return c.show(x, q), nil
		}
	}
	return nil, entryNotFound(c.key)
}

// boolean checks a parameter that is true or false.
func boolean(name, value string) error {
	if value != "true" && value != "false" {
		return invalid(value, name)
	}
	return nil
}

// timeout reads return_timeout, in seconds from 0 to 120.
func timeout(value string) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < 0 || n > 120 {
		return 0, invalid(value, "return_timeout")
	}
	return n, nil
}

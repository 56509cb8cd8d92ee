package simulator

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
)

// batched are the parameters of a change to a collection, besides the filters.
var batched = []string{"continue_on_failure", "serial_records"}

// each does one change to all records that a query selects: PATCH and DELETE on a
// collection. vars are the path's variables of a record, and do is the change of
// one. As in ONTAP, a query without a filter is refused. The first failure ends
// it, unless continue_on_failure is true.
func (c collection) each(r *call, vars func(record) map[string]string, do handler) (any, error) {
	goOn := r.query.Get("continue_on_failure") == "true"
	asked := maps.Clone(r.query)
	for _, name := range batched {
		if value := asked.Get(name); value != "" {
			if err := boolean(name, value); err != nil {
				return nil, err
			}
		}
		asked.Del(name)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return nil, err
	}
	whole := *r
	whole.query = asked
	q, err := c.parse(&whole)
	if err != nil {
		return nil, err
	}
	if len(q.filters) == 0 {
		return nil, fail(http.StatusBadRequest, "262255", "", "%s on a collection needs a query.", r.Method)
	}
	done := 0
	var first error
	for _, x := range c.selected(q) {
		one := *r
		one.Request = r.Clone(r.Context())
		one.Body = io.NopCloser(bytes.NewReader(body))
		one.vars, one.header = vars(x), http.Header{}
		one.query = url.Values{"return_timeout": {"15"}}
		switch _, err := do(&one); {
		case err == nil:
			done++
		case !goOn:
			return nil, err
		case first == nil:
			first = err
		}
	}
	if first != nil {
		return nil, first
	}
	return record{"num_records": done}, nil
}

// byUUID are the path's variables of a record with a uuid.
func byUUID(x record) map[string]string { return map[string]string{"uuid": x.text("uuid")} }

// startMaking starts the job of a POST; return_records=true wants the record too.
func startMaking(s *Simulator, r *call, location string, x record, do func() error) (any, error) {
	answer, err := s.start(r, location, do)
	if out, ok := answer.(record); ok && r.query.Get("return_records") == "true" {
		out["num_records"] = 1
		out["records"] = []record{x}
	}
	return answer, err
}

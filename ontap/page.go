package ontap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Bounds of a listing. A FlexVol has at most 1023 snapshots, an SVM at most some
// thousand volumes, and all clients together some ten thousand locks.
const (
	maxPages   = 1000
	maxRecords = 100_000
	maxRecord  = 256 << 10 // bytes of one record
	maxPage    = 10_000    // records of one answer: as many as ONTAP gives unasked
)

// links is the HAL part of an answer.
type links struct {
	Next *struct {
		Href string `json:"href"`
	} `json:"next"`
}

// page is one answer of a collection.
type page[T any] struct {
	Records    elements[T] `json:"records"`
	NumRecords count       `json:"num_records"`
	Links      links       `json:"_links"`
}

// element is a record of a page. It reads the record by decode, so that a value
// that does not fit an optional field does not lose the page.
type element[T any] struct{ record T }

// UnmarshalJSON reads the record.
func (e *element[T]) UnmarshalJSON(raw []byte) error {
	if len(raw) > maxRecord {
		return fmt.Errorf("a record of %d bytes", len(raw))
	}
	return decode(raw, &e.record)
}

// elements are the records of a page. They are read one by one, since "{}" is much
// larger in memory.
type elements[T any] []element[T]

// UnmarshalJSON reads the records.
func (e *elements[T]) UnmarshalJSON(raw []byte) error {
	records := json.NewDecoder(bytes.NewReader(raw))
	if start, err := records.Token(); err != nil || start != json.Delim('[') {
		var none []struct{}
		return json.Unmarshal(raw, &none) // the error that says what it is; or null
	}
	*e = elements[T]{}
	for records.More() {
		if len(*e) == maxPage {
			return fmt.Errorf("more than %d records", maxPage)
		}
		var one element[T]
		if err := records.Decode(&one); err != nil {
			return err
		}
		*e = append(*e, one)
	}
	return nil
}

// count is a number that only a check reads. What is no number is not told.
type count struct {
	n    int
	told bool
}

// UnmarshalJSON never fails.
func (c *count) UnmarshalJSON(b []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(b), `"`))
	*c = count{n: n, told: err == nil}
	return nil
}

// list reads all pages of a collection. An empty page may have a next link:
// after return_timeout ONTAP answers with the records that it has found by then.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	began := c.now()
	r, got, err := read[T, page[T]](ctx, c, path, query)
	var all []T
	seen := map[string]bool{}
	for range maxPages {
		if err != nil {
			return nil, err
		}
		if got.body.Records == nil {
			return nil, broken(r, got.status, "answer has no records, not even an empty list", nil)
		}
		if len(all)+len(got.body.Records) > maxRecords {
			return nil, broken(r, got.status, fmt.Sprintf("a listing of more than %d records", maxRecords), nil)
		}
		if took := c.now().Sub(began); took > c.patience {
			return nil, broken(r, got.status, fmt.Sprintf("the listing does not end: %d records in %s", len(all), took.Round(time.Second)), nil)
		}
		if n := got.body.NumRecords; n.told && n.n != len(got.body.Records) {
			return nil, broken(r, got.status, fmt.Sprintf("answer says %d records and has %d", n.n, len(got.body.Records)), nil)
		}
		for _, e := range got.body.Records {
			all = append(all, e.record)
		}
		next := got.body.Links.Next
		if next == nil || next.Href == "" {
			return all, nil
		}
		if seen[next.Href] && len(got.body.Records) > 0 {
			return nil, broken(r, got.status, "pages go in circles", nil)
		}
		seen[next.Href] = true
		if r, err = follow(r, next.Href); err != nil {
			return nil, err
		}
		got, err = do[page[T]](ctx, c, r)
	}
	return nil, broken(r, http.StatusOK, "too many pages", nil)
}

// follow makes the request for a next link. It takes the query alone from the
// link: a link to another host would get the password.
func follow(r request, href string) (request, error) {
	u, err := url.Parse(href)
	if err != nil || u.Scheme != "" || u.Host != "" || u.EscapedPath() != "/api"+r.path {
		return r, broken(r, http.StatusOK, "next link leads to another place", nil)
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return r, broken(r, http.StatusOK, "next link has a broken query", nil)
	}
	r.query = query
	return r, nil
}

// get reads one record.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	_, got, err := read[T, element[T]](ctx, c, path, query)
	return got.body.record, err
}

// getBy is get of a record by its uuid, which stands in the path too.
func getBy[T any](ctx context.Context, c *Client, path, uuid string, of func(T) string) (T, error) {
	got, err := get[T](ctx, c, path, nil)
	if err != nil {
		return got, err
	}
	return asked(got, path, uuid, func(t T) bool { return of(t) == uuid || of(t) == "" }) // or it is not told
}

// only returns the one record of a listing. Another number of records is an
// Error that names the object, and so is another object than was asked for.
func only[T any](records []T, path, what string, is func(T) bool) (T, error) {
	var zero T
	switch len(records) {
	case 1:
		return asked(records[0], path, what, is)
	case 0:
		return zero, &Error{Op: "GET " + path, HTTP: http.StatusOK, Message: what + " does not exist", err: fs.ErrNotExist}
	}
	return zero, &Error{Op: "GET " + path, HTTP: http.StatusOK, Message: fmt.Sprintf("%s is there %d times", what, len(records))}
}

// asked returns a record if it is the one that was asked for.
func asked[T any](record T, path, what string, is func(T) bool) (T, error) {
	if !is(record) {
		var zero T
		return zero, &Error{Op: "GET " + path, HTTP: http.StatusOK, Message: "the answer is about another object than " + what}
	}
	return record, nil
}

// exactly quotes a query value, so that ONTAP reads no wildcard, range,
// alternative or negation in it.
func exactly(value string) string {
	if strings.ContainsAny(value, `*|!<>.{}", \`) || value == "null" {
		return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
	}
	return value
}

// segment escapes a value for one path segment. A dot is escaped too, so that
// no server resolves "..": DELETE .../files/.. would delete the volume.
func segment(value string) string {
	return strings.ReplaceAll(url.PathEscape(value), ".", "%2E")
}

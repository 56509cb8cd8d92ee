package ontap

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// maxPages bounds a listing. A FlexVol has at most 1023 snapshots and a page has
// at least one record, so a longer listing goes in circles.
const maxPages = 10_000

// links is the HAL part of an answer.
type links struct {
	Next *struct {
		Href string `json:"href"`
	} `json:"next"`
}

// page is one answer of a collection.
type page[T any] struct {
	Records    []element[T] `json:"records"`
	NumRecords count        `json:"num_records"`
	Links      links        `json:"_links"`
}

// element is a record of a page. It reads the record by decode, so that a value
// that does not fit an optional field does not lose the page.
type element[T any] struct{ record T }

// UnmarshalJSON reads the record.
func (e *element[T]) UnmarshalJSON(raw []byte) error { return decode(raw, &e.record) }

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
	r, got, err := read[T, page[T]](ctx, c, path, query)
	var all []T
	seen := map[string]bool{}
	for range maxPages {
		if err != nil {
			return nil, err
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

// only returns the one record of a listing. Another number of records is an
// Error that names the object.
func only[T any](records []T, path, what string) (T, error) {
	var zero T
	switch len(records) {
	case 1:
		return records[0], nil
	case 0:
		return zero, &Error{Op: "GET " + path, HTTP: http.StatusOK, Message: what + " does not exist", err: fs.ErrNotExist}
	}
	return zero, &Error{Op: "GET " + path, HTTP: http.StatusOK, Message: fmt.Sprintf("%s is there %d times", what, len(records))}
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

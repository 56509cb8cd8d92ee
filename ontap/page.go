package ontap

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
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
	Records    []T   `json:"records"`
	NumRecords *int  `json:"num_records"`
	Links      links `json:"_links"`
}

// list reads all pages of a collection. An empty page may have a next link:
// after return_timeout ONTAP answers with the records that it has found by then.
func list[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	r := request{method: http.MethodGet, path: path, query: query}
	var all []T
	seen := map[string]bool{}
	for range maxPages {
		got, err := do[page[T]](ctx, c, r)
		if err != nil {
			return nil, err
		}
		if n := got.body.NumRecords; n != nil && *n != len(got.body.Records) {
			return nil, broken(r, got.status, fmt.Sprintf("answer says %d records and has %d", *n, len(got.body.Records)), nil)
		}
		all = append(all, got.body.Records...)
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
	got, err := do[T](ctx, c, request{method: http.MethodGet, path: path, query: query})
	return got.body, err
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

// fields is a query for the named fields.
func fields(names string, more ...string) url.Values {
	query := url.Values{"fields": {names}}
	for i := 0; i+1 < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return query
}

package ontap_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap/internal/reference"
)

// spec is the reference as OpenAPI 3, nil where there is none; it is parsed
// once per test binary.
func spec(t testing.TB) *openapi3.T {
	raw, ok := reference.Find(t)
	if !ok {
		return nil
	}
	parse.Do(func() {
		var doc openapi2.T
		if parseErr = json.Unmarshal(raw, &doc); parseErr == nil {
			parsed, parseErr = openapi2conv.ToV3(&doc)
		}
	})
	require.NoError(t, parseErr)
	return parsed
}

var (
	parse    sync.Once
	parsed   *openapi3.T
	parseErr error
)

// TestReferenceIsThere says, by being skipped, that nothing was validated.
func TestReferenceIsThere(t *testing.T) {
	reference.Bytes(t)
	require.NotNil(t, spec(t).Paths)
}

// validator checks every exchange that passes through it against the reference.
type validator struct {
	t     testing.TB
	doc   *openapi3.T // nil: nothing is checked
	inner http.Handler

	// broken says that answers are spoiled on purpose and not to be judged.
	broken func() bool

	mu     sync.Mutex    // guards record
	record *bytes.Buffer // if set, every exchange is written there
}

// unlisted are paths that we play and the reference lacks.
var unlisted = []string{"/svm/peers", "/snapmirror/relationships"}

// unlistedBelow are the beginnings of more such paths.
var unlistedBelow = []string{"/protocols/locks/", "/snapmirror/relationships/"}

func (v *validator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		v.t.Errorf("read request: %v", err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	copied := r.Clone(context.Background())
	recorder := httptest.NewRecorder()
	// A dropped connection is a panic of the handler and passes through here.
	v.inner.ServeHTTP(recorder, r)
	for name, values := range recorder.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(recorder.Code)
	_, _ = w.Write(recorder.Body.Bytes())
	v.mu.Lock()
	if v.record != nil {
		fmt.Fprintf(v.record, "> %s %s\n", copied.Method, copied.RequestURI)
		if len(body) > 0 {
			fmt.Fprintf(v.record, "> %s\n", body)
		}
		fmt.Fprintf(v.record, "< %d\n%s\n", recorder.Code, strings.TrimSpace(scrub(recorder.Body.String())))
	}
	v.mu.Unlock()
	if v.doc == nil || v.broken() {
		return
	}
	if err := v.check(copied, body, recorder.Code, recorder.Body.Bytes()); err != nil {
		v.t.Errorf("%s %s: %v\nanswer: %d %s", r.Method, r.RequestURI, err, recorder.Code, recorder.Body)
	}
}

func (v *validator) check(r *http.Request, body []byte, status int, answer []byte) error {
	path, ok := strings.CutPrefix(strings.TrimSuffix(r.URL.EscapedPath(), "/"), "/api")
	if !ok || slices.Contains(unlisted, path) || slices.ContainsFunc(unlistedBelow, func(p string) bool { return strings.HasPrefix(path, p) }) || r.Method == http.MethodOptions || r.Method == http.MethodHead {
		return nil
	}
	template, item, params := v.find(path)
	if item == nil || item.Operations()[r.Method] == nil {
		if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
			return v.envelope(answer)
		}
		return fmt.Errorf("is not in the reference")
	}
	operation := item.GetOperation(r.Method)
	if status < 400 { // what was refused need not be right
		if err := checkRequest(v.doc, r, body, template, item, operation, params); err != nil {
			return fmt.Errorf("request: %w", err)
		}
	}
	response := operation.Responses.Status(status)
	if response == nil {
		if status < 400 {
			return fmt.Errorf("status %d is not documented", status)
		}
		return v.envelope(answer)
	}
	for _, content := range response.Value.Content {
		return checkJSON(content.Schema, answer, "answer")
	}
	return nil // documented without a body
}

// envelope checks an error's shape, which is the same for all operations.
func (v *validator) envelope(answer []byte) error {
	return checkJSON(v.doc.Components.Schemas["error_response"], answer, "error")
}

func (v *validator) find(path string) (string, *openapi3.PathItem, map[string]string) {
	have := strings.Split(path, "/")
next:
	for template, item := range v.doc.Paths.Map() {
		want := strings.Split(template, "/")
		if len(want) != len(have) {
			continue
		}
		params := map[string]string{}
		for i, w := range want {
			if name, ok := strings.CutPrefix(w, "{"); ok {
				params[strings.TrimSuffix(name, "}")], _ = url.PathUnescape(have[i])
			} else if w != have[i] {
				continue next
			}
		}
		return template, item, params
	}
	return "", nil, nil
}

func checkRequest(doc *openapi3.T, r *http.Request, body []byte, template string, item *openapi3.PathItem, operation *openapi3.Operation, params map[string]string) error {
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params,
		Route: &routers.Route{Spec: doc, Path: template, PathItem: item, Method: r.Method, Operation: operation}}
	declared := map[string]bool{}
	for _, p := range operation.Parameters {
		declared[p.Value.Name] = true
		if p.Value.In != "query" || r.URL.Query().Has(p.Value.Name) {
			if err := openapi3filter.ValidateParameter(r.Context(), input, p.Value); err != nil && !compares(r, p.Value) {
				return err
			}
		}
	}
	for name := range r.URL.Query() {
		if !declared[name] && !strings.HasPrefix(name, "start.") && name != "offset" && name != "ignore_unknown_fields" {
			return fmt.Errorf("query parameter %s is not documented", name)
		}
	}
	if len(body) == 0 {
		return nil
	}
	if operation.RequestBody == nil {
		return fmt.Errorf("body where none is documented")
	}
	for _, content := range operation.RequestBody.Value.Content {
		return checkJSON(content.Schema, body, "body")
	}
	return nil
}

// compares says that a value is an expression and not of the field's type, as
// in size=>100, or empty, as clients send fields= and ONTAP takes it.
func compares(r *http.Request, p *openapi3.Parameter) bool {
	value := r.URL.Query().Get(p.Name)
	return p.In == "query" && (value == "" || strings.ContainsAny(value, "<>*|!."))
}

// checkJSON validates types, formats and enumerations, and that no member is undocumented.
func checkJSON(schema *openapi3.SchemaRef, raw []byte, what string) error {
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if err := schema.Value.VisitJSON(value, openapi3.EnableFormatValidation()); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if unknown := undocumented(schema, value, ""); len(unknown) > 0 {
		return fmt.Errorf("%s: members not documented: %v", what, unknown)
	}
	return nil
}

// member is the schema of a member; ONTAP takes dotted names too.
func member(schema *openapi3.SchemaRef, name string) *openapi3.SchemaRef {
	head, tail, dotted := strings.Cut(name, ".")
	property := schema.Value.Properties[head]
	if property == nil || !dotted {
		return property
	}
	return member(property, tail)
}

func undocumented(schema *openapi3.SchemaRef, value any, at string) []string {
	var out []string
	switch v := value.(type) {
	case map[string]any:
		if len(schema.Value.Properties) == 0 {
			return nil
		}
		for name, inner := range v {
			// The reference leaves _links out of some records, ONTAP does not;
			// it has services of an interface as a filter only, and of
			// directory-restore no 202 answer that names the job.
			property := member(schema, name)
			if property != nil {
				out = append(out, undocumented(property, inner, at+"."+name)...)
			} else if !slices.Contains([]string{"._links", ".services", ".job"}, "."+name) {
				out = append(out, at+"."+name)
			}
		}
	case []any:
		for _, inner := range v {
			if schema.Value.Items != nil {
				out = append(out, undocumented(schema.Value.Items, inner, at+"[]")...)
			}
		}
	}
	return out
}

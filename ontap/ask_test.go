package ontap

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// records are all types that a GET of this package reads.
var records = []reflect.Type{
	reflect.TypeFor[Cluster](), reflect.TypeFor[jobRecord](), reflect.TypeFor[scopedSchedule](), reflect.TypeFor[SVM](),
	reflect.TypeFor[Interface](), reflect.TypeFor[Volume](), reflect.TypeFor[mounted](), reflect.TypeFor[Snapshot](),
	reflect.TypeFor[SnapshotPolicy](), reflect.TypeFor[Qtree](), reflect.TypeFor[QuotaReport](), reflect.TypeFor[counted](),
	reflect.TypeFor[relationship](), reflect.TypeFor[destination](), reflect.TypeFor[Lock](), reflect.TypeFor[NFSService](),
	reflect.TypeFor[ExportRule](), reflect.TypeFor[Identity](),
}

func TestFieldsAreThoseOfTheType(t *testing.T) {
	require.Equal(t, []string{"name", "uuid", "enabled", "svm.name", "svm.uuid", "copies"}, fieldsOf(reflect.TypeFor[SnapshotPolicy]()))
	require.Equal(t, []string{"name", "is_junction", "analytics.bytes_used", "analytics.file_count", "analytics.incomplete_data"}, fieldsOf(reflect.TypeFor[counted]()))
}

// TestSinceHasARowForEachField also finds rows without a field, and optional fields
// that are no pointers.
func TestSinceHasARowForEachField(t *testing.T) {
	for _, record := range records {
		var rows []string
		for _, f := range fieldFacts[record.Name()] {
			rows = append(rows, strings.Fields(f.fields)...)
			require.NotEmpty(t, f.Source)
			require.Equal(t, 9, f.Version().Generation, "%s %v", record.Name(), f)
		}
		require.ElementsMatch(t, fieldsOf(record), rows, record.Name())
		if record == reflect.TypeFor[Identity]() {
			continue // the call itself is new; without it there is no record
		}
		eachLeaf(record, nil, func(path []string, leaf reflect.Type) {
			if newer(record, strings.Join(path, ".")) {
				require.Equal(t, reflect.Pointer, leaf.Kind(), "%s.%s may be absent: a pointer", record.Name(), strings.Join(path, "."))
			}
		})
	}
	require.Len(t, fieldFacts, len(records))
}

// TestSinceAgreesWithTheComments compares the table of calls with the comment of
// each method, which names its endpoint and the release.
func TestSinceAgreesWithTheComments(t *testing.T) {
	named := regexp.MustCompile(`(GET|POST|PATCH|DELETE|OPTIONS) (/[^\s,;)]+?)(\?[^\s,;)]*)?(, (9\.\d+(?:\.\d+)?)|[,;) ])`)
	said := map[string]string{}
	for _, file := range sources(t, ".") {
		for _, d := range file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Doc == nil || f.Recv == nil {
				continue
			}
			text := strings.ReplaceAll(f.Doc.Text(), "\n", " ")
			for _, m := range named.FindAllStringSubmatch(text, -1) {
				if call := m[1] + " " + m[2]; said[call] == "" {
					said[call] = m[5]
				}
			}
		}
	}
	for _, c := range Calls() {
		call := c.Method + " " + c.Path
		release, ok := said[call]
		require.True(t, ok, "no comment names %s", call)
		if release != "" {
			require.Equal(t, c.Release, release, call)
		}
		delete(said, call)
	}
	require.Empty(t, said, "calls without a row")
}

func sources(t *testing.T, dir string) []*ast.File {
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	var out []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		require.NoError(t, err)
		out = append(out, f)
	}
	return out
}

// unread are the fields of the calls that no code of berth makes yet: QtreeList
// and QuotaReportList. A call without a caller asks the filer nothing.
var unread = []string{"quotaUsage.Used", "quotaUsage.HardLimit", "quotaUsage.SoftLimit", "quotaUsage.Total",
	"QuotaReport.Qtree", "QuotaReport.Space", "QuotaReport.Files", "Qtree.Name"}

// TestEveryFieldIsRead finds fields that we ask of the filer and that no code of
// berth reads, tests and the simulator aside. A filer may refuse such a field, or
// pay dearly for it, and nobody would miss it. It type-checks the module.
func TestEveryFieldIsRead(t *testing.T) {
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}\t{{.Dir}}\t{{join .GoFiles \" \"}}", "./...")
	list.Dir = ".."
	out, err := list.Output()
	require.NoError(t, err)
	exports := map[string]string{}
	var ours [][]string
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), "\t")
		exports[f[0]] = f[1]
		if strings.HasPrefix(f[0], "github.com/casit/berth") && len(f) == 4 && !strings.Contains(f[0], "/simulator") && !strings.Contains(f[0], "ontap-simulator") {
			ours = append(ours, f)
		}
	}
	fset := token.NewFileSet()
	read := map[string]bool{} // by line
	imported := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for _, p := range ours {
		var files []*ast.File
		for _, name := range strings.Fields(p[3]) {
			f, err := parser.ParseFile(fset, filepath.Join(p[2], name), nil, parser.SkipObjectResolution)
			require.NoError(t, err)
			files = append(files, f)
		}
		info := &types.Info{Selections: map[*ast.SelectorExpr]*types.Selection{}}
		config := types.Config{Importer: imported, Error: func(error) {}}
		_, _ = config.Check(p[0], fset, files, info)
		for _, s := range info.Selections {
			if s.Kind() == types.FieldVal {
				at := fset.Position(s.Obj().Pos())
				read[line(at.Filename, at.Line)] = true
			}
		}
	}
	for name, lines := range taggedFields(t) {
		for _, at := range lines {
			if !read[at] && !slices.Contains(unread, name) {
				t.Errorf("%s (%s) is asked of the filer and nothing reads it", name, at)
			}
		}
	}
}

// line is a place in a file of a package, whatever directory the module is in.
func line(name string, n int) string {
	return fmt.Sprintf("%s/%s:%d", filepath.Base(filepath.Dir(name)), filepath.Base(name), n)
}

// taggedFields are the places of the fields that records have, by type and name.
func taggedFields(t *testing.T) map[string][]string {
	out := map[string][]string{}
	fset := token.NewFileSet()
	names, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				typ := spec.(*ast.TypeSpec).Name.Name
				ast.Inspect(spec, func(n ast.Node) bool {
					if f, ok := n.(*ast.Field); ok && f.Tag != nil && len(f.Names) == 1 {
						out[typ+"."+f.Names[0].Name] = append(out[typ+"."+f.Names[0].Name], line("ontap/"+name, fset.Position(f.Pos()).Line))
					}
					return true
				})
			}
		}
	}
	return out
}

// scripted is a cluster that answers by the request.
type scripted func(r *http.Request) (int, string)

func (s scripted) RoundTrip(r *http.Request) (*http.Response, error) {
	status, body := s(r)
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
}

func TestRefusedFieldIsNotAskedAgain(t *testing.T) {
	for _, c := range []struct{ name, message string }{
		{"the message names it", `The value \"snapshot_locking_enabled\" is invalid for field \"fields\"`},
		{"the message names nothing", `Invalid value`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []string
			client := told(t, answering{})
			client.http.Transport = scripted(func(r *http.Request) (int, string) {
				asked = append(asked, r.URL.Query().Get("fields"))
				if strings.Contains(r.URL.Query().Get("fields"), "snapshot_locking_enabled") {
					return 400, `{"error":{"code":"262197","target":"fields","message":"` + c.message + `"}}`
				}
				return 200, `{"name":"v","snapshot_count":3}`
			})
			for range 2 {
				v, err := client.VolumeGet(t.Context(), "u")
				require.NoError(t, err)
				require.Equal(t, int64(3), *v.SnapshotCount)
				require.Nil(t, v.SnapshotLocking)
			}
			require.Len(t, asked, 3, "one question more, once")
			require.Contains(t, asked[2], "snapshot_directory_access_enabled")
		})
	}
}

func TestRefusedForAnotherReason(t *testing.T) {
	n := 0
	client := told(t, answering{})
	client.http.Transport = scripted(func(*http.Request) (int, string) {
		n++
		return 400, `{"error":{"code":"262197","target":"svm.uuid","message":"The value \"name\" is invalid for field \"svm.uuid\""}}`
	})
	_, err := client.VolumeGet(t.Context(), "u")
	require.ErrorContains(t, err, "262197")
	require.Equal(t, 1, n)
	client.http.Transport = scripted(func(*http.Request) (int, string) {
		n++
		return 400, `{"error":{"code":"262197","target":"fields","message":"no"}}`
	})
	_, err = client.VolumeGet(t.Context(), "u")
	require.Error(t, err)
	require.Equal(t, 3, n, "it ends when there is nothing left to give up")
}

func TestOddValues(t *testing.T) {
	const good = `{"name":"good","uuid":"u1","create_time":"2026-01-01T00:00:00+00:00"}`
	for odd, says := range map[string]string{
		`{"name":"odd","uuid":"u2","create_time":"2026-01-01T00:00:00+00:00","snaplock_expiry_time":"never"}`:             "",
		`{"name":"odd","uuid":"u2","create_time":"2026-01-01T00:00:00+00:00","snaplock_expiry_time":[],"nobody":{"x":1}}`: "",
		`{"name":"odd","uuid":"u2","create_time":null}`:                                                                   "",
		`{"name":"odd","uuid":"u2","create_time":"yesterday"}`:                                                            "field create_time is a JSON string that does not fit",
		`{"name":7,"uuid":"u2","create_time":"2026-01-01T00:00:00+00:00"}`:                                                "field name is a JSON number that does not fit",
		`{"name":"odd","uuid":{},"snaplock_expiry_time":"never"}`:                                                         "field uuid is a JSON object that does not fit",
		`17`: "JSON number",
	} {
		c := told(t, answering{200, nil, []byte(`{"records":[` + good + `,` + odd + `],"num_records":2}`)})
		all, err := c.SnapshotList(t.Context(), "v")
		if says != "" {
			require.ErrorContains(t, err, says)
			continue
		}
		require.NoError(t, err, odd)
		require.Len(t, all, 2)
		require.Equal(t, "odd", all[1].Name)
		require.Nil(t, all[1].SnaplockExpiry, "what does not fit is not told")
	}
}

// TestLocksOfAnyLength: NLMv4 lengths are uint64, numbers in old releases and
// strings in new ones.
func TestLocksOfAnyLength(t *testing.T) {
	for _, length := range []string{`18446744073709551615`, `"18446744073709551615"`, `1.8446744073709552e19`, `null`, `-1`, `{}`} {
		c := told(t, answering{200, nil, []byte(`{"records":[{"uuid":"l","path":"/v/x","protocol":"nlm","client_address":"10.0.0.7","byte_lock":{"offset":` +
			length + `,"length":` + length + `}}],"num_records":"1"}`)})
		all, err := c.LockList(t.Context(), "s", "v", "/v")
		require.NoError(t, err, length)
		require.Equal(t, []Lock{{UUID: "l", Path: "/v/x", Protocol: "nlm", ClientAddress: "10.0.0.7"}}, all)
	}
}

func TestOddErrors(t *testing.T) {
	for _, body := range []string{
		`{"error":{"message":"the words","code":"no number"}}`, `{"error":{"message":"the words","code":{},"target":7}}`,
	} {
		c := told(t, answering{404, nil, []byte(body)})
		_, err := c.VolumeGet(t.Context(), "u")
		require.ErrorContains(t, err, "the words")
	}
	c := told(t, answering{200, nil, []byte(`{"state":"failure","code":"odd","message":"full"}`)})
	require.ErrorContains(t, c.PollJobStatus(t.Context(), "op", "j"), "full")
}

// FuzzDecode: an answer never panics, and an odd optional value never loses a
// record whose other values fit.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{`1`, `"x"`, `null`, `[]`, `{}`, `1e400`, `18446744073709551615`, `"2026-01-01T00:00:00Z"`, `{"used":1.5}`, `true`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, odd []byte) {
		if !json.Valid(odd) || bytes.ContainsRune(odd, 0) {
			return
		}
		for _, field := range []string{"snapshot_count", "snapshot_locking_enabled", "snapshot_directory_access_enabled"} {
			raw := []byte(`{"name":"v","uuid":"u","` + field + `":` + string(odd) + `}`)
			var v Volume
			require.NoError(t, decode(raw, &v), "%s", raw)
			require.Equal(t, "v", v.Name)
		}
		var v Volume
		_ = decode(odd, &v)
		var s Snapshot
		_ = decode([]byte(`{"create_time":`+string(odd)+`}`), &s)
	})
}

// TestFirstRequestWithoutAnswer: who waits for the first request with a password
// goes on when that request gets no answer, and waits no longer than its context.
func TestFirstRequestWithoutAnswer(t *testing.T) {
	c := told(t, answering{})
	sent := make(chan struct{})
	c.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Path == "/api/cluster" {
			close(sent)
			<-r.Context().Done()
			return nil, r.Context().Err()
		}
		return answering{200, nil, []byte(`{"records":[]}`)}.RoundTrip(r)
	})
	ctx, cancel := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { _, err := c.ClusterInfo(ctx); first <- err }()
	<-sent
	short, end := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer end()
	_, err := c.SvmList(short)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	go func() { _, err := c.SvmList(t.Context()); second <- err }()
	cancel()
	require.ErrorIs(t, <-first, context.Canceled)
	require.NoError(t, <-second)
}

type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

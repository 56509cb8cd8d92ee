package simulator

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// plainWorld is a cluster that is asked without HTTPS.
type plainWorld struct {
	*Simulator
	t *testing.T
}

func newPlainWorld(t *testing.T) plainWorld {
	dir := t.TempDir()
	root, secret := filepath.Join(dir, "vol"), filepath.Join(dir, "password")
	require.NoError(t, os.Mkdir(root, 0o755))
	require.NoError(t, os.WriteFile(secret, []byte("secret"), 0o600))
	s, err := New(Config{Root: root, SVM: "svm1", Volume: "v", Junction: "/v", User: "admin", PasswordFile: secret, Ageless: true})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return plainWorld{s, t}
}

// ask does a call and returns its status and answer.
func (w plainWorld) ask(method, path string, body any) (int, map[string]any) {
	w.t.Helper()
	var text []byte
	if body != nil {
		var err error
		text, err = json.Marshal(body)
		require.NoError(w.t, err)
	}
	r := httptest.NewRequestWithContext(w.t.Context(), method, path, bytes.NewReader(text))
	r.SetBasicAuth("admin", "secret")
	recorder := httptest.NewRecorder()
	w.ServeHTTP(recorder, r)
	out := map[string]any{}
	if recorder.Body.Len() > 0 {
		require.NoError(w.t, json.Unmarshal(recorder.Body.Bytes(), &out), "%s %s", method, path)
	}
	return recorder.Code, out
}

func (w plainWorld) must(method, path string, body any) map[string]any {
	w.t.Helper()
	status, out := w.ask(method, path, body)
	require.Less(w.t, status, http.StatusMultipleChoices, "%s %s: %v", method, path, out)
	return out
}

// fitting are values that a field takes, where none can be made up.
var fitting = map[string][]any{
	"name": {"renamed"}, "comment": {"a comment"}, "protocols": {[]string{"nfs4"}}, "ro_rule": {[]string{"krb5"}}, "rw_rule": {[]string{"krb5"}},
	"superuser": {[]string{"krb5"}}, "anonymous_user": {"1000"}, "chown_mode": {"unrestricted"}, "ntfs_unix_security": {"ignore"},
	"security_style": {"mixed"}, "unix_permissions": {711}, "state": {"paused"}, "retention_period": {"P3D"}, "type": {"tree"},
	"space.hard_limit": {4096}, "space.soft_limit": {4096},
	"schedule.name": {"daily"}, "clients.match": {"10.1.0.0/16"}, "rules.clients.match": {"10.1.0.0/16"}, "export_policy.name": {"other"},
}

// bodyOf makes the body of one field, e.g. {"space": {"hard_limit": 4096}}. A list of
// objects is one of one object.
func bodyOf(name string, value any, lists []string) map[string]any {
	parts := strings.Split(name, ".")
	for i := len(parts) - 1; i >= 0; i-- {
		x := map[string]any{parts[i]: value}
		value = x
		if i > 0 && slices.Contains(lists, strings.Join(parts[:i], ".")) {
			value = []any{x}
		}
	}
	return value.(map[string]any)
}

// shown is a field of an answer; nil if it is not there.
func shown(tree any, parts []string) any {
	if len(parts) == 0 {
		return tree
	}
	switch x := tree.(type) {
	case map[string]any:
		return shown(x[parts[0]], parts[1:])
	case []any:
		if len(x) == 1 {
			return shown(x[0], parts)
		}
	}
	return nil
}

// TestNoSuccessWithoutEffect changes every field that a body may set, one by one:
// the field is then read back, or the change was refused with a code.
func TestNoSuccessWithoutEffect(t *testing.T) {
	lists := []string{"rules", "rules.clients", "clients", "copies", "users"}
	records := func(out map[string]any, name string) string {
		x := out["records"].([]any)[0].(map[string]any)
		if id, ok := x[name].(float64); ok {
			return strconv.FormatInt(int64(id), 10)
		}
		return x[name].(string)
	}
	for schema, place := range map[string]func(w plainWorld) string{
		policySchema: func(w plainWorld) string {
			return "/api" + policySchema + "/" + records(w.must("GET", "/api"+policySchema+"?name=mine", nil), "uuid")
		},
		scheduleSchema: func(w plainWorld) string {
			policy := "/api" + policySchema + "/" + records(w.must("GET", "/api"+policySchema+"?name=mine", nil), "uuid")
			return policy + "/schedules/" + records(w.must("GET", "/api/cluster/schedules?name=hourly", nil), "uuid")
		},
		"/protocols/nfs/export-policies": func(w plainWorld) string {
			return "/api/protocols/nfs/export-policies/" + records(w.must("GET", "/api/protocols/nfs/export-policies?name=mine", nil), "id")
		},
		rulesSchema: func(w plainWorld) string {
			return "/api/protocols/nfs/export-policies/" + records(w.must("GET", "/api/protocols/nfs/export-policies?name=mine", nil), "id") + "/rules/1"
		},
		qtreeSchema: func(w plainWorld) string { return "/api" + qtreeSchema + "/" + w.world.VolumeUUID + "/1" },
		quotaSchema: func(w plainWorld) string {
			return "/api" + quotaSchema + "/" + records(w.must("GET", "/api"+quotaSchema, nil), "uuid")
		},
		nfsSchema: func(w plainWorld) string { return "/api" + nfsSchema + "/" + w.world.SVMUUIDs["svm1"] },
		mirrorSchema: func(w plainWorld) string {
			return "/api" + mirrorSchema + "/" + w.SetMirror(Mirror{Destination: "svm1:copy"}).UUID
		},
	} {
		t.Run(schema, func(t *testing.T) {
			done := 0
			for _, name := range slices.Sorted(maps.Keys(schemas()[schema].Fields)) {
				if !schemas()[schema].settable(name) {
					continue
				}
				w := newPlainWorld(t)
				where := map[string]any{"svm": map[string]any{"name": "svm1"}, "volume": map[string]any{"name": "v"}}
				with := func(more map[string]any) map[string]any {
					out := maps.Clone(where)
					maps.Copy(out, more)
					return out
				}
				w.must("POST", "/api"+policySchema, map[string]any{"name": "mine", "copies": []any{map[string]any{"schedule": map[string]any{"name": "hourly"}, "count": 2}}})
				one := map[string]any{"clients": []any{map[string]any{"match": "10.0.0.0/8"}}, "ro_rule": []string{"sys"}, "rw_rule": []string{"sys"}}
				for _, policy := range []string{"mine", "other"} {
					w.must("POST", "/api/protocols/nfs/export-policies", map[string]any{"name": policy, "svm": where["svm"], "rules": []any{one}})
				}
				w.must("POST", "/api"+qtreeSchema+"?return_timeout=15", with(map[string]any{"name": "q"}))
				w.must("POST", "/api"+quotaSchema+"?return_timeout=15", with(map[string]any{"type": "tree", "qtree": map[string]any{"name": "q"}}))
				path := place(w)
				_, before := w.ask("GET", path+"?fields="+name, nil)
				values := fitting[name]
				if values == nil {
					switch schemas()[schema].kind(name) {
					case "boolean":
						values = []any{shown(before, strings.Split(name, ".")) != true}
					case "integer", "number":
						values = []any{4096, 7}
					case "array":
						values = []any{[]string{"x"}}
					default:
						values = []any{"x"}
					}
				}
				for _, value := range values {
					status, answer := w.ask("PATCH", path+"?return_timeout=15", bodyOf(name, value, lists))
					if status >= http.StatusBadRequest {
						require.NotEmpty(t, shown(answer, []string{"error", "code"}), name)
						continue
					}
					_, after := w.ask("GET", path+"?fields="+name, nil)
					require.JSONEq(t, string(mustJSON(t, value)), string(mustJSON(t, shown(after, strings.Split(name, ".")))), "PATCH of %s was a success without effect", name)
					done++
				}
			}
			require.Positive(t, done, "something can be changed")
		})
	}
}

func mustJSON(t *testing.T, x any) []byte {
	raw, err := json.Marshal(x)
	require.NoError(t, err)
	return raw
}

package simulator

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
)

// release starts a simulator of a release, with a snapshot and a lock.
func release(t *testing.T, version string, change ...func(*Config)) *Simulator {
	t.Helper()
	cfg := config(t)
	cfg.Version = version
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// refusal is the code and the target of an answer's error, "" if it is none.
func refusal(t *testing.T, body []byte) (code, target string) {
	t.Helper()
	var answer struct {
		Error struct{ Code, Target string } `json:"error"`
	}
	if len(body) > 0 {
		require.NoError(t, json.Unmarshal(body, &answer), string(body))
	}
	return answer.Error.Code, answer.Error.Target
}

func TestCompareReleases(t *testing.T) {
	require.True(t, slices.IsSortedFunc(Releases, CompareReleases))
	require.Negative(t, CompareReleases("9.9.1", "9.11.1"))
	require.Zero(t, CompareReleases("9.11.1", "9.11.1"))
	require.True(t, has("9.15.1", "9.15.1-9.16.1"))
	require.False(t, has("9.17.1", "9.15.1-9.16.1"))
	require.False(t, has("9.14.1", "9.15.1-9.16.1"))
	require.True(t, has("9.11.1", ""))
}

// What releases.json names must be there, or it says nothing.
func TestReleasesNameWhatIsServed(t *testing.T) {
	s := release(t, "")
	for call := range since().Calls {
		method, path, ok := strings.Cut(call, " ")
		if !ok {
			path = method
		}
		require.Contains(t, s.routes(), path, call)
		if ok {
			require.Contains(t, s.routes()[path], method, call)
		}
	}
	for call := range since().Queries {
		method, path, _ := strings.Cut(call, " ")
		require.Contains(t, s.routes(), path)
		require.Contains(t, s.routes()[path], method)
	}
	for path, fields := range since().Fields {
		require.Contains(t, schemas(), path)
		for field := range fields {
			require.True(t, schemas()[path].kind(field) != "" || schemas()[path].prefix(field), "%s: %s", path, field)
		}
	}
}

// TestEachReleaseRefusesWhatItLacks asks for every call and field that came with a
// supported release, on every release.
func TestEachReleaseRefusesWhatItLacks(t *testing.T) {
	for _, version := range Releases {
		t.Run(version, func(t *testing.T) {
			s := release(t, version)
			require.NoError(t, s.Set(func(x *Settings) { x.Analytics = "on" }))
			volume, svm := s.UUIDs()
			at := strings.NewReplacer("{volume.uuid}", volume, "{svm.uuid}", svm, "{path}", "%2E", "{uuid}", volume)
			require.Equal(t, 200, ask(s, "PATCH", "/api/storage/volumes/"+volume+"?return_timeout=60", `{"analytics":{"state":"on"}}`).Code)
			for call, span := range since().Calls {
				method, path, one := strings.Cut(call, " ")
				if !one {
					method, path = "OPTIONS", call
				}
				w := ask(s, method, "/api"+at.Replace(path), "")
				code, _ := refusal(t, w.Body.Bytes())
				switch {
				case has(version, span):
					require.NotContains(t, []int{404, 405}, w.Code, call)
				case one:
					require.Equal(t, 405, w.Code, call)
					require.Equal(t, "3", code)
				default:
					require.Equal(t, 404, w.Code, call)
					require.Equal(t, "3", code)
				}
			}
			for path, fields := range since().Fields {
				for field, span := range fields {
					w := ask(s, "GET", "/api"+at.Replace(path)+"?fields="+field, "")
					if has(version, span) {
						require.Equal(t, 200, w.Code, "%s %s: %s", path, field, w.Body)
						continue
					}
					code, target := refusal(t, w.Body.Bytes())
					require.Equal(t, []any{400, "262197", "fields"}, []any{w.Code, code, target}, "%s %s", path, field)
					w = ask(s, "GET", "/api"+at.Replace(path)+"?"+field+"=1", "")
					code, target = refusal(t, w.Body.Bytes())
					require.Equal(t, []any{400, ontap.CodeUnexpectedField, field}, []any{w.Code, code, target}, "%s %s", path, field)
					require.Equal(t, 200, ask(s, "GET", "/api"+at.Replace(path)+"?ignore_unknown_fields=true&fields=uuid,"+field, "").Code)
				}
			}
			for call, parameters := range since().Queries {
				method, path, _ := strings.Cut(call, " ")
				for name, span := range parameters {
					if has(version, span) {
						continue
					}
					w := ask(s, method, "/api"+at.Replace(path)+"?"+name+"=true", "")
					code, target := refusal(t, w.Body.Bytes())
					require.Equal(t, []any{400, ontap.CodeUnexpectedField, name}, []any{w.Code, code, target}, call)
				}
			}
			if !has(version, "9.12.1") {
				w := ask(s, "PATCH", "/api/storage/volumes/"+volume, `{"snapshot_locking_enabled":true}`)
				code, target := refusal(t, w.Body.Bytes())
				require.Equal(t, []any{400, ontap.CodeUnexpectedField, "snapshot_locking_enabled"}, []any{w.Code, code, target})
			}
		})
	}
}

// TestNoAnswerHasAFieldThatTheReleaseLacks reads every collection with all fields.
func TestNoAnswerHasAFieldThatTheReleaseLacks(t *testing.T) {
	for _, version := range Releases {
		t.Run(version, func(t *testing.T) {
			s := release(t, version)
			volume, svm := s.UUIDs()
			s.AddLock(ontap.Lock{Path: "/v/a"})
			require.Equal(t, http.StatusCreated, ask(s, "POST", "/api/storage/volumes/"+volume+"/snapshots?return_timeout=60", `{"name":"one"}`).Code)
			at := strings.NewReplacer("{volume.uuid}", volume, "{svm.uuid}", svm, "{path}", "%2E")
			seen := map[string]bool{}
			for _, path := range slices.Sorted(maps.Keys(schemas())) {
				if s.cfg.released(path, s.routes()[path])["GET"] == nil || strings.Contains(at.Replace(path), "{") {
					continue
				}
				w := ask(s, "GET", "/api"+at.Replace(path)+"?fields=**", "")
				require.Equal(t, 200, w.Code, "%s: %s", path, w.Body)
				var answer map[string]any
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
				for name := range dotsOf("", answer) {
					name = strings.TrimPrefix(name, "records.")
					seen[path+" "+name] = true
					for field, span := range since().Fields[path] {
						require.False(t, !has(version, span) && under(name, []string{field}), "%s shows %s", path, name)
					}
				}
			}
			require.Equal(t, has(version, "9.12.1"), seen["/storage/volumes/{volume.uuid}/snapshots logical_size"])
			require.Equal(t, has(version, "9.13.1"), seen["/protocols/nfs/services protocol.v3_features.hide_snapshot_enabled"])
			require.Equal(t, has(version, "9.16.1"), seen["/cluster disaggregated"])
		})
	}
}

// dotsOf are the dotted names of a JSON value.
func dotsOf(name string, value any) map[string]bool {
	out := map[string]bool{}
	switch v := value.(type) {
	case map[string]any:
		for key, inner := range v {
			maps.Copy(out, dotsOf(strings.TrimPrefix(name+"."+key, "."), inner))
		}
	case []any:
		for _, inner := range v {
			maps.Copy(out, dotsOf(name, inner))
		}
	default:
		out[name] = true
	}
	return out
}

// TestReleasesAgreeWithTheReference: each release of the table that the project
// keeps is the one that releases.json has.
func TestReleasesAgreeWithTheReference(t *testing.T) {
	for field, span := range map[[2]string]string{
		{"/storage/volumes/{volume.uuid}/snapshots", "logical_size"}:                 "9.12.1",
		{"/protocols/nfs/services", "protocol.v3_features.hide_snapshot_enabled"}:    "9.13.1",
		{"/storage/volumes/{volume.uuid}/files/{path}", "analytics.incomplete_data"}: "9.12.1",
		{"/storage/volumes", "snapshot_directory_access_enabled"}:                    "",
		{"/storage/volumes", "snapshot_count"}:                                       "",
		{"/storage/volumes/{volume.uuid}/snapshots", "size"}:                         "",
		{"/storage/volumes/{volume.uuid}/snapshots", "snapmirror_label"}:             "",
	} {
		require.Equal(t, span, since().Fields[field[0]][field[1]], field)
	}
}

func TestLockLengths(t *testing.T) {
	const most = "18446744073709551615"
	for version, want := range map[string]string{"9.11.1": `"length": ` + most, "9.18.1": `"length": ` + most, "9.19.1": `"length": "` + most + `"`} {
		s := release(t, version)
		s.AddLock(ontap.Lock{Path: "/v/a"})
		require.Contains(t, ask(s, "GET", "/api/protocols/locks?fields=**", "").Body.String(), want, version)
		require.Contains(t, ask(s, "GET", "/api/protocols/locks?fields=byte_lock&byte_lock.length=%3E6", "").Body.String(), want, version)
	}
	s := release(t, "9.19.1", func(c *Config) { c.LockLengths = "number" })
	l := s.AddLock(ontap.Lock{Path: "/v/a"})
	require.Contains(t, ask(s, "GET", "/api/protocols/locks/"+l.UUID, "").Body.String(), `"length": `+most)
	cfg := config(t)
	cfg.LockLengths = "words"
	_, err := New(cfg)
	require.ErrorContains(t, err, "is not string or number")
}

func TestLocksAreBrokenOneByOne(t *testing.T) {
	s := release(t, "9.11.1")
	first, second := s.AddLock(ontap.Lock{Path: "/v/a"}), s.AddLock(ontap.Lock{Path: "/v/b"})
	require.Equal(t, 405, ask(s, "DELETE", "/api/protocols/locks?uuid="+first.UUID, "").Code, "the collection came later")
	require.Equal(t, 400, ask(s, "DELETE", "/api/protocols/locks/"+first.UUID+"?svm.name=svm1", "").Code)
	require.Equal(t, 200, ask(s, "DELETE", "/api/protocols/locks/"+first.UUID, "").Code)
	require.Equal(t, 404, ask(s, "DELETE", "/api/protocols/locks/"+first.UUID, "").Code)
	require.Equal(t, 404, ask(s, "GET", "/api/protocols/locks/"+first.UUID, "").Code)
	require.Equal(t, 200, ask(s, "GET", "/api/protocols/locks/"+second.UUID, "").Code)
}

func TestOrderByList(t *testing.T) {
	s := release(t, "", func(c *Config) { c.OtherSVMs = []string{"svm2"} })
	names := func(order string) (out []string) {
		w := ask(s, "GET", "/api/storage/volumes?fields=svm.name,name&order_by="+order, "")
		require.Equal(t, 200, w.Code, w.Body)
		var answer struct {
			Records []struct {
				Name string
				SVM  struct{ Name string }
			}
		}
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &answer))
		for _, r := range answer.Records {
			out = append(out, r.SVM.Name+":"+r.Name)
		}
		return out
	}
	require.Equal(t, []string{"svm2:svm2_root", "svm2:v", "svm1:svm1_root", "svm1:v"}, names("svm.name%20desc,name"))
	require.Equal(t, []string{"svm1:v", "svm1:svm1_root", "svm2:v", "svm2:svm2_root"}, names("svm.name,name+desc"))
	for _, bad := range []string{"svm.name,nonsense", "name%20up", "name,,size", ","} {
		code, target := refusal(t, ask(s, "GET", "/api/storage/volumes?order_by="+bad, "").Body.Bytes())
		require.Equal(t, []string{ontap.CodeInvalidValue, "order_by"}, []string{code, target}, bad)
	}
}

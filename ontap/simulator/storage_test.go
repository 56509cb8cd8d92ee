package simulator

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
)

// ageless is a simulator that has all of all releases, with a Pool.
func ageless(t *testing.T, change ...func(*Config)) (*Simulator, Config) {
	t.Helper()
	cfg := config(t)
	cfg.Ageless = true
	cfg.Pool = filepath.Join(filepath.Dir(cfg.Root), "pool")
	require.NoError(t, os.Mkdir(cfg.Pool, 0o755))
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s, cfg
}

// answer asks, requires the status and returns the body.
func answer(t *testing.T, s *Simulator, method, path, body string, status int) map[string]any {
	t.Helper()
	w := ask(s, method, "/api"+path, body)
	require.Equal(t, status, w.Code, "%s %s %s: %s", method, path, body, w.Body)
	var out map[string]any
	if w.Body.Len() > 0 {
		require.NoError(t, json.Unmarshal(w.Body.Bytes(), &out))
	}
	return out
}

// refused requires a refusal with a code.
func refused(t *testing.T, s *Simulator, method, path, body, code string) {
	t.Helper()
	w := ask(s, method, "/api"+path, body)
	got, _ := refusal(t, w.Body.Bytes())
	require.GreaterOrEqual(t, w.Code, 400, "%s %s %s: %s", method, path, body, w.Body)
	require.Equal(t, code, got, "%s %s %s: %s", method, path, body, w.Body)
}

// nest makes the body that sets a dotted name.
func nest(name string, value any) string {
	parts := strings.Split(name, ".")
	for _, part := range slices.Backward(parts) {
		value = map[string]any{part: value}
	}
	raw, _ := json.Marshal(value)
	return string(raw)
}

// read is the value of a dotted name in an answer, nil if it is not there.
func read(tree any, name string) any {
	for _, part := range strings.Split(name, ".") {
		inner, ok := tree.(map[string]any)
		if !ok {
			return nil
		}
		tree = inner[part]
	}
	return tree
}

// TestNothingIsSetWithoutEffect PATCHes every field that ONTAP documents as
// settable, with values that might fit: each is refused with a code, or read back.
func TestNothingIsSetWithoutEffect(t *testing.T) {
	s, _ := ageless(t)
	volume, svm := s.UUIDs()
	used := s.dir.Usage().Used
	answer(t, s, "POST", "/storage/volumes/"+volume+"/snapshots?return_timeout=30", `{"name":"one"}`, 201)
	snapshot := s.world.Snapshots[0].UUID
	answer(t, s, "POST", "/protocols/nfs/export-policies", `{"name":"p","svm":{"name":"svm1"},"rules":[{"clients":[{"match":"10.0.0.1"}],"ro_rule":["sys"],"rw_rule":["sys"]}]}`, 201)
	policy := fmt.Sprint(s.world.Policies[1].ID)
	answer(t, s, "POST", "/storage/snapshot-policies", `{"name":"sp","copies":[{"schedule":{"name":"daily"},"count":2},{"schedule":{"name":"weekly"},"count":2}]}`, 201)
	schedules := s.world.Schedules[len(s.world.Schedules)-1].UUID
	answer(t, s, "POST", "/storage/qtrees?return_timeout=30", `{"name":"q","svm":{"name":"svm1"},"volume":{"name":"v"}}`, 201)
	answer(t, s, "POST", "/storage/quota/rules?return_timeout=30", `{"type":"tree","qtree":{"name":"q"},"svm":{"name":"svm1"},"volume":{"name":"v"}}`, 201)
	quota := s.world.Quotas[0].UUID
	special := map[string][]any{
		"size": {used + 1<<30, used + 2<<30}, "space.size": {used + 3<<30, used + 4<<30},
		"nas.path": {"/elsewhere", "/v"}, "nas.export_policy.name": {"p"}, "nas.unix_permissions": {700, 755}, "unix_permissions": {700, 755},
		"nas.uid": {os.Getuid()}, "nas.gid": {os.Getgid()}, "snapshot_policy.name": {"none", "sp"},
		"autosize.minimum": {used + 20<<20}, "autosize.maximum": {used + 50<<40}, "autosize.grow_threshold": {90}, "autosize.shrink_threshold": {40},
		"state": {"offline", "online"}, "protocols": {[]string{"nfs"}}, "retention_period": {"P1D"}, "anonymous_user": {"0"},
		"space.snapshot.autodelete.commitment": {"disrupt"}, "expiry_time": {"2031-01-01T00:00:00+00:00"},
		"snaplock.expiry_time": {"2031-01-01T00:00:00+00:00"}, "snaplock_expiry_time": {"2032-01-01T00:00:00+00:00"},
		"space.hard_limit": {4096}, "space.soft_limit": {1024}, "files.hard_limit": {9}, "files.soft_limit": {7},
		"analytics.state": {"on", "off"}, "anti_ransomware.state": {"dry_run", "disabled"},
		"nas.security_style": {"mixed", "unix"}, "security_style": {"mixed", "unix"},
	}
	guesses := func(name, kind string) []any {
		if values, ok := special[name]; ok {
			return values
		}
		switch kind {
		case "boolean":
			return []any{true, false}
		case "integer", "number":
			return []any{7, 1 << 30}
		case "array":
			return []any{[]string{"sys"}, []string{"nfs"}}
		}
		return []any{"on", "off", "volume", "none", "grow", "snap_reserve", "try", "prefix", "newest_first", "mixed", "unrestricted", "ignore", "hello"}
	}
	// Where what is set is read under another name.
	elsewhere := map[string]string{"quota.enabled": "quota.state"}
	written := 0
	for _, one := range []struct{ schema, path string }{
		{volumeSchema, "/storage/volumes/" + volume},
		{snapshotSchema, "/storage/volumes/" + volume + "/snapshots/" + snapshot},
		{"/storage/snapshot-policies", "/storage/snapshot-policies/" + schedules},
		{"/storage/snapshot-policies/{snapshot_policy.uuid}/schedules", "/storage/snapshot-policies/" + schedules + "/schedules/" + s.world.Named["daily"]},
		{"/protocols/nfs/export-policies", "/protocols/nfs/export-policies/" + policy},
		{rulesSchema, "/protocols/nfs/export-policies/" + policy + "/rules/1"},
		{"/protocols/nfs/services", "/protocols/nfs/services/" + svm},
		{"/storage/qtrees", "/storage/qtrees/" + volume + "/1"},
		{"/storage/quota/rules", "/storage/quota/rules/" + quota},
	} {
		fields := schemas()[one.schema].Fields
		set := 0
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			if name == "validate_only" {
				continue // it asks for no effect
			}
			kind, _, readOnly := strings.Cut(fields[name], " ")
			for _, value := range guesses(name, kind) {
				w := ask(s, "PATCH", "/api"+one.path+"?return_timeout=30", nest(name, value))
				if w.Code >= 400 {
					code, _ := refusal(t, w.Body.Bytes())
					require.NotEmpty(t, code, "%s %s", one.path, name)
					require.NotEqual(t, "65541", code, "%s %s=%v: %s", one.path, name, value, w.Body)
					continue
				}
				require.Equal(t, 200, w.Code, "%s %s=%v: %s", one.path, name, value, w.Body)
				require.False(t, readOnly, "%s %s is read-only", one.path, name)
				set++
				field := name
				if other, ok := elsewhere[name]; ok {
					field = other
					value = map[any]string{true: "on", false: "off"}[value]
				}
				got := answer(t, s, "GET", one.path+"?fields="+field, "", 200)
				want, _ := json.Marshal(value)
				is, _ := json.Marshal(read(got, field))
				if name == "nas.path" || name == "state" {
					require.Equal(t, string(want), string(is))
				}
				require.JSONEq(t, string(want), string(is), "%s %s", one.path, name)
			}
		}
		t.Logf("%s: %d values set and read back", one.schema, set)
		written += set
		if one.schema == volumeSchema {
			answer(t, s, "PATCH", one.path+"?return_timeout=30", `{"state":"online","snapshot_locking_enabled":true}`, 200)
		}
	}
	require.Greater(t, written, 100)
}

func TestVolumeStates(t *testing.T) {
	s, _ := ageless(t)
	volume, _ := s.UUIDs()
	at := "/storage/volumes/" + volume
	answer(t, s, "PATCH", at+"?return_timeout=30", `{"state":"offline"}`, 200)
	got := answer(t, s, "GET", at+"?fields=state,nas.path", "", 200)
	require.Equal(t, "offline", got["state"])
	require.Nil(t, read(got, "nas.path"), "an offline volume is not mounted")
	refused(t, s, "GET", at+"/files/%2E", "", "917752")
	refused(t, s, "POST", at+"/snapshots", `{"name":"s"}`, "917752")
	answer(t, s, "PATCH", at+"?return_timeout=30", `{"state":"online"}`, 200)
	answer(t, s, "PATCH", at+"?return_timeout=30", `{"nas":{"path":"/v"}}`, 200)
	answer(t, s, "GET", at+"/files/%2E", "", 200)
	for body, code := range map[string]string{
		`{"state":"error"}`: "918652", `{"size":30000000}`: "917534", `{"size":1}`: "917534", `{"nas":{"path":"v"}}`: "918252",
		`{"nas":{"export_policy":{"name":"nope"}}}`: "1703954", `{"nas":{"export_policy":{"id":5}}}`: "1703954",
		`{"snapshot_policy":{"name":"nope"}}`: "917551", `{"analytics":{"state":"initializing"}}`: "111411206",
		`{"encryption":{"enabled":true}}`: "262196", `{"uuid":"x"}`: "262196", `{"nonsense":1}`: ontap.CodeUnexpectedField,
		`{"autosize":{"grow_threshold":40}}`: "917829", `{"clone":{"split_initiated":true}}`: "918248",
	} {
		refused(t, s, "PATCH", at+"?return_timeout=30", body, code)
	}
	used := s.dir.Usage().Used
	answer(t, s, "PATCH", at+"?return_timeout=30", fmt.Sprintf(`{"size":%d}`, used+1<<30), 200)
	space := answer(t, s, "GET", at+"?fields=space", "", 200)["space"].(map[string]any)
	require.EqualValues(t, used+1<<30, space["size"])
	require.LessOrEqual(t, space["available"], float64(2<<30))
	require.NotNil(t, read(space, "logical_space.used"))
	answer(t, s, "PATCH", at+"?validate_only=true", `{"comment":"never"}`, 200)
	require.Empty(t, answer(t, s, "GET", at+"?fields=comment", "", 200)["comment"])
}

func TestRevertTakesTheWholeVolumeBack(t *testing.T) {
	s, cfg := ageless(t)
	volume, _ := s.UUIDs()
	at, in := "/storage/volumes/"+volume, func(name string) string { return filepath.Join(cfg.Root, name) }
	require.NoError(t, os.MkdirAll(in("d/deep"), 0o755))
	require.NoError(t, os.WriteFile(in("d/kept"), []byte("then"), 0o600))
	require.NoError(t, os.WriteFile(in("d/gone"), []byte("back"), 0o644))
	require.NoError(t, os.Link(in("d/gone"), in("d/deep/hard")))
	take := func(name string) {
		answer(t, s, "POST", at+"/snapshots?return_timeout=30", `{"name":"`+name+`"}`, 201)
	}
	take("first")
	before, err := os.Stat(in("d/kept"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(in("d/kept"), []byte("changed since"), 0o644))
	require.NoError(t, os.Remove(in("d/gone")))
	require.NoError(t, os.WriteFile(in("new"), nil, 0o644))
	require.NoError(t, os.Remove(in("d/deep/hard")))
	require.NoError(t, os.Remove(in("d/deep")))
	require.NoError(t, os.WriteFile(in("d/deep"), []byte("a file now"), 0o644))
	take("second")
	s.Own("second", "snapmirror")
	refused(t, s, "PATCH", at+"?restore_to.snapshot.name=first&return_timeout=30", "", "1638480")
	s.Own("second")
	refused(t, s, "PATCH", at+"?restore_to.snapshot.name=nope", "", "524511")
	refused(t, s, "PATCH", at+"?restore_to.snapshot.name=first", `{"comment":"c"}`, "918251")
	require.FileExists(t, in("new"), "a refusal changes nothing")

	answer(t, s, "PATCH", at+"?restore_to.snapshot.name=first&return_timeout=30", "", 200)
	text, err := os.ReadFile(in("d/kept"))
	require.NoError(t, err)
	require.Equal(t, "then", string(text))
	after, err := os.Stat(in("d/kept"))
	require.NoError(t, err)
	require.True(t, os.SameFile(before, after), "handles stay good")
	require.Equal(t, before.ModTime(), after.ModTime())
	require.NoFileExists(t, in("new"))
	gone, err := os.Stat(in("d/gone"))
	require.NoError(t, err)
	hard, err := os.Stat(in("d/deep/hard"))
	require.NoError(t, err)
	require.True(t, os.SameFile(gone, hard))
	require.EqualValues(t, 1, answer(t, s, "GET", at+"/snapshots", "", 200)["num_records"], "newer snapshots are gone")
	require.NoDirExists(t, in(".snapshot/second"))

	// One file, in its place and elsewhere.
	require.NoError(t, os.WriteFile(in("d/kept"), []byte("again"), 0o644))
	answer(t, s, "PATCH", at+"?restore_to.snapshot.name=first&restore_to.path=/d/kept&restore_to.restore_path=/d/copy&return_timeout=30", "", 200)
	answer(t, s, "PATCH", at+"?restore_to.snapshot.name=first&restore_to.path=d/kept&return_timeout=30", "", 200)
	for _, name := range []string{"d/kept", "d/copy"} {
		text, err := os.ReadFile(in(name))
		require.NoError(t, err)
		require.Equal(t, "then", string(text), name)
	}
	refused(t, s, "PATCH", at+"?restore_to.snapshot.name=first&restore_to.path=d", "", "524511")
}

func TestSnapshotsAreLocked(t *testing.T) {
	s, _ := ageless(t)
	volume, _ := s.UUIDs()
	at := "/storage/volumes/" + volume
	refused(t, s, "POST", at+"/snapshots", `{"name":"l","snaplock_expiry_time":"2041-01-01T00:00:00Z"}`, "1638618")
	answer(t, s, "PATCH", at+"?return_timeout=30", `{"snapshot_locking_enabled":true}`, 200)
	refused(t, s, "PATCH", at, `{"snapshot_locking_enabled":false}`, "917628")
	answer(t, s, "POST", at+"/snapshots?return_timeout=30", `{"name":"l","snaplock_expiry_time":"2041-01-01T00:00:00Z"}`, 201)
	one := at + "/snapshots/" + s.world.Snapshots[0].UUID
	got := answer(t, s, "GET", one, "", 200)
	require.Equal(t, "2041-01-01T00:00:00+00:00", got["snaplock_expiry_time"])
	require.Equal(t, false, read(got, "snaplock.expired"))
	require.Regexp(t, `^P\d+D(T[0-9HMS]+)?$`, read(got, "snaplock.time_until_expiry"))
	refused(t, s, "DELETE", one+"?return_timeout=30", "", ontap.CodeSnapshotBusy)
	refused(t, s, "PATCH", one+"?return_timeout=30", `{"name":"m"}`, ontap.CodeSnapshotBusy)
	refused(t, s, "PATCH", one+"?return_timeout=30", `{"snaplock":{"expiry_time":"2040-01-01T00:00:00Z"}}`, "1638554")
	answer(t, s, "PATCH", one+"?return_timeout=30", `{"snaplock":{"expiry_time":"2042-01-01T00:00:00Z"}}`, 200)
	require.Equal(t, "2042-01-01T00:00:00+00:00", answer(t, s, "GET", one, "", 200)["snaplock_expiry_time"])
	answer(t, s, "POST", at+"/snapshots?return_timeout=30", `{"name":"older"}`, 201)
	refused(t, s, "POST", at+"/snapshots", `{"name":"x","snaplock_expiry_time":"2001-01-01T00:00:00Z"}`, "1638554")
}

func TestAnalyticsCountTheTree(t *testing.T) {
	s, cfg := ageless(t)
	volume, _ := s.UUIDs()
	at := "/storage/volumes/" + volume
	require.NoError(t, os.MkdirAll(filepath.Join(cfg.Root, "site/deep"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(cfg.Root, "site/deep/f"), make([]byte, 100000), 0o644))
	require.NoError(t, os.Link(filepath.Join(cfg.Root, "site/deep/f"), filepath.Join(cfg.Root, "site/g")))
	const fields = "?type=directory&fields=analytics.bytes_used,analytics.file_count,analytics.incomplete_data"
	refused(t, s, "GET", at+"/files/%2E"+fields, "", "111412203")
	require.NotContains(t, ask(s, "GET", "/api"+at+"/files/%2E?fields=**", "").Body.String(), "analytics")
	answer(t, s, "PATCH", at+"?return_timeout=30", `{"analytics":{"state":"on"}}`, 200)
	site := func() map[string]any {
		for _, x := range answer(t, s, "GET", at+"/files"+fields, "", 200)["records"].([]any) {
			if read(x, "name") == "site" {
				return read(x, "analytics").(map[string]any)
			}
		}
		return nil
	}
	got := site()
	require.EqualValues(t, 1, got["file_count"], "a hard link counts once")
	require.InDelta(t, 104096, got["bytes_used"], 12288)
	require.NotContains(t, got, "incomplete_data")
	require.NoError(t, s.Set(func(x *Settings) { x.Incomplete = true }))
	require.Equal(t, true, site()["incomplete_data"])
}

func TestVolumesAndClonesAreMade(t *testing.T) {
	s, cfg := ageless(t)
	volume, _ := s.UUIDs()
	require.NoError(t, os.WriteFile(filepath.Join(cfg.Root, "f"), []byte("then"), 0o644))
	answer(t, s, "POST", "/storage/volumes/"+volume+"/snapshots?return_timeout=30", `{"name":"base"}`, 201)
	require.NoError(t, os.WriteFile(filepath.Join(cfg.Root, "f"), []byte("now"), 0o644))
	const where = `"svm":{"name":"svm1"}`
	for body, code := range map[string]string{
		`{"name":"n"}`: "2621707", `{"name":"n",` + where + `}`: "787140", `{` + where + `}`: "262177",
		`{"name":"v",` + where + `,"aggregates":[{"name":"aggr1"}]}`:                                            "917526",
		`{"name":"n",` + where + `,"aggregates":[{"name":"other"}]}`:                                            "917508",
		`{"name":"9n",` + where + `,"aggregates":[{"name":"aggr1"}]}`:                                           "917888",
		`{"name":"n",` + where + `,"aggregates":[{"name":"aggr1"}],"size":5}`:                                   "917534",
		`{"name":"n",` + where + `,"aggregates":[{"name":"aggr1"}],"qos":{"policy":{"name":"gold"}}}`:           "262196",
		`{"name":"n",` + where + `,"clone":{"is_flexclone":true,"parent_volume":{"name":"no"}}}`:                "524601",
		`{"name":"n",` + where + `,"clone":{"is_flexclone":true,"parent_volume":{"name":"v"}},"size":30000000}`: "918247",
	} {
		refused(t, s, "POST", "/storage/volumes?return_timeout=30", body, code)
	}
	answer(t, s, "POST", "/storage/volumes?return_timeout=30", `{"name":"fresh",`+where+`,"aggregates":[{"name":"aggr1"}],"size":1073741824,"nas":{"path":"/fresh","export_policy":{"name":"default"}},"comment":"c"}`, 201)
	made := answer(t, s, "GET", "/storage/volumes?name=fresh&fields=size,comment,nas.path,state", "", 200)["records"].([]any)[0].(map[string]any)
	require.Equal(t, []any{float64(1 << 30), "c", "/fresh", "online"}, []any{made["size"], made["comment"], read(made, "nas.path"), made["state"]})
	fresh := "/storage/volumes/" + made["uuid"].(string)
	refused(t, s, "DELETE", fresh+"?return_timeout=30", "", "917536")
	answer(t, s, "PATCH", fresh+"?return_timeout=30", `{"nas":{"path":""}}`, 200)
	answer(t, s, "DELETE", fresh+"?return_timeout=30", "", 200)
	require.Equal(t, 404, ask(s, "GET", "/api"+fresh, "").Code)

	answer(t, s, "POST", "/storage/volumes?return_timeout=30", `{"name":"c",`+where+`,"clone":{"is_flexclone":true,"parent_volume":{"name":"v"},"parent_snapshot":{"name":"base"}}}`, 201)
	made = answer(t, s, "GET", "/storage/volumes?name=c&fields=clone", "", 200)["records"].([]any)[0].(map[string]any)
	clone := "/storage/volumes/" + made["uuid"].(string)
	require.Equal(t, "base", read(made, "clone.parent_snapshot.name"))
	text, err := os.ReadFile(filepath.Join(cfg.Pool, made["uuid"].(string), "f"))
	require.NoError(t, err)
	require.Equal(t, "then", string(text))
	base := "/storage/volumes/" + volume + "/snapshots/" + s.world.Snapshots[0].UUID
	require.Equal(t, []any{"volume_clone"}, answer(t, s, "GET", base+"?fields=owners", "", 200)["owners"])
	refused(t, s, "DELETE", base+"?return_timeout=30", "", ontap.CodeSnapshotOwned)
	// A clone has snapshots, files and clones of its own.
	answer(t, s, "POST", clone+"/snapshots?return_timeout=30", `{"name":"own"}`, 201)
	require.EqualValues(t, 1, answer(t, s, "GET", clone+"/snapshots", "", 200)["num_records"])
	require.EqualValues(t, 1, answer(t, s, "GET", "/storage/volumes/"+volume+"/snapshots", "", 200)["num_records"])
	answer(t, s, "POST", clone+"/files/dir", `{"type":"directory"}`, 201)
	require.DirExists(t, filepath.Join(cfg.Pool, made["uuid"].(string), "dir"))
	answer(t, s, "POST", "/storage/volumes?return_timeout=30", `{"name":"cc",`+where+`,"clone":{"is_flexclone":true,"parent_volume":{"name":"c"}}}`, 201)
	refused(t, s, "DELETE", clone+"?return_timeout=30", "", "524615")

	// All of it survives a restart.
	require.NoError(t, s.Close())
	again, err := New(cfg)
	require.NoError(t, err)
	defer again.Close()
	require.EqualValues(t, 2, answer(t, again, "GET", clone+"/snapshots", "", 200)["num_records"], "own, and the one of cc")
	child := answer(t, again, "GET", "/storage/volumes?name=cc", "", 200)["records"].([]any)[0].(map[string]any)["uuid"].(string)
	answer(t, again, "PATCH", "/storage/volumes/"+child+"?return_timeout=30", `{"clone":{"split_initiated":true}}`, 200)
	answer(t, again, "DELETE", clone+"?return_timeout=30", "", 200)
	answer(t, again, "DELETE", base+"?return_timeout=30", "", 200)
	require.Equal(t, http.StatusBadRequest, ask(again, "DELETE", "/api/storage/volumes/"+volume, "").Code)
}

func TestWithoutAPoolNoVolumeIsMade(t *testing.T) {
	s, _ := ageless(t, func(c *Config) { c.Pool = "" })
	refused(t, s, "POST", "/storage/volumes", `{"name":"n","svm":{"name":"svm1"},"aggregates":[{"name":"aggr1"}]}`, "918701")
}

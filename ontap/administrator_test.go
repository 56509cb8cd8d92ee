package ontap_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
)

// administrator changes a filer by plain HTTP.
type administrator struct{ *foreign }

func newAdministrator(w *world) administrator { return administrator{newForeign(w)} }

// must does a change that has to succeed, and waits for its job.
func (a administrator) must(method, path, body string) map[string]any {
	a.w.t.Helper()
	status, answer := a.ask(method, path, body)
	require.Less(a.w.t, status, 300, "%s %s %s\n%s", method, path, body, answer)
	out := map[string]any{}
	if answer != "" {
		require.NoError(a.w.t, json.Unmarshal([]byte(answer), &out))
	}
	return out
}

// refused does a change that has to be refused with a code.
func (a administrator) refused(code, method, path, body string) {
	a.w.t.Helper()
	status, answer := a.ask(method, path, body)
	require.GreaterOrEqual(a.w.t, status, 400, "%s %s %s\n%s", method, path, body, answer)
	require.Contains(a.w.t, answer, `"code": "`+code+`"`, "%s %s %s", method, path, body)
}

func TestQtreesAreMadeRenamedAndDeleted(t *testing.T) {
	w := newWorld(t)
	a := newAdministrator(w)
	const qtrees = "/api/storage/qtrees"
	const of = `"svm":{"name":"svm1"},"volume":{"name":"docker_vols"}`
	a.must("POST", qtrees+"?return_timeout=15", `{`+of+`,"name":"q1","unix_permissions":750,"security_style":"unix"}`)
	require.DirExists(t, filepath.Join(w.root, "q1"))
	st, err := os.Stat(filepath.Join(w.root, "q1"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o750), st.Mode().Perm())
	found, err := w.client.QtreeList(t.Context(), w.volume)
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.Equal(t, "q1", found[0].Name)
	w.write("q1/a", "a")

	one := qtrees + "/" + w.volume + "/1"
	a.must("PATCH", one+"?return_timeout=15", `{"name":"q2","unix_permissions":700,"security_style":"mixed","export_policy":{"name":"default"}}`)
	require.Equal(t, "a", w.read("q2/a"))
	got := a.must("GET", one+"?fields=*", "")
	require.Equal(t, "q2", got["name"])
	require.Equal(t, "mixed", got["security_style"])
	require.EqualValues(t, 700, got["unix_permissions"])
	require.Equal(t, "/docker_vols/q2", got["path"])

	require.NoError(t, os.Mkdir(filepath.Join(w.root, "taken"), 0o755))
	a.refused("5242953", "POST", qtrees, `{`+of+`}`)
	a.refused("5242894", "POST", qtrees, `{`+of+`,"name":""}`)
	a.refused("5242886", "POST", qtrees+"?return_timeout=15", `{`+of+`,"name":"taken"}`)
	a.refused("5242886", "POST", qtrees, `{`+of+`,"name":"a/b"}`)
	a.refused("2621707", "POST", qtrees, `{"name":"x","volume":{"name":"docker_vols"}}`)
	a.refused("918232", "POST", qtrees, `{"name":"x","svm":{"name":"svm1"}}`)
	a.refused("2621462", "POST", qtrees, `{"name":"x","svm":{"name":"nope"},"volume":{"name":"docker_vols"}}`)
	a.refused("917927", "POST", qtrees, `{"name":"x","svm":{"name":"svm1"},"volume":{"name":"nope"}}`)
	a.refused("1703954", "POST", qtrees, `{`+of+`,"name":"x","export_policy":{"name":"nope"}}`)
	a.refused("262196", "POST", qtrees, `{`+of+`,"name":"x","user":{"id":"root"}}`)
	a.refused("262196", "PATCH", one, `{"qos_policy":{"name":"fast"}}`)
	a.refused("5242958", "PATCH", one+"?return_timeout=15", `{"name":"taken"}`)
	a.refused("5242894", "DELETE", qtrees+"/"+w.volume+"/0", "")
	a.refused("5242956", "DELETE", qtrees+"/"+w.volume+"/77", "")
	a.refused("918235", "GET", qtrees+"/nope/1", "")
	// Over the edge of a qtree nothing is renamed, and a qtree is not a directory.
	files := "/api/storage/volumes/" + w.volume + "/files/"
	a.refused("6488082", "PATCH", files+"q2%2Fa", `{"path":"a"}`)
	a.refused("6488082", "PATCH", files+"q2", `{"path":"q3"}`)
	require.Equal(t, "a", w.read("q2/a"))

	a.must("DELETE", one+"?return_timeout=15", "")
	require.NoDirExists(t, filepath.Join(w.root, "q2"))
}

func TestQtreesAreListedByPages(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.OtherSVMs = []string{"svm2"} })
	a := newAdministrator(w)
	for _, name := range []string{"q1", "q2", "q3"} {
		a.must("POST", "/api/storage/qtrees?return_timeout=15", `{"svm":{"name":"svm1"},"volume":{"name":"docker_vols"},"name":"`+name+`"}`)
	}
	w.SetPageSize(1)
	found, err := w.client.QtreeList(t.Context(), w.volume)
	require.NoError(t, err)
	require.Len(t, found, 3)
	w.SetPageSize(0)
	all := a.must("GET", "/api/storage/qtrees", "")
	require.EqualValues(t, 7, all["num_records"], "each volume is a qtree 0 too")
	done := a.must("DELETE", "/api/storage/qtrees?name=q1|q2&volume.uuid="+w.volume, "")
	require.EqualValues(t, 2, done["num_records"])
	a.refused("262255", "DELETE", "/api/storage/qtrees", "")
}

func TestQuotasCountWhatAQtreeUses(t *testing.T) {
	w := newWorld(t)
	a := newAdministrator(w)
	const of = `"svm":{"name":"svm1"},"volume":{"name":"docker_vols"},"type":"tree"`
	const rules = "/api/storage/quota/rules"
	a.must("POST", "/api/storage/qtrees?return_timeout=15", `{"svm":{"name":"svm1"},"volume":{"name":"docker_vols"},"name":"q1"}`)
	a.must("POST", "/api/storage/qtrees?return_timeout=15", `{"svm":{"name":"svm1"},"volume":{"name":"docker_vols"},"name":"q2"}`)
	a.must("POST", rules+"?return_timeout=15", `{`+of+`,"qtree":{"name":""},"space":{"hard_limit":1000000}}`)
	a.must("POST", rules+"?return_timeout=15", `{`+of+`,"qtree":{"name":"q1"},"space":{"hard_limit":100,"soft_limit":-1},"files":{"hard_limit":10}}`)
	a.refused("5308575", "POST", rules, `{`+of+`,"qtree":{"name":"q2"},"space":{"hard_limit":2000,"soft_limit":3000}}`)
	a.refused("5308574", "POST", rules, `{`+of+`,"qtree":{"name":"q2"},"space":{"hard_limit":-2}}`)
	a.refused("5308564", "POST", rules, `{`+of+`}`)
	a.refused("5242927", "POST", rules, `{`+of+`,"qtree":{"name":"nope"}}`)
	a.refused("1", "POST", rules+"?return_timeout=15", `{`+of+`,"qtree":{"name":"q1"}}`)
	a.refused("262197", "POST", rules, `{"svm":{"name":"svm1"},"volume":{"name":"docker_vols"},"type":"user","users":[{"name":"x"}]}`)
	a.refused("5308545", "DELETE", rules+"/nope", "")

	reports, err := w.client.QuotaReportList(t.Context(), w.volume)
	require.NoError(t, err)
	require.Empty(t, reports, "quotas are off")

	volume := "/api/storage/volumes/" + w.volume
	a.must("PATCH", volume+"?return_timeout=15", `{"quota":{"enabled":true}}`)
	require.NoError(t, os.WriteFile(filepath.Join(w.root, "q1/a"), make([]byte, 100_000), 0o644))
	require.NoError(t, os.Link(filepath.Join(w.root, "q1/a"), filepath.Join(w.root, "q1/b")))
	reports, err = w.client.QuotaReportList(t.Context(), w.volume)
	require.NoError(t, err)
	all := a.must("GET", "/api/storage/quota/reports?fields=*&order_by=index", "")["records"].([]any)
	require.Len(t, all, 3, "the default rule is the qtree *")
	require.Equal(t, "*", all[0].(map[string]any)["qtree"].(map[string]any)["name"])
	require.Len(t, a.must("GET", "/api/storage/quota/reports?show_default_records=false", "")["records"], 2)
	byName := map[string]ontap.QuotaReport{}
	for _, r := range reports {
		byName[r.Qtree.Name] = r
	}
	q1, q2 := byName["q1"], byName["q2"]
	require.EqualValues(t, 1024, *q1.Space.HardLimit)
	require.Nil(t, q1.Space.SoftLimit)
	require.InDelta(t, 100_000, *q1.Space.Used.Total, 30_000, "both names are one file")
	require.EqualValues(t, 10, *q1.Files.HardLimit)
	require.EqualValues(t, 977*1024, *q2.Space.HardLimit, "the default, rounded up to KiB")

	// A volume without a rule cannot have its quotas on.
	a.must("PATCH", volume+"?return_timeout=15", `{"quota":{"enabled":false}}`)
	a.must("DELETE", rules+"?type=tree", "")
	a.refused("5308610", "PATCH", volume, `{"quota":{"enabled":true}}`)
}

func TestQuotaRulesChange(t *testing.T) {
	w := newWorld(t)
	a := newAdministrator(w)
	const rules = "/api/storage/quota/rules"
	a.must("POST", "/api/storage/qtrees?return_timeout=15", `{"svm":{"name":"svm1"},"volume":{"name":"docker_vols"},"name":"q1"}`)
	made := a.must("POST", rules+"?return_timeout=15&return_records=true",
		`{"svm":{"name":"svm1"},"volume":{"name":"docker_vols"},"type":"tree","qtree":{"name":"q1"},"space":{"hard_limit":100}}`)
	one := rules + "/" + made["records"].([]any)[0].(map[string]any)["uuid"].(string)
	space := func() any { return a.must("GET", one, "")["space"] }
	require.Equal(t, map[string]any{"hard_limit": 1024.}, space(), "less is rounded up")
	a.must("PATCH", one+"?return_timeout=15", `{"space":{"hard_limit":8192,"soft_limit":4096}}`)
	require.Equal(t, map[string]any{"hard_limit": 8192., "soft_limit": 4096.}, space())
	a.must("PATCH", one+"?return_timeout=15", `{"space":{"soft_limit":-1}}`)
	require.Equal(t, map[string]any{"hard_limit": 8192.}, space())
	a.refused("262196", "PATCH", one, `{"qtree":{"name":"q2"}}`)
	a.must("DELETE", one+"?return_timeout=15", "")
	a.refused("5308545", "GET", one, "")
}

func TestMirrors(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.OtherSVMs = []string{"svm2"} })
	near := w.SetMirror(simulator.Mirror{Destination: "svm2:copy", Lag: time.Hour + 2*time.Minute, Healthy: true})
	far := w.SetMirror(simulator.Mirror{Destination: "far:copy", Elsewhere: true})
	w.SetMirror(simulator.Mirror{Source: "svm1:other", Destination: "svm2:other"})

	found, err := w.client.SnapmirrorList(t.Context(), "svm1", "docker_vols")
	require.NoError(t, err)
	require.Len(t, found, 2)
	byUUID := func(uuid string) ontap.Relationship {
		for _, r := range found {
			if r.UUID == uuid {
				return r
			}
		}
		require.Fail(t, "no relationship "+uuid)
		return ontap.Relationship{}
	}
	require.Equal(t, "snapmirrored", byUUID(near.UUID).State)
	require.Equal(t, "PT1H2M", byUUID(near.UUID).Lag)
	require.True(t, *byUUID(near.UUID).Healthy)
	require.Empty(t, byUUID(far.UUID).State, "the cluster of the source does not know")
	require.Nil(t, byUUID(far.UUID).Healthy)

	near.Healthy, near.Reasons = false, []string{"Transfer failed."}
	w.SetMirror(near)
	found, err = w.client.SnapmirrorList(t.Context(), "svm1", "docker_vols")
	require.NoError(t, err)
	require.False(t, *byUUID(near.UUID).Healthy)
	require.Equal(t, []string{"Transfer failed."}, byUUID(near.UUID).UnhealthyReason)

	a := newAdministrator(w)
	const all = "/api/snapmirror/relationships"
	a.must("POST", all+"?return_timeout=15", `{"source":{"path":"svm1:docker_vols"},"destination":{"path":"svm2:new"}}`)
	a.refused("13303845", "POST", all, `{"source":{"path":"svm1:docker_vols"},"destination":{"path":"svm2:new"}}`)
	a.refused("262177", "POST", all, `{"source":{"path":"svm1:docker_vols"}}`)
	a.refused("262197", "POST", all, `{"source":{"path":"svm1:docker_vols"},"destination":{"path":"svm2"}}`)
	a.refused("262179", "POST", all, `{"source":{"path":"svm1:docker_vols"},"destination":{"path":"svm2:b"},"nonsense":true}`)
	a.must("PATCH", all+"/"+near.UUID+"?return_timeout=15", `{"state":"broken_off"}`)
	require.Equal(t, "broken_off", a.must("GET", all+"/"+near.UUID, "")["state"])
	a.refused("262197", "PATCH", all+"/"+near.UUID, `{"state":"nonsense"}`)
	a.refused("4", "PATCH", all+"/"+far.UUID, `{"state":"paused"}`)
	a.must("DELETE", all+"/"+near.UUID+"?return_timeout=15&destination_only=true", "")
	a.refused("4", "GET", all+"/"+near.UUID, "")
}

func TestSnapshotPoliciesChange(t *testing.T) {
	w := newWorld(t)
	a := newAdministrator(w)
	const all = "/api/storage/snapshot-policies"
	made := a.must("POST", all+"?return_records=true", `{"name":"often","svm":{"name":"svm1"},"comment":"c","copies":[{"schedule":{"name":"hourly"},"count":24,"prefix":"h","snapmirror_label":"hourly","retention_period":"P1D"}]}`)
	uuid := made["records"].([]any)[0].(map[string]any)["uuid"].(string)
	one := all + "/" + uuid
	daily := a.must("GET", "/api/cluster/schedules?name=daily", "")["records"].([]any)[0].(map[string]any)["uuid"].(string)

	a.must("POST", one+"/schedules", `{"schedule":{"uuid":"`+daily+`"},"count":7}`)
	a.must("PATCH", one+"/schedules/"+daily, `{"count":14,"snapmirror_label":"d","retention_period":"P14D"}`)
	a.must("PATCH", one, `{"enabled":false,"comment":"now and then"}`)
	got := a.must("GET", one, "")
	require.Equal(t, false, got["enabled"])
	require.Equal(t, "now and then", got["comment"])
	require.Equal(t, "svm", got["scope"])
	schedule := a.must("GET", one+"/schedules/"+daily, "")
	require.EqualValues(t, 14, schedule["count"])
	require.Equal(t, "daily", schedule["prefix"])
	require.Equal(t, "P14D", schedule["retention_period"])

	with := func(copies string) string { return `{"name":"x","copies":[` + copies + `]}` }
	a.refused("1638527", "POST", all, `{"name":"often","copies":[{"schedule":{"name":"hourly"},"count":1}]}`)
	a.refused("1638417", "POST", all, `{"name":"not good","copies":[{"schedule":{"name":"hourly"},"count":1}]}`)
	a.refused("1638408", "POST", all, `{"name":"x"}`)
	a.refused("1638408", "POST", all, with(`{"count":1}`))
	a.refused("1638407", "POST", all, with(`{"schedule":{"name":"hourly"}}`))
	a.refused("1638413", "POST", all, with(`{"schedule":{"name":"yearly"},"count":1}`))
	a.refused("1638451", "POST", all, with(`{"schedule":{"name":"hourly"},"count":1000},{"schedule":{"name":"daily"},"count":24}`))
	a.refused("1638410", "POST", all, with(`{"schedule":{"name":"hourly"},"count":1},{"schedule":{"name":"hourly"},"count":1,"prefix":"p"}`))
	a.refused("1638508", "POST", all, with(`{"schedule":{"name":"hourly"},"count":1,"prefix":"p"},{"schedule":{"name":"daily"},"count":1,"prefix":"p"}`))
	a.refused("918253", "POST", all, with(`{"schedule":{"name":"hourly"},"count":1,"retention_period":"a day"}`))
	a.refused("2621462", "POST", all, `{"name":"x","svm":{"name":"nope"},"copies":[{"schedule":{"name":"hourly"},"count":1}]}`)
	a.refused("1638410", "POST", one+"/schedules", `{"schedule":{"name":"daily"},"count":1}`)
	a.refused("1638451", "PATCH", one+"/schedules/"+daily, `{"count":1000}`)
	a.refused("262196", "PATCH", one+"/schedules/"+daily, `{"prefix":"p"}`)
	a.must("PATCH", one, `{"copies":[{"schedule":{"name":"hourly"},"count":2},{"schedule":{"name":"daily"},"count":3}]}`)
	require.EqualValues(t, 3, a.must("GET", one+"/schedules/"+daily, "")["count"])
	a.refused("1638451", "PATCH", one, `{"copies":[{"schedule":{"name":"hourly"},"count":2000}]}`)
	a.refused("4", "PATCH", all+"/nope", `{"enabled":true}`)

	// A policy in use stays.
	a.must("PATCH", "/api/storage/volumes/"+w.volume+"?return_timeout=15", `{"snapshot_policy":{"name":"often"}}`)
	a.refused("1638415", "DELETE", one, "")
	a.must("PATCH", "/api/storage/volumes/"+w.volume+"?return_timeout=15", `{"snapshot_policy":{"name":"none"}}`)
	a.must("DELETE", one+"/schedules/"+daily, "")
	a.refused("1638412", "DELETE", one+"/schedules/"+daily, "")
	a.refused("1638411", "DELETE", one+"/schedules?schedule.name=hourly", "")
	a.must("DELETE", one, "")
	builtIn := a.must("GET", all+"?name=default", "")["records"].([]any)[0].(map[string]any)["uuid"].(string)
	a.refused("1638431", "DELETE", all+"/"+builtIn, "")
}

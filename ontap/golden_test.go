package ontap_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/internal/reference"
	"github.com/casit/berth/ontap/simulator"
)

// foreign is a client that is not ours: plain HTTP, whatever is asked.
type foreign struct {
	w    *world
	http *http.Client
	log  bytes.Buffer
}

func newForeign(w *world) *foreign {
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(w.ca)
	require.NoError(w.t, err)
	require.True(w.t, pool.AppendCertsFromPEM(pem))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	w.t.Cleanup(client.CloseIdleConnections)
	return &foreign{w: w, http: client}
}

// ask sends one request and returns status and answer; path is sent as it is.
func (f *foreign) ask(method, path, body string) (int, string) {
	f.w.t.Helper()
	req, err := http.NewRequestWithContext(f.w.t.Context(), method, "https://"+f.w.address+"/", strings.NewReader(body))
	require.NoError(f.w.t, err)
	req.URL.Opaque = path
	if body == "" {
		req.Body, req.ContentLength = nil, 0
	}
	req.SetBasicAuth("berth", password)
	resp, err := f.http.Do(req)
	require.NoError(f.w.t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(f.w.t, err)
	fmt.Fprintf(&f.log, "> %s %s\n", method, path)
	if body != "" {
		fmt.Fprintf(&f.log, "> %s\n", body)
	}
	fmt.Fprintf(&f.log, "< %d\n", resp.StatusCode)
	for _, name := range []string{"Location", "Link", "Allow"} {
		if value := resp.Header.Get(name); value != "" {
			fmt.Fprintf(&f.log, "< %s: %s\n", name, value)
		}
	}
	fmt.Fprintf(&f.log, "%s\n", strings.TrimSpace(scrub(string(raw))))
	return resp.StatusCode, string(raw)
}

// varying are members whose values depend on the machine: their numbers and
// texts are replaced, their types stay.
var varying = regexp.MustCompile(`"(size|logical_size|reclaimable_space|available|used|percent_used|used_percent|used_by_afs|reserve_size|uid|gid|minimum|maximum|bytes_used|inode_number|hard_links_count|owner_id|group_id|[a-z]+ed_time|creation_time)": (\d+|"[^"]*")`)

// named is the uuid of a snapshot policy.
func (w *world) named(policy string) string {
	p, err := w.client.SnapshotPolicyGetByName(w.t.Context(), "svm1", policy)
	require.NoError(w.t, err)
	return p.UUID
}

func scrub(text string) string {
	return varying.ReplaceAllStringFunc(text, func(member string) string {
		name, value, _ := strings.Cut(member, ": ")
		if strings.HasPrefix(value, `"`) {
			return name + `: "..."`
		}
		return name + ": 1"
	})
}

func TestForeignClientAtStart(t *testing.T) {
	w := newWorld(t, ageless, func(c *simulator.Config) { c.OtherSVMs = []string{"svm2"} })
	f := newForeign(w)
	for _, path := range []string{
		"/api/cluster?fields=version",
		"/api/cluster?fields=",
		"/api/cluster?fields=**",
		"/api/cluster?fields=version,no_such_field&ignore_unknown_fields=true",
		"/api/svm/svms?name=svm1&fields=",
		"/api/svm/svms/" + w.svm,
		"/api/cluster/nodes?fields=serial_number",
		"/api/svm/svms?fields=**&name=svm1",
		"/api/svm/svms/" + w.svm + "?fields=uuid,state,aggregates.name",
		"/api/svm/peers?fields=peer.svm.name&svm.name=svm1",
		"/api/storage/aggregates?fields=name,space.block_storage,block_storage.primary.disk_type",
		"/api/network/ip/interfaces?services=data_nfs&svm.name=svm1&fields=ip.address,state,services",
		"/api/storage/volumes?fields=",
		"/api/storage/volumes?fields=svm{name,uuid},type&style=flexvol&state=online&is_svm_root=false",
		"/api/storage/volumes?name=docker*,nothing&svm.uuid=" + w.svm,
		"/api/storage/volumes?name=%22docker_vols%22&fields=*",
		"/api/storage/volumes?size=%3E0&order_by=svm.name%20desc&max_records=1&name=docker_vols",
		"/api/storage/volumes?return_records=false",
		"/api/storage/volumes/" + w.volume + "?fields=nas.export_policy.name,aggregates",
		"/api/protocols/nfs/export-policies?name=default&fields=rules",
		"/api/protocols/nfs/export-policies/12884901889/rules?fields=clients,ro_rule",
		"/api/cluster/schedules?name=daily&fields=cron",
		"/api/storage/snapshot-policies?fields=copies.count,copies.schedule.name&name=!none",
		"/api/protocols/nfs/services?fields=protocol.v3_enabled",
		"/api/security/login/whoami",
	} {
		status, _ := f.ask("GET", path, "")
		require.Equal(t, 200, status, path)
	}
	status, _ := f.ask("POST", "/api/support/ems/application-logs", `{"computer_name":"n","event_source":"c","app_version":"1","event_id":1,`+
		`"category":"x","event_description":"d","severity":"notice","autosupport_required":false}`)
	require.Equal(t, 201, status)
	require.Len(t, w.Events(), 1)
	status, _ = f.ask("POST", "/api/protocols/nfs/export-policies?return_records=true", `{"name":"p1","svm":{"name":"svm1"}}`)
	require.Equal(t, 201, status)
	status, _ = f.ask("POST", "/api/protocols/nfs/export-policies/", `{"name":"p2","svm.name":"svm1"}`)
	require.Equal(t, 201, status, "a trailing slash and dotted names are good")
	status, _ = f.ask("POST", "/api/protocols/nfs/export-policies/12884901890/rules", `{"clients":[{"match":"10.0.0.0/8"}],"protocols":["nfs3"],"ro_rule":["sys"],"rw_rule":["sys"]}`)
	require.Equal(t, 201, status)
	rules := "/api/protocols/nfs/export-policies/12884901890/rules"
	f.ask("POST", rules, `{"clients":[{"match":"10.0.0.1"}],"ro_rule":["sys"]}`)
	f.ask("POST", rules+"?return_records=true", `{"clients":[{"match":"10.0.0.1"}],"ro_rule":["any"],"rw_rule":["none"],"superuser":["none"]}`)
	f.ask("GET", "/api/protocols/nfs/export-policies/12884901890?fields=**", "")
	f.ask("GET", rules+"/2?fields=**", "")
	f.ask("DELETE", rules+"/2", "")
	f.ask("DELETE", rules+"/2", "")
	f.ask("DELETE", "/api/protocols/nfs/export-policies/12884901890", "")
	f.ask("DELETE", "/api/protocols/nfs/export-policies/12884901889", "")
	f.ask("GET", "/api/storage/snapshot-policies/"+w.named("default")+"/schedules?fields=count,prefix", "")
	status, _ = f.ask("HEAD", "/api/cluster", "")
	require.Equal(t, 200, status)
	f.ask("OPTIONS", "/api/storage/volumes/"+w.volume+"/snapshots", "")
	f.ask("OPTIONS", "/api/storage/directory-restore", "")
	reference.Golden(t, "testdata/start.golden", f.log.Bytes())
}

func TestForeignClientSnapshots(t *testing.T) {
	w := newWorld(t, ofDefaultRelease)
	w.write("site1/a", "a")
	f := newForeign(w)
	snapshots := "/api/storage/volumes/" + w.volume + "/snapshots"
	status, answer := f.ask("POST", snapshots, `{"name":"s1","comment":"c"}`)
	require.Equal(t, 202, status, "without return_timeout the answer is a job")
	var accepted struct{ Job ontap.Ref }
	require.NoError(t, json.Unmarshal([]byte(answer), &accepted))
	require.NoError(t, w.client.PollJobStatus(t.Context(), "test", accepted.Job.UUID))
	f.ask("GET", "/api/cluster/jobs/"+accepted.Job.UUID+"?fields=**", "")
	status, _ = f.ask("POST", snapshots+"?return_timeout=15&return_records=true", `{"name":"s2"}`)
	require.Equal(t, 201, status)
	f.ask("GET", snapshots+"?fields=**", "")
	f.ask("GET", snapshots+"?max_records=1", "")
	f.ask("GET", snapshots+"?max_records=1&order_by=create_time&name=s*", "")
	f.ask("GET", "/api/storage/volumes/*/snapshots?name=s2", "")
	f.ask("PATCH", snapshots+"?return_timeout=5", `{"name":"s3"}`) // not on the collection
	f.ask("GET", "/api/storage/volumes/"+w.volume+"/files/site1?fields=type,size&order_by=name", "")
	f.ask("GET", "/api/storage/volumes/"+w.volume+"/files/%2Esnapshot%2Fs1%2Fsite1%2Fa?return_metadata=true&fields=**", "")
	f.ask("POST", "/api/storage/volumes/"+w.volume+"/files/new", `{"type":"directory","unix_permissions":755}`)
	f.ask("PATCH", "/api/storage/volumes/"+w.volume+"/files/new", `{"path":"newer"}`)
	f.ask("DELETE", "/api/storage/volumes/"+w.volume+"/files/newer", "")
	require.NoError(t, os.Symlink("/no/where", filepath.Join(w.root, "site1/link")))
	require.NoError(t, unix.Mkfifo(filepath.Join(w.root, "site1/fifo"), 0o600))
	f.ask("POST", "/api/storage/volumes/"+w.volume+"/files/site1%2Fmade", `{"target":"a"}`)
	f.ask("POST", "/api/storage/volumes/"+w.volume+"/files/site1%2Fx", `{"type":"file"}`)
	f.ask("GET", "/api/storage/volumes/"+w.volume+"/files/site1?fields=target,type&name=!.*&order_by=name", "")
	w.write("site1/a", "changed")
	status, _ = f.ask("POST", "/api/storage/directory-restore?return_timeout=15", `{"vserver":"svm1","volume":"docker_vols","snapshot":"s1","path":"/site1"}`)
	require.Equal(t, 201, status)
	require.Equal(t, "a", w.read("site1/a"), "without restore_path the directory itself is replaced")
	require.NoFileExists(t, filepath.Join(w.root, "site1/link"))
	f.ask("PATCH", "/api/cluster/jobs/"+accepted.Job.UUID+"?action=cancel", "")
	f.ask("PATCH", "/api/cluster/jobs/"+accepted.Job.UUID+"?action=pause", "")
	f.ask("PATCH", "/api/cluster/jobs/"+accepted.Job.UUID, "")
	f.ask("PATCH", "/api/storage/volumes/"+w.volume+"?return_timeout=5", `{"snapshot_directory_access_enabled":false}`)
	f.ask("GET", "/api/storage/volumes/"+w.volume+"?fields=snapshot_directory_access_enabled,snapshot_count", "")
	status, _ = f.ask("DELETE", snapshots+"?name=s1,s2&return_timeout=15", "")
	require.Equal(t, 200, status)
	f.ask("GET", snapshots, "")
	reference.Golden(t, "testdata/snapshots.golden", f.log.Bytes())
}

func TestForeignClientRefused(t *testing.T) {
	w := newWorld(t, ofDefaultRelease)
	w.write("site1/a", "a")
	w.snapshot("s1")
	f := newForeign(w)
	volume := "/api/storage/volumes/" + w.volume
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/api/storage/volumes?fields=name,nonsense", "", 400},
		{"GET", "/api/storage/volumes?fields=svm{name", "", 400},
		{"GET", "/api/storage/volumes?nonsense=1", "", 400},
		{"GET", "/api/storage/volumes?size=big", "", 400},
		{"GET", "/api/storage/volumes?name=a&name=b", "", 400},
		{"GET", "/api/storage/volumes?name=%22a", "", 400},
		{"GET", "/api/storage/volumes?max_records=0", "", 400},
		{"GET", "/api/storage/volumes?return_timeout=121", "", 400},
		{"GET", "/api/storage/volumes?order_by=nonsense", "", 400},
		{"GET", "/api/storage/volumes?name=a%zz", "", 400},
		{"GET", "/api/storage/volumes", `{"name":"x"}`, 400},
		{"GET", "/api/storage/volumes/nope", "", 404},
		{"GET", "/api/nonsense", "", 404},
		{"DELETE", volume + "/files/", "", 405},
		{"GET", "/elsewhere", "", 404},
		{"PUT", "/api/cluster", "", 405},
		{"DELETE", "/api/cluster", "", 405},
		{"POST", volume + "/snapshots", `{"name":"s1"}`, 409},
		{"POST", volume + "/snapshots", `{"name":"s2","nonsense":1}`, 400},
		{"POST", volume + "/snapshots", `{"name":"s2","uuid":"u"}`, 400},
		{"POST", volume + "/snapshots", `{"name":7}`, 400},
		{"POST", volume + "/snapshots", `{"name":"s2","svm":{"nonsense":1}}`, 400},
		{"POST", volume + "/snapshots", `{"name":`, 400},
		{"POST", volume + "/snapshots", `[]`, 400},
		{"POST", volume + "/snapshots", `{}`, 400},
		{"POST", volume + "/snapshots?force=true", `{"name":"s2"}`, 400},
		{"POST", "/api/storage/volumes/nope/snapshots", `{"name":"s2"}`, 404},
		{"DELETE", volume + "/snapshots", "", 400},
		{"DELETE", "/api/protocols/locks", "", 400},
		{"PATCH", volume + "?restore_to.snapshot.name=s1", `{"comment":"c"}`, 400},
		{"PATCH", volume + "?restore_to.snapshot.name=nope", "", 404},
		{"DELETE", volume, "", 400},
		{"DELETE", volume + "/files/..", "", 400},
		{"DELETE", volume + "/files/..?recurse=true", "", 400},
		{"DELETE", volume + "/files/site1%2F..", "", 400},
		{"DELETE", volume + "/files/.%2E", "", 400},
		{"DELETE", volume + "/files/.", "", 400},
		{"DELETE", volume + "/files/%2E%2E", "", 400},
		{"DELETE", volume + "/files/site1%2F%2E%2E", "", 400},
		{"DELETE", volume + "/files/%2F", "", 400},
		{"DELETE", volume + "/files/site1", "", 409},
		{"DELETE", volume + "/files/%2Esnapshot%2Fs1", "", 403},
		{"DELETE", volume + "/files/site1?recurse=maybe", "", 400},
		{"DELETE", volume + "/files/site1?throttle_deletion=1", "", 400},
		{"POST", volume + "/files/site1", `{"type":"directory"}`, 409},
		{"POST", "/api/storage/file/clone", `{"source_path":"site1/a","destination_path":"b"}`, 400},
		{"POST", "/api/storage/file/clone", `{"volume":{"name":"docker_vols"},"source_path":"../../etc/passwd","destination_path":"b"}`, 400},
		{"POST", "/api/storage/file/clone", `{"volume":{"name":"docker_vols"},"source_path":"site1/a","destination_path":"/b"}`, 400},
		{"POST", "/api/storage/file/clone", `{"volume":{"name":"other"},"source_path":"site1/a","destination_path":"b"}`, 404},
		{"POST", "/api/storage/directory-restore", `{"vserver":"svm1","volume":"docker_vols","snapshot":"s1","path":"/"}`, 400},
		{"POST", "/api/storage/directory-restore", `{"vserver":"svm1","volume":"docker_vols","snapshot":"s1","path":"/site1/a","restore_path":"/x"}`, 400},
		{"PATCH", "/api/cluster/jobs/nope?action=cancel", "", 404},
	} {
		status, answer := f.ask(c.method, c.path, c.body)
		require.Equal(t, c.status, status, "%s %s %s\n%s", c.method, c.path, c.body, answer)
	}
	require.Equal(t, "a", w.read("site1/a"))
	require.NotEmpty(t, w.log.matching("/files/..")[0].Note, "it is logged")
	reference.Golden(t, "testdata/refused.golden", f.log.Bytes())
}

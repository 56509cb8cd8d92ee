package simulator

import (
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
)

// snapshots are the names of the FlexVol's snapshots, oldest first.
func snapshotNames(t *testing.T, s *Simulator) (out []string) {
	t.Helper()
	volume, _ := s.UUIDs()
	list, _ := answered(t, ask(s, "GET", "/api/storage/volumes/"+volume+"/snapshots?order_by=create_time,name&fields=name", ""))["records"].([]any)
	for _, x := range list {
		out = append(out, x.(map[string]any)["name"].(string))
	}
	return out
}

func TestOperator(t *testing.T) {
	now := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	s := release(t, "", func(c *Config) {
		c.Now = func() time.Time { now = now.Add(time.Minute); return now }
	})
	o := s.Operate()
	var all []string
	for range 4 {
		taken, err := o.RunSchedule("daily")
		require.NoError(t, err)
		all = append(all, taken...)
	}
	require.Len(t, all, 4)
	require.Regexp(t, `^daily\.2026-03-01_03\d\d$`, all[0])
	require.Equal(t, all[2:], snapshotNames(t, s), "the policy keeps two")
	_, err := o.RunSchedule("yearly")
	require.ErrorContains(t, err, `no schedule "yearly"`)
	require.NoError(t, s.Set(func(set *Settings) { set.SnapshotPolicy = "none" }))
	_, err = o.RunSchedule("daily")
	require.ErrorContains(t, err, `policy "none" takes no snapshots`)
	require.NoError(t, s.Set(func(set *Settings) { set.SnapshotPolicy = "default" }))

	// What somebody holds is passed over.
	require.NoError(t, o.SetBusy(all[2], true))
	require.ErrorContains(t, o.SetBusy("nope", true), "no snapshot")
	gone, err := o.Autodelete(1)
	require.NoError(t, err)
	require.Equal(t, all[3:], gone)
	require.Equal(t, all[2:3], snapshotNames(t, s))
	volume, _ := s.UUIDs()
	list := answered(t, ask(s, "GET", "/api/storage/volumes/"+volume+"/snapshots", ""))["records"].([]any)
	uuid := list[0].(map[string]any)["uuid"].(string)
	code, _ := refusal(t, ask(s, "DELETE", "/api/storage/volumes/"+volume+"/snapshots/"+uuid+"?return_timeout=60", "").Body.Bytes())
	require.Equal(t, ontap.CodeSnapshotBusy, code)
	require.NoError(t, o.SetBusy(all[2], false))
	gone, err = o.Autodelete(5)
	require.NoError(t, err)
	require.Equal(t, all[2:3], gone)
	require.Empty(t, snapshotNames(t, s))
}

func TestFailOver(t *testing.T) {
	s := release(t, "")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, s.Listen("127.0.0.1:0", ca))
	c, err := ontap.New(ontap.Config{Address: s.Address(), User: "u", PasswordFile: s.cfg.PasswordFile, CAFile: ca})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.ClusterInfo(t.Context())
	require.NoError(t, err)
	volume, _ := s.UUIDs()
	made := answered(t, ask(s, "POST", "/api/storage/volumes/"+volume+"/snapshots", `{"name":"one"}`))
	job := "/api/cluster/jobs/" + made["job"].(map[string]any)["uuid"].(string)

	require.NoError(t, s.Operate().FailOver(0, 2))
	for _, want := range []int{404, 404, 200} {
		require.Equal(t, want, ask(s, "GET", job, "").Code)
	}
	require.NoError(t, s.Operate().FailOver(1, 0))
	require.Panics(t, func() { ask(s, "GET", job, "") }, "the connection is cut")
	require.Equal(t, 200, ask(s, "GET", job, "").Code)
	_, err = c.ClusterInfo(t.Context())
	require.NoError(t, err, "a client goes on over a new connection")
	require.Equal(t, http.StatusOK, ask(s, "POST", "/simulator/failover", `{"silent":0,"forgetful":1}`).Code)
	require.Equal(t, 404, ask(s, "GET", job, "").Code)
}

func TestSwitchover(t *testing.T) {
	cfg := config(t)
	s, err := New(cfg)
	require.NoError(t, err)
	require.NoError(t, s.Operate().Switchover(true))
	require.NoError(t, s.Close())
	s, err = New(cfg)
	require.NoError(t, err)
	defer s.Close()
	for path, want := range map[string]float64{
		"/api/svm/svms?name=svm1": 0, "/api/svm/svms?name=svm1-mc": 1, "/api/storage/volumes?svm.name=svm1-mc": 2, "/api/storage/volumes?svm.name=svm1": 0,
		"/api/network/ip/interfaces?svm.name=svm1-mc": 1, "/api/protocols/nfs/services?svm.name=svm1-mc": 1,
	} {
		require.Equal(t, want, answered(t, ask(s, "GET", path, ""))["num_records"], path)
	}
	require.NoError(t, s.Operate().Switchover(false))
	require.Equal(t, 1.0, answered(t, ask(s, "GET", "/api/svm/svms?name=svm1", ""))["num_records"])
}

func TestControlRoutes(t *testing.T) {
	s := release(t, "9.19.1")
	require.Equal(t, 200, ask(s, "POST", "/simulator/schedules", `{"schedule":"hourly"}`).Code)
	name := snapshotNames(t, s)[0]
	for _, x := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"owners", `{"snapshot":"` + name + `","owners":["snapmirror"]}`, 200, ""},
		{"owners", `{"snapshot":"nope"}`, 400, "no snapshot"},
		{"autodelete", `{"count":1}`, 200, `"snapshots": null`},
		{"owners", `{"snapshot":"` + name + `"}`, 200, ""},
		{"busy", `{"snapshot":"` + name + `","busy":true}`, 200, ""},
		{"busy", `{"snapshot":"` + name + `"}`, 200, ""},
		{"autodelete", `{"count":1}`, 200, name},
		{"autodelete", `{"counts":1}`, 400, "unknown field"},
		{"schedules", `{"schedule":"never"}`, 400, "no schedule"},
		{"switchover", `{"over":true}`, 200, ""},
		{"switchover", `{}`, 200, ""},
		{"shell", `{"line":"security login rest-role create -vserver svm1 -role r -api /api -access all"}`, 200, ""},
		{"shell", `{"line":"security login create -vserver svm1 -user-or-group-name node -application http -authentication-method password -role r","password":"` + secret + `"}`, 200, ""},
		{"shell", `{"line":"rm -rf /"}`, 400, "not a recognized command"},
		{"earthquake", `{}`, 404, "API not found"},
	} {
		w := ask(s, "POST", "/simulator/"+x.path, x.body)
		require.Equal(t, x.status, w.Code, "%s %s: %s", x.path, x.body, w.Body)
		require.Contains(t, w.Body.String(), x.says, x.path)
	}
	require.Equal(t, 404, ask(s, "GET", "/simulator/shell", "").Code)
	require.Equal(t, 403, as(s, node, secret, "POST", "/simulator/shell", `{"line":"security login show"}`).Code, "only the first account")
}

// TestHeld: a change under multi-admin verification is answered 200 without a job,
// and has no effect.
func TestHeld(t *testing.T) {
	s := release(t, "")
	volume, _ := s.UUIDs()
	require.NoError(t, s.Inject(Fault{Method: "POST", Path: "/storage/volumes/*/snapshots", Held: true, Times: 1},
		Fault{Path: "/svm/*", Status: 403, Code: ontap.CodePermission, Message: "not authorized for that command"}))
	w := ask(s, "POST", "/api/storage/volumes/"+volume+"/snapshots?return_timeout=60", `{"name":"one"}`)
	require.Equal(t, []any{200, "{}\n"}, []any{w.Code, w.Body.String()})
	require.Empty(t, snapshotNames(t, s))
	require.Equal(t, 403, ask(s, "GET", "/api/svm/svms", "").Code, "a role by a path's pattern")
}

func TestRestoreSpellings(t *testing.T) {
	const vserver = `{"vserver":"svm1","volume":"v","snapshot":"one","path":"dir","restore_path":"%s"}`
	bodies := map[string][]string{
		"vserver": {vserver},
		"svm": {`{"svm":"svm1","volume":{"name":"v"},"snapshot":{"name":"one"},"source_path":"dir","restore_path":"%s"}`,
			`{"svm":{"name":"svm1"},"volume.name":"v","snapshot.name":"one","source_path":"dir","restore_path":"%s"}`},
	}
	for spelling := range bodies {
		s := release(t, "9.16.1", func(c *Config) { c.RestoreSpelling = spelling })
		volume, _ := s.UUIDs()
		require.NoError(t, os.Mkdir(filepath.Join(s.cfg.Root, "dir"), 0o755))
		require.Equal(t, 201, ask(s, "POST", "/api/storage/volumes/"+volume+"/snapshots?return_timeout=60", `{"name":"one"}`).Code)
		for other, all := range bodies {
			for i, body := range all {
				to := other + strings.Repeat("x", i)
				w := ask(s, "POST", "/api/storage/directory-restore?return_timeout=60", strings.Replace(body, "%s", to, 1))
				if other == spelling {
					require.Equal(t, 201, w.Code, w.Body)
					require.DirExists(t, filepath.Join(s.cfg.Root, to))
					continue
				}
				code, target := refusal(t, w.Body.Bytes())
				require.Equal(t, []any{400, ontap.CodeUnexpectedField}, []any{w.Code, code})
				require.Contains(t, []string{"path", "source_path", "snapshot", "snapshot.name", "svm"}, target)
			}
		}
	}
	cfg := config(t)
	cfg.RestoreSpelling = "both"
	_, err := New(cfg)
	require.ErrorContains(t, err, "is not vserver or svm")
}

// The documents have two bodies for directory-restore; the client finds out which
// one a release takes.
func TestTheClientSpellsARestoreAsTheReleaseWants(t *testing.T) {
	for _, spelling := range []string{"vserver", "svm"} {
		ca := filepath.Join(t.TempDir(), "ca.pem")
		s := release(t, "9.16.1", func(c *Config) { c.RestoreSpelling = spelling })
		require.NoError(t, s.Listen("127.0.0.1:0", ca))
		client, err := ontap.New(ontap.Config{Address: s.Address(), User: s.cfg.User, PasswordFile: s.cfg.PasswordFile, CAFile: ca})
		require.NoError(t, err)
		t.Cleanup(client.Close)
		require.NoError(t, os.MkdirAll(filepath.Join(s.cfg.Root, "dir"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(s.cfg.Root, "dir", "file"), []byte("good"), 0o600))
		_, err = client.SnapshotCreate(t.Context(), s.world.VolumeUUID, ontap.Snapshot{Name: "kept"})
		require.NoError(t, err)
		r := ontap.Restore{SVM: s.cfg.SVM, Volume: s.cfg.Volume, Snapshot: "kept", Path: "dir", To: "back"}
		require.NoError(t, client.DirectoryRestore(t.Context(), r), spelling)
		got, err := os.ReadFile(filepath.Join(s.cfg.Root, "back", "file"))
		require.NoError(t, err)
		require.Equal(t, "good", string(got))
		r.Snapshot, r.To = "never", "other"
		require.ErrorIs(t, client.DirectoryRestore(t.Context(), r), fs.ErrNotExist, spelling)
	}
}

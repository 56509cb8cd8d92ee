package doctor

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
)

var filerNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// goodFiler is a filer of which all is known and good.
func goodFiler(t *testing.T) (st ontap.Status) {
	require.NoError(t, json.Unmarshal([]byte(`{
		"Cluster": {"name": "c1", "uuid": "u", "version": {"generation": 9, "major": 19, "minor": 1}},
		"Export": {"SVM": {"name": "svm1", "uuid": "s"}, "Volume": {"name": "vols", "uuid": "v", "svm": {"name": "svm1", "uuid": "s"},
			"nas": {"path": "/vols", "security_style": "unix", "export_policy": {"name": "campus"}}, "snapshot_policy": {"name": "default", "uuid": "p"},
			"snapshot_directory_access_enabled": true, "snapshot_locking_enabled": true, "snapshot_count": 12,
			"space": {"size": 1099511627776, "snapshot": {"used": 1048576, "reserve_percent": 5, "autodelete_enabled": false}},
			"analytics": {"state": "on"}, "anti_ransomware": {"state": "enabled", "attack_probability": "none"}}},
		"NFS": {"protocol": {"v3_features": {"hide_snapshot_enabled": false}}},
		"Policy": {"name": "default", "enabled": true, "copies": [{"schedule": {"name": "hourly"}, "count": 6}]},
		"Rules": [{"superuser": ["sys"], "clients": [{"match": "10.0.0.0/24"}]}],
		"DirectoryRestore": true, "Copies": [], "Locked": [],
		"Identity": {"username": "berth", "roles": ["berth"]}}`), &st))
	st.Granted = ontap.Needs()
	return st
}

func TestFiler(t *testing.T) {
	good := Filer(goodFiler(t), false, filerNow)
	require.Len(t, good, 14)
	for _, f := range good {
		require.True(t, Known(f.Check), f.Check)
		requireAll(t, []judged{{f, OK, "", ""}})
	}
	need := ontap.Needs()[0]
	optional := need
	optional.Optional = true
	lacks := func(st *ontap.Status, needs ...ontap.Need) {
		for _, n := range needs {
			st.Missing = append(st.Missing, ontap.Missing{Need: n, Line: new(false)})
		}
	}
	vol := func(st *ontap.Status) *ontap.Volume { return &st.Export.Volume }
	for _, broken := range []struct {
		change         func(*ontap.Status)
		check          string
		state          State
		evidence, next string
	}{
		{func(st *ontap.Status) { lacks(st, optional, need) }, "ontap-role", Fail, "lacks " + need.Path, "rest-role create -vserver svm1 -role berth"},
		{func(st *ontap.Status) { lacks(st, optional) }, "ontap-role", Warn, "lacks", "rest-role create"},
		{func(st *ontap.Status) { st.Missing = []ontap.Missing{{Need: optional, Line: new(true)}} }, "ontap-role", Warn, "lacks", "rest-role modify"},
		{func(st *ontap.Status) {
			st.Missing = []ontap.Missing{{Need: optional, Refused: filerNow.Add(-5 * time.Minute)}}
		}, "ontap-role", Warn, "refused 5m ago", "modify instead of create"},
		{func(st *ontap.Status) { st.Granted = nil; lacks(st, ontap.Needs()...) }, "ontap-role", Fail, "next to nothing", "services web access create -vserver svm1 -name rest -role berth"},
		{func(st *ontap.Status) { st.Granted = st.Granted[1:] }, "ontap-role", Warn, "unknown until it is used", "rest-role show -vserver svm1"},
		{func(st *ontap.Status) { vol(st).SnapshotPolicy.Name = "none" }, "ontap-policy", Warn, "no snapshot policy", "volume modify -vserver svm1 -volume vols -snapshot-policy"},
		{func(st *ontap.Status) { st.Policy = ontap.SnapshotPolicy{} }, "ontap-policy", Warn, "unknown", "-fields snapshot-policy"},
		{func(st *ontap.Status) { st.Policy.Enabled = false }, "ontap-policy", Warn, "makes nothing", "-enabled true"},
		{func(st *ontap.Status) { st.Hidden = []string{"snapdir-access is off"} }, "ontap-snapdir", Fail, "snapdir-access is off", "-snapdir-access true"},
		{func(st *ontap.Status) { st.NFS = ontap.NFSService{} }, "ontap-snapdir", Warn, "unknown: nfs service", "vserver nfs show -vserver svm1 -fields v3-hide-snapshot"},
		{func(st *ontap.Status) { vol(st).SnapshotDirectory = nil }, "ontap-snapdir", Warn, "unknown: snapshot directory", "snapdir-access"},
		{func(st *ontap.Status) { st.Rules[0].Superuser = []string{"none"} }, "ontap-rules", Warn, "squash root for 10.0.0.0/24", "-policyname campus"},
		{func(st *ontap.Status) { st.Rules[0].Superuser = nil }, "ontap-rules", Warn, "unknown", "superuser"},
		{func(st *ontap.Status) { st.Rules = nil }, "ontap-rules", Warn, "unknown", "superuser"},
		{func(st *ontap.Status) { vol(st).NAS.SecurityStyle = "ntfs" }, "ontap-style", Fail, "ntfs", "-security-style unix"},
		{func(st *ontap.Status) { vol(st).NAS.SecurityStyle = "" }, "ontap-style", Warn, "unknown", "security-style"},
		{func(st *ontap.Status) { st.DirectoryRestore = nil }, "ontap-restore", Warn, "unknown", "berth ontap status"},
		{func(st *ontap.Status) {
			st.Copies = []ontap.Relationship{{Destination: "b:c", Healthy: new(false), UnhealthyReason: []string{"Transfer failed."}}}
		}, "ontap-copies", Warn, "Transfer failed", "snapmirror show -destination-path b:c"},
		{func(st *ontap.Status) {
			st.Copies = []ontap.Relationship{{Destination: "b:c", Healthy: new(true), State: "snapmirrored", Lag: "P1DT3H"}}
		}, "ontap-copies", Warn, "27h behind", "snapmirror show"},
		{func(st *ontap.Status) {
			st.Copies = []ontap.Relationship{{Destination: "b:c", Healthy: new(true), State: "broken_off", Lag: "PT1H"}}
		}, "ontap-copies", Warn, "broken_off", "snapmirror show"},
		{func(st *ontap.Status) { st.Copies = []ontap.Relationship{{Destination: "b:c"}} }, "ontap-copies", Warn, "unknown here", "on the destination's cluster"},
		{func(st *ontap.Status) { st.Copies = nil }, "ontap-copies", Warn, "unknown", "list-destinations -source-path svm1:vols"},
		{func(st *ontap.Status) { vol(st).SnapshotCount = new(int64(819)) }, "ontap-limit", Warn, "819 of 1023 snapshots, 80 %", "snapshot rm"},
		{func(st *ontap.Status) { vol(st).SnapshotCount = nil }, "ontap-limit", Warn, "unknown", "snapshot-count"},
		{func(st *ontap.Status) { vol(st).Space.Snapshot.Autodelete = new(true) }, "ontap-autodelete", Warn, "deletes snapshots", "autodelete modify -vserver svm1 -volume vols -enabled false"},
		{func(st *ontap.Status) { vol(st).Space.Snapshot.Autodelete = nil }, "ontap-autodelete", Warn, "unknown", "autodelete show"},
		{func(st *ontap.Status) { vol(st).Space.Snapshot.Used = new(int64(1 << 39)) }, "ontap-reserve", Warn, "snapshots use 512 GiB; 5 % (51 GiB)", "percent-snapshot-space"},
		{func(st *ontap.Status) { vol(st).Space.Snapshot.ReservePercent = nil }, "ontap-reserve", Warn, "unknown", "percent-snapshot-space"},
		{func(st *ontap.Status) {
			vol(st).AntiRansomware.AttackProbability, vol(st).AntiRansomware.Suspects = "high", []ontap.Suspect{{Count: new(int64(7)), Format: "lockbit"}}
		}, "ontap-ransomware", Fail, "attack is high; suspect files: 7 of lockbit", "attack generate-report"},
		{func(st *ontap.Status) { vol(st).AntiRansomware.AttackProbability = "low" }, "ontap-ransomware", Warn, "low", "generate-report"},
		{func(st *ontap.Status) { vol(st).AntiRansomware.AttackProbability = "" }, "ontap-ransomware", Warn, "unknown", "anti-ransomware volume show"},
		{func(st *ontap.Status) { vol(st).Analytics.State = "initializing" }, "ontap-analytics", Warn, "initializing", "volume analytics show"},
		{func(st *ontap.Status) { vol(st).Analytics.State = "" }, "ontap-analytics", Warn, "unknown", "volume analytics show"},
		{func(st *ontap.Status) { vol(st).SnapshotLocking = nil }, "ontap-locked", Warn, "unknown", "snaplock-expiry-time"},
		{func(st *ontap.Status) { st.Cluster.Name, st.Cluster.Version = "", ontap.Version{} }, "ontap", Warn, "not all is known", "berth ontap status"},
	} {
		st := goodFiler(t)
		broken.change(&st)
		seen := false
		for _, f := range Filer(st, false, filerNow) {
			if f.Check == broken.check {
				seen = true
				requireAll(t, []judged{{f, broken.state, broken.evidence, broken.next}})
			} else {
				require.Equal(t, OK, f.State, "%s broken, and %+v", broken.check, f)
			}
		}
		require.True(t, seen, broken.check)
	}
}

// TestWhatIsUnknownIsNeverOK: a part that the filer did not tell, in whatever
// way, has a warning that says so and what to type.
func TestWhatIsUnknownIsNeverOK(t *testing.T) {
	for _, err := range []error{
		errors.New("timeout"),
		&ontap.Error{Op: "GET /snapmirror/relationships", HTTP: 403, Code: ontap.CodePermission},
		&ontap.Error{Op: "GET /x", HTTP: 404, Code: ontap.CodeUnsupported},
		&ontap.Error{Op: "GET /x", HTTP: 500},
	} {
		for _, part := range ontap.Parts() {
			st := goodFiler(t)
			st.Problems = []ontap.Problem{{Part: part, Err: err}}
			var found []Finding
			for _, f := range Filer(st, false, filerNow) {
				if f.State != OK {
					found = append(found, f)
				}
			}
			require.Len(t, found, 1, "%s: %v", part, err)
			require.Contains(t, found[0].Evidence, err.Error())
			require.NotEmpty(t, found[0].Next)
			if _, lacks := ontap.NeedFor(err); lacks {
				require.Equal(t, "on the filer: security login rest-role create -vserver svm1 -role berth -api /api/snapmirror/relationships -access readonly", found[0].Next)
			}
		}
	}
	for _, f := range Filer(ontap.Status{}, false, filerNow) {
		require.NotEqual(t, OK, f.State, "%+v", f)
	}
	only := ontap.Status{}
	only.Export.Volume.Name = "vols"
	for _, f := range Filer(only, false, filerNow) {
		require.NotEqual(t, OK, f.State, "%+v", f)
	}
}

func TestBerthItselfSeesSnapshots(t *testing.T) {
	st := goodFiler(t)
	st.NFS = ontap.NFSService{} // before 9.13.1
	f := filer{Status: st}.hidden(true)
	require.Equal(t, OK, f.State)
	require.Contains(t, f.Evidence, "berth sees .snapshot over NFSv3")
	st.Hidden = []string{"x"}
	require.Equal(t, Fail, filer{Status: st}.hidden(true).State)
}

func TestLockedSnapshots(t *testing.T) {
	st := goodFiler(t)
	until := func(day int) *time.Time { t := time.Date(2026, 4, day, 0, 0, 0, 0, time.UTC); return &t }
	st.Locked = []ontap.Snapshot{{Name: "a", SnaplockExpiry: until(9)}, {Name: "b", SnaplockExpiry: until(2)}}
	require.Equal(t, "2 locked snapshots; the last, a, until 2026-04-09 00:00 UTC", filer{Status: st}.locked().Evidence)
	st.Copies = []ontap.Relationship{{Destination: "b:c", Healthy: new(true), State: "snapmirrored", Lag: "PT8H35M42S"}, {Destination: "b:d", Healthy: new(true), State: "in_sync"}}
	f := filer{Status: st}.copies()
	require.Equal(t, OK, f.State)
	require.Equal(t, "2 healthy copies: b:c, 8h behind, b:d, in sync", f.Evidence)
	st.Cluster.Version = ontap.Version{Generation: 9, Major: 11, Minor: 1}
	for _, f := range Filer(st, false, filerNow) {
		require.NotEqual(t, "ontap-locked", f.Check, "the release has no locks")
	}
}

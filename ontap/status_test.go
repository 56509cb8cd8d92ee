package ontap_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/ontap/simulator/simulatortest"
)

// refuse answers a call below a role's path as a filer that does not allow it.
func refuse(path string) simulator.Fault {
	return simulator.Fault{Path: strings.Replace(strings.TrimPrefix(path, "/api"), "/files", "/files/*", 1), Status: http.StatusForbidden, Code: ontap.CodePermission, Message: "not authorized for that command"}
}

func status(w *world) ontap.Status {
	w.t.Helper()
	require.NoError(w.t, w.Inject(noCopies))
	s, err := w.client.Status(w.t.Context(), "", nil, "/docker_vols")
	require.NoError(w.t, err)
	return s
}

// noCopies answers that the FlexVol has no copy elsewhere.
var noCopies = simulator.Fault{Path: "/snapmirror/relationships", Body: `{"records":[],"num_records":0}`}

func TestStatus(t *testing.T) {
	w := newWorld(t, ageless)
	s := status(w)
	require.Empty(t, s.Problems)
	for _, part := range ontap.Parts() {
		if part == ontap.PartRansomware {
			continue // this simulator is without
		}
		require.NoError(t, s.Unknown(part), part)
	}
	require.Empty(t, s.Missing)
	require.Empty(t, s.Unproven())
	require.Empty(t, s.Hidden)
	require.True(t, *s.DirectoryRestore)
	require.Equal(t, "default", s.Policy.Name)
	require.Equal(t, "docker_vols", s.Export.Volume.Name)
	require.Equal(t, "admin", s.Identity.Roles[0])
	require.Len(t, s.Rules, 1)
}

func TestZeroStatusKnowsNothing(t *testing.T) {
	for _, part := range ontap.Parts() {
		require.Error(t, ontap.Status{}.Unknown(part), part)
	}
	require.Len(t, ontap.Status{}.Unproven(), len(ontap.Needs()))
}

// TestStatusWithoutEachLine takes one line after the other out of the role, in a
// release that does not tell the privileges.
func TestStatusWithoutEachLine(t *testing.T) {
	const release = "9.16.1"
	parts := map[string][]ontap.Part{
		"/api/cluster":                       {ontap.PartCluster},
		"/api/storage/volumes/*/snapshots":   {ontap.PartLocked},
		"/api/storage/snapshot-policies":     {ontap.PartPolicy},
		"/api/storage/directory-restore":     {ontap.PartRestore},
		"/api/protocols/nfs/services":        {ontap.PartNFS},
		"/api/protocols/nfs/export-policies": {ontap.PartRules},
		"/api/snapmirror/relationships":      {ontap.PartMirror},
	}
	for i, line := range berthRole(t) {
		if line.Path == "/api/security/login/whoami" {
			continue
		}
		t.Run(line.Path, func(t *testing.T) {
			w := newWorld(t, func(c *simulator.Config) { c.Version = release })
			role := berthRole(t)
			role[i].Access = ontap.AccessNone
			w.SetRole(role)
			if line.Path == "/api/snapmirror/relationships" || line.Path == "/api/storage/volumes/*/files" {
				w.inject(refuse(line.Path))
			}
			s := status(w)
			for _, part := range parts[line.Path] {
				require.Error(t, s.Unknown(part), part)
			}
			require.Error(t, s.Unknown(ontap.PartRole))
			require.NotEmpty(t, s.Missing)
			require.Condition(t, func() bool {
				for _, m := range s.Missing {
					if m.Path == line.Path {
						return m.Grant("svm1", "berth") == "security login rest-role create -vserver svm1 -role berth -api "+line.Path+" -access "+string(line.Access)
					}
				}
				return false
			}, "%+v", s.Missing)
		})
	}
}

// TestUnproven follows one privilege that only changes need through a process.
func TestUnproven(t *testing.T) {
	const snapshots = "/api/storage/volumes/*/snapshots"
	w := newWorld(t, func(c *simulator.Config) { c.Version = "9.14.1" })
	w.SetRole(berthRole(t))
	paths := func(s ontap.Status) (out []string) {
		for _, n := range s.Unproven() {
			out = append(out, n.Path)
		}
		return out
	}
	require.Equal(t, []string{snapshots, "/api/storage/file/clone", "/api/protocols/locks", "/api/storage/volumes/*/files"}, paths(status(w)))

	made := w.snapshot("a")
	require.Contains(t, paths(status(w)), snapshots, "read_create lets a snapshot be made too")
	require.NoError(t, w.client.SnapshotDelete(t.Context(), w.volume, made.UUID))
	require.NotContains(t, paths(status(w)), snapshots)

	role := berthRole(t)
	for i := range role {
		if role[i].Path == snapshots {
			role[i].Access = ontap.AccessReadonly
		}
	}
	w.SetRole(role)
	_, err := w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "b"})
	require.Error(t, err)
	s := status(w)
	require.Len(t, s.Missing, 1)
	require.Equal(t, snapshots, s.Missing[0].Path)
	require.False(t, s.Missing[0].Refused.IsZero())
	require.Contains(t, s.Missing[0].Grant("svm1", "berth"), "modify instead of create")

	cfg := w.config()
	other, err := w.newClient(cfg).Status(t.Context(), "", nil, "/docker_vols")
	require.NoError(t, err)
	require.Contains(t, paths(other), snapshots, "another client does not know, unless it shares Uses")
}

// TestUnknownHasManyFaces breaks every call in every way: no part that needs the
// call may be known.
func TestUnknownHasManyFaces(t *testing.T) {
	calls := map[string][]ontap.Part{
		"/storage/volumes":                       {ontap.PartExport, ontap.PartPolicy, ontap.PartSnapdir, ontap.PartNFS, ontap.PartRules, ontap.PartStyle, ontap.PartMirror, ontap.PartLocked, ontap.PartCount, ontap.PartReserve, ontap.PartAutodelete, ontap.PartRansomware, ontap.PartAnalytics},
		"/storage/snapshot-policies/*":           {ontap.PartPolicy},
		"/protocols/nfs/services/*":              {ontap.PartNFS},
		"/protocols/nfs/export-policies/*/rules": {ontap.PartRules},
		"/storage/directory-restore":             {ontap.PartRestore},
		"/snapmirror/relationships":              {ontap.PartMirror},
		"/storage/volumes/*/snapshots":           {ontap.PartLocked},
	}
	for path, parts := range calls {
		for _, fault := range []simulator.Fault{
			{Status: http.StatusForbidden, Code: ontap.CodePermission, Message: "not authorized for that command"},
			{Status: http.StatusNotFound, Code: ontap.CodeUnsupported, Message: "API not found"},
			{Status: http.StatusMethodNotAllowed, Code: ontap.CodeUnsupported, Message: "Not supported"},
			{Status: http.StatusInternalServerError, Message: "internal error"},
			{Body: "{}"},
		} {
			if fault.Body != "" && (path == "/snapmirror/relationships" || strings.HasSuffix(path, "/snapshots")) {
				continue // there are none
			}
			if path == "/storage/directory-restore" && fault.Status != http.StatusForbidden && fault.Status != http.StatusInternalServerError {
				continue // a call that is not there is the answer
			}
			w := newWorld(t, ageless)
			fault.Path = path
			w.inject(fault)
			s := status(w)
			for _, part := range parts {
				require.Error(t, s.Unknown(part), "%s %d: %s", path, fault.Status, part)
			}
		}
	}
}

// That File System Analytics is on does not say that the role may read its counts.
func TestStatusOfCountsThatAreRefused(t *testing.T) {
	w := newWorld(t, ageless)
	require.NoError(t, w.Set(func(s *simulator.Settings) { s.Analytics = "on" }))
	require.NoError(t, status(w).Unknown(ontap.PartAnalytics))
	w.inject(refuse("/api/storage/volumes/*/files"))
	s := status(w)
	require.Error(t, s.Unknown(ontap.PartAnalytics))
	require.NotEmpty(t, s.Missing)
}

func TestStatusOfEachRelease(t *testing.T) {
	w := newWorld(t)
	w.SetRole(berthRole(t))
	s := status(w)
	release := simulatortest.Release(t)
	require.Equal(t, release, s.Cluster.Version.String())
	require.Empty(t, s.Missing)
	if !simulatortest.AtLeast(t, "9.13.1") {
		require.Error(t, s.Unknown(ontap.PartNFS), "the release does not show it")
	} else {
		require.NoError(t, s.Unknown(ontap.PartNFS))
	}
	require.Equal(t, release == "9.16.1", *s.DirectoryRestore)
	for _, n := range s.Unproven() {
		require.True(t, n.In(s.Cluster.Version))
	}
	require.Equal(t, simulatortest.AtLeast(t, "9.19.1"), len(s.Unproven()) == 0)
}

func TestStatusWithHoles(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.Version, c.Ageless = "9.10.1", true })
	w.inject(simulator.Fault{Path: "/security/login/whoami", Status: 404, Code: ontap.CodeUnsupported, Message: "API not found"})
	w.SetRole([]ontap.Privilege{{Path: "/api", Access: ontap.AccessReadonly}, {Path: "/api/storage/snapshot-policies", Access: ontap.AccessNone}})
	s, err := w.client.Status(t.Context(), "svm1", nil, "/docker_vols")
	require.NoError(t, err)
	require.ErrorContains(t, s.Unknown(ontap.PartCluster), "too old")
	require.Error(t, s.Unknown(ontap.PartPolicy))
	require.Len(t, s.Missing, 1)
	require.Equal(t, "security login rest-role create -vserver svm1 -role berth -api /api/storage/snapshot-policies -access readonly", s.Missing[0].Grant("svm1", "berth"))

	s, err = w.client.Status(t.Context(), "", nil, "/nowhere")
	require.NoError(t, err)
	require.Error(t, s.Unknown(ontap.PartExport))
	require.ErrorContains(t, s.Unknown(ontap.PartRules), "not asked")
	w.inject(simulator.Fault{Status: 401, Code: ontap.CodeNotAuthorized})
	before := len(w.log.matching("/api/"))
	_, err = w.client.Status(t.Context(), "", nil, "/docker_vols")
	require.Error(t, err)
	require.Less(t, len(w.log.matching("/api/"))-before, 3, "a wrong password is not tried for each part")
	require.False(t, errors.Is(err, errors.ErrUnsupported))
}

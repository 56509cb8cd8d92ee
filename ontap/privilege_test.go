package ontap_test

import (
	"bytes"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/internal/reference"
	"github.com/casit/berth/ontap/simulator"
)

// berthRole reads the role that we ask administrators to make.
func berthRole(t *testing.T) []ontap.Privilege {
	f, err := os.Open("../deploy/ontap/berth-role.txt")
	require.NoError(t, err)
	defer f.Close()
	role, err := simulator.ParseRole(f)
	require.NoError(t, err)
	return role
}

func TestRoleFileIsWhatWeNeed(t *testing.T) {
	var want []ontap.Privilege
	for _, n := range ontap.Needs() {
		want = append(want, n.Privilege)
	}
	require.ElementsMatch(t, want, berthRole(t))
}

// calls are all that our client can ask, by the privilege that each needs.
func calls(w *world) map[string][]func() error {
	t, c := w.t, w.client
	ctx := t.Context()
	volume := ontap.Ref{UUID: w.volume}
	drop := func(_ any, err error) error { return err }
	var snapshot ontap.Snapshot
	return map[string][]func() error{
		"/api/cluster": {
			func() error { return drop(c.ClusterInfo(ctx)) },
		},
		"/api/cluster/jobs":             {func() error { return ignoreMissing(drop(c.JobGet(ctx, "00000000-0000-0000-0000-000000000000"))) }},
		"/api/cluster/schedules":        {func() error { return drop(c.ScheduleGetByName(ctx, "svm1", "daily")) }},
		"/api/snapmirror/relationships": {func() error { return ignoreMissing(drop(c.SnapmirrorList(ctx, "svm1", "docker_vols"))) }},
		"/api/svm/svms":                 {func() error { return drop(c.SvmList(ctx)) }, func() error { return drop(c.SvmGetByName(ctx, "svm1")) }},
		"/api/network/ip/interfaces":    {func() error { return drop(c.NetInterfaceGetDataLIFs(ctx, w.svm)) }},
		"/api/storage/volumes": {
			func() error { return drop(c.VolumeGet(ctx, w.volume)) },
			func() error { return drop(c.VolumeGetByName(ctx, w.svm, "docker_vols")) },
			func() error { return drop(c.ExportGet(ctx, "svm1", nil, "/docker_vols")) },
		},
		"/api/storage/volumes/*/snapshots": {
			func() (err error) {
				snapshot, err = c.SnapshotCreate(ctx, w.volume, ontap.Snapshot{Name: "role"})
				return err
			},
			func() error { return drop(c.SnapshotList(ctx, w.volume)) },
			func() error { return drop(c.SnapshotGet(ctx, w.volume, snapshot.UUID)) },
			func() error { return c.SnapshotSetComment(ctx, w.volume, snapshot.UUID, "c") },
			func() error { return c.SnapshotDelete(ctx, w.volume, snapshot.UUID) },
		},
		"/api/storage/snapshot-policies": {func() error { return drop(c.SnapshotPolicyGetByName(ctx, "svm1", "default")) }},
		"/api/storage/volumes/*/files":   {func() error { return c.DirectoryDelete(ctx, w.volume, "doomed") }},
		"/api/storage/file/clone":        {func() error { return c.FileClone(ctx, volume, "a", "b") }},
		"/api/storage/directory-restore": {
			func() error { return drop(c.DirectoryRestoreSupported(ctx)) },
			func() error {
				return c.DirectoryRestore(ctx, ontap.Restore{SVM: "svm1", Volume: "docker_vols", Snapshot: "kept", Path: "dir", To: "new"})
			},
		},
		"/api/protocols/locks": {
			func() error { return drop(c.LockList(ctx, w.svm, w.volume, "")) },
			func() error {
				return c.LockBreak(ctx, ontap.Lock{UUID: w.AddLock(ontap.Lock{Path: "/docker_vols/x"}).UUID})
			},
		},
		"/api/protocols/nfs/services":        {func() error { return drop(c.NFSServiceGet(ctx, w.svm)) }},
		"/api/protocols/nfs/export-policies": {func() error { return drop(c.ExportRuleList(ctx, 12884901889)) }},
		"/api/security/login/whoami":         {func() error { return drop(c.Whoami(ctx)) }},
	}
}

// ignoreMissing lets a call pass that the role allows and that found nothing.
func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errors.ErrUnsupported) {
		return nil
	}
	return err
}

func roleWorld(t *testing.T) *world {
	w := newWorld(t, ageless)
	w.write("a", "a")
	w.write("dir/x", "x")
	w.write("doomed/x", "x")
	w.snapshot("kept")
	return w
}

func TestLeastPrivilegeIsEnough(t *testing.T) {
	w := roleWorld(t)
	w.SetRole(berthRole(t))
	for need, all := range calls(w) {
		for _, call := range all {
			require.NoError(t, call(), need)
		}
	}
	me, missing, err := w.client.MissingPrivileges(t.Context(), ontap.Version{})
	require.NoError(t, err)
	require.Equal(t, "berth", me.Username)
	require.Empty(t, missing)
}

// TestClientTranscript holds all that our client says, and what it is told, to
// a golden file.
func TestClientTranscript(t *testing.T) {
	w := roleWorld(t)
	w.SetRole(berthRole(t))
	w.validator.record = &bytes.Buffer{}
	all := calls(w)
	for _, n := range ontap.Needs() {
		for _, call := range all[n.Path] {
			require.NoError(t, call(), n.Path)
		}
	}
	reference.Golden(t, "testdata/client.golden", w.validator.record.Bytes())
}

func TestLeastPrivilegeIsNotMore(t *testing.T) {
	role := berthRole(t)
	for _, c := range []struct {
		method, path string
		allowed      bool
	}{
		{http.MethodPatch, "/api/storage/volumes/v", false}, // reverts a FlexVol
		{http.MethodDelete, "/api/storage/volumes/v", false},
		{http.MethodPost, "/api/storage/volumes", false},
		{http.MethodGet, "/api/storage/aggregates", false},
		{http.MethodGet, "/api/security/accounts", false},
		{http.MethodPatch, "/api/cluster", false},
		{http.MethodPatch, "/api/protocols/nfs/services/s", false},
		{http.MethodGet, "/api/private/cli/volume", false},
		{http.MethodGet, "/api/cluster/jobs/j", true},
		{http.MethodDelete, "/api/storage/volumes/v/snapshots/s", true},
	} {
		require.Equal(t, c.allowed, ontap.Effective(role, c.path).Allows(c.method), "%s %s", c.method, c.path)
	}
}

func TestEachPrivilegeIsNeeded(t *testing.T) {
	for i, missing := range berthRole(t) {
		t.Run(missing.Path, func(t *testing.T) {
			w := roleWorld(t)
			role := berthRole(t)
			// Deny it outright: without an entry, one above might cover it.
			role[i].Access = ontap.AccessNone
			w.SetRole(role)
			if missing.Path == "/api/snapmirror/relationships" {
				w.inject(refuse(missing.Path))
			}
			refused := false
			for _, call := range calls(w)[missing.Path] {
				err := call()
				if !errors.Is(err, fs.ErrPermission) {
					continue
				}
				refused = true
				need, ok := ontap.NeedFor(err)
				require.True(t, ok)
				require.Equal(t, missing.Path, need.Path)
				require.Equal(t, "security login rest-role create -vserver svm1 -role berth -api "+missing.Path+" -access "+string(missing.Access),
					need.Grant("svm1", "berth"))
			}
			require.True(t, refused)
			_, lacks, err := w.client.MissingPrivileges(t.Context(), ontap.Version{})
			if missing.Path == "/api/security/login/whoami" {
				require.ErrorIs(t, err, fs.ErrPermission)
				return
			}
			require.NoError(t, err)
			require.Len(t, lacks, 1)
			require.Equal(t, missing.Path, lacks[0].Path)
		})
	}
}

func TestReadonlyRole(t *testing.T) {
	w := roleWorld(t)
	w.SetRole([]ontap.Privilege{{Path: "/api", Access: ontap.AccessReadonly}})
	_, missing, err := w.client.MissingPrivileges(t.Context(), ontap.Version{})
	require.NoError(t, err)
	var paths []string
	for _, n := range missing {
		paths = append(paths, n.Path)
	}
	require.Equal(t, []string{"/api/storage/volumes/*/snapshots", "/api/storage/file/clone", "/api/protocols/locks",
		"/api/storage/volumes/*/files", "/api/storage/directory-restore"}, paths)
	require.Equal(t, "security login rest-role create -role r -api /api/storage/file/clone -access read_create", missing[1].Grant("", "r"))

	w.SetRole([]ontap.Privilege{{Path: "/api", Access: ontap.AccessAll}, {Path: "/api/protocols/locks", Access: ontap.AccessReadonly}})
	_, missing, err = w.client.MissingPrivileges(t.Context(), ontap.Version{})
	require.NoError(t, err)
	require.Len(t, missing, 1)
	require.Equal(t, "security login rest-role modify -vserver svm1 -role r -api /api/protocols/locks -access all", missing[0].Grant("svm1", "r"))
}

func TestRoleOfCommands(t *testing.T) {
	w := newWorld(t)
	w.inject(simulator.Fault{Path: "/security/login/whoami", Body: `{"username":"u","roles":["vsadmin"],"privileges":[{"path":"DEFAULT","access":"all"}]}`})
	me, missing, err := w.client.MissingPrivileges(t.Context(), ontap.Version{})
	require.ErrorIs(t, err, errors.ErrUnsupported)
	require.ErrorContains(t, err, "role vsadmin is made of commands")
	require.Empty(t, missing)
	require.Equal(t, "vsadmin", me.Roles[0])
}

func TestEffective(t *testing.T) {
	role := []ontap.Privilege{
		{Path: "/api", Access: ontap.AccessReadonly}, {Path: "/api/storage/volumes", Access: ontap.AccessNone},
		{Path: "/api/storage/volumes/*/snapshots", Access: ontap.AccessAll}, {Path: "/api/odd", Access: "read_delete"}}
	for path, want := range map[string]ontap.Access{
		"/api/cluster": ontap.AccessReadonly, "/api/storage/volumes/v": ontap.AccessNone, "/api/storage/volumesX": ontap.AccessReadonly,
		"/api/storage/volumes/v/snapshots/s": ontap.AccessAll, "/other": ontap.AccessNone, "/api/odd/x": "read_delete",
	} {
		require.Equal(t, want, ontap.Effective(role, path), path)
	}
	require.False(t, ontap.Access("read_delete").Allows(http.MethodGet), "what we do not know allows nothing")
	_, ok := ontap.NeedFor(errors.New("other"))
	require.False(t, ok)
}

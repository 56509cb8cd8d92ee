package ontap_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
)

func TestStatus(t *testing.T) {
	w := newWorld(t, ageless)
	s, err := w.client.Status(t.Context(), "", nil, "/docker_vols")
	require.NoError(t, err)
	require.Empty(t, s.Problems)
	require.Empty(t, s.Missing)
	require.Empty(t, s.Hidden)
	require.True(t, s.DirectoryRestore)
	require.Equal(t, "default", s.Policy.Name)
	require.Equal(t, "docker_vols", s.Export.Volume.Name)
	require.Equal(t, "admin", s.Identity.Roles[0])
	require.Len(t, s.Rules, 1)
}

func TestStatusWithHoles(t *testing.T) {
	w := newWorld(t, func(c *simulator.Config) { c.Version, c.Ageless = "9.10.1", true })
	w.inject(simulator.Fault{Path: "/security/login/whoami", Status: 404, Code: ontap.CodeUnsupported, Message: "API not found"})
	w.SetRole([]ontap.Privilege{{Path: "/api", Access: ontap.AccessReadonly}, {Path: "/api/storage/snapshot-policies", Access: ontap.AccessNone}})
	s, err := w.client.Status(t.Context(), "svm1", nil, "/docker_vols")
	require.NoError(t, err)
	var parts []string
	for _, p := range s.Problems {
		parts = append(parts, p.Part)
	}
	require.Equal(t, []string{"cluster", "privileges", "snapshot policy"}, parts)
	require.ErrorContains(t, s.Problems[0].Err, "too old")
	require.ErrorIs(t, s.Problems[1].Err, errors.ErrUnsupported, "a release without whoami")
	need, ok := ontap.NeedFor(s.Problems[2].Err)
	require.True(t, ok)
	require.Equal(t, "security login rest-role create -vserver svm1 -role berth -api /api/storage/snapshot-policies -access readonly", need.Grant("svm1", "berth"))

	_, err = w.client.Status(t.Context(), "", nil, "/nowhere")
	require.NoError(t, err)
	w.inject(simulator.Fault{Status: 401, Code: ontap.CodeNotAuthorized})
	_, err = w.client.Status(t.Context(), "", nil, "/docker_vols")
	require.Error(t, err)
}

package integration

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

func TestInspectShowsWhereDockerWasToldOtherOptions(t *testing.T) {
	_, n := single(t, lab.Options{})
	n.Docker(t, "volume", "create", "-d", "berth", "-o", "access=single", "-o", "mode=0750", "db")
	require.NotContains(t, n.Berth(t, "volume", "inspect", "db"), "drift")
	n.Berth(t, "volume", "set", "db", "access=shared")
	out := n.Berth(t, "volume", "inspect", "db")
	require.Contains(t, out, `"mend": "berth volume set db access=single"`)
	require.NotContains(t, out, `"option": "mode"`)
}

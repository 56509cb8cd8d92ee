package uml

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestContainerComesBackWithItsVolumeAfterAPowerFailure(t *testing.T) {
	l := pair(t)
	a := l.Hosts[0]
	startWriter(t, l, a, "powered", "--restart", "always")
	require.NoError(t, a.PowerOff())
	before := records(l, "powered")
	require.NoError(t, a.Start())
	// Nobody starts it: the engine does, once it knows the volume again.
	requireWriting(t, l, a, "powered")
	require.Greater(t, len(records(l, "powered")), len(before))
	a.Docker(t, "stop", "powered")
	requireUnbroken(t, l, "powered")
}

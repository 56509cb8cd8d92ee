package simulatortest_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap/simulator"
	"github.com/casit/berth/ontap/simulator/simulatortest"
)

type recorder string

func (r *recorder) Fatalf(format string, args ...any) { *r = recorder(fmt.Sprintf(format, args...)) }

func TestRelease(t *testing.T) {
	var refused recorder
	t.Setenv(simulatortest.Variable, "")
	require.Equal(t, simulator.DefaultRelease, simulatortest.Release(&refused))
	for _, release := range simulator.Releases {
		t.Setenv(simulatortest.Variable, release)
		require.Equal(t, release, simulatortest.Release(&refused))
		require.True(t, simulatortest.AtLeast(&refused, "9.11.1"))
		require.Equal(t, release == "9.19.1", simulatortest.AtLeast(&refused, "9.19.1"))
	}
	require.Empty(t, refused)
	t.Setenv(simulatortest.Variable, "9.10.1")
	simulatortest.Release(&refused)
	require.Contains(t, string(refused), "BERTH_ONTAP_RELEASE=9.10.1 is none of 9.11.1, ")
}

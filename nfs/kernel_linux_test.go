package nfs

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestLocksReadyAsksAndNeverPanics(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	_ = LocksReady(ctx) // whatever this host has
	cancel()
	require.False(t, LocksReady(ctx))
}

func TestKernelMountText(t *testing.T) {
	for _, c := range []struct {
		target  Target
		options string
		nolock  bool
		want    string
		source  string
	}{
		{Target{Host: "10.0.0.1", Path: "/vol"}, "vers=3,hard,proto=tcp", false, "vers=3,hard,proto=tcp,mountproto=tcp,mountaddr=10.0.0.1,addr=10.0.0.1", "10.0.0.1:/vol"},
		{Target{Host: "10.0.0.1", Path: "/vol", Port: 2050, MountPort: 20048}, " vers=3 ,,noatime,lock", true, "vers=3,nolock,mountproto=tcp,port=2050,mountport=20048,mountaddr=10.0.0.1,addr=10.0.0.1", "10.0.0.1:/vol"},
		{Target{Host: "fd00::1", Path: "/vol"}, "vers=3,proto=tcp,nolock", true, "vers=3,proto=tcp6,nolock,mountproto=tcp6,mountaddr=fd00::1,addr=fd00::1", "[fd00::1]:/vol"},
	} {
		m, err := c.target.Kernel(t.Context(), c.options, c.nolock)
		require.NoError(t, err)
		require.Equal(t, c.want, m.Data)
		require.Equal(t, c.source, m.Source)
	}
}

func TestAKernelMountIsHarmlessUnlessToldOtherwise(t *testing.T) {
	for options, want := range map[string]uintptr{
		"":                  unix.MS_NOSUID | unix.MS_NODEV,
		"hard, noatime":     unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME,
		"suid":              unix.MS_NODEV,
		"vers=3,dev":        unix.MS_NOSUID,
		"suid,dev":          0,
		"suid,nosuid,nodev": unix.MS_NOSUID | unix.MS_NODEV,
	} {
		m, err := Target{Host: "10.0.0.1", Path: "/vol"}.Kernel(t.Context(), options, false)
		require.NoError(t, err)
		require.Equal(t, want, m.Flags, options)
	}
}

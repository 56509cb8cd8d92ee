package uml

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/integration/lab"
)

func TestMain(m *testing.M) { Main(m) }

// realLimits says whether limits are as in production (make lab-full), not
// short ones.
func realLimits() bool { return os.Getenv("BERTH_LAB_LIMITS") == "real" }

// settings are the plugin's on every host.
func settings() []string {
	// nfs-ganesha answers EIO to questions about access control lists.
	all := []string{"BERTH_EXPORT=" + ExportURL, "BERTH_MOUNT_OPTIONS=vers=3,hard,proto=tcp,noacl"}
	if !realLimits() {
		all = append(all, "BERTH_LEASE_TTL=9s")
	}
	return all
}

// shared is the lab of pair.
var shared *Lab

// pair is the lab that the tests share: two hosts with the plugin on the
// export. It lives until the tests end; a test that breaks something mends it.
func pair(t *testing.T) *Lab {
	t.Helper()
	Require(t)
	if shared == nil {
		began := time.Now()
		l, err := Start(t, 2)
		require.NoError(t, err)
		lab.AtExit(l.Close)
		t.Logf("two hosts after %s", time.Since(began).Round(time.Millisecond))
		filer, err := l.Server.StartFiler()
		require.NoError(t, err)
		settings := append(settings(), filer...)
		var all errgroup.Group
		for _, h := range l.Hosts {
			all.Go(func() error { return h.InstallPlugin(settings...) })
		}
		require.NoError(t, all.Wait())
		t.Logf("with the plugin after %s", time.Since(began).Round(time.Millisecond))
		shared = l
	}
	t.Cleanup(func() {
		if t.Failed() {
			shared.Log(t)
		}
	})
	return shared
}

func TestVolumeWrittenOnOneHostIsReadOnTheOther(t *testing.T) {
	l := pair(t)
	a, b := l.Hosts[0], l.Hosts[1]
	a.Docker(t, "volume", "create", "-d", "berth", "shared")
	a.Docker(t, "run", "--rm", "--network", "none", "-v", "shared:/data", lab.SiteImage, "write", "/data/page", "hello")
	text, err := os.ReadFile(l.Server.Path("shared", "page"))
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(text))
	require.Equal(t, "hello", b.Docker(t, "run", "--rm", "--network", "none", "-v", "shared:/data", "--volume-driver", "berth", lab.SiteImage, "cat", "/data/page"))
}

package uml

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// enginePatience is how long an engine may take to answer while the filer does
// not: far more than it takes, less than the plugin's own deadlines.
const enginePatience = 10 * time.Second

// watchEngine asks the host's engine for its containers and volumes all the
// time, until the function it returns is called, which checks what they took.
func watchEngine(t *testing.T, h *Host) (end func()) {
	t.Helper()
	stop := make(chan struct{})
	var all sync.WaitGroup
	var worst time.Duration
	var failed error
	all.Go(func() {
		for {
			for _, path := range []string{"/containers/json", "/volumes"} {
				began := time.Now()
				var answer any
				if err := h.get(path, &answer, 30*time.Second); err != nil {
					failed = err
				}
				worst = max(worst, time.Since(began))
			}
			select {
			case <-stop:
				return
			case <-time.After(500 * time.Millisecond):
			}
		}
	})
	return func() {
		t.Helper()
		close(stop)
		all.Wait()
		t.Logf("docker ps and docker volume ls took %s at most", worst.Round(time.Millisecond))
		require.NoError(t, failed)
		require.Less(t, worst, enginePatience)
	}
}

// once writes a page by a container that ends.
func once(h *Host, volume, text string) error {
	_, err := h.TryDocker("run", "--rm", "--network", "none", "--volume-driver", "berth", "-v", volume+":/data", lab.SiteImage, "write", "/data/page", text)
	return err
}

// requireListedStale waits until a container's use is listed as one to restart.
func requireListedStale(t *testing.T, h *Host, volume string) {
	t.Helper()
	lab.Eventually(t, volume+" to be listed", func() error {
		out, err := h.TryBerth("volume", "ps", volume)
		if err == nil && !strings.Contains(out, "restart to heal") {
			err = fmt.Errorf("it is not: %s", out)
		}
		return err
	})
}

func TestAFilerThatFailsInEveryWayStopsNoEngine(t *testing.T) {
	l := trio(t)
	h, other := l.Hosts[0], l.Hosts[1]
	startWriter(t, l, h, "faulty")

	t.Run("away", func(t *testing.T) {
		defer watchEngine(t, h)()
		require.NoError(t, l.Server.Stop())
		time.Sleep(15 * time.Second)
		require.NoError(t, l.Server.Continue())
		requireWriting(t, l, h, "faulty")
		requireUnbroken(t, l, "faulty")
	})

	t.Run("full", func(t *testing.T) {
		h.Docker(t, "stop", "faulty")
		defer watchEngine(t, h)()
		require.NoError(t, l.Server.Fill())
		t.Cleanup(func() { _ = l.Server.Free() })
		require.Error(t, once(h, "faulty", strings.Repeat("x", 1<<16)))
		_, err := h.TryDocker("volume", "create", "-d", "berth", "no-room")
		require.ErrorContains(t, err, "is full")
		require.ErrorContains(t, err, "berth trash")
		time.Sleep(12 * time.Second) // longer than a lease: a full export is no dead node
		for _, line := range strings.Split(other.Berth(t, "version"), "\n") {
			require.NotContains(t, line, "expired")
		}
		require.NoError(t, l.Server.Free())
		require.NoError(t, once(h, "faulty", "freed"))
		h.Docker(t, "volume", "create", "-d", "berth", "no-room")
		h.Docker(t, "start", "faulty")
		requireWriting(t, l, h, "faulty")
	})

	t.Run("moved", func(t *testing.T) {
		defer watchEngine(t, h)()
		require.NoError(t, l.Server.Move(movedAddress))
		lab.Eventually(t, "a new container to write at the new address", func() error { return once(h, "faulty", "moved") })
		requireListedStale(t, h, "faulty")
		require.NoError(t, l.Server.Move(filerAddress))
		requireWriting(t, l, h, "faulty") // the old mount has its server again
		lab.Eventually(t, "a new container to write at the old address", func() error { return once(h, "faulty", "back") })
		requireUnbroken(t, l, "faulty")
	})

	t.Run("made anew", func(t *testing.T) {
		defer watchEngine(t, h)()
		h.Docker(t, "run", "--detach", "--name", "idle", "--network", "none", "--volume-driver", "berth", "-v", "faulty:/data",
			"--entrypoint", "/bin/busybox", lab.SiteImage, "sleep", "3600")
		t.Cleanup(func() { _, _ = h.TryDocker("rm", "--force", "idle") })
		h.Docker(t, "stop", "faulty")
		require.NoError(t, l.Server.Recreate())
		lab.Eventually(t, "a new container to write into the new export", func() error { return once(h, "faulty", "anew") })
		requireListedStale(t, h, "faulty")
		h.Docker(t, "restart", "--time", "1", "idle")
		lab.Eventually(t, "the restarted one to be healed", func() error {
			out, err := h.TryBerth("volume", "ps", "faulty")
			if err == nil && strings.Contains(out, "restart to heal") {
				err = fmt.Errorf("it is not: %s", out)
			}
			return err
		})
		h.Docker(t, "start", "faulty")
		requireWriting(t, l, h, "faulty")
		requireUnbroken(t, l, "faulty")
	})
}

package uml

import (
	"flag"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/tamper"
)

func TestMain(m *testing.M) {
	// Tests mostly wait: those of one lab for each other, all for hosts that boot,
	// leases that end, swarms that notice. So many may wait at once.
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	lab.AtExit(tamper.Clean)
	lab.AtExit(pairs.close)
	lab.AtExit(swarms.close)
	Main(m)
}

// Two labs are shared by the tests: pair's and trio's. The tests of one take
// turns, in the order in which they stand, beside those of the other. A test with
// a lab of its own takes a turn of swarms, so that no more than two work at once.
var pairs, swarms turns

type turns struct {
	last <-chan struct{} // closed at the end of the last turn that was asked for
	lab  *Lab            // nil before the first turn; it lives until the tests end
}

// share takes a turn, and returns the lab that the tests share. A test that breaks
// something in it mends it.
func (s *turns) share(t *testing.T, start func(testing.TB) (*Lab, error)) *Lab {
	t.Helper()
	Require(t)
	s.take(t)
	if s.lab == nil {
		began := time.Now()
		l, err := start(t)
		require.NoError(t, err)
		t.Logf("%d hosts after %s", len(l.Hosts), time.Since(began).Round(time.Millisecond))
		s.lab = l
	}
	t.Cleanup(func() {
		if t.Failed() {
			s.lab.Log(t)
		}
	})
	return s.lab
}

// take waits for the test's turn, which lasts until the test has ended.
func (s *turns) take(t *testing.T) {
	t.Helper()
	before, mine := s.last, make(chan struct{})
	s.last = mine
	t.Cleanup(func() { close(mine) })
	t.Parallel() // up to here, tests run one after the other
	began := time.Now()
	if before != nil {
		<-before
	}
	t.Logf("its turn came after %s", time.Since(began).Round(time.Second))
}

func (s *turns) close() {
	if s.lab != nil {
		s.lab.Close()
	}
}

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

// pair is a shared lab: two hosts with the plugin on the export.
func pair(t *testing.T) *Lab {
	t.Helper()
	return pairs.share(t, startPair)
}

func startPair(t testing.TB) (*Lab, error) {
	l, err := Start(t, 2)
	if err != nil {
		return nil, err
	}
	filer, err := l.Server.StartFiler()
	if err == nil {
		settings := append(settings(), filer...)
		var all errgroup.Group
		for _, h := range l.Hosts {
			all.Go(func() error { return h.InstallPlugin(settings...) })
		}
		err = all.Wait()
	}
	if err != nil {
		l.Log(t)
		l.Close()
		return nil, err
	}
	return l, nil
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

package netns_test

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/integration/netns"
)

func TestHostsAreApartAndReachEachOther(t *testing.T) {
	n := netns.New(t, "10.97.0.0/24", "a", "b")
	a, b := n.Host("a"), n.Host("b")
	require.Equal(t, "10.97.0.1 10.97.0.2", a.Address+" "+b.Address)
	require.Equal(t, "a", a.Run(t, "hostname"))

	listens := func(port string) bool {
		_, err := b.Try("bash", "-c", "exec 3<>/dev/tcp/"+a.Address+"/"+port)
		return err == nil
	}
	listener := a.Start(t, "perl", "-MIO::Socket::INET", "-e",
		`my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => "0.0.0.0:81", ReuseAddr => 1) or die $!; while (my $c = $s->accept) { close $c }`)
	lab.Eventually(t, "the listener", func() error {
		if !listens("81") {
			return fmt.Errorf("does not answer: %s", listener.Log())
		}
		return nil
	})
	require.False(t, listens("82"))

	require.NoError(t, listener.Signal(syscall.SIGSTOP))
	require.NoError(t, listener.Signal(syscall.SIGCONT))
	listener.Kill()
	require.False(t, listens("81"))
	require.NoError(t, a.Cut())
	require.Contains(t, a.Run(t, "ip", "-brief", "link", "show", "eth0"), "NO-CARRIER")
	require.NoError(t, a.Heal())

	// What a daemon leaves behind is collected.
	a.Run(t, "bash", "-c", "(sleep 0.1 &) ; true")
	lab.Eventually(t, "no zombie", func() error {
		if out := a.Run(t, "ps", "-e", "-o", "stat=,comm="); strings.Contains(out, "Z") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
}

func TestAllEndsWithTheTest(t *testing.T) {
	var pid int
	t.Run("a test", func(t *testing.T) {
		p := netns.New(t, "10.97.0.0/24", "a").Host("a").Start(t, "sleep", "3600")
		time.Sleep(10 * time.Millisecond)
		pid = p.Pid()
	})
	require.NoDirExists(t, fmt.Sprintf("/proc/%d", pid))
	_, err := os.Stat("/run/netns/a")
	require.Error(t, err)
}

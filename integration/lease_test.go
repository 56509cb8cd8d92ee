package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

func TestRemovalIsRefusedWhileAnotherNodeUsesTheVolume(t *testing.T) {
	l := swarm(t)
	n1, n2 := l.Nodes[0], l.Nodes[1]
	n1.Docker(t, "volume", "create", "-d", "berth", "busy")
	startWriter(t, l, n2, "busy")

	_, err := n1.TryDocker("volume", "rm", "busy")
	require.ErrorContains(t, err, "in use on n2")
	require.ErrorContains(t, err, "heartbeat ")
	require.Contains(t, n1.Berth(t, "volume", "ps", "busy"), "n2")
	requireWriting(t, l, "busy")

	n2.Docker(t, "rm", "--force", "writer-busy")
	n1.Docker(t, "volume", "rm", "busy")
	require.NotContains(t, volumes(t, n2), "busy")
}

func TestExpiredLeaseNoLongerRefusesAndSaysSo(t *testing.T) {
	l := swarm(t)
	n1, n3 := l.Nodes[0], l.Nodes[2]
	n1.Docker(t, "volume", "create", "-d", "berth", "orphaned")
	startWriter(t, l, n3, "orphaned")
	require.NoError(t, n3.Kill9())
	t.Cleanup(func() {
		require.NoError(t, n3.Boot())
		n3.Docker(t, "rm", "--force", "writer-orphaned")
	})

	_, err := n1.TryDocker("volume", "rm", "orphaned")
	require.ErrorContains(t, err, "in use on n3", "right after the power failure nobody can know")
	lab.Eventually(t, "the lease to expire", func() error {
		_, err := n1.TryDocker("volume", "rm", "orphaned")
		return err
	})
	require.NotContains(t, volumes(t, n1), "orphaned")
	require.Regexp(t, `lease-expired.*orphaned.*n3`, n1.Berth(t, "audit"))
	require.Contains(t, n1.Berth(t, "trash", "ls"), "orphaned", "and it can be had back")
}

func TestUnattendedNodeStillHoldsItsVolumes(t *testing.T) {
	l := swarm(t)
	n1, n2 := l.Nodes[0], l.Nodes[1]
	n1.Docker(t, "volume", "create", "-d", "berth", "unattended")
	startWriter(t, l, n2, "unattended")
	n2.Docker(t, "plugin", "disable", "--force", lab.Plugin)
	t.Cleanup(func() {
		n2.Docker(t, "plugin", "enable", lab.Plugin)
		n2.Docker(t, "rm", "--force", "writer-unattended")
		n1.Docker(t, "volume", "rm", "unattended")
	})

	// Well beyond the time after which a silent node's lease would not count.
	for end := time.Now().Add(leaseTTL + leaseTTL/2); time.Now().Before(end); time.Sleep(time.Second) {
		_, err := n1.TryDocker("volume", "rm", "unattended")
		require.ErrorContains(t, err, "in use on n2")
		require.ErrorContains(t, err, "its berth was stopped, its containers go on")
	}
	requireWriting(t, l, "unattended")
}

func TestTwoHundredParallelCallsFromThreeNodesEndAsTheyWereAnswered(t *testing.T) {
	l := swarm(t)
	const names, calls = 20, 200
	type answer struct {
		create bool
		err    error
	}
	// Every name belongs to one goroutine, which goes round the nodes, so what
	// was answered last for a name must be what all nodes say in the end.
	last := make([]answer, names)
	done := make(chan int)
	for name := range names {
		go func() {
			for call := range calls / names {
				n, create := l.Nodes[(name+call)%3], (name+call)%2 == 0
				a := answer{create: create}
				if create {
					_, a.err = n.TryDocker("volume", "create", "-d", "berth", fmt.Sprintf("par%02d", name))
				} else {
					_, a.err = n.TryDocker("volume", "rm", fmt.Sprintf("par%02d", name))
				}
				last[name] = a
			}
			done <- name
		}()
	}
	for range names {
		<-done
	}
	var want []string
	for name, a := range last {
		if a.err != nil {
			// A name that is not there cannot be removed, and that is all that
			// may go wrong.
			require.False(t, a.create, "create: %v", a.err)
			require.ErrorContains(t, a.err, "no such volume")
		}
		if a.create {
			want = append(want, fmt.Sprintf("par%02d", name))
		}
	}
	for _, n := range l.Nodes {
		var have []string
		for _, v := range volumes(t, n) {
			if strings.HasPrefix(v, "par") {
				have = append(have, v)
			}
		}
		require.Equal(t, want, have, "on %s", n.Name)
	}
	for _, name := range want {
		l.Nodes[0].Docker(t, "volume", "rm", name)
	}
}

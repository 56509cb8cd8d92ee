package uml

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/tamper"
)

// tampered is a tree on a host, which the host's own NFS server exports.
type tampered struct {
	t    *testing.T
	h    *Host
	self string // the test binary
}

// do runs a command of package tamper on the host.
func (x tampered) do(args ...string) string {
	x.t.Helper()
	return x.h.Run(x.t, append([]string{"env", stageVar + "=tamper", x.self}, args...)...)
}

func (x tampered) walk(dir string) tamper.Tree {
	x.t.Helper()
	tree, err := tamper.Decode(x.do("walk", dir))
	require.NoError(x.t, err)
	return tree
}

// TestEditsOnTheKernelsServer runs berth against the Linux kernel's NFS server.
// Edits that keep sizes and times are found, brought back and undone; those
// also that were made while the server's clock was set back.
func TestEditsOnTheKernelsServer(t *testing.T) {
	l := pair(t)
	h := l.Hosts[1]
	export := startNFSD(t, h) + "/tampered"
	h.Run(t, "mkdir", "-p", export)
	t.Cleanup(func() { _, _ = h.TryRun("rm", "-rf", export) })
	self, err := os.Executable()
	require.NoError(t, err)
	x := tampered{t, h, self}
	room := []string{"nsenter", "-t", fmt.Sprint(l.room.Process.Pid), "-n", "--"}
	b := tamper.ServeUnder(t, room, export, fmt.Sprintf("nfs://%s%s?port=%d&mountport=%d", h.Address, export, nfsdPort, nfsdMountPort))
	live, version := b.Create("site"), export+"/.snapshot/s/site"
	x.do("site", live, "1")
	h.Run(t, "mkdir", "-p", export+"/.snapshot/s")
	h.Run(t, "cp", "-a", live, export+"/.snapshot/s")
	base := x.walk(version)
	require.Equal(t, 6, b.Try("snapshot", "restore", "site@s", "--yes").Code, "nothing is to be done")

	for i, how := range [][]string{nil, {"--live"}} {
		edit := func() { x.do("batch", live, fmt.Sprint(100+i), "100") }
		if i == 0 {
			edit()
		} else {
			x.inThePast(edit)
		}
		edited := x.walk(live)
		changes, _ := b.Diff("site@s")
		var names []string
		for _, c := range changes {
			names = append(names, c.Name())
		}
		require.Empty(t, tamper.Compare(base, edited).Check(names), "batch %d", i)

		b.Run(append([]string{"snapshot", "restore", "site@s", "--yes", "-q"}, how...)...)
		require.Empty(t, strings.TrimSpace(x.do("unlike", version, live)), "batch %d", i)
		require.Equal(t, 6, b.Try("snapshot", "restore", "site@s", "--yes").Code, "nothing is to be done")
		b.Run(append([]string{"undo", "site", "--yes", "-q"}, how...)...)
		require.Empty(t, tamper.Unlike(edited, x.walk(live), false), "an undo brings everything back")
		b.Run(append([]string{"undo", "site", "--yes", "-q"}, how...)...)
		require.Empty(t, strings.TrimSpace(x.do("unlike", version, live)), "batch %d done again", i)
	}
}

// inThePast does something while the server's clock is most of a year back.
func (x tampered) inThePast(do func()) {
	x.t.Helper()
	x.h.Run(x.t, "date", "-s", "-300 days")
	defer x.h.Run(x.t, "date", "-s", "+300 days")
	do()
}

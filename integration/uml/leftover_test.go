package uml

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// victimVar makes TestVictim a run that starts a lab and is then killed.
const victimVar = "BERTH_UML_VICTIM"

func TestVictim(t *testing.T) {
	if os.Getenv(victimVar) == "" {
		return // started by the test below
	}
	l := New(t, 0)
	fmt.Fprintf(os.Stderr, "victim: %d %s\n", l.room.Process.Pid, l.dir)
	select {}
}

func TestKilledRunLeavesNoProcess(t *testing.T) {
	Require(t)
	victim := exec.Command(os.Args[0], "-test.run=^TestVictim$")
	victim.Env = append(os.Environ(), victimVar+"=1")
	output, err := victim.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, victim.Start())
	room, dir := 0, ""
	for lines := bufio.NewScanner(output); room == 0 && lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "victim: %d %s", &room, &dir)
	}
	require.NotZero(t, room, "the victim said where it is")
	space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", room))
	require.NoError(t, err)
	require.NotEmpty(t, inNamespace(t, space))
	require.DirExists(t, dir)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	require.NotContains(t, string(mounts), exportPath)

	require.NoError(t, victim.Process.Kill())
	_ = victim.Wait()
	lab.Eventually(t, "the end of all that the victim had", func() error {
		if left := inNamespace(t, space); len(left) > 0 {
			return fmt.Errorf("still there: %v", left)
		}
		return nil
	})
	// Its files go when the next run begins, or now.
	require.NoError(t, lab.RemoveLeftovers())
	require.NoDirExists(t, dir)
}

// inNamespace lists the processes of a network namespace.
func inNamespace(t *testing.T, space string) (pids []string) {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	require.NoError(t, err)
	for _, e := range entries {
		if link, err := os.Readlink("/proc/" + e.Name() + "/ns/net"); err == nil && strings.TrimSpace(link) == space {
			pids = append(pids, e.Name())
		}
	}
	return pids
}

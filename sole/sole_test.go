package sole

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree/treetest"
)

// TestMain is also the other process: it takes a name, says so, and waits to be
// killed.
func TestMain(m *testing.M) {
	if name := os.Getenv("SOLE_TEST_NAME"); name != "" {
		n, err := Take(name)
		fmt.Println(n.Place, n.Other, err)
		select {}
	}
	os.Exit(m.Run())
}

// process starts another process that takes name, and kill -9s it when asked.
func process(t *testing.T, name string, attr *syscall.SysProcAttr) (pid int, kill func()) {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Env, c.SysProcAttr = append(os.Environ(), "SOLE_TEST_NAME="+name), attr
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	if err := c.Start(); err != nil {
		treetest.Skip(t, "a process of another namespace or user needs root: "+err.Error())
	}
	kill = func() { _ = c.Process.Kill(); _ = c.Wait() }
	t.Cleanup(kill)
	_, err = bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	return c.Process.Pid, kill
}

func take(t *testing.T, name string) *Name {
	t.Helper()
	n, err := Take(name)
	require.NoError(t, err)
	t.Cleanup(n.Release)
	return n
}

func TestANameIsOneProcessAtATime(t *testing.T) {
	pid, kill := process(t, t.Name(), nil)
	require.Equal(t, fmt.Sprint("process ", pid), take(t, t.Name()).Other)
	require.Empty(t, take(t, t.Name()+" of another").Other)
	kill()
	n := take(t, t.Name())
	require.Empty(t, n.Other, "whoever was killed has nothing")
	require.Contains(t, n.Place, "net:[")
	require.NotEmpty(t, take(t, t.Name()).Other, "it is ours")
	n.Release()
	n.Release()
	again := take(t, t.Name())
	require.Equal(t, [2]string{n.Place, ""}, [2]string{again.Place, again.Other})
}

func TestAnotherUserKeepsNobodyFromAName(t *testing.T) {
	process(t, t.Name(), &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}})
	n := take(t, t.Name())
	require.Empty(t, n.Other)
	require.NotContains(t, n.Place, "net:[", "nothing is proved")
	require.NotEqual(t, n.Place, take(t, t.Name()).Place)
}

func TestAnotherNetworkNamespaceHasNamesOfItsOwn(t *testing.T) {
	process(t, t.Name(), &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET})
	require.Empty(t, take(t, t.Name()).Other)
}

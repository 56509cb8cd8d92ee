package integration

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/doctor"
	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
)

// examine runs `berth doctor` on a node, and returns the findings by check.
func examine(t *testing.T, n *lab.Node) map[string]doctor.Finding {
	t.Helper()
	out, err := n.TryBerth("doctor", "--json")
	var r doctor.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r), "%s %v", out, err)
	code, failed := 0, (*exec.ExitError)(nil)
	if err != nil {
		require.ErrorAs(t, err, &failed)
		code = failed.ExitCode()
	}
	want := 0
	found := map[string]doctor.Finding{}
	for _, f := range r.Findings {
		require.True(t, doctor.Known(f.Check), "docs/doctor.md lacks %s", f.Check)
		if found[f.Check] = f; f.State != doctor.OK {
			require.NotEmpty(t, f.Next, f.Check)
			want = max(want, map[doctor.State]int{doctor.Warn: 1, doctor.Fail: 2}[f.State])
		}
	}
	require.Equal(t, want, code, out)
	return found
}

// notOK are the checks that are not ok, sorted.
func notOK(found map[string]doctor.Finding) []string {
	out := []string{}
	for check, f := range found {
		if f.State != doctor.OK {
			out = append(out, check)
		}
	}
	slices.Sort(out)
	return out
}

func TestDoctorOfANodeFindsWhatIsBroken(t *testing.T) {
	l, n := single(t, lab.Options{})
	for _, name := range []string{"active", "db"} {
		n.Docker(t, "volume", "create", "-d", "berth", "-o", "access=single", name)
	}
	startWriter(t, l, n, "active")
	found := examine(t, n)
	require.Empty(t, notOK(found), "%v", found)
	require.Contains(t, found["plugin"].Evidence, "berth:latest is enabled")
	require.Contains(t, found["kernel-mount"].Evidence, "/export is on")
	for _, c := range docs.Commands(t, "docs/doctor.md", "TestDoctorOfANodeFindsWhatIsBroken") {
		typeIn(t, n, t.TempDir(), c)
	}

	t.Run("options that differ", func(t *testing.T) {
		n.Berth(t, "volume", "set", "db", "access=shared")
		found := examine(t, n)
		require.Equal(t, []string{"options"}, notOK(found))
		require.Contains(t, found["options"].Next, "berth volume set db access=single")
		n.Berth(t, "volume", "set", "db", "access=single")
	})
	t.Run("a local volume that hides one", func(t *testing.T) {
		n.Docker(t, "volume", "create", "shadow")
		require.NoError(t, os.Mkdir(filepath.Join(l.Export, "shadow"), 0o755))
		found := examine(t, n)
		require.Equal(t, []string{"shadows"}, notOK(found))
		n.Docker(t, "volume", "rm", "shadow")
	})
	t.Run("a use without a container", func(t *testing.T) {
		// As dockerd does before it is killed: nobody has the answer.
		_, err := n.Run("sh", "-c", `curl -sS --unix-socket /run/docker/plugins/*/berth.sock -d '{"Name":"db","ID":"stray"}' http://berth/VolumeDriver.Mount`)
		require.NoError(t, err)
		found := examine(t, n)
		require.Equal(t, []string{"claims"}, notOK(found))
		require.Contains(t, found["claims"].Evidence, "db (1 use, 0 containers)")
		require.Equal(t, "berth volume release db", found["claims"].Next)
		_, err = n.TryBerth("volume", "release", "db", "--yes")
		require.ErrorContains(t, err, "began less than 5m0s ago")
		_, err = n.TryBerth("volume", "release", "active", "--older", "1s", "--yes")
		require.ErrorContains(t, err, "container writer-active (running) has volume active")
		require.Contains(t, n.Berth(t, "volume", "release", "db", "--older", "1s", "--dry-run"), "1 use would be forgotten")
		require.Contains(t, n.Berth(t, "volume", "release", "db", "--older", "1s", "--yes"), "1 use forgotten")
		require.Contains(t, n.Berth(t, "volume", "release", "db", "--yes"), "no use of it")
		require.Empty(t, notOK(examine(t, n)))
	})
	t.Run("a plugin that is disabled", func(t *testing.T) {
		n.Docker(t, "plugin", "disable", "--force", lab.Plugin)
		found := examine(t, n)
		require.Equal(t, []string{"plugin"}, notOK(found))
		require.Contains(t, found["plugin"].Evidence, "is disabled")
		require.Contains(t, found["settings"].Evidence, lab.DirectoryExport+" (environment)", "as 'docker plugin set' left it")
		require.Equal(t, "docker plugin enable berth:latest", found["plugin"].Next)
		typeIn(t, n, t.TempDir(), found["plugin"].Next)
		requireWriting(t, l, "active")
		lab.Eventually(t, "the plugin to be well", func() error {
			_, err := n.TryBerth("doctor")
			return err
		})
	})
	t.Run("no plugin at all", func(t *testing.T) {
		n.Docker(t, "plugin", "rm", "--force", lab.Plugin)
		out, err := n.TryBerth("doctor")
		require.Error(t, err)
		require.Regexp(t, regexp.MustCompile(`FAIL +plugin +.*no managed plugin is installed here`), out)
		require.Contains(t, out, "next: deploy/berth-nodes.sh install")
	})
}

func TestDoctorKnowsWhoOfTheSwarmDoesNotReport(t *testing.T) {
	l := swarm(t)
	l.Nodes[2].Docker(t, "plugin", "disable", "--force", lab.Plugin)
	defer func() {
		l.Nodes[2].Docker(t, "plugin", "enable", lab.Plugin)
		lab.Eventually(t, "all nodes to report", func() error {
			_, err := l.Nodes[0].TryBerth("doctor")
			return err
		})
	}()
	lab.Eventually(t, "the silent node to be noticed", func() error {
		found := examine(t, l.Nodes[0])
		if f := found["swarm"]; f.State != doctor.Warn || !strings.Contains(f.Evidence, l.Nodes[2].Name) {
			return &noticed{f}
		}
		return nil
	})
}

// noticed says what a finding was instead.
type noticed struct{ doctor.Finding }

func (n *noticed) Error() string { return string(n.State) + ": " + n.Evidence }

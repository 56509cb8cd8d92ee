package plugin

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
)

// Two berths on one host with one name: the second one is refused with words, while
// the first one lives, and changes nothing of what that has.
func TestTwoBerthsWithOneNameOnOneHost(t *testing.T) {
	first := serve(t, nil)
	first.ok("Create", map[string]any{"Name": "blog"})
	first.ok("Mount", map[string]any{"Name": "blog", "ID": "a"})
	second := serve(t, map[string]string{"BERTH_EXPORT": "file://" + first.dir})
	for verb, request := range map[string]map[string]any{
		"Remove": {"Name": "blog"}, "Mount": {"Name": "blog", "ID": "b"}, "Create": {"Name": "shop"}, "List": {},
	} {
		require.Contains(t, second.fails(verb, request), "another berth on this host calls itself n1 on this export (it is process ", verb)
	}
	require.FileExists(t, filepath.Join(first.dir, export.LeasePath("blog", "n1")))
	other := serve(t, map[string]string{"BERTH_EXPORT": "file://" + first.dir, "BERTH_NODE": "n2"})
	require.Contains(t, other.fails("Remove", map[string]any{"Name": "blog"}), "in use on n1")

	first.stop()
	require.Eventually(t, func() bool { // an answer of the export is remembered for a second
		return !strings.Contains(second.verb("Mount", map[string]any{"Name": "blog", "ID": "b"}), "Err")
	}, time.Minute, 50*time.Millisecond)
	require.Contains(t, other.fails("Remove", map[string]any{"Name": "blog"}), "in use on n1", "its containers go on")
}

// TestAMountWaitsUntilANameIsSettled: after a power failure of a host that is a
// container, its earlier process is in another network namespace of the same boot.
// dockerd starts a container once.
func TestAMountWaitsUntilANameIsSettled(t *testing.T) {
	first := serve(t, nil)
	first.ok("Create", map[string]any{"Name": "blog"})
	file := filepath.Join(first.dir, export.NodePath("n1"))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var beat map[string]any
	require.NoError(t, json.Unmarshal(text, &beat))
	first.stop()

	beat["host"] = "net:[1]"
	text, err = json.Marshal(beat)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	second := serve(t, map[string]string{"BERTH_EXPORT": "file://" + first.dir})
	require.Contains(t, second.fails("Remove", map[string]any{"Name": "blog"}), "it is in another network namespace, or was killed there")
	second.ok("Mount", map[string]any{"Name": "blog", "ID": "b"})
}

package plugin

import (
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

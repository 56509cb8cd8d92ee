package berth

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryMessageIsInTroubleshooting holds the list of docs/troubleshooting.md
// to the code: no message is missing, none is left over, none is there twice.
func TestEveryMessageIsInTroubleshooting(t *testing.T) {
	const page = "docs/troubleshooting.md"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	tested, _, _ := strings.Cut(string(text), "\n## What others say\n")
	listed := map[string]bool{}
	for line := range strings.Lines(tested) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 3 || !strings.HasPrefix(strings.TrimSpace(cells[0]), "`") {
			continue
		}
		m := strings.Trim(strings.TrimSpace(cells[0]), "`")
		require.False(t, listed[m], "%s has this twice: %s", page, m)
		listed[m] = true
		for _, c := range cells[1:3] {
			require.NotEmpty(t, strings.TrimSpace(c), "cause and cure of %s", m)
		}
	}
	var missing []string
	found := messages(t)
	for _, m := range slices.Sorted(maps.Keys(found)) {
		if !listed[cell(m)] {
			missing = append(missing, found[m]+": `"+cell(m)+"`")
		}
		delete(listed, cell(m))
	}
	require.Empty(t, missing, "%s does not have these messages", page)
	require.Empty(t, slices.Sorted(maps.Keys(listed)), "%s has messages that the code does not", page)
}

// cell is a message as it can stand in a table.
func cell(m string) string {
	return strings.NewReplacer("\n", " ", "|", "¦", "`", "'").Replace(strings.TrimSpace(m))
}

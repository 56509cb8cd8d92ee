package berth

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
)

// documents are the pages that users read.
func documents(t *testing.T) []string {
	t.Helper()
	pages, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	return append(pages, "README.md")
}

// TestEveryCommandInTheDocumentsIsRunOrMarked: what people are told to type is
// typed by a test, or needs hardware and says so.
func TestEveryCommandInTheDocumentsIsRunOrMarked(t *testing.T) {
	tests := map[string]string{} // what each test file says
	goFiles(t, func(_, file string) {
		if strings.HasSuffix(file, "_test.go") {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			tests[file] = string(text)
		}
	})
	runs := func(page, test string) bool {
		for _, text := range tests {
			if strings.Contains(text, "func "+test+"(") && strings.Contains(text, `"`+page+`"`) {
				return true
			}
		}
		return false
	}
	for _, page := range documents(t) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		blocks, err := docs.Blocks(string(text))
		require.NoError(t, err, page)
		for _, b := range blocks {
			switch b.Mark {
			case "run":
				require.NotEmpty(t, b.Commands(), "%s:%d has no commands for %s", page, b.Line, b.What)
				require.True(t, runs(page, b.What), "%s:%d: no test %s reads %q", page, b.Line, b.What, page)
			case "file":
				requireExcerpt(t, page, b)
			case "hardware":
				require.NotEmpty(t, b.What, "%s:%d does not say what it needs", page, b.Line)
			case "output":
			default:
				require.Fail(t, "a block without a mark (integration/docs)", "%s:%d", page, b.Line)
			}
		}
	}
}

// requireExcerpt holds a block to the file that it is from: its lines stand
// there, in this order.
func requireExcerpt(t *testing.T, page string, b docs.Block) {
	t.Helper()
	text, err := os.ReadFile(b.What)
	require.NoError(t, err, "%s:%d", page, b.Line)
	var lines []string
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.TrimSpace(line))
	}
	for line := range strings.Lines(b.Text) {
		line = strings.TrimSpace(line)
		if line == "" || line == "…" || line == "..." {
			continue
		}
		at := slices.Index(lines, line)
		require.GreaterOrEqual(t, at, 0, "%s:%d: %q is not in %s, or not in this order", page, b.Line, line, b.What)
		lines = lines[at+1:]
	}
}

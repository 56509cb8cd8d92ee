package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// project is the project's root.
const project = "../.."

// pages are the documents that users read, below the project's root.
func pages(t *testing.T) []string {
	t.Helper()
	pages, err := fs.Glob(os.DirFS(project), "docs/*.md")
	require.NoError(t, err)
	return append(pages, "README.md")
}

// tests are the texts of all test files.
func tests(t *testing.T) (texts []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(project, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != project || d.Name() == "build" || d.Name() == "testdata"):
			return filepath.SkipDir
		case strings.HasSuffix(p, "_test.go"):
			text, err := os.ReadFile(p)
			require.NoError(t, err)
			texts = append(texts, string(text))
		}
		return nil
	}))
	return texts
}

// TestEveryCommandInTheDocumentsIsRunOrMarked: what people are told to type is
// typed by a test, or needs hardware and says so.
func TestEveryCommandInTheDocumentsIsRunOrMarked(t *testing.T) {
	tests := tests(t)
	runs := func(page, test string) bool {
		return slices.ContainsFunc(tests, func(text string) bool {
			return strings.Contains(text, "func "+test+"(") && strings.Contains(text, `"`+page+`"`)
		})
	}
	for _, page := range pages(t) {
		blocks, err := Blocks(Text(t, page))
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
				require.Fail(t, "a block without a mark", "%s:%d", page, b.Line)
			}
		}
	}
}

// requireExcerpt holds a block to the file that it is from: its lines stand
// there, in this order.
func requireExcerpt(t *testing.T, page string, b Block) {
	t.Helper()
	var lines []string
	for line := range strings.Lines(Text(t, b.What)) {
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

var (
	citedTest = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	citedFile = regexp.MustCompile("`([a-z]+(?:/[\\w.-]+)*\\.(?:go|json|txt|conf|nft|sh|yml|service)|Dockerfile)`")
)

// TestWhatSecurityCitesIsThere: each claim of docs/security.md names who holds
// it, a file or a test of this project.
func TestWhatSecurityCitesIsThere(t *testing.T) {
	page, tests := Text(t, "docs/security.md"), strings.Join(tests(t), "\n")
	names := citedTest.FindAllStringSubmatch(page, -1)
	require.NotEmpty(t, names)
	for _, m := range names {
		require.Contains(t, tests, "\nfunc "+m[1]+"(")
	}
	for _, m := range citedFile.FindAllStringSubmatch(page, -1) {
		require.FileExists(t, filepath.Join(project, m[1]))
	}
}

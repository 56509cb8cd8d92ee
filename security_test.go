package berth

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	citedTest = regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	citedFile = regexp.MustCompile("`([a-z]+(?:/[\\w.-]+)*\\.(?:go|json|txt|conf|nft|sh|yml|service)|Dockerfile)`")
)

// TestWhatSecurityCitesIsThere: each claim of docs/security.md names who holds
// it, a file or a test of this project.
func TestWhatSecurityCitesIsThere(t *testing.T) {
	page, err := os.ReadFile("docs/security.md")
	require.NoError(t, err)
	var tests strings.Builder
	goFiles(t, func(_, file string) {
		if strings.HasSuffix(file, "_test.go") {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			tests.Write(text)
		}
	})
	names := citedTest.FindAllStringSubmatch(string(page), -1)
	require.NotEmpty(t, names)
	for _, m := range names {
		require.Contains(t, tests.String(), "\nfunc "+m[1]+"(")
	}
	for _, m := range citedFile.FindAllStringSubmatch(string(page), -1) {
		require.FileExists(t, m[1])
	}
}

package berth

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/proxy"
)

func TestProxyDocumentIsTheCode(t *testing.T) {
	const page = "docs/proxy.md"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	conf, err := os.ReadFile("deploy/proxy/nginx.conf")
	require.NoError(t, err)

	var want []string
	for _, l := range proxy.LabelTable {
		want = append(want, l.Name)
		row := fmt.Sprintf("| `%s` | %s | %s | %s |", l.Name, l.Values, l.Default, l.About)
		require.Contains(t, string(text), strings.ReplaceAll(row, "|  |", "| |"))
	}
	format := regexp.MustCompile(`(?s)log_format berth .*?;\n`).FindString(string(conf))
	for _, field := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(format, -1) {
		want = append(want, field[1])
	}
	require.Equal(t, want, table(t, page))
}

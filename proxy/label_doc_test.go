package proxy

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
)

func TestProxyDocumentIsTheCode(t *testing.T) {
	const page = "docs/proxy.md"
	var want []string
	for _, l := range LabelTable {
		want = append(want, l.Name)
		row := fmt.Sprintf("| `%s` | %s | %s | %s |", l.Name, l.Values, l.Default, l.About)
		require.Contains(t, docs.Text(t, page), strings.ReplaceAll(row, "|  |", "| |"))
	}
	format := regexp.MustCompile(`(?s)log_format berth .*?;\n`).FindString(docs.Text(t, "deploy/proxy/nginx.conf"))
	for _, field := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(format, -1) {
		want = append(want, field[1])
	}
	require.Equal(t, want, docs.Keys(t, page))
}

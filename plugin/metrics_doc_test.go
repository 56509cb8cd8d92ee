package plugin

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
)

var descRule = regexp.MustCompile(`^Desc{fqName: "(\w+)", help: (".*"), constLabels: {(.*)}, variableLabels: {(.*)}}$`)

// described lists berth's metrics as the rows of the document's table should
// have them, but for the type.
func described(t *testing.T) map[string][]string {
	out := map[string][]string{}
	descs := make(chan *prometheus.Desc)
	go func() {
		New(Config{Version: "test"}).metrics.registry.Describe(descs)
		close(descs)
	}()
	for d := range descs {
		m := descRule.FindStringSubmatch(d.String())
		require.NotNil(t, m, d.String())
		labels := m[4]
		if name, _, ok := strings.Cut(m[3], "="); ok {
			labels = name
		}
		var help string
		_, err := fmt.Sscanf(m[2], "%q", &help)
		require.NoError(t, err)
		if strings.HasPrefix(m[1], "berth_") {
			out[m[1]] = []string{strings.ReplaceAll(labels, ",", ", "), help}
		}
	}
	return out
}

// rows are those of a document's tables whose first cell is code.
func rows(t *testing.T, file string) map[string][]string {
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	out := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `") {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			for i := range cells {
				cells[i] = strings.ReplaceAll(strings.TrimSpace(cells[i]), "`", "")
			}
			out[cells[0]] = cells[1:]
		}
	}
	return out
}

func TestTheDocumentHasEveryMetric(t *testing.T) {
	table := rows(t, "../docs/metrics.md")
	want := described(t)
	for name, w := range want {
		row := table[name]
		require.Len(t, row, 3, "docs/metrics.md: a row for | `%s` | | %s | %s |", name, w[0], w[1])
		require.Equal(t, w, row[1:], name)
	}
	for name := range table {
		if strings.HasPrefix(name, "berth_") {
			require.Contains(t, want, name, "docs/metrics.md has a metric that is not there")
		}
	}
}

func TestAlertsRestOnWhatThereIs(t *testing.T) {
	text, err := os.ReadFile("../deploy/prometheus/berth.rules.yml")
	require.NoError(t, err)
	tests, err := os.ReadFile("../deploy/prometheus/berth.rules.test.yml")
	require.NoError(t, err)
	table, metrics := rows(t, "../docs/metrics.md"), described(t)
	var alerts []string
	for _, m := range regexp.MustCompile(`- alert: (\w+)\n(?s:.*?)severity: (\w+)`).FindAllStringSubmatch(string(text), -1) {
		alerts = append(alerts, m[1])
		require.Contains(t, table, m[1], "docs/metrics.md does not list it")
		require.Equal(t, m[2], table[m[1]][0], m[1])
		require.Contains(t, string(tests), `"`+m[1]+`"`, "it has no test")
	}
	for name := range table {
		if strings.HasPrefix(name, "Berth") {
			require.True(t, slices.Contains(alerts, name), "docs/metrics.md has an alert that is not there: %s", name)
		}
	}
	for _, name := range regexp.MustCompile(`\bberth_\w+`).FindAllString(string(text)+string(tests), -1) {
		require.Contains(t, metrics, strings.TrimSuffix(name, "_bucket"), "alerts name a metric that is not there")
	}
}

package firewall

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// A line of the table in docs/ports.md.
type line struct {
	rule     string // the comment of the rule that lets it in; "" if no rule of ours does
	from, to string // roles
	packet
	without string // what is seen without it
}

// A packet, as a rule sees it.
type packet struct {
	protocol string // tcp, udp or a number
	port     int    // the first one of a range; 0 where there are none
}

func (p packet) String() string {
	if p.port == 0 {
		return "protocol " + p.protocol
	}
	return fmt.Sprintf("%d/%s", p.port, p.protocol)
}

var portRule = regexp.MustCompile(`^(\d+)(?:-\d+)?/(tcp|udp)$`)

// matrix reads the table.
func matrix(t *testing.T) (lines []line) {
	t.Helper()
	for row := range strings.Lines(file(t, "docs/ports.md")) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(row), "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		if len(cells) != 6 || cells[0] == "rule" || strings.HasPrefix(cells[0], "--") {
			continue
		}
		l := line{rule: cells[0], from: cells[1], to: cells[2], without: cells[5]}
		if number, ok := strings.CutPrefix(cells[3], "protocol "); ok {
			l.protocol = number
		} else {
			m := portRule.FindStringSubmatch(cells[3])
			require.NotNil(t, m, "port %q", cells[3])
			l.protocol = m[2]
			fmt.Sscan(m[1], &l.port)
		}
		lines = append(lines, l)
	}
	require.NotEmpty(t, lines)
	return lines
}

// file reads a file of the project.
func file(t *testing.T, name string) string {
	t.Helper()
	root, err := lab.Root()
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(text)
}

// ruleset is a file of deploy/firewall with other addresses.
func ruleset(t *testing.T, name string, defines map[string]string) string {
	t.Helper()
	text := file(t, "deploy/firewall/"+name)
	for key, value := range defines {
		define := regexp.MustCompile(`(?m)^define ` + key + ` = .*$`)
		if define.MatchString(text) {
			text = define.ReplaceAllLiteralString(text, fmt.Sprintf("define %s = { %s }", key, value))
		}
	}
	return text
}

// lacking is a ruleset without a rule.
func lacking(t *testing.T, rules, name string) string {
	t.Helper()
	rule := regexp.MustCompile(`(?m)^.*comment "` + name + `"\n`)
	require.Len(t, rule.FindAllString(rules, -1), 1, "rules that are called %q", name)
	return rule.ReplaceAllString(rules, "")
}

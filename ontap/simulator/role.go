package simulator

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/casit/berth/ontap"
)

// ParseRole reads a role from the commands that make it on a filer, one
// `security login rest-role create ... -api PATH -access LEVEL` per line.
// Empty lines, comments with # and other commands are passed over.
func ParseRole(r io.Reader) ([]ontap.Privilege, error) {
	role := []ontap.Privilege{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		if len(words) < 4 || strings.Join(words[:4], " ") != "security login rest-role create" {
			continue
		}
		options := map[string]string{}
		for i := 4; i+1 < len(words); i += 2 {
			options[words[i]] = strings.Trim(words[i+1], `"`)
		}
		p := ontap.Privilege{Path: options["-api"], Access: ontap.Access(options["-access"])}
		if !strings.HasPrefix(p.Path, "/api") || p.Access != ontap.AccessNone && !p.Access.Allows("GET") {
			return nil, fmt.Errorf("role: line %d: -api or -access is missing or wrong", n)
		}
		role = append(role, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("role: %w", err)
	}
	return role, nil
}

package simulator

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// notPlayed are commands of the page that are about certificates, which the
// shell here does not keep, and one that makes an interface.
var notPlayed = []string{"security certificate show", "security certificate install", "security ssl modify"}

// TestThePagesCommandsAreTakenOnEveryRelease types what docs/ontap.md tells to
// type, after the role file.
func TestThePagesCommandsAreTakenOnEveryRelease(t *testing.T) {
	page, err := os.ReadFile("../../docs/ontap.md")
	require.NoError(t, err)
	var lines []string
	for _, block := range regexp.MustCompile("(?s)<!-- hardware: a filer's shell -->\\s*```\n(.*?)```").FindAllStringSubmatch(string(page), -1) {
		for _, line := range strings.Split(block[1], "\n") {
			if line = strings.TrimSpace(line); line != "" {
				lines = append(lines, line)
			}
		}
	}
	require.Greater(t, len(lines), 7)
	for _, version := range Releases {
		s := release(t, version, func(c *Config) { c.Volume, c.Junction = "docker_vols", "/docker_vols" })
		role, err := os.Open("../../deploy/ontap/berth-role.txt")
		require.NoError(t, err)
		_, err = s.Paste(role, secret)
		require.NoError(t, err)
		require.NoError(t, role.Close())
		for _, line := range lines {
			if slices.ContainsFunc(notPlayed, func(c string) bool { return strings.HasPrefix(line, c) }) {
				continue
			}
			_, err := s.Shell(line, secret)
			if strings.Contains(line, "-snapshot-locking-enabled") && CompareReleases(version, "9.12.1") < 0 {
				require.Error(t, err, "%s: the page says from when", version)
				continue
			}
			require.NoError(t, err, "%s: %s", version, line)
		}
	}
}

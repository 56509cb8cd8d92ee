package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"
)

var (
	codeSpan = regexp.MustCompile("`([^`]+)`")
	cureCell = regexp.MustCompile(`(?m)^\|.*\|.*\|(.*)\|$`)
)

// TestTroubleshootingNamesCommandsThatExist: what to type is a command of ours
// with flags that it has, or a flag that one of ours has.
func TestTroubleshootingNamesCommandsThatExist(t *testing.T) {
	text, err := os.ReadFile("../../docs/troubleshooting.md")
	require.NoError(t, err)
	typed := 0
	for _, cure := range cureCell.FindAllStringSubmatch(string(text), -1) {
		for _, span := range codeSpan.FindAllStringSubmatch(cure[1], -1) {
			words := strings.Fields(strings.NewReplacer("…", "x", " --help", "").Replace(span[1]))
			switch {
			case words[0] == "berth":
				requireCommand(t, words[1:], span[1])
			case strings.HasPrefix(words[0], "--"):
				require.True(t, anyHasFlag(commands(&app{}), words[0]), span[1])
			default:
				continue
			}
			typed++
		}
	}
	require.Greater(t, typed, 100)
}

// requireCommand finds a command; names that it still needs may be left out.
func requireCommand(t *testing.T, words []string, line string) {
	t.Helper()
	c, args, err := commands(&app{}).Find(words)
	require.NoError(t, err, line)
	require.False(t, c.Hidden, line)
	require.NoError(t, c.ParseFlags(args), line)
	if c.HasSubCommands() {
		require.Empty(t, c.Flags().Args(), line)
	}
}

func anyHasFlag(c *cobra.Command, flag string) bool {
	name, _, _ := strings.Cut(strings.TrimPrefix(flag, "--"), "=")
	if c.Flags().Lookup(name) != nil || c.PersistentFlags().Lookup(name) != nil {
		return true
	}
	for _, sub := range c.Commands() {
		if anyHasFlag(sub, flag) {
			return true
		}
	}
	return false
}

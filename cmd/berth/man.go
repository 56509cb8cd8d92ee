package main

import (
	"os"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// manCommand is for those who make packages: it writes the help texts as
// manual pages. Their date is SOURCE_DATE_EPOCH, or today.
func manCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write the manual pages, one file per command",
		Example: "  berth man /usr/local/share/man/man1",
		Hidden:  true,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			withoutTag(c.Root())
			return doc.GenManTree(c.Root(), &doc.GenManHeader{Source: "berth " + version, Manual: "berth"}, args[0])
		},
	}
}

// withoutTag leaves out the line that says when, to the day, a page was made.
func withoutTag(c *cobra.Command) {
	c.DisableAutoGenTag = true
	for _, sub := range c.Commands() {
		withoutTag(sub)
	}
}

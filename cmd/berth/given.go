package main

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/casit/berth/show"
)

// anyBytes are the commands whose arguments are references, and the flags that
// are paths in volumes: these may have any byte. What else is typed goes to the
// plugin as it stands in JSON, which has no other bytes than UTF-8.
var (
	anyBytes      = []string{"restore", "diff", "cat", "versions", "rm"}
	anyBytesFlags = []string{"to", "content"}
)

// checkGiven refuses what cannot be meant: a flag or an argument that is given
// and empty, as a variable of the shell that is not set gives it. Left out, a
// flag may mean something else altogether: without --as a restore is over the
// live volume.
func checkGiven(c *cobra.Command, args []string) error {
	if c.Name() == cobra.ShellCompRequestCmd || c.Name() == cobra.ShellCompNoDescRequestCmd {
		return nil // a word that is not typed yet is empty
	}
	var err error
	check := func(what, value string, any bool) {
		switch {
		case err != nil:
		case strings.TrimSpace(value) == "":
			err = &usageError{what + " is empty", "a variable may be unset: give it a value, or leave it out"}
		case !any && !utf8.ValidString(value):
			err = &usageError{what + " is not UTF-8: " + show.Quoted(value), "only paths in volumes and names of snapshots may have other bytes"}
		}
	}
	c.Flags().Visit(func(f *pflag.Flag) {
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			if values = list.GetSlice(); len(values) == 0 {
				values = []string{""}
			}
		}
		for _, v := range values {
			check("--"+f.Name, v, slices.Contains(anyBytesFlags, f.Name))
		}
	})
	for i, a := range args {
		check(fmt.Sprintf("argument %d", i+1), a, slices.Contains(anyBytes, c.Name()))
	}
	return err
}

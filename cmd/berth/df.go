package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/snapshot"
)

func (a *app) dfCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "df",
		Short:   "Show where the export's space is, and what can be freed",
		Example: "  berth df",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			u, err := ask[snapshot.Usage](c.Context(), a, "Berth.Usage", plugin.Empty{})
			if err != nil {
				return err
			}
			return a.printUsage(&u)
		},
	}
}

func (a *app) printUsage(u *snapshot.Usage) error {
	if a.json {
		return a.printJSON(u)
	}
	removed, undo := 0, 0
	for _, it := range u.Items {
		if it.Kind == "undo" {
			undo++
		} else {
			removed++
		}
	}
	snaps, oldest := "unknown", ""
	if u.Snapshots >= 0 {
		snaps = size(u.Snapshots)
	}
	if u.Oldest != nil {
		oldest = fmt.Sprintf(", the oldest %s of %s", quoted(u.Oldest.Name), a.snapTime(*u.Oldest))
	}
	live := u.Used - u.Trash - u.Undo - max(0, u.Snapshots)
	rows := [][]string{
		{"export", size(u.Total), fmt.Sprintf("%s used, %s free", size(u.Used), size(u.Avail))},
		{"live volumes", "~" + size(live), "what is left of the used"},
		{"removed", size(u.Trash), plural(removed, "volume") + " in the trash"},
		{"undo", size(u.Undo), plural(undo, "copy") + " of what restores replaced"},
		{"snapshots", snaps, plural(u.SnapshotCount, "snapshot") + oldest},
	}
	if undo != 1 {
		rows[3][2] = fmt.Sprintf("%d copies of what restores replaced", undo)
	}
	if err := a.table([]string{"WHAT", "SIZE", "DETAIL"}, rows); err != nil {
		return err
	}
	if u.Now > 0 {
		a.say("'berth trash purge' can free %s at once", size(u.Now))
	}
	if u.Later > 0 {
		a.say("%s in the trash are held by snapshots too, and come free only when those go", size(u.Later))
	}
	return nil
}

package main

import (
	"fmt"
	"slices"

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
			u, err := ask[snapshot.Usage](c.Context(), a, "Berth.Usage", plugin.UsageRequest{})
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
		oldest = fmt.Sprintf(", the oldest %s of %s", u.Oldest.Name, a.snapTime(*u.Oldest))
	}
	if u.Shared {
		snaps = "unknown" // what they hold alone
	}
	rows := [][]string{
		{"export", size(u.Total), fmt.Sprintf("%s used, %s free", size(u.Used), size(u.Avail))},
		{"live volumes", size(max(0, u.Live)), "what they take on the disk"},
		{"removed", size(u.Trash), plural(removed, "volume") + " in the trash"},
		{"undo", size(u.Undo), plural(undo, "copy") + " of what restores replaced"},
		{"snapshots", snaps, plural(u.SnapshotCount, "snapshot") + oldest},
	}
	if u.Live < 0 { // nobody has walked them
		rows = slices.Delete(rows, 1, 2)
		rows = append(rows, []string{"all else", size(u.Other), "live volumes, and whatever the server keeps beside"})
	} else {
		rows = append(rows, []string{"other", size(u.Other), "what else is on that disk"})
	}
	if undo != 1 {
		rows[slices.IndexFunc(rows, func(r []string) bool { return r[0] == "undo" })][2] = fmt.Sprintf("%d copies of what restores replaced", undo)
	}
	if err := a.table([]string{"WHAT", "SIZE", "DETAIL"}, rows); err != nil {
		return err
	}
	upTo := ""
	if u.Shared {
		upTo = "up to "
	}
	if u.Now > 0 {
		a.say("'berth trash purge --older 0s' frees %s%s: all that is in the trash; 'berth trash ls' lists it for 'berth trash purge ID'", upTo, size(u.Now))
	}
	for _, f := range u.Failed {
		a.say("volume %s could not be measured: %s", f.Volume, f.Reason)
	}
	for _, it := range u.Items {
		if it.Failed != "" {
			a.say("trash item %s could not be measured: %s", it.ID, it.Failed)
		}
	}
	if u.Later > 0 {
		a.say("%s in the trash are held by snapshots too, and come free only when those go", size(u.Later))
	}
	return nil
}

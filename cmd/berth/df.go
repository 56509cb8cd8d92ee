package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot/df"
)

func dfCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "df",
		Short:   "Show where the export's space is, and what can be freed",
		Example: "  berth df",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runDf(c.Context(), a) },
	}
}

func runDf(ctx context.Context, a *app) error {
	u, err := ask[df.Usage](ctx, a, "Berth.Usage", plugin.UsageRequest{})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(u)
	}
	if err := renderUsage(a.stdout, &u, a.times(), a.width(a.stdout)); err != nil {
		return err
	}
	for _, remark := range usageRemarks(&u) {
		a.say("%s", remark)
	}
	return nil
}

// renderUsage writes where the space is. What nobody has measured is left out
// of the live volumes, or unknown.
func renderUsage(w io.Writer, u *df.Usage, t show.Times, width int) error {
	removed, undo := 0, 0
	for _, it := range u.Items {
		if it.Kind == "undo" {
			undo++
		} else {
			removed++
		}
	}
	copies := fmt.Sprintf("%d copies", undo)
	if undo == 1 {
		copies = "1 copy"
	}
	snaps, oldest := "unknown", ""
	if u.Snapshots >= 0 && !u.Shared { // what they hold alone
		snaps = show.Size(u.Snapshots)
	}
	if u.Oldest != nil {
		oldest = fmt.Sprintf(", the oldest %s of %s", show.Quoted(u.Oldest.Name), t.Snapshot(*u.Oldest))
	}
	rows := [][]string{{"export", show.Size(u.Total), fmt.Sprintf("%s used, %s free", show.Size(u.Used), show.Size(u.Avail))}}
	if u.Live >= 0 {
		rows = append(rows, []string{"live volumes", show.Size(u.Live), "what they take on the disk"})
	}
	rows = append(rows,
		[]string{"removed", show.Size(u.Trash), show.Plural(removed, "volume") + " in the trash"},
		[]string{"undo", show.Size(u.Undo), copies + " of what restores replaced"},
		[]string{"snapshots", snaps, show.Plural(u.SnapshotCount, "snapshot") + oldest})
	if u.Live < 0 { // nobody has walked them
		rows = append(rows, []string{"all else", show.Size(u.Other), "live volumes, and whatever the server keeps beside"})
	} else {
		rows = append(rows, []string{"other", show.Size(u.Other), "what else is on that disk"})
	}
	return show.Table(w, []string{"WHAT", "SIZE", "DETAIL"}, rows, width)
}

// usageRemarks say what can be freed, and what could not be measured.
func usageRemarks(u *df.Usage) (out []string) {
	upTo := ""
	if u.Shared {
		upTo = "up to "
	}
	if u.Now > 0 {
		out = append(out, fmt.Sprintf("'berth trash purge --older 0s' frees %s%s: all that is in the trash; 'berth trash ls' lists it for 'berth trash purge ID'", upTo, show.Size(u.Now)))
	}
	for _, f := range u.Failed {
		out = append(out, fmt.Sprintf("volume %s could not be measured: %s", f.Volume, f.Reason))
	}
	for _, it := range u.Items {
		if it.Failed != "" {
			out = append(out, fmt.Sprintf("trash item %s could not be measured: %s", it.ID, it.Failed))
		}
	}
	if u.Later > 0 {
		out = append(out, fmt.Sprintf("%s in the trash are held by snapshots too, and come free only when those go", show.Size(u.Later)))
	}
	return out
}

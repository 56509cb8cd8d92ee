package show

import (
	"fmt"
	"io"

	"github.com/casit/berth/snapshot/df"
)

// Usage writes where the space is. What nobody has measured is left out
// of the live volumes, or unknown.
func Usage(w io.Writer, u *df.Usage, t Times, width int) error {
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
		snaps = Size(u.Snapshots)
	}
	if u.Oldest != nil {
		oldest = fmt.Sprintf(", the oldest %s of %s", Quoted(u.Oldest.Name), t.Snapshot(*u.Oldest))
	}
	rows := [][]string{{"export", Size(u.Total), fmt.Sprintf("%s used, %s free", Size(u.Used), Size(u.Avail))}}
	if u.Live >= 0 {
		detail := "what they take on the disk"
		if u.ByFiler {
			detail += ", as the filer has counted; may lag"
		}
		rows = append(rows, []string{"live volumes", Size(u.Live), detail})
	}
	rows = append(rows,
		[]string{"removed", Size(u.Trash), Plural(removed, "volume") + " in the trash"},
		[]string{"undo", Size(u.Undo), copies + " of what restores replaced"},
		[]string{"snapshots", snaps, Plural(u.SnapshotCount, "snapshot") + oldest})
	if u.Live < 0 { // nobody has walked them
		rows = append(rows, []string{"all else", Size(u.Other), "live volumes, and whatever the server keeps beside"})
	} else {
		rows = append(rows, []string{"other", Size(u.Other), "what else is on that disk"})
	}
	return Table(w, []string{"WHAT", "SIZE", "DETAIL"}, rows, width)
}

// UsageRemarks say what can be freed, and what could not be measured.
func UsageRemarks(u *df.Usage) (out []string) {
	upTo := ""
	if u.Shared {
		upTo = "up to "
	}
	if u.Now > 0 {
		out = append(out, fmt.Sprintf("'berth trash purge --older 0s' frees %s%s: all that is in the trash; 'berth trash ls' lists it for 'berth trash purge ID'", upTo, Size(u.Now)))
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
		out = append(out, fmt.Sprintf("%s in the trash are held by snapshots too, and come free only when those go", Size(u.Later)))
	}
	return out
}

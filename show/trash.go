package show

import (
	"cmp"
	"fmt"
	"io"

	"github.com/casit/berth/sweep"
	"github.com/casit/berth/volume"
)

// Trash writes the table of what is in the trash.
func Trash(w io.Writer, items []*volume.Trashed, stuck []sweep.Stuck, t Times, width int) error {
	var rows [][]string
	var why []string
	for _, it := range items {
		expires := "by hand only"
		if it.Expires != nil {
			expires = t.When(*it.Expires)
		}
		if it.Stays != "" {
			expires += ", and stays"
			why = append(why, it.ID+" stays: "+it.Stays)
		}
		rows = append(rows, []string{it.ID, it.Volume, it.Kind, t.When(it.Removed), it.By, expires})
	}
	for _, s := range stuck {
		reason := cmp.Or(s.Reason, "this node has found no fault")
		why = append(why, fmt.Sprintf("purged, and still there since %s: %s: %s", t.When(s.Since), s.Path, reason))
	}
	err := Table(w, []string{"ID", "VOLUME", "KIND", "REMOVED", "BY", "EXPIRES"}, rows, width)
	if len(why) > 0 {
		why = append(why, "'berth doctor' says what to type")
	}
	for _, line := range why {
		Indented(w, "", line, width)
	}
	return err
}

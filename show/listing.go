package show

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/compare"
)

// Listings writes the table of versions. Where changes are asked for,
// versions that nothing distinguishes are one row.
func Listings(w io.Writer, all []snapshot.Listing, r snapshot.ListRequest, t Times, width int) error {
	heading := []string{"SNAPSHOT", "TIME", "AGE", "ORIGIN"}
	if r.Stack != "" {
		heading = append([]string{"VOLUME"}, heading...)
	}
	sized := slices.ContainsFunc(all, func(l snapshot.Listing) bool {
		return slices.ContainsFunc(l.Versions, func(v snapshot.Version) bool { return v.SizeBytes > 0 })
	})
	if sized {
		heading = append(heading, "SIZE")
	}
	locked := slices.ContainsFunc(all, func(l snapshot.Listing) bool {
		return slices.ContainsFunc(l.Versions, func(v snapshot.Version) bool { return v.LockedUntil.After(t.Now) })
	})
	if locked {
		heading = append(heading, "LOCKED UNTIL")
	}
	if r.Changes {
		heading = append(heading, "CHANGED", "AGAINST NOW")
	}
	var rows [][]string
	for _, l := range all {
		for i := 0; i < len(l.Versions); i++ {
			v := l.Versions[i]
			row := []string{Quoted(v.Name), t.Snapshot(v.Snapshot), t.Since(v.Time), v.Origin}
			if r.Stack != "" {
				row = append([]string{l.Volume}, row...)
			}
			if sized {
				row = append(row, Size(v.SizeBytes))
			}
			if locked {
				row = append(row, t.Stamp(v.LockedUntil))
			}
			if r.Changes {
				row = append(row, brief(v.Before), brief(v.Live))
			}
			rows = append(rows, row)
			same := 0
			for ; r.Changes && v.Before != nil && !v.Before.Any() && i+1 < len(l.Versions) && !l.Versions[i+1].LockedUntil.After(t.Now); same++ {
				i++
				v = l.Versions[i]
			}
			if same > 0 {
				rows = append(rows, []string{fmt.Sprintf("(and %d older, down to %s, with nothing changed)", same, Quoted(v.Name))})
			}
		}
	}
	if len(rows) == 0 {
		return nil
	}
	return Table(w, heading, rows, width)
}

// brief is what changed, in a cell: "+12 -1 M3 U2".
func brief(c *compare.Changes) string {
	if c == nil {
		return ""
	}
	var out []string
	for _, n := range []struct {
		mark  string
		count int64
	}{{"+", c.Added}, {"-", c.Removed}, {"M", c.Modified}, {"U", c.Updated}} {
		if n.count > 0 {
			out = append(out, fmt.Sprintf("%s%d", n.mark, n.count))
		}
	}
	if out == nil {
		return "nothing"
	}
	return strings.Join(out, " ")
}

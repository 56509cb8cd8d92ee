package main

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
)

// table prints rows under a heading, columns aligned. Empty cells are "-".
func (a *app) table(heading []string, rows [][]string) error {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{heading}, rows...) {
		for i, cell := range row {
			if row[i] = strings.ReplaceAll(text.Visible(cell), "\n", `\n`); cell == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// ids prints one a line, for -q.
func (a *app) ids(ids []string) error {
	for _, id := range ids {
		fmt.Fprintln(a.stdout, quoted(id))
	}
	return nil
}

// when is a time in a table: local, or UTC on request.
func (a *app) when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	if a.utc {
		return t.UTC().Format("2006-01-02 15:04:05Z")
	}
	zone, _ := a.zone()
	return t.In(zone).Format(time.DateTime)
}

// stamp is a time with its zone, as the times of versions are shown: it can be
// typed behind the @.
func (a *app) stamp(t time.Time) string {
	zone, _ := a.zone()
	if t.IsZero() || a.utc {
		return a.when(t)
	}
	return t.In(zone).Format(time.DateTime + " MST")
}

// since is how long ago something was made. A time in the future is no age.
func since(t, now time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case t.Sub(now) > reference.Skew:
		return "in the future"
	}
	return age(now.Sub(t).Seconds())
}

// ago is since in a sentence.
func ago(t, now time.Time) string {
	if t.Sub(now) > reference.Skew {
		return since(t, now)
	}
	return since(t, now) + " ago"
}

// age is a duration in words short enough for a table.
func age(seconds float64) string {
	d := max(0, time.Duration(seconds*float64(time.Second)))
	switch {
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }

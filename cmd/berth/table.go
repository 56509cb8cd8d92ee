package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/text"
)

// narrowest is the least that a wrapped column may have; where less is left,
// the terminal breaks the line itself.
const narrowest = 16

// renderTable writes rows under a heading, columns aligned. Empty cells are
// "-". Where a row does not fit into width, its last cell goes on below itself,
// broken at blanks; width 0 is as wide as it gets. A row of one cell is a
// remark: it has no columns.
func renderTable(w io.Writer, heading []string, rows [][]string, width int) error {
	all := make([][]string, 0, len(rows)+1)
	columns := make([]int, len(heading))
	for _, row := range append([][]string{heading}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = strings.ReplaceAll(text.Visible(cell), "\n", `\n`); cell == "" {
				cells[i] = "-"
			}
			if len(row) > 1 && i < len(row)-1 {
				columns[i] = max(columns[i], utf8.RuneCountInString(cells[i]))
			}
		}
		all = append(all, cells)
	}
	var out strings.Builder
	for _, cells := range all {
		at := 0
		for i, cell := range cells[:len(cells)-1] {
			fmt.Fprintf(&out, "%-*s  ", columns[i], cell)
			at += columns[i] + 2
		}
		last := []string{cells[len(cells)-1]}
		if width-at >= narrowest && utf8.RuneCountInString(last[0]) > width-at {
			last = wrap(last[0], width-at)
		}
		out.WriteString(strings.Join(last, "\n"+strings.Repeat(" ", at)) + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// wrap breaks text at blanks into lines of at most width characters; a longer
// word has a line of its own.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(lines, line)
}

// indented writes a text, broken where it does not fit into width; what goes on
// below begins under the text, at as many blanks. width 0 breaks nothing.
func indented(w io.Writer, first, text string, width int) {
	at := utf8.RuneCountInString(first)
	lines := []string{text}
	if width-at >= narrowest && utf8.RuneCountInString(text) > width-at {
		lines = wrap(text, width-at)
	}
	fmt.Fprintf(w, "%s%s\n", first, strings.Join(lines, "\n"+strings.Repeat(" ", at)))
}

// times prints times: in the zone of the person who reads them, as of now.
type times struct {
	zone *time.Location
	utc  bool
	now  time.Time
}

// when is a time in a table: local, or UTC on request.
func (t times) when(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case t.utc:
		return at.UTC().Format("2006-01-02 15:04:05Z")
	}
	return at.In(t.zone).Format(time.DateTime)
}

// stamp is a time with its zone, as the times of versions are shown: it can be
// typed behind the @.
func (t times) stamp(at time.Time) string {
	if at.IsZero() || t.utc {
		return t.when(at)
	}
	return at.In(t.zone).Format(time.DateTime + " MST")
}

// snapshot is a snapshot's time, marked where it is a guess.
func (t times) snapshot(s reference.Snapshot) string {
	if s.Approximate && !s.Time.IsZero() {
		return "~" + t.stamp(s.Time)
	}
	return t.stamp(s.Time)
}

// made says when a snapshot was made, and how long ago.
func (t times) made(s reference.Snapshot) string {
	if s.Time.IsZero() {
		return "nobody says when it was made"
	}
	return t.snapshot(s) + ", " + t.ago(s.Time)
}

// since is how long ago something was made. A time in the future is no age.
func (t times) since(at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case at.Sub(t.now) > reference.Skew:
		return "in the future"
	}
	return age(t.now.Sub(at).Seconds())
}

// ago is since in a sentence.
func (t times) ago(at time.Time) string {
	if at.Sub(t.now) > reference.Skew {
		return t.since(at)
	}
	return t.since(at) + " ago"
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

// parseAge reads a duration that may be in days.
func parseAge(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	text := s
	if days, ok := strings.CutSuffix(s, "d"); ok {
		text = days + "h"
	}
	d, err := time.ParseDuration(text)
	if text != s {
		d *= 24
	}
	if err != nil || d <= 0 {
		return 0, &usageError{fmt.Sprintf("%q is not an age", s), "write 90m, 12h or 3d"}
	}
	return d, nil
}

func size(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// quoted prints a name so that a terminal cannot be harmed by it, and no two
// names look the same.
func quoted(name string) string { return text.Quote(name) }

// sentence prints a text that somebody else wrote: quoted where it holds
// characters that cannot be seen.
func sentence(said string) string {
	if text.Visible(said) == said && !strings.Contains(said, "\n") {
		return said
	}
	return fmt.Sprintf("%q", said)
}

// shellWord is a name as it is typed to a shell.
func shellWord(name string) string {
	if q := quoted(name); q != name || plainWord.MatchString(name) {
		return q
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9_@%+=:,./-]+$`)

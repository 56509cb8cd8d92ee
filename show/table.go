package show

import (
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/text"
)

// Narrowest is the least that a wrapped column may have; where less is left,
// the terminal breaks the line itself.
const Narrowest = 16

// Table writes rows under a heading, columns aligned. Empty cells are
// "-". Where a row does not fit into width, its last cell goes on below itself,
// broken at blanks; width 0 is as wide as it gets. A row of one cell is a
// remark: it has no columns.
func Table(w io.Writer, heading []string, rows [][]string, width int) error {
	all := make([][]string, 0, len(rows)+1)
	columns := make([]int, len(heading))
	for _, row := range append([][]string{heading}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = text.Line(cell); cell == "" {
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
		if width-at >= Narrowest && utf8.RuneCountInString(last[0]) > width-at {
			last = Wrap(last[0], width-at)
		}
		out.WriteString(strings.Join(last, "\n"+strings.Repeat(" ", at)) + "\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Wrap breaks text at blanks into lines of at most width characters; a longer
// word has a line of its own. Blanks elsewhere stay as they are: names may
// differ in nothing else.
func Wrap(text string, width int) (lines []string) {
	line, begun := "", false
	for _, word := range strings.Split(text, " ") {
		switch {
		case !begun:
			line, begun = word, true
		case line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// Indented writes a text, broken where it does not fit into width; what goes on
// below begins under the text, at as many blanks. width 0 breaks nothing.
func Indented(w io.Writer, first, said string, width int) {
	first, said = text.Line(first), text.Line(said)
	at := utf8.RuneCountInString(first)
	lines := []string{said}
	if width-at >= Narrowest && utf8.RuneCountInString(said) > width-at {
		lines = Wrap(said, width-at)
	}
	fmt.Fprintf(w, "%s%s\n", first, strings.Join(lines, "\n"+strings.Repeat(" ", at)))
}

// Age is a duration in words short enough for a table.
func Age(seconds float64) string {
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

// ParseAge reads a duration that may be in days or weeks.
func ParseAge(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	text, times := s, time.Duration(1)
	for unit, hours := range map[string]time.Duration{"d": 24, "w": 7 * 24} {
		if number, ok := strings.CutSuffix(s, unit); ok {
			text, times = number+"h", hours
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > math.MaxInt64/times {
		return 0, problem.New(problem.Invalid, "write 90m, 12h, 3d or 2w", "%q is not an age", s)
	}
	return d * times, nil
}

// Size is a number of bytes in words.
func Size(bytes int64) string { return humanize.IBytes(uint64(max(0, bytes))) }

// Plural is a number and what is counted.
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Quoted prints a name so that a terminal cannot be harmed by it, and no two
// names look the same.
func Quoted(name string) string { return text.Quote(name) }

// ShellWord is a name as it is typed to a shell.
func ShellWord(name string) string { return text.Word(name) }

// Sentence prints a text that somebody else wrote: quoted where it holds
// characters that cannot be seen.
func Sentence(said string) string {
	if text.Line(said) == said && strings.TrimSpace(said) == said {
		return said
	}
	return text.Line(fmt.Sprintf("%q", said))
}

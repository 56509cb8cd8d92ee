// Package catalogue is what berth says when something is wrong, as data: each
// message with its cause and its cure. A package that makes messages has a
// table of them in its messages.go. docs/troubleshooting.md is made of all
// tables, and problemtest holds each table to the code beside it.
package catalogue

import (
	"fmt"
	"slices"
	"strings"
)

// Section is a chapter of docs/troubleshooting.md.
type Section string

// The sections.
const (
	NoPlugin  Section = "No plugin, or another one"
	Settings  Section = "Settings"
	Export    Section = "The export does not answer, is away, full or refuses"
	InUse     Section = "In use"
	Volumes   Section = "Names, options, making and changing volumes"
	Snapshots Section = "Snapshots and references"
	Restore   Section = "Restore, undo, jobs"
	Trash     Section = "Trash"
	Takeover  Section = "Takeover and epochs"
	Filer     Section = "The filer's API"
	Wire      Section = "NFS on the wire, and mounts"
	Convoy    Section = "Import from Convoy"
	Proxy     Section = "Proxy"
	Dashboard Section = "Dashboard"
	Doctor    Section = "Doctor and the command line"
)

// sections are those whose table is made of rows.
var sections = []Section{NoPlugin, Settings, Export, InUse, Volumes, Snapshots, Restore, Trash,
	Takeover, Filer, Wire, Convoy, Proxy, Dashboard, Doctor}

// Row is one message: its text with … for what differs from case to case, its
// cause and its cure. Cause and cure are Markdown.
type Row [3]string

// Messages are the rows of a package, in the order in which they are printed.
type Messages map[Section][]Row

// Cell returns a message as it stands in a row: a table of Markdown has no
// place for line ends, bars and backquotes.
func Cell(message string) string {
	return strings.NewReplacer("\n", " ", "|", "¦", "`", "'").Replace(strings.TrimSpace(message))
}

// head begins every table of messages.
const head = "| message | cause | cure |\n|---|---|---|\n"

// Render returns page with the tables of all packages in the place of those
// that it has: the table of a section is the first one below its heading. A
// message that two packages make stands in both tables and once on the page; it
// is an error if they do not agree about it, if a message is in two sections,
// or if the page has no table for a section.
func Render(page string, all ...Messages) (string, error) {
	rows, err := merge(all)
	if err != nil {
		return "", err
	}
	chapters := strings.Split(page, "\n## ")
	for i, chapter := range chapters {
		title, _, _ := strings.Cut(chapter, "\n")
		prose, table, ok := strings.Cut(chapter, head)
		section := Section(title)
		if !ok || !slices.Contains(sections, section) {
			continue
		}
		for strings.HasPrefix(table, "|") {
			_, table, _ = strings.Cut(table, "\n")
		}
		var made strings.Builder
		for _, row := range rows[section] {
			fmt.Fprintf(&made, "| `%s` | %s | %s |\n", row[0], row[1], row[2])
		}
		chapters[i] = prose + head + made.String() + table
		delete(rows, section)
	}
	for section := range rows {
		return "", fmt.Errorf("the page has no table in a section %q", section)
	}
	return strings.Join(chapters, "\n## "), nil
}

// merge returns the rows of all packages by section, each message once.
func merge(all []Messages) (map[Section][]Row, error) {
	rows := map[Section][]Row{}
	known := map[string]Section{}
	for _, messages := range all {
		for section, more := range messages {
			for _, row := range more {
				if was, ok := known[row[0]]; !ok {
					rows[section] = append(rows[section], row)
				} else if was != section || !slices.Contains(rows[section], row) {
					return nil, fmt.Errorf("two rows say %q, and differ", row[0])
				}
				known[row[0]] = section
			}
		}
	}
	return rows, nil
}

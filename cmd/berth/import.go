package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/casit/berth/convoy"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/show"
	"github.com/casit/berth/text"
)

func importCommand(a *app) *cobra.Command {
	var req plugin.ImportRequest
	c := &cobra.Command{
		Use:   "convoy",
		Short: "Make the volumes of Rancher Convoy (v0.5, VFS driver) berth's, in place",
		Long: `Make the volumes of Rancher Convoy (v0.5, VFS driver) berth's, in place: the same directories under the
same names, with the time when they were created. Only berth's own metadata is written; Convoy's files and the
data are read and stay as they are, so Convoy can go on, or come back. The import may be repeated, on any node.

Broken records are listed and left out, and the exit code is 1; everything else is imported. Databases are
recognised and listed with the command that protects them. docs/from-convoy.md has the whole cut-over.

Exit codes: 0 done, 1 failed or a record is broken, 2 usage, 5 export unreachable`,
		Example: "  berth import convoy --dry-run\n  berth import convoy\n  berth import convoy --undo",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runImport(c.Context(), a, req) },
	}
	c.Flags().BoolVarP(&req.DryRun, "dry-run", "n", false, "only say what would happen")
	c.Flags().BoolVar(&req.Adopt, "adopt-orphans", false, "give directories without a record metadata too")
	c.Flags().BoolVar(&req.Undo, "undo", false, "take away what the import wrote, unless it was changed since")
	return group("import", "Volumes of other systems", c)
}

func runImport(ctx context.Context, a *app, req plugin.ImportRequest) error {
	if req.Undo && req.Adopt {
		return &usageError{"--undo and --adopt-orphans exclude each other", "give one of them; --undo takes back what --adopt-orphans did, too"}
	}
	r, err := ask[*convoy.Report](ctx, a, "Berth.ImportConvoy", req)
	if err != nil {
		return err
	}
	markHere(r)
	var names []string
	for _, i := range r.Items {
		if i.State != convoy.Broken && i.State != convoy.Leftover {
			names = append(names, i.Volume)
		}
	}
	err = a.show(r, names, func(w io.Writer, width int) error { return renderImport(w, r, req, a.times(), width) })
	if err != nil {
		return err
	}
	return importVerdict(r)
}

// markHere looks which of Convoy's snapshots are on this node's own disk, which
// the plugin does not see.
func markHere(r *convoy.Report) {
	for _, i := range r.Items {
		for n := range i.Snapshots {
			s := &i.Snapshots[n]
			info, err := os.Lstat(s.File)
			s.Here = err == nil && info.Mode().IsRegular()
		}
	}
}

// importVerdict makes what is broken a failure, after all else was done.
func importVerdict(r *convoy.Report) error {
	if r.Broken == 0 {
		return nil
	}
	return &plugin.Failure{Kind: problem.Failed, Reason: show.Plural(r.Broken, "volume") + " of Convoy's could not be imported; the lines marked broken say why",
		Hint: "everything else was; a directory without a record that can be read is a volume of berth all the same, with default options"}
}

// renderImport writes what was imported, what is to be known and typed, and
// the counts.
func renderImport(w io.Writer, r *convoy.Report, req plugin.ImportRequest, t show.Times, width int) error {
	var rows [][]string
	for _, i := range r.Items {
		rows = append(rows, []string{show.Quoted(i.Volume), t.When(i.Created), importWhat(r, i)})
	}
	if err := show.Table(w, []string{"VOLUME", "CREATED", "WHAT"}, rows, width); err != nil {
		return err
	}
	for _, notes := range [][]string{importNotes(r, req), snapshotNotes(r, t), databaseNotes(r)} {
		if len(notes) > 0 {
			fmt.Fprintf(w, "\n%s\n", text.Visible(strings.Join(notes, "\n")))
		}
	}
	_, err := fmt.Fprintf(w, "\n%s; Convoy's files untouched\n", importCounts(r, req))
	return err
}

// importWhat is the last column: the state in words, and why.
func importWhat(r *convoy.Report, i *convoy.Item) string {
	what := string(i.State)
	if r.DryRun {
		if would, ok := map[convoy.State]string{convoy.Imported: "to import", convoy.Adopted: "to adopt", convoy.Undone: "to undo"}[i.State]; ok {
			what = would
		}
	}
	if i.Reason != "" {
		what += ": " + show.Sentence(i.Reason)
	}
	return what
}

func importNotes(r *convoy.Report, req plugin.ImportRequest) (notes []string) {
	for _, i := range r.Items {
		for _, n := range i.Notes {
			notes = append(notes, show.Quoted(i.Volume)+": "+show.Sentence(n))
		}
	}
	if r.Orphans > 0 && !req.Adopt {
		notes = append(notes, "An orphan is a directory that 'docker volume rm' left under Convoy. It is a volume of berth as it is, with\ndefault options; --adopt-orphans writes that down.")
	}
	return notes
}

// snapshotNotes lists Convoy's snapshots: archives on the disk of some node.
func snapshotNotes(r *convoy.Report, t show.Times) (notes []string) {
	for _, i := range r.Items {
		for _, s := range i.Snapshots {
			where := "not on this node"
			if s.Here {
				where = "on this node"
			}
			notes = append(notes, fmt.Sprintf("  %s  %s  %s  %s (%s)", show.Quoted(i.Volume), show.Quoted(s.Name), t.When(s.Created), show.Quoted(s.File), where))
		}
	}
	if len(notes) > 0 {
		notes = append([]string{"Snapshots are archives on the disk of the node that made them, and stay there (docs/from-convoy.md):"}, notes...)
	}
	return notes
}

// databaseNotes proposes what databases should have, as commands.
func databaseNotes(r *convoy.Report) (notes []string) {
	for _, i := range r.Items {
		if i.Database != "" && i.Access != "single" && i.State != convoy.Broken {
			notes = append(notes, fmt.Sprintf("  berth volume set %s access=single   # %s", i.Volume, show.Sentence(i.Database)))
		}
	}
	if len(notes) > 0 {
		notes = append([]string{"Databases that one node at a time should mount, with the file that tells; to type before they start under berth:"}, notes...)
	}
	return notes
}

func importCounts(r *convoy.Report, req plugin.ImportRequest) string {
	var counts []string
	if req.Undo {
		undone := 0
		for _, i := range r.Items {
			if i.State == convoy.Undone {
				undone++
			}
		}
		counts = []string{show.Plural(undone, "volume") + " undone", fmt.Sprintf("%d kept", len(r.Items)-undone-r.Broken)}
	} else {
		counts = []string{show.Plural(r.Volumes, "volume"), show.Plural(r.Databases, "database"), show.Plural(r.Orphans, "orphan")}
	}
	if r.Broken > 0 {
		counts = append(counts, fmt.Sprintf("%d broken", r.Broken))
	}
	return strings.Join(counts, ", ")
}

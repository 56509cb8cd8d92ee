package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/show"
	"github.com/casit/berth/stack"
	"github.com/casit/berth/text"
	"github.com/casit/berth/volume"
)

func stackCommand(a *app) *cobra.Command {
	var name string
	check := &cobra.Command{
		Use:   "check FILE...",
		Short: "Look for what ruins data in stack and compose files",
		Long: `Look for what ruins data in stack and compose files, and compare them with the volumes as they are. Docker never tells a
volume driver that options changed after a volume was made, so what a file says of an existing volume has no effect: this command
shows the difference, and what to type. It also finds external volumes, missing and misspelt drivers, unknown options, names that
differ only in case, databases with two writers or without a name for their data, and healthchecks that fail during a failover of
the filer. It cannot see what an image brings itself, such as a HEALTHCHECK.
Several files are merged as 'docker stack deploy -c FILE -c FILE' does; variables are those of the environment. Where no plugin
answers, as on the machine of a developer, the file is checked by itself.

Exit codes: 0 nothing was found, 1 something was, 2 a file cannot be read`,
		Example: "  berth stack check shop.yml --stack shop",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return runStackCheck(c.Context(), a, args, name) },
	}
	check.Flags().StringVar(&name, "stack", "", "the stack's name, as in 'docker stack deploy -c FILE NAME'")
	return group("stack", "Stack files", check)
}

// runStackCheck checks files; something wrong is exit code 1.
func runStackCheck(ctx context.Context, a *app, files []string, name string) error {
	logrus.SetOutput(io.Discard) // the parser's remarks on what is out of date
	project, err := stack.Read(ctx, files, name)
	if err != nil {
		return err
	}
	live, err := liveVolumes(ctx, a)
	if err != nil {
		_, reason, _ := judge(err)
		fmt.Fprintf(a.stderr, "berth: %s: the file is checked by itself, not against the volumes as they are\n", text.Line(reason))
		live = nil
	}
	all := append([]stack.Finding{}, stack.Check(project, live, name)...)
	var wrong []string
	for _, f := range all {
		if !f.Note {
			wrong = append(wrong, f.Volume)
		}
	}
	err = a.show(map[string]any{"findings": all}, slices.Compact(slices.Clone(wrong)), func(w io.Writer, width int) error { return renderFindings(w, all, width) })
	if err == nil && len(wrong) > 0 {
		err = &differs{}
	}
	return err
}

// liveVolumes are all volumes, by name.
func liveVolumes(ctx context.Context, a *app) (map[string]*volume.Info, error) {
	got, err := ask[plugin.Volumes](ctx, a, "Berth.VolumeInspect", plugin.InspectRequest{})
	live := map[string]*volume.Info{}
	for _, v := range got.Volumes {
		live[v.Name] = v
	}
	return live, err
}

// renderFindings writes the options that differ as a table with the commands
// that change them, and then what else was found.
func renderFindings(w io.Writer, all []stack.Finding, width int) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "nothing differs")
		return err
	}
	var rows [][]string
	var mends []string
	for _, f := range all {
		if f.Option != "" {
			rows = append(rows, []string{f.Volume, f.Option, f.File, f.Live})
			if !slices.Contains(mends, f.Mend) {
				mends = append(mends, f.Mend)
			}
		}
	}
	if len(rows) > 0 {
		if err := show.Table(w, []string{"VOLUME", "OPTION", "FILE", "LIVE"}, rows, width); err != nil {
			return err
		}
		fmt.Fprintln(w, "\nto change the volumes, or else change the file:")
		for _, m := range mends {
			fmt.Fprintln(w, "  "+text.Line(m))
		}
	}
	for _, f := range all {
		if f.Option != "" {
			continue
		}
		kind := ""
		if f.Note {
			kind = "note: "
		}
		fmt.Fprintf(w, "%s: %s%s\n", text.Line(f.Volume), kind, text.Line(f.Problem))
		if f.Mend != "" {
			fmt.Fprintf(w, "  %s\n", text.Line(f.Mend))
		}
	}
	return nil
}

// differs ends a command that found something, and has said what.
type differs struct{}

func (*differs) Error() string { return "something differs" }

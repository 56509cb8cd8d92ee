package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sirupsen/logrus"
	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/volume"
)

func (a *app) stackCommand() *cobra.Command {
	var stack string
	check := &cobra.Command{
		Use:   "check FILE...",
		Short: "Look for what ruins data in stack and compose files",
		Long: `Look for what ruins data in stack and compose files, and compare them with the volumes as they are. Docker never tells a
volume driver of options that changed after a volume was made, so what a file says of an existing volume has no effect: this command
shows it, and what to type. It also finds external volumes, missing and misspelt drivers, unknown options, names that differ only in
case, databases with two writers or without a name for their data, and healthchecks that a filer's failover fails. What an image
brings itself, such as a HEALTHCHECK, it cannot see.
Several files are merged as 'docker stack deploy -c FILE -c FILE' does; variables are those of the environment. Where no plugin
answers, as on the machine of whoever writes the file, the file is checked by itself.

Exit codes: 0 nothing was found, 1 something was, 2 a file cannot be read`,
		Example: "  berth stack check shop.yml --stack shop",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			project, err := readStack(c.Context(), args, stack)
			if err != nil {
				return err
			}
			live, err := a.liveVolumes(c.Context())
			if err != nil {
				_, reason, _ := judge(err)
				fmt.Fprintf(a.stderr, "berth: %s: the file is checked by itself, not against the volumes as they are\n", reason)
				live = nil
			}
			return a.printFindings(newStackFile(project, live, stack).check())
		},
	}
	check.Flags().StringVar(&stack, "stack", "", "the stack's name, as in 'docker stack deploy -c FILE NAME'")
	return group("stack", "Stack files", check)
}

// unnamed stands for a stack whose name is not known.
const unnamed = "stack-without-a-name"

// readStack parses stack files as one.
func readStack(ctx context.Context, files []string, stack string) (*types.Project, error) {
	for _, f := range files {
		if _, err := os.Stat(f); err != nil {
			return nil, &usageError{err.Error(), "give the files that 'docker stack deploy -c' gets"}
		}
	}
	// It remarks on what is out of date, to a log that nobody reads.
	out := logrus.StandardLogger().Out
	logrus.SetOutput(io.Discard)
	defer logrus.SetOutput(out)
	options := func(o *loader.Options) {
		o.Profiles = []string{"*"} // all services, whoever starts them
		o.SkipResolveEnvironment, o.SkipResolveLabels, o.SkipConsistencyCheck = true, true, true
		if stack == "" {
			stack = unnamed
		}
		o.SetProjectName(stack, stack != unnamed)
	}
	details, err := loader.LoadConfigFiles(ctx, files, ".", options)
	if err == nil {
		details.Environment = types.NewMapping(os.Environ())
		var project *types.Project
		if project, err = loader.LoadWithContext(ctx, *details, options); err == nil {
			return project, nil
		}
	}
	return nil, &usageError{fmt.Sprintf("read %s: %v", strings.Join(files, ", "), err), ""}
}

// liveVolumes are all volumes, by name.
func (a *app) liveVolumes(ctx context.Context) (map[string]*volume.Info, error) {
	got, err := ask[plugin.Volumes](ctx, a, "Berth.VolumeInspect", plugin.InspectRequest{})
	live := map[string]*volume.Info{}
	for _, v := range got.Volumes {
		live[v.Name] = v
	}
	return live, err
}

// A finding is one thing about a volume of a stack file. Volume is its name, or
// the directory in the container where it has none.
type finding struct {
	Volume string `json:"volume"`
	Option string `json:"option,omitempty"`
	File   string `json:"file,omitempty"` // the option's value there
	Live   string `json:"live,omitempty"`
	// Problem is what is wrong, where it is not an option that differs. Note: it
	// is worth a look, and nothing is wrong.
	Problem string `json:"problem,omitempty"`
	Note    bool   `json:"note,omitempty"`
	// Mend is what to type.
	Mend string `json:"mend,omitempty"`
}

// printFindings prints what was found; something wrong is exit code 1.
func (a *app) printFindings(all []finding) error {
	if all == nil {
		all = []finding{}
	}
	wrong := slices.ContainsFunc(all, func(f finding) bool { return !f.Note })
	var err error
	switch {
	case a.json:
		err = a.printJSON(map[string]any{"findings": all})
	case a.quiet:
		var names []string
		for _, f := range all {
			if !f.Note {
				names = append(names, f.Volume)
			}
		}
		err = a.ids(slices.Compact(names))
	case len(all) == 0:
		fmt.Fprintln(a.stdout, "nothing differs")
	default:
		err = a.printFindingLines(all)
	}
	if err == nil && wrong {
		err = &differs{}
	}
	return err
}

func (a *app) printFindingLines(all []finding) error {
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
		if err := a.table([]string{"VOLUME", "OPTION", "FILE", "LIVE"}, rows); err != nil {
			return err
		}
		fmt.Fprintln(a.stdout, "\nto change the volumes, or else change the file:")
		for _, m := range mends {
			fmt.Fprintln(a.stdout, "  "+m)
		}
	}
	for _, f := range all {
		if f.Option == "" {
			kind := ""
			if f.Note {
				kind = "note: "
			}
			fmt.Fprintf(a.stdout, "%s: %s%s\n", f.Volume, kind, f.Problem)
			if f.Mend != "" {
				fmt.Fprintf(a.stdout, "  %s\n", f.Mend)
			}
		}
	}
	return nil
}

// differs ends a command that found something, and has said what.
type differs struct{}

func (*differs) Error() string { return "something differs" }

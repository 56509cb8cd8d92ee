package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
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
		Short: "Compare stack files with the volumes as they are",
		Long: `Compare stack files with the volumes as they are. Docker never tells a volume driver of options that
changed after a volume was made, so what a stack file says of an existing volume has no effect: this command shows it, and what to type.
Several files are merged as 'docker stack deploy -c FILE -c FILE' does; variables are those of the environment.

Exit codes: 0 nothing differs, 1 something does, 2 a file cannot be read`,
		Example: "  berth stack check shop.yml --stack shop",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			project, err := readStack(c.Context(), args, stack)
			if err != nil {
				return err
			}
			live, err := a.liveVolumes(c.Context())
			if err != nil {
				return err
			}
			return a.printFindings(checkStack(project, live, stack))
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

// A finding is one thing about a volume of a stack file.
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

// checkStack compares the volumes of a stack file with those that are there.
// The name of the stack is "" where it was not given.
func checkStack(p *types.Project, live map[string]*volume.Info, stack string) (out []finding) {
	single := map[string]bool{} // keys of the file's volumes that one node at a time may mount
	ours := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(p.Volumes)) {
		v := p.Volumes[key]
		v.Name = strings.Replace(v.Name, unnamed, stack, 1)
		switch {
		case strings.Contains(v.Name, "{{"):
			out = append(out, finding{Volume: key, Note: true, Problem: "its name is a template, so it is not compared"})
			continue
		case stack == "" && p.Name == unnamed && strings.HasPrefix(v.Name, "_"):
			out = append(out, finding{Volume: key, Problem: "its name depends on the stack's", Mend: "say which stack it is: --stack NAME"})
			continue
		}
		info := live[v.Name]
		if !isBerth(v.Driver) {
			if v.Driver == "" && info != nil && !bool(v.External) {
				out = append(out, finding{Volume: v.Name, Problem: "the file makes it a local volume on each node, although berth has one of that name", Mend: "add 'driver: berth' to it in the file"})
			}
			if !bool(v.External) || info == nil {
				continue
			}
		}
		ours[key] = true
		given, err := volume.ParseOptions(map[string]string(v.DriverOpts))
		if err != nil {
			e := (*volume.Error)(nil)
			_ = errors.As(err, &e)
			out = append(out, finding{Volume: v.Name, Problem: e.Reason, Mend: "correct it in the file: " + e.Hint})
			continue
		}
		recorded := given
		switch {
		case info != nil && info.Options == nil:
			out = append(out, finding{Volume: v.Name, Problem: info.Health})
		case info != nil:
			recorded = info.Options
			out = append(out, drift(v.Name, info.Options, given)...)
		}
		single[key] = recorded.Get("access") == "single" || given.Get("access") == "single"
	}
	for _, s := range slices.Sorted(maps.Keys(p.Services)) {
		out = append(out, checkService(p.Services[s], p, ours, single, stack)...)
	}
	return out
}

// drift compares the options that are given with a volume's.
func drift(name string, has, given volume.Options) (out []finding) {
	keys := has.Differs(given)
	mend := "berth volume set " + name
	for _, k := range keys {
		if k != "from" {
			mend += " " + k + "=" + given[k]
		}
	}
	for _, k := range keys {
		if k == "from" {
			out = append(out, finding{Volume: name, Problem: fmt.Sprintf("from=%s has no effect: what a volume was copied from (%q) cannot be changed", given[k], has.Get(k)), Mend: "leave it out of the file"})
			continue
		}
		out = append(out, finding{Volume: name, Option: k, File: given[k], Live: has.Get(k), Mend: mend})
	}
	return out
}

// checkService looks for services that would fight for a volume, and for
// databases on volumes that any node may mount.
func checkService(s types.ServiceConfig, p *types.Project, ours, single map[string]bool, stack string) (out []finding) {
	for _, m := range s.Volumes {
		if m.Type != types.VolumeTypeVolume || !ours[m.Source] {
			// Docker does not tell a driver that a mount is read-only: it counts.
			continue
		}
		name := strings.Replace(p.Volumes[m.Source].Name, unnamed, stack, 1)
		if !single[m.Source] {
			if word := databaseImage(s.Image); word != "" {
				out = append(out, finding{Volume: name, Note: true, Problem: fmt.Sprintf("service %s runs %s on a volume that any node may mount at the same time", s.Name, word),
					Mend: "berth volume set " + name + " access=single, and 'driver_opts: { access: single }' in the file"})
			}
			continue
		}
		d := s.Deploy
		switch {
		case d == nil:
		case d.Mode == "global":
			out = append(out, finding{Volume: name, Problem: fmt.Sprintf("service %s runs on every node, and one node at a time may mount the volume", s.Name), Mend: "make it replicated, with one replica"})
		case d.Replicas != nil && *d.Replicas > 1:
			out = append(out, finding{Volume: name, Problem: fmt.Sprintf("service %s has %d replicas, and one node at a time may mount the volume", s.Name, *d.Replicas), Mend: "set replicas: 1"})
		case d.UpdateConfig != nil && d.UpdateConfig.Order == "start-first":
			out = append(out, finding{Volume: name, Problem: fmt.Sprintf("service %s starts the new task before the old one has ended, which holds the volume", s.Name), Mend: "set update_config.order: stop-first"})
		}
	}
	return out
}

// databaseImage says which database server an image is, "" for none.
func databaseImage(image string) string {
	for _, word := range []string{"mariadb", "mysql", "percona", "postgres", "mongo"} {
		if strings.Contains(image, word) {
			return word
		}
	}
	return ""
}

// isBerth tells whether a driver is the plugin, as files and Docker name it.
func isBerth(driver string) bool {
	name, _, _ := strings.Cut(driver[strings.LastIndex(driver, "/")+1:], ":")
	return name == "berth"
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

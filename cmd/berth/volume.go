package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/text"
	"github.com/casit/berth/volume"
)

func (a *app) volumeCommand() *cobra.Command {
	return group("volume", "Volumes: list, who uses them, options, repair",
		a.volumeLs(), a.volumePs(), a.volumeInspect(), a.volumeSet(), a.volumeTakeover(), a.volumeRelease(), a.volumeRepair())
}

func (a *app) volumeLs() *cobra.Command {
	var measured bool
	var stack string
	c := &cobra.Command{
		Use:     "ls",
		Short:   "List the volumes of the export",
		Example: "  berth volume ls --size\n  berth volume ls --stack shop",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := ask[plugin.Volumes](c.Context(), a, "Berth.VolumeInspect", plugin.InspectRequest{Size: measured})
			if err != nil {
				return err
			}
			vols := []*volume.Info{}
			for _, v := range got.Volumes {
				if stack == "" || strings.HasPrefix(v.Name, stack+"_") {
					vols = append(vols, v)
				}
			}
			return a.printVolumes(vols, measured)
		},
	}
	c.Flags().BoolVar(&measured, "size", false, "measure each volume: as the sizes of its files say, and as it takes space; walks all of it")
	c.Flags().StringVar(&stack, "stack", "", "only the volumes of this stack")
	return c
}

func (a *app) printVolumes(vols []*volume.Info, measured bool) error {
	if a.json {
		return a.printJSON(vols)
	}
	var names []string
	var rows [][]string
	for _, v := range vols {
		names = append(names, v.Name)
		health, _, _ := strings.Cut(v.Health, ";")
		if health != "ok" && health != "" {
			health = "! " + strings.TrimSpace(health)
		}
		created := a.when(v.Created)
		if v.Adopted {
			created = "adopted"
		}
		row := []string{v.Name, created, v.Options["access"], usedOn(v.Users)}
		if measured {
			sizes := []string{size(v.SizeBytes), size(v.UsedBytes), humanize.Comma(v.Files)}
			if v.Unmeasured {
				sizes = []string{"?", "?", "?"}
			}
			row = append(row, sizes...)
		}
		rows = append(rows, append(row, health))
	}
	if a.quiet {
		return a.ids(names)
	}
	heading := []string{"VOLUME", "CREATED", "ACCESS", "USED ON"}
	if measured {
		heading = append(heading, "SIZE", "DISK", "FILES")
	}
	return a.table(append(heading, "HEALTH"), rows)
}

// usedOn lists the nodes that use a volume, those that may be dead marked.
func usedOn(users []volume.User) string {
	var nodes []string
	for _, u := range users {
		n := u.Node
		if u.State != volume.Live {
			n += "(" + string(u.State) + ")"
		}
		nodes = append(nodes, n)
	}
	return strings.Join(nodes, ",")
}

func (a *app) volumePs() *cobra.Command {
	return &cobra.Command{
		Use:               "ps [VOLUME]",
		Short:             "Show who uses the volumes: node, service, task, since, heartbeat",
		Example:           "  berth volume ps shop_db",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			var name string
			if len(args) > 0 {
				name = args[0]
				if _, err := ask[plugin.Volumes](c.Context(), a, "Berth.VolumeInspect", plugin.InspectRequest{Names: args}); err != nil {
					return err
				}
			}
			got, err := ask[plugin.Users](c.Context(), a, "Berth.VolumeUsers", plugin.UsersRequest{Name: name, Late: true})
			if err != nil {
				return err
			}
			return a.printUsers(got, dockerUses(c.Context()))
		},
	}
}

// use is one row of `berth volume ps`: a node's lease, and the container
// behind it where the Docker engine here knows it.
type use struct {
	volume.User
	Service   string `json:"service,omitempty"`
	Task      string `json:"task,omitempty"`
	Container string `json:"container,omitempty"`
}

func (a *app) printUsers(got plugin.Users, known []containerUse) error {
	uses := []use{}
	for _, u := range got.Users {
		found := false
		for _, k := range known {
			if k.volume == u.Volume && k.node == u.Node {
				uses = append(uses, use{u, k.service, k.task, k.container})
				found = true
			}
		}
		if !found {
			uses = append(uses, use{User: u})
		}
	}
	if a.json {
		return a.printJSON(map[string]any{"users": uses, "operations": got.Locks, "jobs": got.Jobs, "nodes": got.Nodes, "fenced": got.Fenced})
	}
	var names []string
	var rows [][]string
	for _, u := range uses {
		names = append(names, u.Volume)
		what := u.Task
		if what == "" {
			what = u.Container
		}
		state := string(u.State)
		if u.Stale {
			state += ", restart to heal"
		}
		if u.Fenced != "" {
			state += ": stop it, it writes to trash " + u.Fenced
		}
		rows = append(rows, []string{u.Volume, u.Node, u.Service, what, a.when(u.Since), age(u.Age), state})
	}
	for _, j := range got.Jobs {
		volumes := j.Volumes()
		if len(volumes) == 0 { // the journal cannot be read
			volumes = []string{"?"}
		}
		for _, name := range volumes {
			names = append(names, name)
			rows = append(rows, []string{name, j.Node, "", "", a.when(j.Since), "", j.Status()})
		}
	}
	for _, t := range got.Fenced {
		if t.Late != nil {
			names = append(names, t.Volume)
			rows = append(rows, []string{t.Volume, t.From, "", "", a.when(t.Since), "", lateState(t)})
		}
	}
	for _, l := range got.Locks {
		if slices.ContainsFunc(got.Jobs, func(j *volume.Job) bool { return j.ID == l.Work }) {
			continue
		}
		names = append(names, l.Volume)
		rows = append(rows, []string{l.Volume, l.Node, "", "", a.when(l.Since), "", string(l.Op) + " under way"})
	}
	if a.quiet {
		return a.ids(names)
	}
	return a.table([]string{"VOLUME", "NODE", "SERVICE", "TASK", "SINCE", "HEARTBEAT", "STATE"}, rows)
}

// lateState says what a node wrote to a volume that it had lost.
func lateState(t *volume.Trashed) string {
	return fmt.Sprintf("late writes: %s in %d files, in trash %s", size(t.Late.Bytes), t.Late.Files, t.ID)
}

func (a *app) volumeInspect() *cobra.Command {
	return &cobra.Command{
		Use:               "inspect VOLUME...",
		Short:             "Show everything about volumes, as JSON",
		Example:           "  berth volume inspect shop_db",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			got, err := ask[plugin.Volumes](c.Context(), a, "Berth.VolumeInspect", plugin.InspectRequest{Names: args})
			if err != nil {
				return err
			}
			return a.printInspected(c.Context(), got.Volumes)
		},
	}
}

func (a *app) volumeSet() *cobra.Command {
	return &cobra.Command{
		Use:   "set VOLUME KEY=VALUE...",
		Short: "Change options of a volume; an empty value goes back to the default",
		Example: "  berth volume set shop_db access=single\n" +
			"  berth volume set shop_web uid=33 gid=33 mode=2775   # its root directory, nothing below",
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return a.completeVolumes(c, args, typed)
			}
			return []string{"uid=", "gid=", "mode=", "access=shared", "access=single", "on-remove=trash", "on-remove=retain", "on-remove=delete"}, cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(c *cobra.Command, args []string) error {
			options := map[string]string{}
			for _, word := range args[1:] {
				key, value, ok := strings.Cut(word, "=")
				if !ok {
					return &usageError{fmt.Sprintf("%q is not KEY=VALUE", word), "for example on-remove=retain"}
				}
				options[key] = value
			}
			_, err := ask[plugin.Empty](c.Context(), a, "Berth.VolumeSet", plugin.SetRequest{Name: args[0], Options: options})
			if err != nil {
				return err
			}
			return a.done(args[0], "set")
		},
	}
}

func (a *app) volumeRepair() *cobra.Command {
	var yes, dry bool
	c := &cobra.Command{
		Use:               "repair VOLUME",
		Short:             "Replace a volume's broken metadata by default options; the data is not touched",
		Example:           "  berth volume repair shop_db --dry-run",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			if !dry {
				if err := a.confirm(yes, "Replace the metadata of "+args[0]+" by default options"); err != nil {
					return err
				}
			}
			got, err := ask[plugin.Repaired](c.Context(), a, "Berth.VolumeRepair", plugin.NameRequest{Name: args[0], DryRun: dry})
			if err != nil {
				return err
			}
			if dry {
				return a.done(args[0], "would be repaired; the old metadata would go to "+got.Aside)
			}
			return a.done(args[0], "repaired; the old metadata is in "+got.Aside+" on the export")
		},
	}
	a.dangerous(c, &yes, &dry)
	return c
}

// dangerous adds the flags of commands that replace or destroy data.
func (a *app) dangerous(c *cobra.Command, yes, dry *bool) {
	c.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVarP(dry, "dry-run", "n", false, "only say what would happen")
}

// done prints the outcome of a change: the name with -q, a sentence otherwise.
func (a *app) done(name, what string) error {
	switch {
	case a.json:
		return a.printJSON(map[string]string{"name": name, "done": what})
	case a.quiet:
		return a.ids([]string{name})
	}
	_, err := fmt.Fprintf(a.stdout, "%s: %s\n", quoted(name), text.Visible(what))
	return err
}

// completeVolumes completes the names of volumes.
func (a *app) completeVolumes(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx := c.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	got, err := ask[plugin.Names](ctx, a, "Berth.VolumeNames", plugin.Empty{})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return got.Names, cobra.ShellCompDirectiveNoFileComp
}

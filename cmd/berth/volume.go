package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/docker"
	"github.com/casit/berth/job"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/repair"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/stack"
	"github.com/casit/berth/volume"
)

func volumeCommand(a *app) *cobra.Command {
	return group("volume", "Volumes: list, who uses them, options, repair",
		volumeLsCommand(a), psCommand(a), inspectCommand(a), setCommand(a), takeoverCommand(a), releaseCommand(a), repairCommand(a))
}

// volumeLsOptions are the flags of `berth volume ls`.
type volumeLsOptions struct {
	measured bool
	walk     bool
	stack    string
}

func volumeLsCommand(a *app) *cobra.Command {
	var o volumeLsOptions
	c := &cobra.Command{
		Use:     "ls",
		Short:   "List the volumes of the export",
		Example: "  berth volume ls --size\n  berth volume ls --stack shop",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runVolumeLs(c.Context(), a, o) },
	}
	c.Flags().BoolVar(&o.measured, "size", false, "measure each volume: walks all of it, or takes a filer's own count where there is one")
	c.Flags().BoolVar(&o.walk, "walk", false, "measure each volume by walking it, whatever a filer has counted")
	c.Flags().StringVar(&o.stack, "stack", "", "only the volumes of this stack")
	return c
}

func runVolumeLs(ctx context.Context, a *app, o volumeLsOptions) error {
	got, err := ask[plugin.Volumes](ctx, a, "Berth.VolumeInspect", plugin.InspectRequest{Size: o.measured, Walk: o.walk})
	if err != nil {
		return err
	}
	vols, names := []*volume.Info{}, []string{}
	for _, v := range got.Volumes {
		if o.stack == "" || strings.HasPrefix(v.Name, o.stack+"_") {
			vols, names = append(vols, v), append(names, v.Name)
		}
	}
	if slices.ContainsFunc(vols, func(v *volume.Info) bool { return v.ByFiler }) {
		a.say("the filer has counted DISK and FILES, and may lag; 'berth ls --walk' walks instead, which tells SIZE too")
	}
	return a.show(vols, names, func(w io.Writer, width int) error {
		return renderVolumes(w, vols, o.measured || o.walk, a.times(), width)
	})
}

// renderVolumes writes the table of volumes.
func renderVolumes(w io.Writer, vols []*volume.Info, measured bool, t show.Times, width int) error {
	var rows [][]string
	for _, v := range vols {
		health, _, _ := strings.Cut(v.Health, ";")
		if health != "ok" && health != "" {
			health = "! " + strings.TrimSpace(health)
		}
		if health == "ok" && v.Own != nil {
			health = "ok, a tree of its own"
		}
		created := t.When(v.Created)
		if v.Adopted {
			created = "adopted"
		}
		row := []string{v.Name, created, v.Options["access"], usedOn(v.Users)}
		if measured {
			sizes := []string{show.Size(v.SizeBytes), show.Size(v.UsedBytes), humanize.Comma(v.Files)}
			switch {
			case v.Unmeasured:
				sizes = []string{"?", "?", "?"}
			case v.ByFiler:
				sizes[0] = "?"
			}
			row = append(row, sizes...)
		}
		rows = append(rows, append(row, health))
	}
	heading := []string{"VOLUME", "CREATED", "ACCESS", "USED ON"}
	if measured {
		heading = append(heading, "SIZE", "DISK", "FILES")
	}
	return show.Table(w, append(heading, "HEALTH"), rows, width)
}

// usedOn lists the nodes that use a volume, those that may be dead marked.
func usedOn(users []cluster.User) string {
	var nodes []string
	for _, u := range users {
		n := u.Node
		if u.State != cluster.Live {
			n += "(" + string(u.State) + ")"
		}
		nodes = append(nodes, n)
	}
	return strings.Join(nodes, ",")
}

func psCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "ps [VOLUME]",
		Short:             "Show who uses the volumes: node, service, task, since, heartbeat",
		Example:           "  berth volume ps shop_db",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: volumeNames(a),
		RunE:              func(c *cobra.Command, args []string) error { return runPs(c.Context(), a, args) },
	}
}

func runPs(ctx context.Context, a *app, names []string) error {
	req := plugin.UsersRequest{Late: true}
	if len(names) > 0 {
		req.Name = names[0]
		if _, err := ask[plugin.Volumes](ctx, a, "Berth.VolumeInspect", plugin.InspectRequest{Names: names}); err != nil {
			return err
		}
	}
	got, err := ask[plugin.Users](ctx, a, "Berth.VolumeUsers", req)
	if err != nil {
		return err
	}
	reads, _ := ask[snapshot.Readings](ctx, a, "Berth.Readings", plugin.Empty{}) // the rest stands without them
	uses := usesOf(got.Users, docker.Uses(ctx))
	rows := append(userRows(got, uses, a.times()), readingRows(reads.Readings, req.Name, a.times())...)
	var ids []string
	for _, r := range rows {
		ids = append(ids, r[0])
	}
	data := map[string]any{"users": uses, "operations": got.Locks, "jobs": got.Jobs, "nodes": got.Nodes, "fenced": got.Fenced, "readings": reads.Readings}
	return a.show(data, ids, func(w io.Writer, width int) error {
		return show.Table(w, []string{"VOLUME", "NODE", "SERVICE", "TASK", "SINCE", "HEARTBEAT", "STATE"}, rows, width)
	})
}

// use is one row of `berth volume ps`: a node's lease, and the container
// behind it where the Docker engine here knows it.
type use struct {
	cluster.User
	Service   string `json:"service,omitempty"`
	Task      string `json:"task,omitempty"`
	Container string `json:"container,omitempty"`
}

// usesOf joins the leases with what Docker knows.
func usesOf(users []cluster.User, known []docker.Use) []use {
	uses := []use{}
	for _, u := range users {
		found := false
		for _, k := range known {
			if k.Volume == u.Volume && k.Node == u.Node {
				uses = append(uses, use{u, k.Service, k.Task, k.Container})
				found = true
			}
		}
		if !found {
			uses = append(uses, use{User: u})
		}
	}
	return uses
}

// userRows are the rows of `berth volume ps`: users, jobs, late writes, and
// the operations that are no jobs.
func userRows(got plugin.Users, uses []use, t show.Times) (rows [][]string) {
	for _, u := range uses {
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
		rows = append(rows, []string{u.Volume, u.Node, u.Service, what, t.When(u.Since), show.Age(u.Age), state})
	}
	for _, j := range got.Jobs {
		volumes := j.Volumes()
		if len(volumes) == 0 { // the journal cannot be read
			volumes = []string{"?"}
		}
		for _, name := range volumes {
			rows = append(rows, []string{name, j.Node, "", "", t.When(j.Since), "", j.Status()})
		}
	}
	for _, f := range got.Fenced {
		if f.Late != nil {
			rows = append(rows, []string{f.Volume, f.From, "", "", t.When(f.Since), "", lateState(f)})
		}
	}
	for _, l := range got.Locks {
		if !slices.ContainsFunc(got.Jobs, func(j *job.Job) bool { return j.ID == l.Work }) {
			rows = append(rows, []string{l.Volume, l.Node, "", "", t.When(l.Since), "", string(l.Op) + " under way"})
		}
	}
	return rows
}

// readingRows are the rows of what is read on this node.
func readingRows(all []snapshot.Reading, name string, t show.Times) (rows [][]string) {
	for _, r := range all {
		volume := r.Volume()
		if name == "" || volume == "" || volume == name {
			rows = append(rows, []string{cmp.Or(volume, "all"), "here", "", "", t.When(r.Since), "", fmt.Sprintf("%s: %s read", r.What, show.Size(r.Bytes))})
		}
	}
	return rows
}

// lateState says what a node wrote to a volume that it had lost.
func lateState(t *volume.Trashed) string {
	return fmt.Sprintf("late writes: %s in %d files, in trash %s", show.Size(t.Late.Bytes), t.Late.Files, t.ID)
}

func inspectCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "inspect VOLUME...",
		Short:             "Show everything about volumes, as JSON",
		Example:           "  berth volume inspect shop_db",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: volumeNames(a),
		RunE:              func(c *cobra.Command, args []string) error { return runInspect(c.Context(), a, args) },
	}
}

// inspected is a volume, and where the options that this node's Docker knows
// of it differ: those of the stack file or command that first named it here.
type inspected struct {
	*volume.Info
	Drift []stack.Finding `json:"drift,omitempty"`
}

func runInspect(ctx context.Context, a *app, names []string) error {
	got, err := ask[plugin.Volumes](ctx, a, "Berth.VolumeInspect", plugin.InspectRequest{Names: names})
	if err != nil {
		return err
	}
	known := docker.Options(ctx, got.Volumes)
	out := make([]inspected, len(got.Volumes))
	for i, v := range got.Volumes {
		out[i] = inspected{Info: v, Drift: stack.Drift(v.Name, v.Options, known[v.Name])}
		for _, d := range out[i].Drift {
			if d.Option == "" {
				a.say("%s: %s; %s", v.Name, d.Problem, d.Mend)
				continue
			}
			a.say("%s: Docker here was told %s=%s, and the volume has %s: type '%s', or change the stack file", v.Name, d.Option, d.File, d.Live, d.Mend)
		}
	}
	return a.printJSON(out)
}

func setCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "set VOLUME KEY=VALUE...",
		Short: "Change options of a volume; an empty value goes back to the default",
		Example: "  berth volume set shop_db access=single\n" +
			"  berth volume set shop_web uid=33 gid=33 mode=2775   # its root directory, nothing below",
		Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 0 {
				return volumeNames(a)(c, args, typed)
			}
			return []string{"uid=", "gid=", "mode=", "access=shared", "access=single", "on-remove=trash", "on-remove=retain", "on-remove=delete"}, cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(c *cobra.Command, args []string) error { return runSet(c.Context(), a, args[0], args[1:]) },
	}
}

func runSet(ctx context.Context, a *app, name string, words []string) error {
	options := map[string]string{}
	for _, word := range words {
		key, value, ok := strings.Cut(word, "=")
		if !ok {
			return &usageError{fmt.Sprintf("%q is not KEY=VALUE", word), "for example on-remove=retain"}
		}
		options[key] = value
	}
	if _, err := ask[plugin.Empty](ctx, a, "Berth.VolumeSet", plugin.SetRequest{Name: name, Options: options}); err != nil {
		return err
	}
	return a.done(name, "set")
}

func repairCommand(a *app) *cobra.Command {
	var yes, dry bool
	c := &cobra.Command{
		Use:   "repair VOLUME|FILE",
		Short: "Move damaged control files of a volume to the trash; the data is not touched",
		Long: "Move control files of a volume that are not what their names say to the trash: locks,\n" +
			"leases, epochs and jobs. Broken metadata is replaced by default options. 'berth doctor'\n" +
			"names what is damaged. A file that is no volume's is named by its path, which begins\n" +
			"with .berth/",
		Example:           "  berth volume repair shop_db --dry-run",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: volumeNames(a),
		RunE:              func(c *cobra.Command, args []string) error { return runRepair(c.Context(), a, args[0], yes, dry) },
	}
	dangerous(c, &yes, &dry)
	return c
}

func runRepair(ctx context.Context, a *app, name string, yes, dry bool) error {
	if !dry {
		if err := a.confirm(yes, "Move what is damaged of "+name+" to the trash, and replace broken metadata by default options"); err != nil {
			return err
		}
	}
	got, err := ask[repair.Repaired](ctx, a, "Berth.VolumeRepair", plugin.NameRequest{Name: name, DryRun: dry})
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(got)
	}
	for _, f := range got.Files {
		line := fmt.Sprintf("%s would go to the trash: %s", f.Path, f.Why)
		if !dry {
			line = strings.Join(slices.DeleteFunc([]string{fmt.Sprintf("%s is %s: %s", f.Path, cmp.Or(f.Item, "away"), f.Why), f.Then}, func(s string) bool { return s == "" }), "; ")
		}
		if err := a.done(name, line); err != nil {
			return err
		}
	}
	switch {
	case got.Aside == "":
		return nil
	case dry:
		return a.done(name, "would be repaired; the old metadata would go to "+got.Aside)
	}
	return a.done(name, "repaired; the old metadata is in "+got.Aside+" on the export")
}

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/docker"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
)

// restoreOptions are what restore and undo were asked for.
type restoreOptions struct {
	snapshot.RestoreRequest
	yes, dry      bool
	as            string
	resume, abort bool
}

func restoreCommand(a *app) *cobra.Command {
	var o restoreOptions
	var keep string
	c := &cobra.Command{
		Use:   "restore REF... | --stack STACK@SNAPSHOT | --resume VOLUME | --abort VOLUME",
		Short: "Bring volumes, directories or files back to a version",
		Long: `Bring volumes, directories or files back to a version: VOLUME@SNAPSHOT[:PATH].
What is replaced goes to the trash, and 'berth undo' puts it back.
After @ stands the exact name of a snapshot, else latest, -2, yesterday, a weekday, an age (2h) or a date
(2026-11-20, 2026-11-20T0300) in your time zone, or the beginning of a name.
A volume in use is refused, unless --stop stops its containers and starts them again, or --live
replaces what differs, file by file, while they run. A single file may be brought back at any time.
Docker removes a container of 'docker run --rm' when it stops: --stop says so, and asks, before it stops anything.

` + exitHelp,
		Example: "  berth snapshot restore blog@yesterday --stop\n  berth snapshot restore blog@latest:wp-config.php\n" +
			"  berth snapshot restore blog@-2 --as blog-old\n  berth snapshot restore --stack shop@nightly --stop\n  berth snapshot restore --resume blog",
		ValidArgsFunction: volumeNames(a),
		RunE: func(c *cobra.Command, args []string) (err error) {
			o.Refs = args
			if o.Keep, err = show.ParseAge(keep); err != nil {
				return err
			}
			return runRestore(c.Context(), a, o)
		},
	}
	flags := c.Flags()
	restoreFlags(c, &o)
	flags.StringVar(&o.To, "to", "", "put it beside: a path in the volume, that is free")
	flags.StringVar(&o.as, "as", "", "make a new volume of it")
	flags.StringVar(&keep, "keep-undo", "", "how long to keep what is replaced: 12h, 30d")
	flags.BoolVar(&o.Checksum, "checksum", false, "read everything again, and compare")
	flags.BoolVar(&o.resume, "resume", false, "complete an interrupted restore of a volume")
	flags.BoolVar(&o.abort, "abort", false, "end an interrupted restore of a volume, and start what was stopped for it")
	return c
}

func restoreFlags(c *cobra.Command, o *restoreOptions) {
	flags := c.Flags()
	flags.StringVar(&o.Stack, "stack", "", "all volumes of a stack")
	flags.BoolVar(&o.Stop, "stop", false, "stop the containers that use it, and start them again afterwards")
	flags.BoolVar(&o.Live, "live", false, "replace what differs while it is in use")
	flags.BoolVar(&o.Force, "force", false, "also where it leaves less than 5 % of the export; with --live: also the files of a database, which ruins one that runs")
	dangerous(c, &o.yes, &o.dry)
}

func undoCommand(a *app) *cobra.Command {
	o := restoreOptions{RestoreRequest: snapshot.RestoreRequest{Undo: true}}
	c := &cobra.Command{
		Use:               "undo VOLUME... | --stack STACK",
		Short:             "Put back what the last restore replaced; again: redo",
		Example:           "  berth undo blog --stop\n  berth undo --stack shop --stop",
		ValidArgsFunction: volumeNames(a),
		RunE: func(c *cobra.Command, args []string) error {
			o.Refs = args
			return runPlan(c.Context(), a, o)
		},
	}
	restoreFlags(c, &o)
	return c
}

// runRestore tells apart what goes by the name of restore.
func runRestore(ctx context.Context, a *app, o restoreOptions) error {
	switch {
	case o.resume && o.abort:
		return &usageError{"--resume and --abort exclude each other", "--resume completes it, --abort ends it"}
	case o.resume || o.abort:
		if len(o.Refs) != 1 {
			return &usageError{"name the volume", "'berth volume ps' lists what is unfinished"}
		}
		return runUnfinished(ctx, a, o.Refs[0], o.abort)
	case o.as != "":
		return runClone(ctx, a, o)
	}
	return runPlan(ctx, a, o)
}

// runPlan plans a restore or an undo, checks what can be checked, asks, and
// carries the plan out. Nothing is changed before it has asked.
func runPlan(ctx context.Context, a *app, o restoreOptions) error {
	working := a.working(ctx, "the plan of a restore")
	plan, err := ask[snapshot.Plan](ctx, a, "Berth.RestorePlan", o.RestoreRequest)
	working.Stop()
	if err != nil {
		return err
	}
	if !plan.Any() {
		return &plugin.Failure{Kind: problem.Nothing, Reason: fmt.Sprintf("nothing to do: %s is what is there now", show.Quoted(plan.Items[0].RefName()))}
	}
	v := planView{Plan: &plan, stop: o.Stop, to: o.To, uses: docker.Uses(ctx), times: a.times()}
	var engine *client.Client
	if o.Stop {
		if engine, err = client.New(client.FromEnv); err != nil {
			return err
		}
		defer engine.Close()
		v.stops, err = planStop(ctx, a, engine, &plan)
	} else {
		err = mayRun(&v, o)
	}
	if err != nil && !o.dry {
		return err
	} else if err != nil {
		defer a.say("%v", err)
	}
	if o.dry && a.json {
		return a.printJSON(plan)
	}
	if !a.quiet && !a.json {
		renderPlan(a.stdout, v, a.width(a.stdout))
	}
	if o.dry {
		return nil
	}
	if err := a.confirm(o.yes, question(&v)); err != nil {
		return err
	}
	agreed := v.stops.Lost
	if o.Stop && !o.yes { // whoever was asked may have taken long to answer
		if v.stops, err = planStop(ctx, a, engine, &plan); err != nil {
			return err
		}
		if name := another(v.stops.Lost, agreed); name != "" {
			return &plugin.Failure{Kind: problem.InUse, Reason: fmt.Sprintf("container %s, which Docker removes when it stops, was started meanwhile; nothing was changed", name), Hint: "type it again"}
		}
	}
	return carryOut(ctx, a, engine, &plan, exact(o.RestoreRequest, &plan), v.stops)
}

// planStop finds what --stop has to stop, by the leases of all nodes as they
// are now. It changes nothing.
func planStop(ctx context.Context, a *app, engine *client.Client, p *snapshot.Plan) (docker.Stops, error) {
	about, err := ask[plugin.About](ctx, a, "Berth.Version", plugin.Empty{})
	if err != nil {
		return docker.Stops{}, err
	}
	var names []string
	var users []cluster.User
	for _, it := range p.Items {
		names = append(names, it.Volume)
		now, err := usersOf(ctx, a, it.Volume)
		if err != nil {
			return docker.Stops{}, err
		}
		users = append(users, now...)
	}
	return docker.PlanStop(ctx, engine, names, users, about.Node)
}

// usersOf are who keeps a volume from being changed, on all nodes.
func usersOf(ctx context.Context, a *app, name string) ([]cluster.User, error) {
	got, err := ask[plugin.Users](ctx, a, "Berth.VolumeUsers", plugin.UsersRequest{Name: name})
	return slices.DeleteFunc(got.Users, func(u cluster.User) bool { return u.Volume != name || !u.State.Holds() }), err
}

// another returns one of names that is not among known, "" if all are.
func another(names, known []string) string {
	for _, n := range names {
		if !slices.Contains(known, n) {
			return n
		}
	}
	return ""
}

// question is what a person has to agree to.
func question(v *planView) string {
	q := "Restore"
	if v.Op == cluster.OpUndo {
		q = "Undo"
	}
	if len(v.stops.Lost) > 0 {
		q += ", and lose " + show.Plural(len(v.stops.Lost), "container") + " (" + strings.Join(v.stops.Lost, ", ") + ") for good"
	}
	return q
}

// exact makes a request say what its plan found, so that nothing else is done
// when a snapshot has been made or removed since.
func exact(r snapshot.RestoreRequest, p *snapshot.Plan) snapshot.RestoreRequest {
	r.Stack, r.Refs, r.Exact = "", nil, nil
	for _, it := range p.Items {
		if p.Op == cluster.OpUndo {
			r.Refs = append(r.Refs, it.Volume)
		} else {
			r.Refs = append(r.Refs, it.RefName())
		}
		if it.Exact != nil {
			r.Exact = append(r.Exact, *it.Exact)
		}
		r.Files += it.Files
		r.Bytes += it.Bytes
	}
	return r
}

// mayRun refuses what is in use, where nothing is stopped.
func mayRun(v *planView, o restoreOptions) error {
	if len(v.Users) == 0 || o.Live || o.To != "" || v.Harmless {
		return nil
	}
	return &plugin.Failure{Kind: problem.InUse,
		Reason: fmt.Sprintf("%s is in use by %s", v.Users[0].Volume, strings.Join(userNames(v.Users, v.uses), ", ")),
		Hint:   "--stop stops it, restores, and starts it again; --live replaces what differs, file by file, while it runs"}
}

// runClone makes a volume of a version.
func runClone(ctx context.Context, a *app, o restoreOptions) error {
	if len(o.Refs) != 1 || o.Stack != "" || o.To != "" {
		return &usageError{"--as is for one version at a time", "for example 'berth snapshot restore blog@yesterday --as blog-old'"}
	}
	// The reference is resolved once: the copy may take several requests.
	r := plugin.CloneRequest{Ref: o.Refs[0], As: o.as, DryRun: true, Force: o.Force}
	got, err := ask[plugin.Cloned](ctx, a, "Berth.SnapshotClone", r)
	if err != nil {
		return err
	}
	if o.dry {
		return a.done(o.as, "would be made of "+show.Quoted(got.Ref))
	}
	r = plugin.CloneRequest{Ref: got.Ref, Exact: got.Exact, As: o.as, Force: o.Force}
	for {
		_, err = ask[plugin.Cloned](ctx, a, "Berth.SnapshotClone", r)
		if err == nil || !isTryAgain(err) || ctx.Err() != nil {
			break
		}
		a.say("%v", err)
	}
	if err != nil {
		return err
	}
	return a.done(o.as, "made of "+show.Quoted(got.Ref))
}

// isTryAgain tells an operation that goes on from one that failed.
func isTryAgain(err error) bool {
	f := (*plugin.Failure)(nil)
	return errors.As(err, &f) && f.Kind == problem.InUse && strings.HasPrefix(f.Reason, "cloning ")
}

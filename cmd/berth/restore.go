package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/volume"
)

// restoring is one run of restore or undo.
type restoring struct {
	app           *app
	r             snapshot.RestoreRequest
	yes, dry      bool
	as            string
	resume, abort bool
}

func (a *app) snapshotRestore() *cobra.Command {
	x := &restoring{app: a}
	var keep string
	c := &cobra.Command{
		Use:   "restore REF... | --stack STACK@SNAPSHOT | --resume VOLUME | --abort VOLUME",
		Short: "Bring volumes, directories or files back to a version",
		Long: `Bring volumes, directories or files back to a version: VOLUME@SNAPSHOT[:PATH].
What is there now goes to the trash, and 'berth undo' puts it back.
After @ stands the exact name of a snapshot, else latest, -2, yesterday, a weekday, an age (2h) or a date
(2026-11-20, 2026-11-20T0300) in your time zone, or the beginning of a name.
A volume in use is refused, unless --stop stops what uses it and starts it again, or --live
replaces what differs file by file while it runs. A single file may be brought back at any time.

` + exitHelp,
		Example: "  berth snapshot restore blog@yesterday --stop\n  berth snapshot restore blog@latest:wp-config.php\n" +
			"  berth snapshot restore blog@-2 --as blog-old\n  berth snapshot restore --stack shop@nightly --stop\n  berth snapshot restore --resume blog",
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			x.r.Refs = args
			var err error
			if x.r.Keep, err = parseAge(keep); err != nil {
				return err
			}
			return x.restore(c.Context())
		},
	}
	flags := c.Flags()
	x.flags(c)
	flags.StringVar(&x.r.To, "to", "", "put it beside: a path in the volume, that is free")
	flags.StringVar(&x.as, "as", "", "make a new volume of it")
	flags.StringVar(&keep, "keep-undo", "", "how long to keep what is replaced: 12h, 30d")
	flags.BoolVar(&x.r.Checksum, "checksum", false, "read everything again, and compare")
	flags.BoolVar(&x.r.Force, "force", false, "with --live: also the files of a database, which ruins one that runs")
	flags.BoolVar(&x.resume, "resume", false, "complete an interrupted restore of a volume")
	flags.BoolVar(&x.abort, "abort", false, "end an interrupted restore of a volume, and start what was stopped for it")
	return c
}

func (x *restoring) flags(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&x.r.Stack, "stack", "", "all volumes of a stack")
	flags.BoolVar(&x.r.Stop, "stop", false, "stop what uses it, and start it again afterwards")
	flags.BoolVar(&x.r.Live, "live", false, "replace what differs while it is in use")
	x.app.dangerous(c, &x.yes, &x.dry)
}

func (a *app) snapshotUndo() *cobra.Command {
	x := &restoring{app: a, r: snapshot.RestoreRequest{Undo: true}}
	c := &cobra.Command{
		Use:               "undo VOLUME... | --stack STACK",
		Short:             "Put back what the last restore replaced; again: redo",
		Example:           "  berth undo blog --stop\n  berth undo --stack shop --stop",
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			x.r.Refs = args
			return x.run(c.Context())
		},
	}
	x.flags(c)
	return c
}

// restore tells apart what goes by the name of restore.
func (x *restoring) restore(ctx context.Context) error {
	switch {
	case x.resume && x.abort:
		return &usageError{"--resume and --abort exclude each other", "--resume completes it, --abort ends it"}
	case x.resume || x.abort:
		if len(x.r.Refs) != 1 {
			return &usageError{"name the volume", "'berth volume ps' lists what is unfinished"}
		}
		return x.goOn(ctx, x.r.Refs[0])
	case x.as != "":
		return x.newVolume(ctx)
	}
	return x.run(ctx)
}

// run plans, asks, and carries out.
func (x *restoring) run(ctx context.Context) error {
	plan, err := ask[snapshot.Plan](ctx, x.app, "Berth.RestorePlan", x.r)
	if err != nil {
		return err
	}
	if !plan.Any() {
		return &plugin.Failure{Kind: problem.Nothing, Reason: fmt.Sprintf("nothing to do: %s is what is there now", quoted(plan.Items[0].RefName()))}
	}
	uses := dockerUses(ctx)
	if err := x.mayRun(&plan, uses); err != nil && !x.dry {
		return err
	} else if err != nil {
		defer x.app.say("%v", err)
	}
	if x.dry && x.app.json {
		return x.app.printJSON(plan)
	}
	if !x.app.quiet && !x.app.json {
		x.printPlan(&plan, uses)
	}
	if x.dry {
		return nil
	}
	if err := x.app.confirm(x.yes, question(&plan)); err != nil {
		return err
	}
	x.exact(&plan)
	return x.carryOut(ctx, &plan)
}

func question(p *snapshot.Plan) string {
	if p.Op == volume.OpUndo {
		return "Undo"
	}
	return "Restore"
}

// exact makes the request say what the plan found, so that nothing else is
// done when a snapshot has been made or removed since.
func (x *restoring) exact(p *snapshot.Plan) {
	x.r.Stack, x.r.Refs, x.r.Exact = "", nil, nil
	for _, it := range p.Items {
		if p.Op == volume.OpUndo {
			x.r.Refs = append(x.r.Refs, it.Volume)
		} else {
			x.r.Refs = append(x.r.Refs, it.RefName())
		}
		if it.Exact != nil {
			x.r.Exact = append(x.r.Exact, *it.Exact)
		}
		x.r.Files += it.Files
		x.r.Bytes += it.Bytes
	}
}

// mayRun refuses what is in use.
func (x *restoring) mayRun(p *snapshot.Plan, uses []containerUse) error {
	if len(p.Users) == 0 || x.r.Stop || x.r.Live || x.r.To != "" || p.Harmless {
		return nil
	}
	return &plugin.Failure{Kind: problem.InUse,
		Reason: fmt.Sprintf("%s is in use by %s", p.Users[0].Volume, strings.Join(holders(p.Users, uses), ", ")),
		Hint:   "--stop stops it, restores, and starts it again; --live replaces what differs, file by file, while it runs"}
}

// holders names who uses volumes: containers where Docker here knows them,
// else nodes.
func holders(users []volume.User, uses []containerUse) (out []string) {
	for _, u := range users {
		found := false
		for _, k := range uses {
			if k.volume != u.Volume || k.node != u.Node {
				continue
			}
			found = true
			switch {
			case k.service != "":
				out = append(out, fmt.Sprintf("service %s on %s", k.service, k.node))
			default:
				out = append(out, fmt.Sprintf("container %s on %s", k.container, k.node))
			}
		}
		if !found {
			out = append(out, fmt.Sprintf("node %s (heartbeat %s ago)", u.Node, age(u.Age)))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (x *restoring) printPlan(p *snapshot.Plan, uses []containerUse) {
	out := x.app.stdout
	for _, it := range p.Items {
		what := it.Volume
		if it.Path != "" {
			what += ":" + quoted(it.Name())
		}
		from := quoted(it.RefName())
		if it.Snapshot != nil {
			from += " (" + x.app.made(*it.Snapshot) + ")"
		}
		fmt.Fprintf(out, "PLAN  %s <- %s\n", what, from)
		c := it.Changes
		if len(it.Parents) > 0 {
			fmt.Fprintf(out, "      with its directories: %s\n", quoted(it.Parents[len(it.Parents)-1]))
		}
		if it.New {
			fmt.Fprintf(out, "      bring back all: %s files, %s\n", humanize.Comma(it.Files), size(it.Bytes))
			continue
		}
		fmt.Fprintf(out, "      modify %s, bring back %s, remove %s, set attributes of %s; %s unchanged\n", humanize.Comma(c.Modified),
			humanize.Comma(c.Added), humanize.Comma(c.Removed), humanize.Comma(c.Updated), humanize.Comma(c.Unchanged))
		if c.Disguised > 0 {
			fmt.Fprintf(out, "      %s\n", disguised(c.Disguised))
		}
		if it.Database {
			fmt.Fprintf(out, "      it holds a database\n")
		}
	}
	engine := map[snapshot.Engine]string{
		snapshot.EngineFiler: "the filer brings the directory back itself, no byte over the network",
		snapshot.EngineCopy:  fmt.Sprintf("%s to copy, then a swap; %s free", size(p.Need), size(p.Avail)),
		snapshot.EngineSync:  fmt.Sprintf("replace what differs, file by file; %s to write", size(p.Need)),
		snapshot.EngineMove:  "swap with the copy in the trash",
	}
	fmt.Fprintf(out, "      engine %s: %s\n", p.Engine, engine[p.Engine])
	if p.Without != "" {
		fmt.Fprintf(out, "      %s\n", p.Without)
	}
	if len(p.Users) > 0 {
		how := "goes on meanwhile"
		if x.r.Stop {
			how = "is stopped, and started again"
		}
		fmt.Fprintf(out, "      in use by %s: %s\n", strings.Join(holders(p.Users, uses), ", "), how)
	}
	if x.r.To == "" {
		fmt.Fprintf(out, "      what is there now is kept %s\n", days(p.KeepDays))
	}
}

func days(d float64) string {
	if d < 2 {
		return fmt.Sprintf("%.0f hours", d*24)
	}
	return fmt.Sprintf("%.0f days", d)
}

// newVolume makes a volume of a version.
func (x *restoring) newVolume(ctx context.Context) error {
	if len(x.r.Refs) != 1 || x.r.Stack != "" || x.r.To != "" {
		return &usageError{"--as is for one version at a time", "for example 'berth snapshot restore blog@yesterday --as blog-old'"}
	}
	// What it means is found out once: the copy may take several requests.
	r := plugin.CloneRequest{Ref: x.r.Refs[0], As: x.as, DryRun: true}
	got, err := ask[plugin.Cloned](ctx, x.app, "Berth.SnapshotClone", r)
	if err != nil {
		return err
	}
	if x.dry {
		return x.app.done(x.as, "would be made of "+quoted(got.Ref))
	}
	r = plugin.CloneRequest{Ref: got.Ref, Exact: got.Exact, As: x.as}
	for {
		_, err = ask[plugin.Cloned](ctx, x.app, "Berth.SnapshotClone", r)
		if err == nil || !isTryAgain(err) || ctx.Err() != nil {
			break
		}
		x.app.say("%v", err)
	}
	if err != nil {
		return err
	}
	return x.app.done(x.as, "made of "+quoted(got.Ref))
}

// isTryAgain tells an operation that goes on from one that failed.
func isTryAgain(err error) bool {
	f := (*plugin.Failure)(nil)
	return errors.As(err, &f) && f.Kind == problem.InUse && strings.HasPrefix(f.Reason, "cloning ")
}

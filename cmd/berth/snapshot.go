package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/several"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/volume"
)

func snapshotCommand(a *app) *cobra.Command {
	return group("snapshot", "Versions of volumes: list, compare, read, bring back",
		snapshotLsCommand(a), snapshotCreateCommand(a), snapshotRmCommand(a), diffCommand(a), versionsCommand(a), catCommand(a),
		restoreCommand(a), undoCommand(a), checkCommand(a))
}

func snapshotLsCommand(a *app) *cobra.Command {
	var r snapshot.ListRequest
	c := &cobra.Command{
		Use:               "ls VOLUME | --stack STACK",
		Short:             "List the versions of a volume, newest first",
		Example:           "  berth snapshot ls blog --changes\n  berth snapshot ls --stack shop",
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: volumeNames(a),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				r.Volume = args[0]
			}
			return runSnapshotLs(c.Context(), a, r)
		},
	}
	c.Flags().StringVar(&r.Stack, "stack", "", "all volumes of this stack")
	c.Flags().BoolVar(&r.Changes, "changes", false, "compare each version with the one before and with now; walks the volume")
	return c
}

func runSnapshotLs(ctx context.Context, a *app, r snapshot.ListRequest) error {
	if (r.Volume == "") == (r.Stack == "") {
		return &usageError{"name a volume, or a stack with --stack", "'berth ls' lists the volumes"}
	}
	got, err := ask[plugin.Listings](ctx, a, "Berth.SnapshotList", r)
	if err != nil {
		return err
	}
	var ids []string
	for _, l := range got.Volumes {
		for _, v := range l.Versions {
			ids = append(ids, l.Volume+"@"+v.Name)
		}
	}
	t := a.times()
	err = a.show(got.Volumes, ids, func(w io.Writer, width int) error { return show.Listings(w, got.Volumes, r, t, width) })
	if err != nil {
		return err
	}
	for _, remark := range listingRemarks(got.Volumes, t) {
		a.say("%s", remark)
	}
	return nil
}

// listingRemarks say what a table of versions does not.
func listingRemarks(all []snapshot.Listing, t show.Times) (out []string) {
	for _, l := range all {
		for _, v := range l.Versions {
			if v.Live != nil && v.Live.Disguised > 0 {
				out = append(out, fmt.Sprintf("against %s@%s %s", l.Volume, v.Name, show.Disguised(v.Live.Disguised)))
				break
			}
		}
		if l.Unread != "" {
			out = append(out, fmt.Sprintf("there may be more versions of %s: %s", l.Volume, l.Unread))
		}
		if l.Deleted {
			out = append(out, fmt.Sprintf("volume %s is not on the export any more; these versions bring it back", l.Volume))
		}
		switch {
		case len(l.Hidden) > 0:
			out = append(out, fmt.Sprintf("the filer has %s that the export does not show; whether %s is in it, nobody can see; %s",
				show.Plural(len(l.Hidden), "snapshot"), l.Volume, l.Unhide))
		case len(l.Versions) == 0:
			out = append(out, fmt.Sprintf("no snapshot has volume %s yet", l.Volume))
		}
	}
	if len(all) == 0 {
		return out
	}
	switch first := all[0]; {
	case first.How == snapshot.ByBerth:
		out = append(out, "these are copies that berth made on this disk, file by file: no filer's instant, and no backup")
	case first.Policy != nil:
		next := ""
		for i, at := range first.Policy.Next {
			next += map[bool]string{true: "; next ", false: ", "}[i == 0] + t.Stamp(at)
		}
		out = append(out, fmt.Sprintf("the filer makes them by its policy %s%s", first.Policy.Text, next))
	}
	if why := all[0].PolicyUnknown; why != "" {
		out = append(out, "when the filer makes the next one is not known: "+why)
	}
	if slices.ContainsFunc(all[0].Versions, func(v snapshot.Version) bool { return v.Approximate }) {
		out = append(out, "~ marks a guess, the time of the last change in the snapshot: the server does not say when it was made")
	}
	return out
}

func snapshotCreateCommand(a *app) *cobra.Command {
	var r snapshot.CreateRequest
	var lock string
	c := &cobra.Command{
		Use:   "create [VOLUME...]",
		Short: "Make a snapshot now: on a filer of the whole export, at one instant",
		Long: "Make a snapshot now. On a filer it is an instant of the whole export, whatever is named. On a local directory\n" +
			"berth copies the named volumes, or all.",
		Example:           "  berth snapshot create --name before-update\n  berth snapshot create --stack shop --comment 'ticket 4711'",
		ValidArgsFunction: volumeNames(a),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if r.Lock, err = show.ParseAge(lock); err != nil {
				return err
			}
			r.Volumes = args
			return runSnapshotCreate(c.Context(), a, r)
		},
	}
	c.Flags().StringVar(&r.Name, "name", "", "the snapshot's name; default: berth. and the time")
	c.Flags().StringVar(&r.Comment, "comment", "", "why it was made")
	c.Flags().StringVar(&r.Stack, "stack", "", "the volumes of this stack")
	c.Flags().BoolVar(&r.Force, "force", false, "also where the copy leaves less than 5 % of the export")
	c.Flags().StringVar(&lock, "lock", "", "on a filer: nobody can remove it for so long, e.g. 12h, 30d or 8w; this cannot be taken back")
	return c
}

func runSnapshotCreate(ctx context.Context, a *app, r snapshot.CreateRequest) error {
	if r.Stack != "" && len(r.Volumes) > 0 {
		return &usageError{"--stack and volumes exclude each other", "give one of them"}
	}
	got, err := ask[snapshot.Created](ctx, a, "Berth.SnapshotCreate", r)
	if err != nil {
		return err
	}
	return showCreated(a, &got)
}

// showCreated prints what was made. A snapshot without some of its volumes is
// there, and an error.
func showCreated(a *app, c *snapshot.Created) error {
	for _, remark := range losses(c) {
		a.say("%s", remark)
	}
	err := withoutAll(c)
	if a.json {
		return errors.Join(a.printJSON(c), err)
	}
	what := createdWhat(c)
	if until := c.Snapshot.LockedUntil; !until.IsZero() {
		what += ", locked until " + a.times().Stamp(until)
	}
	return errors.Join(a.done(c.Snapshot.Name, what), err)
}

// createdWhat says what kind of snapshot was made.
func createdWhat(c *snapshot.Created) string {
	switch {
	case c.By != snapshot.ByBerth:
		return "an instant of the whole export, a version of all " + show.Plural(c.Volumes, "volume")
	case c.Method == "btrfs":
		return "an instant of the whole directory (btrfs), a version of " + show.Plural(c.Volumes, "volume")
	}
	how := map[string]string{"copy": "a copy", "reflink": "a copy that shares its blocks"}[c.Method]
	return fmt.Sprintf("%s of %s (%s, %s): a plain directory, so no filer's instant", how, show.Plural(c.Volumes, "volume"), show.Plural(int(c.Files), "file"), show.Size(c.Bytes))
}

// losses say what a snapshot has not as it was.
func losses(c *snapshot.Created) (out []string) {
	for _, lost := range []struct {
		n        int64
		one, all string
		first    []string
	}{
		{c.Changed, "1 file changed while it was copied and may be torn", "%d files changed while they were copied, and may be torn", c.ChangedPaths},
		{c.Absent, "1 file was removed while it was made and is not in it", "%d files were removed while it was made: they are not in it", c.AbsentPaths},
		{c.Missing, "1 file could not be copied and is not in it", "%d files could not be copied: they are not in it", c.MissingPaths},
	} {
		if lost.n > 0 {
			out = append(out, lossOf(lost.n, lost.one, lost.all, lost.first))
		}
	}
	return out
}

// lossOf says how much a snapshot has not as it was, and names the first.
func lossOf(n int64, one, all string, first []string) string {
	text := one
	if n > 1 {
		text = fmt.Sprintf(all, n)
	}
	switch {
	case len(first) > 0 && n == 1:
		text += ": " + show.Quoted(first[0])
	case len(first) > 0:
		text += ", the first: " + show.Quoted(first[0])
	}
	return text
}

// withoutAll is the error of a snapshot that some volumes are not in.
func withoutAll(c *snapshot.Created) error {
	if len(c.Failed) == 0 {
		return nil
	}
	var each []string
	for _, f := range c.Failed {
		each = append(each, f.Volume+": "+f.Reason)
	}
	what := show.Plural(len(c.Failed), "volume") + " could not be copied and are not"
	if len(c.Failed) == 1 {
		what = "1 volume could not be copied and is not"
	}
	return &plugin.Failure{Kind: problem.Failed, Reason: fmt.Sprintf("%s in snapshot %s: %s", what, c.Snapshot.Name, several.Join(each, "; "))}
}

func snapshotRmCommand(a *app) *cobra.Command {
	var yes, dry bool
	c := &cobra.Command{
		Use:     "rm SNAPSHOT...",
		Short:   "Remove snapshots for good; each is a version of many volumes",
		Example: "  berth snapshot rm before-update --dry-run",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(c *cobra.Command, args []string) error { return runSnapshotRm(c.Context(), a, args, yes, dry) },
	}
	dangerous(c, &yes, &dry)
	return c
}

// runSnapshotRm has the plugin check before it asks.
func runSnapshotRm(ctx context.Context, a *app, names []string, yes, dry bool) error {
	plan, err := ask[plugin.Removals](ctx, a, "Berth.SnapshotRemove", snapshot.RemoveRequest{Names: names, DryRun: true})
	if err != nil {
		return removal(err, names)
	}
	if dry {
		return showRemovals(a, plan.Removed, "would be removed")
	}
	if !yes {
		for _, r := range plan.Removed {
			a.say("%s of %s is the version of %s", show.Quoted(r.Snapshot.Name), a.times().Snapshot(r.Snapshot), show.Plural(len(r.Volumes), "volume"))
		}
	}
	if err := a.confirm(yes, fmt.Sprintf("Remove %s for good", show.Plural(len(plan.Removed), "snapshot"))); err != nil {
		return err
	}
	got, err := ask[plugin.Removals](ctx, a, "Berth.SnapshotRemove", snapshot.RemoveRequest{Names: names})
	if err != nil {
		return err
	}
	return showRemovals(a, got.Removed, "removed")
}

// removal explains why snapshots cannot be removed: a name may have an @ in it,
// and a name that does not exist is more likely meant as VOLUME@SNAPSHOT.
func removal(err error, names []string) error {
	if f := (*plugin.Failure)(nil); !errors.As(err, &f) || f.Kind != problem.NotFound {
		return err
	}
	for _, name := range names {
		if vol, snap, ok := strings.Cut(name, "@"); ok && volume.CheckName(vol) == nil {
			return &usageError{fmt.Sprintf("%q: a snapshot is a version of many volumes, it cannot be removed from %s alone", name, vol), "name the snapshot: " + show.Quoted(snap)}
		}
	}
	return err
}

func showRemovals(a *app, gone []snapshot.Removal, done string) error {
	if a.json {
		return a.printJSON(gone)
	}
	for _, r := range gone {
		if err := a.done(r.Snapshot.Name, fmt.Sprintf("%s, the version of %s", done, show.Plural(len(r.Volumes), "volume"))); err != nil {
			return err
		}
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/show"
	"github.com/casit/berth/sweep"
	"github.com/casit/berth/volume"
)

func trashCommand(a *app) *cobra.Command {
	return group("trash", "Removed volumes: list, bring back, delete for good", trashLsCommand(a), trashRestoreCommand(a), purgeCommand(a))
}

func trashLsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "List what is in the trash, oldest first",
		Example: "  berth trash ls",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			got, err := ask[plugin.Trash](c.Context(), a, "Berth.TrashList", plugin.Empty{})
			if err != nil {
				return err
			}
			return showTrash(a, got.Items, got.Stuck...)
		},
	}
}

// showTrash shows items, and trees that were purged and cannot be deleted.
func showTrash(a *app, items []*volume.Trashed, stuck ...sweep.Stuck) error {
	var ids []string
	for _, t := range items {
		ids = append(ids, t.ID)
	}
	return a.show(items, ids, func(w io.Writer, width int) error { return show.Trash(w, items, stuck, a.times(), width) })
}

func trashRestoreCommand(a *app) *cobra.Command {
	var as string
	c := &cobra.Command{
		Use:     "restore ID|VOLUME",
		Short:   "Bring a removed volume back, with its options; by name the newest",
		Example: "  berth trash restore blog\n  berth trash restore 20261123-0530-9f2c51 --as blog-old",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return runTrashRestore(c.Context(), a, plugin.TrashRestoreRequest{Which: args[0], As: as})
		},
	}
	c.Flags().StringVar(&as, "as", "", "bring it back under this name")
	return c
}

func runTrashRestore(ctx context.Context, a *app, req plugin.TrashRestoreRequest) error {
	got, err := ask[plugin.TrashRestored](ctx, a, "Berth.TrashRestore", req)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(got)
	}
	return a.done(got.Name, fmt.Sprintf("restored from the trash as it was removed %s", a.times().When(got.Item.Removed)))
}

// purgeOptions are the arguments and flags of `berth trash purge`.
type purgeOptions struct {
	ids      []string
	older    time.Duration // 0: it was not given
	yes, dry bool
}

func purgeCommand(a *app) *cobra.Command {
	var o purgeOptions
	var older string
	c := &cobra.Command{
		Use:     "purge [ID...]",
		Short:   "Delete from the trash for good: those named, or all older than --older, or all expired",
		Example: "  berth trash purge 20261123-0530-9f2c51\n  berth trash purge --older 3d --dry-run\n  berth trash purge --older 0s   # all of it",
		RunE: func(c *cobra.Command, args []string) (err error) {
			o.ids = args
			if o.older, err = show.ParseAge(older); isZero(older) {
				o.older, err = volume.Everything, nil
			}
			if err != nil {
				return err
			}
			return runPurge(c.Context(), a, o)
		},
	}
	c.Flags().StringVar(&older, "older", "", "what was removed at least this long ago: 90m, 12h, 3d; 0s for all")
	dangerous(c, &o.yes, &o.dry)
	return c
}

// runPurge shows what would go and asks; then exactly that goes, by its ids.
func runPurge(ctx context.Context, a *app, o purgeOptions) error {
	if len(o.ids) > 0 && o.older != 0 {
		return &usageError{"ids and --older exclude each other", "give one of them"}
	}
	plan, err := ask[plugin.Trash](ctx, a, "Berth.TrashPurge", plugin.TrashPurgeRequest{IDs: o.ids, Older: o.older, DryRun: true})
	if err != nil {
		return err
	}
	if len(plan.Items) == 0 {
		return &plugin.Failure{Kind: problem.Nothing, Reason: "nothing to purge", Hint: "'berth trash ls' lists the trash, and when each item expires; name the items, or give --older"}
	}
	if o.dry {
		return showTrash(a, plan.Items)
	}
	if !o.yes && !a.quiet && !a.json {
		if err := showTrash(a, plan.Items); err != nil {
			return err
		}
	}
	if err := a.confirm(o.yes, fmt.Sprintf("Delete %d from the trash for good", len(plan.Items))); err != nil {
		return err
	}
	var req plugin.TrashPurgeRequest
	for _, t := range plan.Items {
		req.IDs = append(req.IDs, t.ID)
	}
	got, err := ask[plugin.Trash](ctx, a, "Berth.TrashPurge", req)
	if err != nil {
		return err
	}
	if a.json || a.quiet {
		return showTrash(a, got.Items)
	}
	_, err = fmt.Fprintf(a.stdout, "%d purged; the space comes free in the background\n", len(got.Items))
	return err
}

// isZero tells the age that every item has.
func isZero(age string) bool {
	d, err := time.ParseDuration(strings.Replace(age, "d", "h", 1))
	return err == nil && d == 0
}

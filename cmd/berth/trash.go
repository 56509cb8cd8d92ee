package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/volume"
)

func (a *app) trashCommand() *cobra.Command {
	return group("trash", "Removed volumes: list, bring back, delete for good", a.trashLs(), a.trashRestore(), a.trashPurge())
}

func (a *app) trashLs() *cobra.Command {
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
			return a.printTrash(got.Items)
		},
	}
}

func (a *app) printTrash(items []*volume.Trashed) error {
	if a.json {
		return a.printJSON(items)
	}
	var ids []string
	var rows [][]string
	for _, t := range items {
		ids = append(ids, t.ID)
		expires := "by hand only"
		if t.Expires != nil {
			expires = a.when(*t.Expires)
		}
		rows = append(rows, []string{t.ID, t.Volume, t.Kind, a.when(t.Removed), t.By, expires})
	}
	if a.quiet {
		return a.ids(ids)
	}
	return a.table([]string{"ID", "VOLUME", "KIND", "REMOVED", "BY", "EXPIRES"}, rows)
}

func (a *app) trashRestore() *cobra.Command {
	var as string
	c := &cobra.Command{
		Use:     "restore ID|VOLUME",
		Short:   "Bring a removed volume back, with its options; by name the newest",
		Example: "  berth trash restore blog\n  berth trash restore 20261123-0530-9f2c51 --as blog-old",
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			got, err := ask[plugin.TrashRestored](c.Context(), a, "Berth.TrashRestore", plugin.TrashRestoreRequest{Which: args[0], As: as})
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(got)
			}
			return a.done(got.Name, fmt.Sprintf("restored from the trash as it was removed %s", a.when(got.Item.Removed)))
		},
	}
	c.Flags().StringVar(&as, "as", "", "bring it back under this name")
	return c
}

func (a *app) trashPurge() *cobra.Command {
	var yes, dry bool
	var older string
	c := &cobra.Command{
		Use:     "purge [ID...]",
		Short:   "Delete from the trash for good: those named, or all older than --older, or all expired",
		Example: "  berth trash purge 20261123-0530-9f2c51\n  berth trash purge --older 3d --dry-run\n  berth trash purge --older 0s   # all of it",
		RunE: func(c *cobra.Command, args []string) error {
			limit, err := parseAge(older)
			if zero(older) {
				limit, err = volume.Everything, nil
			}
			if err != nil {
				return err
			}
			if len(args) > 0 && limit != 0 {
				return &usageError{"ids and --older exclude each other", "give one of them"}
			}
			req := plugin.TrashPurgeRequest{IDs: args, Older: limit, DryRun: true}
			plan, err := ask[plugin.Trash](c.Context(), a, "Berth.TrashPurge", req)
			if err != nil {
				return err
			}
			if len(plan.Items) == 0 {
				return &plugin.Failure{Kind: problem.Nothing, Reason: "nothing to purge", Hint: "'berth trash ls' shows what is there and when it expires; name what is to go, or give --older"}
			}
			if dry {
				return a.printTrash(plan.Items)
			}
			if !yes && !a.quiet && !a.json {
				if err := a.printTrash(plan.Items); err != nil {
					return err
				}
			}
			if err := a.confirm(yes, fmt.Sprintf("Delete %d from the trash for good", len(plan.Items))); err != nil {
				return err
			}
			req = plugin.TrashPurgeRequest{}
			for _, t := range plan.Items {
				req.IDs = append(req.IDs, t.ID)
			}
			got, err := ask[plugin.Trash](c.Context(), a, "Berth.TrashPurge", req)
			if err != nil {
				return err
			}
			if a.json || a.quiet {
				return a.printTrash(got.Items)
			}
			_, err = fmt.Fprintf(a.stdout, "%d purged; the space comes free in the background\n", len(got.Items))
			return err
		},
	}
	c.Flags().StringVar(&older, "older", "", "what was removed at least this long ago: 90m, 12h, 3d; 0s for all")
	a.dangerous(c, &yes, &dry)
	return c
}

// zero tells an age that everything has.
func zero(age string) bool {
	d, err := time.ParseDuration(strings.Replace(age, "d", "h", 1))
	return err == nil && d == 0
}

// parseAge reads a duration that may be in days.
func parseAge(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	text := s
	if days, ok := strings.CutSuffix(s, "d"); ok {
		text = days + "h"
	}
	d, err := time.ParseDuration(text)
	if text != s {
		d *= 24
	}
	if err != nil || d <= 0 {
		return 0, &usageError{fmt.Sprintf("%q is not an age", s), "write 90m, 12h or 3d"}
	}
	return d, nil
}

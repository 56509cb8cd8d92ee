package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
)

func (a *app) volumeTakeover() *cobra.Command {
	var from string
	var yes, dry bool
	c := &cobra.Command{
		Use:   "takeover VOLUME --from NODE",
		Short: "Take an access=single volume over from a dead node",
		Long: "Take an access=single volume over from a dead node.\n\n" +
			"Where the filer's API or btrfs makes snapshots, a node that mounts the volume does this by itself when its holder was silent for its whole\n" +
			"lease. Elsewhere, and where the holder's berth was stopped with containers going on, the administrator does, who knows that the node\n" +
			"is off. The volume is copied and the old tree kept in the trash: what the old holder should still write goes there.",
		Example:           "  berth volume takeover shop_db --from node2",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			name := args[0]
			if from == "" {
				return &usageError{"--from NODE is missing", fmt.Sprintf("'berth volume ps %s' shows the holder", name)}
			}
			request := plugin.TakeoverRequest{Name: name, From: from, DryRun: true}
			if _, err := ask[plugin.Jobs](c.Context(), a, "Berth.VolumeTakeover", request); err != nil {
				return err
			}
			if dry {
				return a.done(name, "would be taken over from "+from)
			}
			if err := a.confirm(yes, fmt.Sprintf("Is %s switched off, so that nothing there writes to %s any more", from, name)); err != nil {
				return err
			}
			request.DryRun = false
			got, err := ask[plugin.Jobs](c.Context(), a, "Berth.VolumeTakeover", request)
			if err != nil {
				return err
			}
			job := got.Jobs[0]
			if _, err := (&restoring{app: a}).follow(c.Context(), job); err != nil {
				return err
			}
			return a.done(name, fmt.Sprintf("taken over from %s; the old tree is in trash %s", from, job.Items[0].Trash))
		},
	}
	c.Flags().StringVar(&from, "from", "", "the node that held it")
	a.dangerous(c, &yes, &dry)
	return c
}

package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
)

// takeoverOptions are the flags of `berth volume takeover`.
type takeoverOptions struct {
	from            string
	yes, dry, force bool
}

func takeoverCommand(a *app) *cobra.Command {
	var o takeoverOptions
	c := &cobra.Command{
		Use:   "takeover VOLUME --from NODE",
		Short: "Take an access=single volume over from a dead node",
		Long: "Take an access=single volume over from a dead node.\n\n" +
			"Where the filer's API or btrfs makes snapshots, no one has to type this: when the holder was silent for its whole lease, the\n" +
			"next node that mounts the volume takes it over. Elsewhere, and where the holder's berth was stopped while its containers went on,\n" +
			"the administrator decides, because only the administrator knows that the node is off. The volume is copied, and the old tree\n" +
			"is kept in the trash: if the old holder still writes, it writes there.",
		Example:           "  berth volume takeover shop_db --from node2",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: volumeNames(a),
		RunE:              func(c *cobra.Command, args []string) error { return runTakeover(c.Context(), a, args[0], o) },
	}
	c.Flags().StringVar(&o.from, "from", "", "the node that held it")
	c.Flags().BoolVar(&o.force, "force", false, "also where the export seems to have no room for the copy")
	dangerous(c, &o.yes, &o.dry)
	return c
}

// runTakeover has the plugin check before it asks.
func runTakeover(ctx context.Context, a *app, name string, o takeoverOptions) error {
	if o.from == "" {
		return &usageError{"--from NODE is missing", fmt.Sprintf("'berth volume ps %s' shows the holder", name)}
	}
	request := plugin.TakeoverRequest{Name: name, From: o.from, DryRun: true, Force: o.force}
	if _, err := ask[plugin.Jobs](ctx, a, "Berth.VolumeTakeover", request); err != nil {
		return err
	}
	if o.dry {
		return a.done(name, "would be taken over from "+o.from)
	}
	if err := a.confirm(o.yes, fmt.Sprintf("Is %s switched off, so that nothing there writes to %s any more", o.from, name)); err != nil {
		return err
	}
	request.DryRun = false
	got, err := ask[plugin.Jobs](ctx, a, "Berth.VolumeTakeover", request)
	if err != nil {
		return err
	}
	job := got.Jobs[0]
	if end := follow(ctx, a, job); !end.done() {
		return end.err
	}
	return a.done(name, fmt.Sprintf("taken over from %s; the old tree is in trash %s", o.from, job.Items[0].Trash))
}

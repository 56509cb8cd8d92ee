package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/casit/berth/docker"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/show"
)

// releaseOptions are the flags of `berth volume release`.
type releaseOptions struct {
	older    time.Duration
	yes, dry bool
}

func releaseCommand(a *app) *cobra.Command {
	var o releaseOptions
	var older string
	c := &cobra.Command{
		Use:   "release VOLUME",
		Short: "Give back a volume that this node holds and no container here uses",
		Long: "Give back a volume that this node holds and no container here uses. A killed engine or plugin leaves such uses behind;\n" +
			"'berth doctor' finds them. It is refused while a container of this node's engine has the volume, and for uses that are too\n" +
			"young to be sure of. The data is not touched.",
		Example:           "  berth volume release shop_db --dry-run",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: volumeNames(a),
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.older, err = show.ParseAge(older); err != nil {
				return err
			}
			return runRelease(c.Context(), a, args[0], o)
		},
	}
	// Longer than dockerd waits for a Mount: no container is about to have it.
	c.Flags().StringVar(&older, "older", "5m", "only uses that are at least this old")
	dangerous(c, &o.yes, &o.dry)
	return c
}

func runRelease(ctx context.Context, a *app, name string, o releaseOptions) error {
	if err := docker.RequireUnused(ctx, name); err != nil {
		return err
	}
	if !o.dry {
		if err := a.confirm(o.yes, "Give "+name+" back, which no container of this node has"); err != nil {
			return err
		}
	}
	got, err := ask[plugin.Released](ctx, a, "Berth.VolumeRelease", plugin.ReleaseRequest{Name: name, Older: o.older, DryRun: o.dry})
	if err != nil {
		return err
	}
	outcome, err := released(name, got, o)
	if err != nil {
		return err
	}
	return a.done(name, outcome)
}

// released says what became of a node's uses of a volume.
func released(name string, r plugin.Released, o releaseOptions) (string, error) {
	switch {
	case r.Young > 0 && r.Gone == 0:
		return "", &plugin.Failure{Kind: problem.InUse, Reason: fmt.Sprintf("%s of %s began less than %s ago: a container may be about to start", show.Plural(r.Young, "use"), name, o.older),
			Hint: "type it again then"}
	case r.Gone == 0:
		return "this node holds no use of it", nil
	case o.dry:
		return show.Plural(r.Gone, "use") + " would be forgotten", nil
	}
	return show.Plural(r.Gone, "use") + " forgotten", nil
}

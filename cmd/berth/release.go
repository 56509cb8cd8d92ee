package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
	"github.com/spf13/cobra"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
)

func (a *app) volumeRelease() *cobra.Command {
	var older string
	var yes, dry bool
	c := &cobra.Command{
		Use:   "release VOLUME",
		Short: "Give back a volume that this node holds and no container here uses",
		Long: "Give back a volume that this node holds and no container here uses: an engine or a plugin that was killed has left that;\n" +
			"'berth doctor' finds it. It is refused while a container of this node's engine has the volume, and for uses that are too young to\n" +
			"be sure of. The data is not touched.",
		Example:           "  berth volume release shop_db --dry-run",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeVolumes,
		RunE: func(c *cobra.Command, args []string) error {
			name := args[0]
			age, err := parseAge(older)
			if err != nil {
				return err
			}
			if err := unusedHere(c.Context(), name); err != nil {
				return err
			}
			if !dry {
				if err := a.confirm(yes, "Give "+name+" back, which no container of this node has"); err != nil {
					return err
				}
			}
			got, err := ask[plugin.Released](c.Context(), a, "Berth.VolumeRelease", plugin.ReleaseRequest{Name: name, Older: age, DryRun: dry})
			if err != nil {
				return err
			}
			return a.printReleased(name, got, age, dry)
		},
	}
	// Longer than dockerd waits for a Mount: no container is about to have it.
	c.Flags().StringVar(&older, "older", "5m", "only uses that are at least this old")
	a.dangerous(c, &yes, &dry)
	return c
}

func (a *app) printReleased(name string, r plugin.Released, older time.Duration, dry bool) error {
	switch {
	case r.Young > 0 && r.Gone == 0:
		return &plugin.Failure{Kind: problem.InUse, Reason: fmt.Sprintf("%s of %s began less than %s ago: a container may be about to start", plural(r.Young, "use"), name, older),
			Hint: "type it again then"}
	case r.Gone == 0:
		return a.done(name, "this node holds no use of it")
	case dry:
		return a.done(name, plural(r.Gone, "use")+" would be forgotten")
	}
	return a.done(name, plural(r.Gone, "use")+" forgotten")
}

// unusedHere refuses while a container of this node's engine has the volume,
// or nobody knows.
func unusedHere(ctx context.Context, name string) (err error) {
	unknown := func(why any) error {
		return &plugin.Failure{Kind: problem.Failed, Reason: fmt.Sprintf("whether a container has %s is not known: %v", name, why), Hint: "systemctl status docker"}
	}
	err = unknown("there is no Docker engine here")
	withDocker(ctx, func(ctx context.Context, docker *client.Client) {
		info, infoErr := docker.Info(ctx, client.InfoOptions{})
		list, listErr := docker.ContainerList(ctx, client.ContainerListOptions{All: true})
		host, hostErr := os.Hostname()
		switch {
		case infoErr != nil:
			err = unknown(infoErr)
		case listErr != nil:
			err = unknown(listErr)
		case hostErr != nil || info.Info.Name != host:
			err = unknown(fmt.Sprintf("the Docker engine is that of %s, and this is %s", info.Info.Name, host))
		default:
			err = usedBy(name, list.Items)
		}
	})
	return err
}

// usedBy refuses if one of the containers has the volume, or may be about to.
func usedBy(name string, containers []container.Summary) error {
	for _, c := range containers {
		if c.State == container.StateExited || c.State == container.StateDead {
			continue
		}
		for _, m := range c.Mounts {
			if m.Type == mount.TypeVolume && m.Name == name {
				who := containerName(c)
				return &plugin.Failure{Kind: problem.InUse, Reason: fmt.Sprintf("container %s (%s) has volume %s", who, c.State, name), Hint: "docker stop " + who + ", if it may end"}
			}
		}
	}
	return nil
}

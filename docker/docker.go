// Package docker asks the Docker engine of this node what runs and which
// volumes it has, and stops and starts what uses a volume.
//
//	stops, err := docker.PlanStop(ctx, engine, []string{"blog"}, users, "node1")
//	err = docker.Stop(ctx, engine, stops.Stopped, say)
//	…
//	gone, err := docker.Start(ctx, engine, stops.Stopped, say)
//
// An engine that does not answer is an error for who stops and starts; for
// who only adds to what the leases say, it is an engine that knows nothing.
// The package changes nothing but by Stop and Start.
package docker

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/stack"
	"github.com/casit/berth/volume"
)

// Patience is how long an engine may take to say what runs.
const Patience = 3 * time.Second

// With calls ask with the engine of this node, for a few seconds at most. It
// does nothing where the environment names no engine.
func With(ctx context.Context, ask func(ctx context.Context, engine *client.Client)) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return
	}
	defer engine.Close()
	ask(ctx, engine)
}

// A Use is a container or task that has a volume, as the engine of this node
// knows it: its own containers, and on a manager every task.
type Use struct {
	Volume, Node             string
	Service, Task, Container string
}

// Uses asks the engine here. Without an engine there is none.
func Uses(ctx context.Context) (out []Use) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	cluster, _ := Running(ctx)
	for _, t := range cluster.Tasks {
		for _, v := range t.Volumes {
			u := Use{Volume: v, Node: t.Node, Service: t.Service}
			if u.Service != "" {
				u.Task = t.Name
			} else {
				u.Container = t.Name
			}
			out = append(out, u)
		}
	}
	return out
}

// Options asks the engine here, if there is one, for the options that it was
// given for each volume.
func Options(ctx context.Context, volumes []*volume.Info) map[string]volume.Options {
	out := map[string]volume.Options{}
	With(ctx, func(ctx context.Context, engine *client.Client) {
		for _, v := range volumes {
			got, err := engine.VolumeInspect(ctx, v.Name, client.VolumeInspectOptions{})
			if err != nil || !stack.IsBerth(got.Volume.Driver) {
				continue
			}
			if given, err := volume.ParseOptions(got.Volume.Options); err == nil {
				out[v.Name] = given
			}
		}
	})
	return out
}

// MountCounts is how many containers of an engine have each volume mounted.
func MountCounts(ctx context.Context, engine *client.Client) (map[string]int, error) {
	list, err := engine.ContainerList(ctx, client.ContainerListOptions{All: true})
	n := map[string]int{}
	for _, c := range list.Items {
		if !slices.Contains([]container.ContainerState{container.StateRunning, container.StatePaused, container.StateRestarting, container.StateRemoving}, c.State) {
			continue
		}
		for _, name := range volumesOf(c) {
			n[name]++
		}
	}
	return n, err
}

// RequireUnused refuses while a container of this node's engine has the
// volume, or nobody knows.
func RequireUnused(ctx context.Context, name string) (err error) {
	unknown := func(why any) error {
		return problem.New(problem.Failed, "systemctl status docker", "whether a container has %s is not known: %v", name, why)
	}
	err = unknown("there is no Docker engine here")
	With(ctx, func(ctx context.Context, engine *client.Client) {
		info, infoErr := engine.Info(ctx, client.InfoOptions{})
		list, listErr := engine.ContainerList(ctx, client.ContainerListOptions{All: true})
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
		if c.State == container.StateExited || c.State == container.StateDead || !slices.Contains(volumesOf(c), name) {
			continue
		}
		who := containerName(c)
		return problem.New(problem.InUse, "docker stop "+who+", if it may end", "container %s (%s) has volume %s", who, c.State, name)
	}
	return nil
}

// volumesOf are the names of a container's volumes.
func volumesOf(c container.Summary) (names []string) {
	for _, m := range c.Mounts {
		if m.Type == mount.TypeVolume {
			names = append(names, m.Name)
		}
	}
	return names
}

// containerName is what people call a container: its name, or the beginning of
// its id.
func containerName(c container.Summary) string {
	if len(c.Names) > 0 {
		return strings.TrimPrefix(c.Names[0], "/")
	}
	return c.ID[:min(12, len(c.ID))]
}

package main

import (
	"context"
	"strings"
	"time"

	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"
)

// containerUse is a container or task that has a volume, as the Docker engine
// on this node knows it: its own containers, and on a manager every task.
type containerUse struct {
	volume, node             string
	service, task, container string
}

// dockerUses asks the Docker engine here. It is an addition to what the leases
// say: without an engine there is none.
func dockerUses(ctx context.Context) []containerUse {
	var all []containerUse
	withDocker(ctx, func(ctx context.Context, docker *client.Client) {
		uses, err := taskUses(ctx, docker)
		if err != nil {
			uses = nil
		}
		all = append(uses, containerUses(ctx, docker, uses)...)
	})
	return all
}

// withDocker asks the Docker engine here for a few seconds at most, if there
// is one.
func withDocker(ctx context.Context, ask func(ctx context.Context, docker *client.Client)) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	docker, err := client.New(client.FromEnv)
	if err != nil {
		return
	}
	defer docker.Close()
	ask(ctx, docker)
}

// taskUses lists the running tasks of the swarm; only a manager answers.
func taskUses(ctx context.Context, docker *client.Client) ([]containerUse, error) {
	tasks, err := docker.TaskList(ctx, client.TaskListOptions{Filters: client.Filters{}.Add("desired-state", "running")})
	if err != nil {
		return nil, err
	}
	nodes, err := docker.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return nil, err
	}
	services, err := docker.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return nil, err
	}
	nodeName, serviceName := map[string]string{}, map[string]string{}
	for _, n := range nodes.Items {
		nodeName[n.ID] = n.Description.Hostname
	}
	for _, s := range services.Items {
		serviceName[s.ID] = s.Spec.Name
	}
	var out []containerUse
	for _, t := range tasks.Items {
		if t.Spec.ContainerSpec == nil {
			continue
		}
		for _, m := range t.Spec.ContainerSpec.Mounts {
			if m.Type != mount.TypeVolume {
				continue
			}
			u := containerUse{volume: m.Source, node: nodeName[t.NodeID], service: serviceName[t.ServiceID], task: t.ID}
			if t.Status.ContainerStatus != nil {
				u.container = t.Status.ContainerStatus.ContainerID
			}
			out = append(out, u)
		}
	}
	return out, nil
}

// containerUses lists this engine's containers, but for those of known tasks.
func containerUses(ctx context.Context, docker *client.Client, known []containerUse) []containerUse {
	info, err := docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return nil
	}
	list, err := docker.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return nil
	}
	seen := map[string]bool{}
	for _, k := range known {
		seen[k.container] = true
	}
	var out []containerUse
	for _, c := range list.Items {
		if seen[c.ID] {
			continue
		}
		name := c.ID[:12]
		if len(c.Names) > 0 {
			name = strings.TrimPrefix(c.Names[0], "/")
		}
		for _, m := range c.Mounts {
			if m.Type == mount.TypeVolume {
				out = append(out, containerUse{volume: m.Name, node: info.Info.Name, container: name,
					service: c.Labels["com.docker.swarm.service.name"], task: c.Labels["com.docker.swarm.task.name"]})
			}
		}
	}
	return out
}

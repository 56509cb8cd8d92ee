package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/casit/berth/dashboard"
)

// clusterHere is the Docker engine here, asked for what runs: lists, and nothing
// else.
type clusterHere struct{}

const (
	serviceLabel = "com.docker.swarm.service.name"
	taskLabel    = "com.docker.swarm.task.name"
	stackLabel   = "com.docker.stack.namespace"
	projectLabel = "com.docker.compose.project"
)

// Running lists nodes and tasks of the swarm if this is a manager, and this
// engine's containers otherwise.
func (clusterHere) Running(ctx context.Context) (dashboard.Cluster, error) {
	docker, err := client.New(client.FromEnv)
	if err != nil {
		return dashboard.Cluster{}, err
	}
	defer docker.Close()
	info, err := docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return dashboard.Cluster{}, fmt.Errorf("ask Docker: %w", err)
	}
	here := dashboard.Node{Name: info.Info.Name, State: "ready", Engine: info.Info.ServerVersion}
	cluster := dashboard.Cluster{Nodes: []dashboard.Node{here}}
	var failed error // a manager without a majority still knows its own containers
	if info.Info.Swarm.ControlAvailable {
		if all, err := swarmRuns(ctx, docker); err == nil {
			cluster = all
		} else {
			failed = fmt.Errorf("ask Docker: %w", err)
		}
	}
	list, err := docker.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return cluster, fmt.Errorf("ask Docker: %w", err)
	}
	for _, c := range list.Items {
		if cluster.Swarm && c.Labels[taskLabel] != "" {
			continue // it is a task, and listed
		}
		cluster.Tasks = append(cluster.Tasks, ofContainer(c, here.Name))
	}
	return cluster, failed
}

// containerName is what people call a container: its name, or the beginning of
// its id.
func containerName(c container.Summary) string {
	if len(c.Names) > 0 {
		return strings.TrimPrefix(c.Names[0], "/")
	}
	return c.ID[:min(12, len(c.ID))]
}

func ofContainer(c container.Summary, node string) dashboard.Task {
	t := dashboard.Task{ID: c.ID, Name: containerName(c), Node: node, Service: c.Labels[serviceLabel], Image: imageName(c.Image),
		State: string(c.State), Since: time.Unix(c.Created, 0).UTC(), Stack: c.Labels[stackLabel]}
	if t.Stack == "" {
		t.Stack = c.Labels[projectLabel]
	}
	for _, m := range c.Mounts {
		if m.Type == mount.TypeVolume {
			t.Volumes = append(t.Volumes, m.Name)
		}
	}
	return t
}

// swarmRuns lists the nodes of the swarm and what should run on them.
func swarmRuns(ctx context.Context, docker *client.Client) (dashboard.Cluster, error) {
	cluster := dashboard.Cluster{Swarm: true}
	nodes, err := docker.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return cluster, err
	}
	services, err := docker.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return cluster, err
	}
	tasks, err := docker.TaskList(ctx, client.TaskListOptions{Filters: client.Filters{}.Add("desired-state", "running")})
	if err != nil {
		return cluster, err
	}
	nodeName, service := map[string]string{}, map[string]swarm.Service{}
	for _, n := range nodes.Items {
		nodeName[n.ID] = n.Description.Hostname
		cluster.Nodes = append(cluster.Nodes, dashboard.Node{Name: n.Description.Hostname, Role: string(n.Spec.Role), State: string(n.Status.State),
			Availability: string(n.Spec.Availability), Engine: n.Description.Engine.EngineVersion})
	}
	for _, s := range services.Items {
		service[s.ID] = s
	}
	for _, t := range tasks.Items {
		if t.NodeID != "" && t.Spec.ContainerSpec != nil {
			cluster.Tasks = append(cluster.Tasks, ofTask(t, service[t.ServiceID], nodeName[t.NodeID]))
		}
	}
	return cluster, nil
}

func ofTask(t swarm.Task, s swarm.Service, node string) dashboard.Task {
	name := fmt.Sprintf("%s.%d", s.Spec.Name, t.Slot)
	if t.Slot == 0 {
		name = s.Spec.Name // of a global service: one on each node
	}
	out := dashboard.Task{ID: t.ID, Name: name, Node: node, Service: s.Spec.Name, Stack: s.Spec.Labels[stackLabel],
		Image: imageName(t.Spec.ContainerSpec.Image), State: string(t.Status.State), Since: t.Status.Timestamp.UTC()}
	for _, m := range t.Spec.ContainerSpec.Mounts {
		if m.Type == mount.TypeVolume {
			out.Volumes = append(out.Volumes, m.Source)
		}
	}
	return out
}

// imageName leaves out the digest that the swarm adds.
func imageName(image string) string {
	name, _, _ := strings.Cut(image, "@sha256:")
	return name
}

package docker

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"
)

// A Cluster is what runs where.
type Cluster struct {
	Swarm bool // a manager answered: these are all nodes
	Nodes []Node
	Tasks []Task
}

// A Node is a machine as Docker knows it.
type Node struct {
	Name         string
	Role         string // manager, worker; "" for a single engine
	State        string // ready, down, …
	Availability string // active, drain, pause
	Engine       string // its version
}

// A Task is one container, of a service or by itself.
type Task struct {
	ID      string
	Name    string // service.slot, or the container's name
	Node    string
	Stack   string
	Service string
	Image   string
	State   string
	Since   time.Time
	Volumes []string // by name, as they are mounted: NAME or NAME@SNAPSHOT
}

const (
	serviceLabel = "com.docker.swarm.service.name"
	taskLabel    = "com.docker.swarm.task.name"
	stackLabel   = "com.docker.stack.namespace"
	projectLabel = "com.docker.compose.project"
)

// Running lists nodes and tasks of the swarm if this is a manager, and this
// engine's containers otherwise. Of a manager without a majority it returns
// its own containers, and an error.
func Running(ctx context.Context) (Cluster, error) {
	engine, err := client.New(client.FromEnv)
	if err != nil {
		return Cluster{}, err
	}
	defer engine.Close()
	info, err := engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return Cluster{}, fmt.Errorf("ask Docker: %w", err)
	}
	here := Node{Name: info.Info.Name, State: "ready", Engine: info.Info.ServerVersion}
	cluster := Cluster{Nodes: []Node{here}}
	var failed error // a manager without a majority still knows its own containers
	if info.Info.Swarm.ControlAvailable {
		if all, err := swarmRuns(ctx, engine, client.Filters{}.Add("desired-state", "running")); err == nil {
			cluster = all
		} else {
			failed = fmt.Errorf("ask Docker: %w", err)
		}
	}
	list, err := engine.ContainerList(ctx, client.ContainerListOptions{})
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

func ofContainer(c container.Summary, node string) Task {
	t := Task{ID: c.ID, Name: containerName(c), Node: node, Service: c.Labels[serviceLabel], Image: imageName(c.Image),
		State: string(c.State), Since: time.Unix(c.Created, 0).UTC(), Stack: c.Labels[stackLabel], Volumes: volumesOf(c)}
	if t.Stack == "" {
		t.Stack = c.Labels[projectLabel]
	}
	return t
}

// swarmRuns lists the nodes of the swarm, and the tasks on them that which
// picks.
func swarmRuns(ctx context.Context, engine *client.Client, which client.Filters) (Cluster, error) {
	cluster := Cluster{Swarm: true}
	nodes, err := engine.NodeList(ctx, client.NodeListOptions{})
	if err != nil {
		return cluster, err
	}
	services, err := engine.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return cluster, err
	}
	tasks, err := engine.TaskList(ctx, client.TaskListOptions{Filters: which})
	if err != nil {
		return cluster, err
	}
	nodeName, service := map[string]string{}, map[string]swarm.Service{}
	for _, n := range nodes.Items {
		nodeName[n.ID] = n.Description.Hostname
		cluster.Nodes = append(cluster.Nodes, Node{Name: n.Description.Hostname, Role: string(n.Spec.Role), State: string(n.Status.State),
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

func ofTask(t swarm.Task, s swarm.Service, node string) Task {
	name := fmt.Sprintf("%s.%d", s.Spec.Name, t.Slot)
	if t.Slot == 0 {
		name = s.Spec.Name // of a global service: one on each node
	}
	out := Task{ID: t.ID, Name: name, Node: node, Service: s.Spec.Name, Stack: s.Spec.Labels[stackLabel],
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

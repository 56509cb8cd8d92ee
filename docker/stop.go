package docker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/several"
	"github.com/casit/berth/snapshot"
)

// Stops is what has to be stopped so that nobody uses some volumes.
type Stops struct {
	snapshot.Stopped
	// Lost are the names of its containers that Docker removes when they end
	// (docker run --rm): they cannot be started again.
	Lost []string
}

// PlanStop finds what has to be stopped so that nobody uses the volumes: the
// swarm's services that mount them, and this node's other containers. users
// are who uses them by their leases, and here is this node's name among them.
// It changes nothing. It refuses where stopping would not be enough: a user on
// another node that no service explains, a service that cannot be scaled.
func PlanStop(ctx context.Context, engine *client.Client, volumes []string, users []cluster.User, here string) (s Stops, err error) {
	info, err := engine.Info(ctx, client.InfoOptions{})
	if err != nil {
		return s, problem.New(problem.Failed, "type it on the host, where the engine's socket is; or stop what uses it yourself", "no Docker engine answers here, so nothing can be stopped: %v", err)
	}
	reach := reach{here: here, local: map[string]bool{}, everywhere: map[string]bool{}, tasks: map[usedAt]bool{}}
	manager := info.Info.Swarm.ControlAvailable
	if manager {
		if err := planServices(ctx, engine, volumes, &s, reach.everywhere); err != nil {
			return s, err
		}
		if err := reach.find(ctx, engine, users); err != nil {
			return s, err
		}
	}
	list, err := engine.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return s, err
	}
	for _, c := range list.Items {
		used := slices.DeleteFunc(volumesOf(c), func(v string) bool { return !slices.Contains(volumes, v) })
		if len(used) == 0 {
			continue
		}
		for _, v := range used {
			reach.local[v] = true
		}
		name := containerName(c)
		if service := c.Labels[serviceLabel]; service == "" {
			s.Containers = append(s.Containers, snapshot.StoppedContainer{ID: c.ID, Name: name, Node: info.Info.Name})
		} else if !manager {
			return s, problem.New(problem.InUse, "type it on a manager: "+strings.Join(managers(info.Info.Swarm), ", "), "service %s has to be stopped, and this node is no manager", service)
		}
	}
	for _, u := range users {
		if !reach.covers(u) {
			return s, problem.New(problem.InUse, fmt.Sprintf("type it on %s, or stop its containers there first", u.Node), "%s is in use on %s, and nothing here can be stopped for it", u.Volume, u.Node)
		}
	}
	s.Lost, err = lost(ctx, engine, s.Containers)
	return s, err
}

// usedAt is a volume on a node.
type usedAt struct{ volume, node string }

// reach is which users of volumes are gone when a plan's services and
// containers are stopped.
type reach struct {
	here       string          // this node
	local      map[string]bool // volumes of containers here
	everywhere map[string]bool // volumes of the services that are stopped
	tasks      map[usedAt]bool // where these services have tasks
	known      []string        // the swarm's nodes
}

// find looks where the tasks are, if anybody on another node has to go.
func (r *reach) find(ctx context.Context, engine *client.Client, users []cluster.User) error {
	if !slices.ContainsFunc(users, func(u cluster.User) bool { return u.Node != r.here }) {
		return nil
	}
	cluster, err := swarmRuns(ctx, engine, nil)
	if err != nil {
		return err
	}
	for _, n := range cluster.Nodes {
		r.known = append(r.known, n.Name)
	}
	for _, t := range cluster.Tasks {
		if ended(swarm.TaskState(t.State)) {
			continue
		}
		for _, v := range t.Volumes {
			r.tasks[usedAt{v, t.Node}] = r.everywhere[v]
		}
	}
	return nil
}

// covers tells whether a user goes. Where berth calls a node by another name
// than the swarm, nobody knows which tasks are there: any service that mounts
// the volume then counts.
func (r *reach) covers(u cluster.User) bool {
	switch {
	case u.Node == r.here:
		return r.local[u.Volume] || r.everywhere[u.Volume]
	case slices.Contains(r.known, u.Node):
		return r.tasks[usedAt{u.Volume, u.Node}]
	}
	return r.everywhere[u.Volume]
}

// managers are the addresses of the swarm's managers, as a worker knows them.
func managers(s swarm.Info) (out []string) {
	for _, m := range s.RemoteManagers {
		out = append(out, m.Addr)
	}
	slices.Sort(out)
	return out
}

// lost names those of the containers that Docker removes when they end.
func lost(ctx context.Context, engine *client.Client, containers []snapshot.StoppedContainer) (names []string, err error) {
	for _, c := range containers {
		got, err := engine.ContainerInspect(ctx, c.ID, client.ContainerInspectOptions{})
		if err != nil && !cerrdefs.IsNotFound(err) {
			return nil, fmt.Errorf("look at container %s: %w", c.Name, err)
		}
		if h := got.Container.HostConfig; h != nil && h.AutoRemove {
			names = append(names, c.Name)
		}
	}
	return names, nil
}

// planServices finds the services that mount the volumes and run, and notes
// the volumes of those that it stops.
func planServices(ctx context.Context, engine *client.Client, volumes []string, s *Stops, stopped map[string]bool) error {
	list, err := engine.ServiceList(ctx, client.ServiceListOptions{})
	if err != nil {
		return err
	}
	for _, service := range list.Items {
		spec := service.Spec.TaskTemplate.ContainerSpec
		if spec == nil || !slices.ContainsFunc(spec.Mounts, func(m mount.Mount) bool {
			return m.Type == mount.TypeVolume && slices.Contains(volumes, m.Source)
		}) {
			continue
		}
		mode := service.Spec.Mode.Replicated
		if mode == nil || mode.Replicas == nil {
			return problem.New(problem.InUse, fmt.Sprintf("remove it, restore, and deploy it again: docker service rm %s", service.Spec.Name),
				"service %s is not replicated: it cannot be scaled down and up again", service.Spec.Name)
		}
		for _, m := range spec.Mounts {
			stopped[m.Source] = true // also where it is scaled down already, and its last tasks end
		}
		if *mode.Replicas > 0 {
			s.Services = append(s.Services, snapshot.StoppedService{ID: service.ID, Name: service.Spec.Name, Replicas: *mode.Replicas})
		}
	}
	return nil
}

// Stop stops what was planned, and waits until it has ended.
func Stop(ctx context.Context, engine *client.Client, s snapshot.Stopped, say func(string)) error {
	for _, service := range s.Services {
		say(fmt.Sprintf("stopping service %s", service.Name))
		if err := scale(ctx, engine, service.ID, func(uint64) (uint64, bool) { return 0, true }); err != nil && !cerrdefs.IsNotFound(err) {
			return fmt.Errorf("stop service %s: %w", service.Name, err)
		}
	}
	for _, c := range s.Containers {
		say(fmt.Sprintf("stopping container %s", c.Name))
		if _, err := engine.ContainerStop(ctx, c.ID, client.ContainerStopOptions{}); err != nil && !cerrdefs.IsNotFound(err) {
			return fmt.Errorf("stop container %s: %w", c.Name, err)
		}
	}
	for _, service := range s.Services {
		if err := waitStopped(ctx, engine, service); err != nil {
			return err
		}
	}
	return nil
}

// stopLimit is how long tasks may take to end; those of a node that has gone
// never say so.
const stopLimit = 2 * time.Minute

// waitStopped waits until every task of a service has ended.
func waitStopped(ctx context.Context, engine *client.Client, s snapshot.StoppedService) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	for {
		tasks, err := engine.TaskList(ctx, client.TaskListOptions{Filters: client.Filters{}.Add("service", s.ID)})
		if err != nil && ctx.Err() == nil {
			return err
		}
		left := 0
		for _, t := range tasks.Items {
			if !ended(t.Status.State) {
				left++
			}
		}
		if left == 0 && err == nil {
			return nil
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("service %s has still %d tasks that did not end: %w; 'docker service ps %s' shows where", s.Name, left, ctx.Err(), s.Name)
		}
	}
}

func ended(s swarm.TaskState) bool {
	return slices.Contains([]swarm.TaskState{swarm.TaskStateComplete, swarm.TaskStateShutdown, swarm.TaskStateFailed,
		swarm.TaskStateRejected, swarm.TaskStateRemove, swarm.TaskStateOrphaned}, s)
}

// Start puts everything back as it was. It goes on after a failure. What
// somebody else has changed since is left as it is, and said. gone are the
// containers and services that are not there any more, by name: to start them
// again can never succeed.
func Start(ctx context.Context, engine *client.Client, s snapshot.Stopped, say func(string)) (gone []string, err error) {
	var failed several.Errors
	started := func(what string, err error) {
		switch {
		case cerrdefs.IsNotFound(err):
			gone = append(gone, what)
		case err != nil:
			failed.Add(fmt.Errorf("start %s: %w", what, err))
		default:
			say("started " + what)
		}
	}
	for _, service := range s.Services {
		started("service "+service.Name, scale(ctx, engine, service.ID, func(now uint64) (uint64, bool) {
			if now != 0 {
				say(fmt.Sprintf("service %s has %d replicas by now: left so", service.Name, now))
			}
			return service.Replicas, now == 0
		}))
	}
	for _, c := range s.Containers {
		started("container "+c.Name, startContainer(ctx, engine, c.ID))
	}
	return gone, failed.Err()
}

// startContainer starts a container. One that Docker is about to remove is as
// good as removed.
func startContainer(ctx context.Context, engine *client.Client, id string) error {
	_, err := engine.ContainerStart(ctx, id, client.ContainerStartOptions{})
	if err == nil || cerrdefs.IsNotFound(err) {
		return err
	}
	got, inspectErr := engine.ContainerInspect(ctx, id, client.ContainerInspectOptions{})
	if inspectErr != nil && cerrdefs.IsNotFound(inspectErr) {
		return inspectErr
	}
	if s := got.Container.State; s != nil && (s.Status == container.StateRemoving || s.Dead) {
		return cerrdefs.ErrNotFound
	}
	return err
}

// scale changes a service's replicas as to says, which is asked again if
// somebody has changed the service meanwhile.
func scale(ctx context.Context, engine *client.Client, id string, to func(now uint64) (replicas uint64, change bool)) error {
	for try := 0; ; try++ {
		got, err := engine.ServiceInspect(ctx, id, client.ServiceInspectOptions{})
		if err != nil {
			return err
		}
		mode := got.Service.Spec.Mode.Replicated
		if mode == nil || mode.Replicas == nil {
			return errors.New("it is not replicated any more")
		}
		replicas, change := to(*mode.Replicas)
		if !change || replicas == *mode.Replicas {
			return nil
		}
		mode.Replicas = &replicas
		_, err = engine.ServiceUpdate(ctx, id, client.ServiceUpdateOptions{Version: got.Service.Version, Spec: got.Service.Spec,
			RegistryAuthFrom: swarm.RegistryAuthFromSpec})
		if err == nil || !strings.Contains(err.Error(), "out of sequence") || try == 10 {
			return err
		}
	}
}

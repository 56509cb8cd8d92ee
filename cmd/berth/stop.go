package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/several"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/volume"
)

// planStop finds what has to be stopped so that nobody uses the volumes: the
// swarm's services that mount them, and this node's other containers. users
// are who uses them by their leases; what cannot be stopped from here is
// refused.
func planStop(ctx context.Context, docker *client.Client, volumes []string, users []volume.User) (snapshot.Stopped, error) {
	var s snapshot.Stopped
	info, err := docker.Info(ctx, client.InfoOptions{})
	if err != nil {
		return s, &plugin.Failure{Kind: problem.Failed, Reason: fmt.Sprintf("no Docker engine answers here, so nothing can be stopped: %v", err),
			Hint: "type it on the host, where the engine's socket is; or stop what uses it yourself"}
	}
	node := info.Info.Name
	manager := info.Info.Swarm.ControlAvailable
	if manager {
		if err := planServices(ctx, docker, volumes, &s); err != nil {
			return s, err
		}
	}
	list, err := docker.ContainerList(ctx, client.ContainerListOptions{})
	if err != nil {
		return s, err
	}
	for _, c := range list.Items {
		if !slices.ContainsFunc(volumes, func(v string) bool {
			for _, m := range c.Mounts {
				if m.Type == mount.TypeVolume && m.Name == v {
					return true
				}
			}
			return false
		}) {
			continue
		}
		name := containerName(c)
		if service := c.Labels[serviceLabel]; service == "" {
			s.Containers = append(s.Containers, snapshot.StoppedContainer{ID: c.ID, Name: name, Node: node})
		} else if !manager {
			var managers []string
			for _, m := range info.Info.Swarm.RemoteManagers {
				managers = append(managers, m.Addr)
			}
			return s, &plugin.Failure{Kind: problem.InUse, Reason: fmt.Sprintf("service %s has to be stopped, and this node is no manager", service),
				Hint: "type it on a manager: " + strings.Join(managers, ", ")}
		}
	}
	if len(users) > 0 && s.Empty() {
		return s, &plugin.Failure{Kind: problem.InUse, Reason: fmt.Sprintf("%s is in use on %s, and nothing here can be stopped for it", users[0].Volume, users[0].Node),
			Hint: fmt.Sprintf("type it on %s, or stop its containers there first", users[0].Node)}
	}
	return s, nil
}

// planServices finds the services that mount the volumes and run.
func planServices(ctx context.Context, docker *client.Client, volumes []string, s *snapshot.Stopped) error {
	list, err := docker.ServiceList(ctx, client.ServiceListOptions{})
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
			return &plugin.Failure{Kind: problem.InUse, Reason: fmt.Sprintf("service %s is not replicated: it cannot be scaled down and up again", service.Spec.Name),
				Hint: fmt.Sprintf("remove it, restore, and deploy it again: docker service rm %s", service.Spec.Name)}
		}
		if *mode.Replicas > 0 {
			s.Services = append(s.Services, snapshot.StoppedService{ID: service.ID, Name: service.Spec.Name, Replicas: *mode.Replicas})
		}
	}
	return nil
}

// stopAll stops what was planned, and waits until it has ended.
func stopAll(ctx context.Context, docker *client.Client, s snapshot.Stopped, say func(string)) error {
	for _, service := range s.Services {
		say(fmt.Sprintf("stopping service %s", service.Name))
		if err := scale(ctx, docker, service.ID, func(uint64) (uint64, bool) { return 0, true }); err != nil && !cerrdefs.IsNotFound(err) {
			return fmt.Errorf("stop service %s: %w", service.Name, err)
		}
	}
	for _, c := range s.Containers {
		say(fmt.Sprintf("stopping container %s", c.Name))
		if _, err := docker.ContainerStop(ctx, c.ID, client.ContainerStopOptions{}); err != nil && !cerrdefs.IsNotFound(err) {
			return fmt.Errorf("stop container %s: %w", c.Name, err)
		}
	}
	for _, service := range s.Services {
		if err := waitStopped(ctx, docker, service); err != nil {
			return err
		}
	}
	return nil
}

// stopLimit is how long tasks may take to end; those of a node that has gone
// never say so.
const stopLimit = 2 * time.Minute

// waitStopped waits until every task of a service has ended.
func waitStopped(ctx context.Context, docker *client.Client, s snapshot.StoppedService) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	for {
		tasks, err := docker.TaskList(ctx, client.TaskListOptions{Filters: client.Filters{}.Add("service", s.ID)})
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

// startAll puts everything back as it was. It goes on after a failure. What
// somebody else has changed since is left as it is, and said.
func startAll(ctx context.Context, docker *client.Client, s snapshot.Stopped, say func(string)) error {
	var failed several.Errors
	for _, service := range s.Services {
		err := scale(ctx, docker, service.ID, func(now uint64) (uint64, bool) {
			if now != 0 {
				say(fmt.Sprintf("service %s has %d replicas by now: left so", service.Name, now))
			}
			return service.Replicas, now == 0
		})
		switch {
		case cerrdefs.IsNotFound(err):
			say(fmt.Sprintf("service %s is not there any more", service.Name))
		case err != nil:
			failed.Add(fmt.Errorf("start service %s: %w", service.Name, err))
		default:
			say(fmt.Sprintf("started service %s", service.Name))
		}
	}
	for _, c := range s.Containers {
		_, err := docker.ContainerStart(ctx, c.ID, client.ContainerStartOptions{})
		switch {
		case cerrdefs.IsNotFound(err):
			say(fmt.Sprintf("container %s is not there any more (on %s it was)", c.Name, c.Node))
		case err != nil:
			failed.Add(fmt.Errorf("start container %s: %w", c.Name, err))
		default:
			say(fmt.Sprintf("started container %s", c.Name))
		}
	}
	return failed.Err()
}

// scale changes a service's replicas as to says, which is asked again if
// somebody has changed the service meanwhile.
func scale(ctx context.Context, docker *client.Client, id string, to func(now uint64) (replicas uint64, change bool)) error {
	for try := 0; ; try++ {
		got, err := docker.ServiceInspect(ctx, id, client.ServiceInspectOptions{})
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
		_, err = docker.ServiceUpdate(ctx, id, client.ServiceUpdateOptions{Version: got.Service.Version, Spec: got.Service.Spec,
			RegistryAuthFrom: swarm.RegistryAuthFromSpec})
		if err == nil || !strings.Contains(err.Error(), "out of sequence") || try == 10 {
			return err
		}
	}
}

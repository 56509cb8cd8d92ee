package main

import (
	"context"
	"time"

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
func dockerUses(ctx context.Context) (out []containerUse) {
	ctx, cancel := context.WithTimeout(ctx, dockerPatience)
	defer cancel()
	cluster, _ := clusterHere{}.Running(ctx)
	for _, t := range cluster.Tasks {
		for _, v := range t.Volumes {
			u := containerUse{volume: v, node: t.Node, service: t.Service}
			if u.service != "" {
				u.task = t.Name
			} else {
				u.container = t.Name
			}
			out = append(out, u)
		}
	}
	return out
}

// dockerPatience is how long an engine may take to say what runs.
const dockerPatience = 3 * time.Second

// withDocker asks the Docker engine here for a few seconds at most, if there
// is one.
func withDocker(ctx context.Context, ask func(ctx context.Context, docker *client.Client)) {
	ctx, cancel := context.WithTimeout(ctx, dockerPatience)
	defer cancel()
	docker, err := client.New(client.FromEnv)
	if err != nil {
		return
	}
	defer docker.Close()
	ask(ctx, docker)
}

package main

import (
	"context"

	"github.com/moby/moby/client"

	"github.com/casit/berth/volume"
)

// inspected is a volume, and where the options that this node's Docker knows
// of it differ: those of the stack file or command that first named it here.
type inspected struct {
	*volume.Info
	Drift []finding `json:"drift,omitempty"`
}

func (a *app) printInspected(ctx context.Context, volumes []*volume.Info) error {
	known := dockerOptions(ctx, volumes)
	out := make([]inspected, len(volumes))
	for i, v := range volumes {
		out[i] = inspected{Info: v, Drift: drift(v.Name, v.Options, known[v.Name])}
		for _, d := range out[i].Drift {
			if d.Option == "" {
				a.say("%s: %s; %s", v.Name, d.Problem, d.Mend)
				continue
			}
			a.say("%s: Docker here was told %s=%s, and the volume has %s: type '%s', or change the stack file", v.Name, d.Option, d.File, d.Live, d.Mend)
		}
	}
	return a.printJSON(out)
}

// dockerOptions asks the Docker engine here, if there is one, for the options
// that it was given.
func dockerOptions(ctx context.Context, volumes []*volume.Info) map[string]volume.Options {
	out := map[string]volume.Options{}
	withDocker(ctx, func(ctx context.Context, docker *client.Client) {
		for _, v := range volumes {
			got, err := docker.VolumeInspect(ctx, v.Name, client.VolumeInspectOptions{})
			if err != nil || !isBerth(got.Volume.Driver) {
				continue
			}
			if given, err := volume.ParseOptions(got.Volume.Options); err == nil {
				out[v.Name] = given
			}
		}
	})
	return out
}

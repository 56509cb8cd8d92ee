package examine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/swarm"
	"github.com/moby/moby/client"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/docker"
	"github.com/casit/berth/doctor"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/stack"
)

// dockerEngine is the Docker engine of this node as the doctor found it.
type dockerEngine struct {
	err    error // it does not answer
	plugin doctor.Plugin
	env    []string // the plugin's, as 'docker plugin set' left it
	swarm  bool     // this node is a manager: it knows the others
}

// lookAtEngine asks for what is known without any plugin's help.
func lookAtEngine(ctx context.Context) (e dockerEngine) {
	e.err = errors.New("it has no client here")
	docker.With(ctx, func(ctx context.Context, engine *client.Client) {
		info, err := engine.Info(ctx, client.InfoOptions{})
		if e.err = err; err != nil {
			return
		}
		e.swarm = info.Info.Swarm.ControlAvailable
		list, err := engine.PluginList(ctx, client.PluginListOptions{})
		if e.err = err; errdefs.IsNotFound(err) {
			e.err = nil // podman speaks the engine's API, and has no managed plugins
		}
		for _, p := range list.Items {
			if stack.IsBerth(p.Name) && (e.plugin.Name == "" || p.Enabled) {
				e.plugin, e.env = doctor.Plugin{Name: p.Name, Enabled: p.Enabled}, p.Settings.Env
			}
		}
	})
	return e
}

// getenv is the environment of the managed plugin.
func (e *dockerEngine) getenv(name string) string {
	for _, v := range e.env {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// checks are what only the engine knows. They compare it with what the plugin
// says, if that and its export answer.
func (e *dockerEngine) checks(a asker, answers bool) []doctor.Check {
	if e.err != nil {
		return []doctor.Check{{Group: "docker", Name: "engine", Look: func(context.Context) []doctor.Finding {
			return []doctor.Finding{doctor.NoEngine(e.err)}
		}}}
	}
	look := func(name string, look func(ctx context.Context, a asker, engine *client.Client) (doctor.Finding, error)) doctor.Check {
		return doctor.Check{Group: "docker", Name: name, Next: "systemctl status docker", Look: func(ctx context.Context) (found []doctor.Finding) {
			if !answers {
				return nil
			}
			engine, err := client.New(client.FromEnv)
			if err != nil {
				return []doctor.Finding{doctor.Failed(err)}
			}
			defer engine.Close()
			f, err := look(ctx, a, engine)
			if err != nil {
				f = doctor.Failed(err)
			}
			return []doctor.Finding{f}
		}}
	}
	all := []doctor.Check{look("shadows", lookForShadows), look("options", lookForDrift), look("claims", lookForClaims)}
	if e.swarm {
		all = append(all, look("swarm", lookAtSwarm))
	}
	return all
}

func lookForShadows(ctx context.Context, a asker, engine *client.Client) (doctor.Finding, error) {
	ours, err := ask[plugin.Names](ctx, a, "Berth.VolumeNames", plugin.Empty{})
	if err != nil {
		return doctor.Finding{}, err
	}
	all, err := engine.VolumeList(ctx, client.VolumeListOptions{Filters: client.Filters{}.Add("driver", "local")})
	var local []string
	for _, v := range all.Items {
		local = append(local, v.Name)
	}
	return doctor.Shadows(local, ours.Names), err
}

func lookForDrift(ctx context.Context, a asker, _ *client.Client) (doctor.Finding, error) {
	got, err := ask[plugin.Volumes](ctx, a, "Berth.VolumeInspect", plugin.InspectRequest{})
	if err != nil {
		return doctor.Finding{}, err
	}
	known := docker.Options(ctx, got.Volumes)
	var differ []string
	next := ""
	for _, v := range got.Volumes {
		for _, d := range stack.Drift(v.Name, v.Options, known[v.Name]) {
			text := v.Name + ": " + d.Problem
			if d.Option != "" {
				text = fmt.Sprintf("%s: Docker here was told %s=%s, the volume has %q", v.Name, d.Option, d.File, d.Live)
			}
			if differ = append(differ, text); next == "" {
				next = d.Mend + "; or change the stack file"
			}
		}
	}
	return doctor.Drift(differ, next), nil
}

// claims compares this node's uses of volumes with its containers. They are
// asked for twice: a container may start in between.
func lookForClaims(ctx context.Context, a asker, engine *client.Client) (doctor.Finding, error) {
	about, err := ask[plugin.About](ctx, a, "Berth.Version", plugin.Empty{})
	if err != nil {
		return doctor.Finding{}, err
	}
	before, err := ask[plugin.Users](ctx, a, "Berth.VolumeUsers", plugin.UsersRequest{})
	if err != nil {
		return doctor.Finding{}, err
	}
	select {
	case <-time.After(time.Second): // a container that starts is not there yet
	case <-ctx.Done():
	}
	containers, err := docker.MountCounts(ctx, engine)
	if err != nil {
		return doctor.Finding{}, err
	}
	after, err := ask[plugin.Users](ctx, a, "Berth.VolumeUsers", plugin.UsersRequest{})
	return doctor.Claims(of(about.Node, before), of(about.Node, after), containers), err
}

// of picks the uses by one node.
func of(node string, u plugin.Users) (out []cluster.User) {
	for _, x := range u.Users {
		if x.Node == node {
			out = append(out, x)
		}
	}
	return out
}

func lookAtSwarm(ctx context.Context, a asker, engine *client.Client) (doctor.Finding, error) {
	about, err := ask[plugin.About](ctx, a, "Berth.Version", plugin.Empty{})
	if err != nil {
		return doctor.Finding{}, err
	}
	nodes, err := engine.NodeList(ctx, client.NodeListOptions{})
	var ready []string
	for _, n := range nodes.Items {
		if n.Status.State == swarm.NodeStateReady {
			ready = append(ready, n.Description.Hostname)
		}
	}
	return doctor.Swarm(ready, about.Nodes), err
}

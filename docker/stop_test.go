package docker

import (
	"testing"

	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/docker/dockertest"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/snapshot"
)

const (
	// manager is a manager m1 whose other nodes are w1 and w2.
	manager = `{"Name":"m1","Swarm":{"ControlAvailable":true}}`
	nodes   = `[{"ID":"a","Description":{"Hostname":"m1"},"Status":{"State":"ready"}},{"ID":"b","Description":{"Hostname":"w1"},"Status":{"State":"ready"}},{"ID":"c","Description":{"Hostname":"w2"},"Status":{"State":"ready"}}]`
	// web is a service on blog with a task on w1 and one that has ended on w2.
	web = `[{"ID":"s","Spec":{"Name":"web","Mode":{"Replicated":{"Replicas":2}},"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"blog"}]}}}}]`
	// agent is a service on blog that runs on every node.
	agent = `[{"ID":"g","Spec":{"Name":"agent","Mode":{"Global":{}},"TaskTemplate":{"ContainerSpec":{"Mounts":[{"Type":"volume","Source":"blog"}]}}}}]`
	tasks = `[{"ID":"t1","ServiceID":"s","NodeID":"b","Slot":1,"Status":{"State":"running"},"Spec":{"ContainerSpec":{"Image":"i","Mounts":[{"Type":"volume","Source":"blog"}]}}},
		{"ID":"t2","ServiceID":"s","NodeID":"c","Slot":2,"Status":{"State":"shutdown"},"Spec":{"ContainerSpec":{"Image":"i","Mounts":[{"Type":"volume","Source":"blog"}]}}}]`
)

// on are the users of blog on some nodes.
func on(names ...string) (users []cluster.User) {
	for _, n := range names {
		users = append(users, cluster.User{Volume: "blog", Node: n, State: cluster.Live})
	}
	return users
}

func TestPlanStopReachesEveryUserOrRefuses(t *testing.T) {
	single := []dockertest.Container{{Name: "site", Volumes: []string{"blog"}}, {Name: "shell", Volumes: []string{"blog", "other"}, AutoRemove: true}, {Name: "apart", Volumes: []string{"other"}}, {Name: "ended", Volumes: []string{"blog"}, State: "exited"}}
	for name, c := range map[string]struct {
		info, services string
		containers     []dockertest.Container
		users          []cluster.User
		stops          []string // services and containers
		lost           []string
		refused        string
		kind           problem.Kind
	}{
		"one engine":                  {`{"Name":"m1"}`, "", single, on("m1"), []string{"shell", "site"}, []string{"shell"}, "", ""},
		"nobody uses it":              {`{"Name":"m1"}`, "", nil, nil, nil, nil, "", ""},
		"a user elsewhere":            {`{"Name":"m1"}`, "", single, on("m1", "w1"), nil, nil, "blog is in use on w1, and nothing here can be stopped for it", problem.InUse},
		"a use without a container":   {`{"Name":"m1"}`, "", nil, on("m1"), nil, nil, "blog is in use on m1, and nothing here can be stopped for it", problem.InUse},
		"a service":                   {manager, web, nil, on("w1"), []string{"web"}, nil, "", ""},
		"a service and a container":   {manager, web, single[:1], on("m1", "w1"), []string{"web", "site"}, nil, "", ""},
		"a container of another node": {manager, web, nil, on("w1", "w2"), nil, nil, "blog is in use on w2, and nothing here can be stopped for it", problem.InUse},
		"a node of another name":      {manager, web, nil, on("berth-7"), []string{"web"}, nil, "", ""},
		"no service has it":           {manager, "[]", nil, on("berth-7"), nil, nil, "blog is in use on berth-7", problem.InUse},
		"a global service":            {manager, agent, nil, on("w1"), nil, nil, "service agent is not replicated", problem.InUse},
		"a worker":                    {`{"Name":"w1","Swarm":{"RemoteManagers":[{"Addr":"10.0.0.2:2377"},{"Addr":"10.0.0.1:2377"}]}}`, "", []dockertest.Container{{Name: "web.1", Service: "web", Volumes: []string{"blog"}}}, on("m1"), nil, nil, "service web has to be stopped, and this node is no manager", problem.InUse},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			e.Answer("/info", c.info)
			if c.services != "" {
				e.Answer("/services", c.services)
				e.Answer("/nodes", nodes)
				e.Answer("/tasks", tasks)
			}
			for _, container := range c.containers {
				e.Set(container)
			}
			engine, err := client.New(client.FromEnv)
			require.NoError(t, err)
			defer engine.Close()
			stops, err := PlanStop(t.Context(), engine, []string{"blog"}, c.users, "m1")
			require.Empty(t, e.Did(), "planning changes nothing")
			if c.refused != "" {
				require.ErrorContains(t, err, c.refused)
				require.Equal(t, c.kind, problem.KindOf(err))
				return
			}
			require.NoError(t, err)
			var names []string
			for _, s := range stops.Services {
				names = append(names, s.Name)
			}
			for _, s := range stops.Containers {
				names = append(names, s.Name)
			}
			require.Equal(t, c.stops, names)
			require.Equal(t, c.lost, stops.Lost)
		})
	}
}

func TestStartSaysWhatIsGoneAndGoesOn(t *testing.T) {
	e := newEngine(t)
	e.Set(dockertest.Container{Name: "broken", State: "exited", Broken: true})
	e.Set(dockertest.Container{Name: "removing", State: "removing", Broken: true})
	e.Set(dockertest.Container{Name: "fine", State: "exited"})
	engine, err := client.New(client.FromEnv)
	require.NoError(t, err)
	defer engine.Close()
	var said []string
	var s snapshot.Stopped
	for _, name := range []string{"gone", "broken", "removing", "fine"} {
		s.Containers = append(s.Containers, snapshot.StoppedContainer{ID: name, Name: name})
	}
	gone, err := Start(t.Context(), engine, s, func(line string) { said = append(said, line) })
	require.ErrorContains(t, err, "start container broken: ")
	require.NotContains(t, err.Error(), "removing")
	require.Equal(t, []string{"container gone", "container removing"}, gone)
	require.Equal(t, []string{"started container fine"}, said)
	require.NoError(t, Stop(t.Context(), engine, s, func(string) {}), "what is gone is stopped")
	require.Equal(t, []string{"start fine", "stop broken", "stop removing", "stop fine"}, e.Did())
}

func TestAVolumeIsUnusedOnlyWhereSomebodyKnows(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix:///no/engine")
	require.ErrorContains(t, RequireUnused(t.Context(), "blog"), "whether a container has blog is not known: ")
	e := newEngine(t)
	e.Answer("/info", `{"Name":"another-host"}`)
	require.ErrorContains(t, RequireUnused(t.Context(), "blog"), "the Docker engine is that of another-host")
}

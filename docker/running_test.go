package docker

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/docker/dockertest"
)

// newEngine is an engine that this process's environment names.
func newEngine(t *testing.T) *dockertest.Engine {
	dir, err := os.MkdirTemp("", "e") // a socket's path must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	e, err := dockertest.New(filepath.Join(dir, "s"))
	require.NoError(t, err)
	t.Cleanup(e.Close)
	t.Setenv("DOCKER_HOST", e.Host())
	return e
}

// TestWhatAnEngineSaysRuns asks an engine that answers with the JSON of a
// manager, and of a single machine.
func TestWhatAnEngineSaysRuns(t *testing.T) {
	answers := func(body string) {
		var all map[string]json.RawMessage
		require.NoError(t, json.Unmarshal([]byte(body), &all))
		e := newEngine(t)
		for path, answer := range all {
			e.Answer(path, string(answer))
		}
	}
	const containers = `[{"Id":"0123456789abcdef","Names":["/shop_web.1.x"],"State":"running","Labels":{"com.docker.swarm.task.name":"shop_web.1.x"}},
		{"Id":"fedcba9876543210","Names":["/lonely"],"Image":"mariadb:11.4","State":"running","Created":1764000000,"Labels":{"com.docker.compose.project":"own"},
		 "Mounts":[{"Type":"volume","Name":"depot_pg"},{"Type":"bind","Source":"/etc"}]}]`
	lonely := Task{ID: "fedcba9876543210", Name: "lonely", Node: "m1", Stack: "own", Image: "mariadb:11.4", State: "running", Since: time.Unix(1764000000, 0).UTC(), Volumes: []string{"depot_pg"}}

	answers(`{"/info":{"Name":"m1","ServerVersion":"27.3.1","Swarm":{"ControlAvailable":true}},"/json":` + containers + `,
		"/nodes":[{"ID":"a","Spec":{"Role":"manager","Availability":"active"},"Description":{"Hostname":"m1","Engine":{"EngineVersion":"27.3.1"}},"Status":{"State":"ready"}},
			{"ID":"b","Spec":{"Role":"worker","Availability":"drain"},"Description":{"Hostname":"w1","Engine":{"EngineVersion":"20.10.24"}},"Status":{"State":"down"}}],
		"/services":[{"ID":"s","Spec":{"Name":"shop_web","Labels":{"com.docker.stack.namespace":"shop"}}},{"ID":"g","Spec":{"Name":"agent"}}],
		"/tasks":[{"ID":"t1","ServiceID":"s","NodeID":"b","Slot":1,"Status":{"State":"running","Timestamp":"2026-11-25T14:29:00Z"},
				"Spec":{"ContainerSpec":{"Image":"wordpress:6.8@sha256:00","Mounts":[{"Type":"volume","Source":"shop_web"},{"Type":"bind","Source":"/x"}]}}},
			{"ID":"t2","ServiceID":"g","NodeID":"a","Status":{"State":"starting"},"Spec":{"ContainerSpec":{"Image":"agent"}}},
			{"ID":"t3","ServiceID":"s","Slot":2,"Status":{"State":"pending"},"Spec":{"ContainerSpec":{"Image":"wordpress"}}}]}`)
	got, err := Running(t.Context())
	require.NoError(t, err)
	require.Equal(t, Cluster{Swarm: true,
		Nodes: []Node{{Name: "m1", Role: "manager", State: "ready", Availability: "active", Engine: "27.3.1"}, {Name: "w1", Role: "worker", State: "down", Availability: "drain", Engine: "20.10.24"}},
		Tasks: []Task{
			{ID: "t1", Name: "shop_web.1", Node: "w1", Stack: "shop", Service: "shop_web", Image: "wordpress:6.8", State: "running", Since: time.Date(2026, 11, 25, 14, 29, 0, 0, time.UTC), Volumes: []string{"shop_web"}},
			{ID: "t2", Name: "agent", Node: "m1", Service: "agent", Image: "agent", State: "starting"}, lonely,
		}}, got, "tasks that are nowhere yet, and tasks' containers, are left out")

	answers(`{"/info":{"Name":"m1","ServerVersion":"27.3.1"},"/json":` + containers + `}`)
	got, err = Running(t.Context())
	require.NoError(t, err)
	require.False(t, got.Swarm)
	require.Equal(t, []Node{{Name: "m1", State: "ready", Engine: "27.3.1"}}, got.Nodes)
	require.Len(t, got.Tasks, 2)
	require.Equal(t, lonely, got.Tasks[1])

	t.Setenv("DOCKER_HOST", "unix:///no/engine")
	_, err = Running(t.Context())
	require.ErrorContains(t, err, "ask Docker: ")
}

// Package dockertest is a Docker engine for tests: it speaks the engine's HTTP
// API on a socket, and has containers and services that can be stopped,
// started and scaled.
//
//	e := dockertest.New(filepath.Join(dir, "docker.sock"))
//	defer e.Close()
//	e.Set(dockertest.Container{Name: "web", Volumes: []string{"blog"}, AutoRemove: true})
//	t.Setenv("DOCKER_HOST", e.Host())
//
// What it does not have, Answer gives it: the body for a path's last element.
package dockertest

import (
	"encoding/json"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
)

// Container is a container of the engine.
type Container struct {
	Name       string // its id too
	Volumes    []string
	Service    string // whose task it is
	AutoRemove bool   // docker run --rm
	State      string // running if ""
	Broken     bool   // it cannot be started
}

// Engine is the engine. It may be used concurrently.
type Engine struct {
	// Stopped is called when a container has stopped, and Started when one is
	// about to start: dockerd sends Unmount and Mount then.
	Stopped, Started func(Container)

	socket string
	server http.Server

	mu         sync.Mutex // guards the fields below
	answers    map[string]json.RawMessage
	containers map[string]Container
	did        []string
}

// New starts an engine on a socket.
func New(socket string) (*Engine, error) {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return nil, err
	}
	e := &Engine{socket: socket, answers: map[string]json.RawMessage{"/info": json.RawMessage(`{"Name":"node1"}`)}, containers: map[string]Container{}}
	e.server.Handler = e
	go func() { _ = e.server.Serve(l) }()
	return e, nil
}

// Close ends it.
func (e *Engine) Close() { _ = e.server.Close() }

// Host is the value of DOCKER_HOST.
func (e *Engine) Host() string { return "unix://" + e.socket }

// Set makes or changes a container.
func (e *Engine) Set(c Container) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.State == "" {
		c.State = "running"
	}
	e.containers[c.Name] = c
}

// Answer makes the body for a path's last element, such as "/info".
func (e *Engine) Answer(path, body string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answers[path] = json.RawMessage(body)
}

// Did lists what was changed, in order: "stop web", "start web".
func (e *Engine) Did() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.did)
}

// ServeHTTP answers the engine's API.
func (e *Engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.44")
	w.Header().Set("Content-Type", "application/json")
	parts := strings.Split(r.URL.Path, "/") // "", "v1.44", "containers", ID, VERB
	if len(parts) == 5 && parts[2] == "containers" && parts[3] != "json" {
		e.container(w, parts[3], parts[4])
		return
	}
	e.mu.Lock()
	body, ok := e.answers["/"+parts[len(parts)-1]]
	e.mu.Unlock()
	switch {
	case parts[len(parts)-1] == "_ping":
	case ok:
		_, _ = w.Write(body)
	case len(parts) == 4 && parts[2] == "containers" && parts[3] == "json":
		_ = json.NewEncoder(w).Encode(e.list())
	default:
		http.Error(w, `{"message":"page not found"}`, http.StatusNotFound)
	}
}

// list is the answer to GET /containers/json.
func (e *Engine) list() []map[string]any {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := []map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(e.containers)) {
		c := e.containers[name]
		if c.State != "running" {
			continue
		}
		labels, mounts := map[string]string{}, []map[string]string{}
		if c.Service != "" {
			labels["com.docker.swarm.service.name"] = c.Service
		}
		for _, v := range c.Volumes {
			mounts = append(mounts, map[string]string{"Type": "volume", "Name": v})
		}
		out = append(out, map[string]any{"Id": c.Name, "Names": []string{"/" + c.Name}, "State": c.State, "Labels": labels, "Mounts": mounts})
	}
	return out
}

// container answers for one container.
func (e *Engine) container(w http.ResponseWriter, id, verb string) {
	e.mu.Lock()
	c, ok := e.containers[id]
	e.mu.Unlock()
	if !ok {
		http.Error(w, `{"message":"No such container: `+id+`"}`, http.StatusNotFound)
		return
	}
	switch verb {
	case "json":
		_ = json.NewEncoder(w).Encode(map[string]any{"Id": c.Name, "State": map[string]any{"Status": c.State}, "HostConfig": map[string]any{"AutoRemove": c.AutoRemove}})
	case "stop":
		e.change(c, verb, "exited")
		if e.Stopped != nil {
			e.Stopped(c)
		}
		w.WriteHeader(http.StatusNoContent)
	case "start":
		if c.Broken {
			http.Error(w, `{"message":"port is already allocated"}`, http.StatusInternalServerError)
			return
		}
		if e.Started != nil {
			e.Started(c)
		}
		e.change(c, verb, "running")
		w.WriteHeader(http.StatusNoContent)
	default:
		http.Error(w, `{"message":"page not found"}`, http.StatusNotFound)
	}
}

// change notes what was done, and the container's state; the engine removes a
// container of 'docker run --rm' when it stops.
func (e *Engine) change(c Container, verb, state string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.did = append(e.did, verb+" "+c.Name)
	if c.State = state; c.AutoRemove && state == "exited" {
		delete(e.containers, c.Name)
		return
	}
	e.containers[c.Name] = c
}

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/docker/dockertest"
)

// engine starts a Docker engine beside the plugin. As dockerd does, it unmounts
// the volumes of a container that stops and mounts them for one that starts.
func (s *server) engine(containers ...dockertest.Container) *dockertest.Engine {
	s.t.Helper()
	e, err := dockertest.New(filepath.Join(s.dir, "docker.sock"))
	require.NoError(s.t, err)
	s.t.Cleanup(e.Close)
	s.t.Setenv("DOCKER_HOST", e.Host())
	verb := func(verb string) func(dockertest.Container) {
		return func(c dockertest.Container) {
			for _, v := range c.Volumes {
				s.docker(verb, fmt.Sprintf(`{"Name":%q,"ID":%q}`, v, c.Name))
			}
		}
	}
	e.Stopped, e.Started = verb("Unmount"), verb("Mount")
	for _, c := range containers {
		e.Set(c)
		if c.State == "" {
			e.Started(c)
		}
	}
	return e
}

// blog is a server with a volume that has a snapshot s1, and was changed since.
func blog(t *testing.T) *server {
	s := serve(t)
	s.docker("Create", `{"Name":"blog"}`)
	s.write("blog/index.php", "old")
	s.must("snapshot", "create", "blog", "--name", "s1", "-q")
	s.write("blog/index.php", "newer")
	return s
}

// elsewhere makes a node that beats and uses a volume.
func (s *server) elsewhere(node, volume string) {
	s.write(".berth/nodes/"+node+".json", `{"version":1,"node":"`+node+`","incarnation":"8307c64c89a0bfce","boot":"b1","counter":7,"ttl_seconds":90,"state":"up","berth":"test","health":"ok","written":"2026-11-23T00:00:03Z"}`)
	s.write(".berth/leases/"+volume+"/"+node+".json", `{"version":1,"volume":"`+volume+`","node":"`+node+`","boot":"b1","incarnation":"8307c64c89a0bfce","since":"2026-11-23T00:00:03Z","mounts":{"x":{"count":1,"since":"2026-11-23T00:00:03Z","generation":1}}}`)
}

var web = dockertest.Container{Name: "web", Volumes: []string{"blog"}}

func TestStopStopsRestoresAndStarts(t *testing.T) {
	s := blog(t)
	e := s.engine(web, dockertest.Container{Name: "other", Volumes: []string{"shop"}, State: "exited"})
	got := s.types("snapshot", "restore", "blog@s1", "--yes")
	require.Equal(t, exitInUse, got.code)
	require.Contains(t, got.err, "berth: blog is in use by container web on node1\n")
	require.Empty(t, e.Did())

	got = s.types("snapshot", "restore", "blog@s1", "--stop", "--yes")
	require.Equal(t, exitDone, got.code, got.err)
	require.Contains(t, got.out, "in use by container web on node1: is stopped, and started again")
	require.Regexp(t, `(?m)^blog: restored, blog@s1 \(`, got.out)
	require.Equal(t, "berth: stopping container web\nberth: started container web\nberth: to take it back: berth undo blog --stop\n", got.err)
	require.Equal(t, []string{"stop web", "start web"}, e.Did())
	require.Equal(t, "old", s.read("blog/index.php"))

	got = s.types("undo", "blog", "--stop", "--yes", "-q")
	require.Equal(t, said{0, "blog\n", ""}, got)
	require.Equal(t, "newer", s.read("blog/index.php"))
	require.Empty(t, s.jobs())
}

// TestAUserElsewhereIsNoticedBeforeAnythingIsStopped: also by --resume.
func TestAUserElsewhereIsNoticedBeforeAnythingIsStopped(t *testing.T) {
	s := blog(t)
	e := s.engine(web)
	s.elsewhere("node2", "blog")
	got := s.types("snapshot", "restore", "blog@s1", "--stop", "--yes")
	require.Equal(t, exitInUse, got.code, got.out+got.err)
	require.Equal(t, "berth: blog is in use on node2, and nothing here can be stopped for it\nberth: hint: type it on node2, or stop its containers there first\n", got.err)
	require.Empty(t, e.Did())
	require.Empty(t, s.jobs())

	got = s.types("snapshot", "restore", "blog@s1", "--stop", "--dry-run")
	require.Equal(t, exitDone, got.code, "it is said, and nothing more")
	require.Contains(t, got.err, "nothing here can be stopped for it")

	require.NoError(t, os.Remove(filepath.Join(s.export, ".berth/leases/blog/node2.json")))
	s.prepared("web")
	s.elsewhere("node2", "blog")
	got = s.types("snapshot", "restore", "--resume", "blog")
	require.Equal(t, exitInUse, got.code)
	require.Contains(t, got.err, "blog is in use on node2, and nothing here can be stopped for it")
	require.Contains(t, got.err, "'--abort blog' ends the restore")
	require.Empty(t, e.Did())
	require.Len(t, s.jobs(), 1)
}

// prepared writes a restore down whose command line went away before it stopped
// the container.
func (s *server) prepared(container string) {
	s.t.Helper()
	var job struct{ ID string }
	c, err := (&app{socket: s.socket}).client()
	require.NoError(s.t, err)
	request := json.RawMessage(`{"request":{"refs":["blog@s1"],"stop":true},"stopped":{"containers":[{"id":"` + container + `","name":"` + container + `","node":"node1"}]}}`)
	require.NoError(s.t, c.Call(s.t.Context(), "Berth.RestorePrepare", request, &job))
}

// TestAContainerThatDockerRemovesIsAskedFor: 'docker run --rm'.
func TestAContainerThatDockerRemovesIsAskedFor(t *testing.T) {
	s := blog(t)
	e := s.engine(web, dockertest.Container{Name: "shell", Volumes: []string{"blog"}, AutoRemove: true})
	got := s.types("snapshot", "restore", "blog@s1", "--stop")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.out, "container shell runs with --rm: Docker removes it when it stops, and it is NOT started again")
	require.Contains(t, got.err, "berth: Restore, and lose 1 container (shell) for good? Nobody is here to answer\nberth: hint: add --yes")
	require.Empty(t, e.Did())
	require.Empty(t, s.jobs())

	got = s.types("snapshot", "restore", "blog@s1", "--stop", "--yes")
	require.Equal(t, exitFailed, got.code)
	require.Equal(t, []string{"stop shell", "stop web", "start web"}, e.Did())
	require.Contains(t, got.out, "blog: restored, blog@s1")
	require.Contains(t, got.err, "berth: container shell could not be started again: Docker has removed it\n")
	require.Equal(t, "old", s.read("blog/index.php"))
	require.Empty(t, s.jobs(), "nothing is left to be done")
}

// TestAContainerThatDoesNotStartIsTriedAgain by --resume, and said.
func TestAContainerThatDoesNotStartIsTriedAgain(t *testing.T) {
	s := blog(t)
	broken := web
	broken.Broken = true
	e := s.engine()
	e.Started(broken)
	e.Set(broken)
	got := s.types("snapshot", "restore", "blog@s1", "--stop", "--yes", "--json")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.out, `"done": "restored"`)
	require.Contains(t, got.err, "start container web: ")
	require.Contains(t, got.err, "'berth snapshot restore --resume blog' tries again to start what was stopped")
	require.Contains(t, s.must("volume", "ps", "blog"), "restore swapped: 'berth snapshot restore --resume blog' or '--abort blog'")

	stopped := web
	stopped.State = "exited"
	e.Set(stopped)
	require.Contains(t, s.must("snapshot", "restore", "--resume", "blog"), "blog: restored, blog@s1")
	require.Equal(t, []string{"stop web", "start web"}, e.Did())
	require.Empty(t, s.jobs())
}

func TestAbortStartsWhatWasStopped(t *testing.T) {
	s := blog(t)
	e := s.engine()
	e.Set(dockertest.Container{Name: "web", State: "exited"})
	s.prepared("web")
	got := s.types("undo", "blog", "--yes")
	require.NotEqual(t, exitDone, got.code)
	require.Equal(t, "blog: the restore is ended\n", s.must("snapshot", "restore", "--abort", "blog"))
	require.Equal(t, []string{"start web"}, e.Did())
	require.Equal(t, "newer", s.read("blog/index.php"))
	require.Empty(t, s.jobs())

	s.prepared("gone")
	got = s.types("snapshot", "restore", "--abort", "blog")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "container gone could not be started again")
	require.Empty(t, s.jobs())
}

// TestResumeLeavesWhatAnotherNodeCarriesOut alone.
func TestResumeLeavesWhatAnotherNodeCarriesOut(t *testing.T) {
	s := blog(t)
	e := s.engine(web)
	s.prepared("web")
	s.elsewhere("node2", "shop")
	file := ".berth/staging/" + s.jobs()[0].ID + "/journal.json"
	journal := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(s.read(file)), &journal))
	journal["state"], journal["node"], journal["incarnation"] = "copying", "node2", "8307c64c89a0bfce"
	text, err := json.Marshal(journal)
	require.NoError(t, err)
	s.write(file, string(text))
	got := s.types("snapshot", "restore", "--resume", "blog")
	require.Equal(t, exitInUse, got.code, got.err)
	require.Contains(t, got.err, "berth: the restore of blog is under way on node2\n")
	require.Empty(t, e.Did())
}

func TestWithoutAnEngineNothingIsStopped(t *testing.T) {
	s := blog(t)
	got := s.types("snapshot", "restore", "blog@s1", "--stop", "--yes")
	require.Equal(t, exitFailed, got.code)
	require.Contains(t, got.err, "no Docker engine answers here, so nothing can be stopped")
	require.Empty(t, s.jobs())
	require.Equal(t, "newer", s.read("blog/index.php"))
}

// TestAnErrorSaysAllThatIsWrong: neither hides the other.
func TestAnErrorSaysAllThatIsWrong(t *testing.T) {
	s := blog(t)
	e := s.engine(web)
	stopped := e.Stopped
	e.Stopped = func(c dockertest.Container) {
		stopped(c)
		c.Broken = true
		e.Set(dockertest.Container{Name: c.Name, State: "exited", Broken: true})
		require.NoError(t, os.RemoveAll(filepath.Join(s.export, ".snapshot/s1/blog")))
	}
	got := s.types("snapshot", "restore", "blog@s1", "--stop", "--yes")
	require.NotEqual(t, exitDone, got.code)
	require.NotContains(t, got.out, "restored")
	require.Equal(t, 1, strings.Count(got.err, "; and start container web: "), got.err)
	require.Len(t, s.jobs(), 1)
	require.Equal(t, "newer", s.read("blog/index.php"))
}

package integration

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

// A household is an engine with things of its owner on it: a swarm with a
// service, another plugin that has the demo's favourite name, and a container,
// a volume and an image that the demo would like to make.
type household struct {
	*lab.Node
	build string
}

func newHousehold(t *testing.T) household {
	t.Helper()
	root, err := lab.Root()
	require.NoError(t, err)
	build := t.TempDir()
	cmd := exec.Command("make", "demo-build", "BUILD="+build)
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))

	l, n := single(t, lab.Options{})
	l.Swarm(t)
	startWriter(t, l, n, "blog")
	n.Docker(t, "create", "--name", "blog-site", lab.SiteImage, "cat", "/")
	n.Docker(t, "tag", lab.SiteImage, "berth-demo-site:latest")
	n.Docker(t, "service", "create", "--detach", "--no-resolve-image", "--name", "owner", "--network", "host", lab.SiteImage, "append", "/log")
	runningOn(t, n, "owner", "")
	return household{n, build}
}

// inventory is all that the engine has, and all of the demo that a machine
// could keep.
func (h household) inventory(t *testing.T) string {
	t.Helper()
	var all []string
	for _, what := range []string{
		"plugin ls --no-trunc --format {{.ID}}{{.Name}}{{.Enabled}}",
		"volume ls --format {{.Driver}}{{.Name}}",
		"container ls --all --no-trunc --format {{.ID}}{{.Names}}{{.State}}",
		"image ls --all --no-trunc --format {{.ID}}{{.Repository}}{{.Tag}}",
		"network ls --no-trunc --format {{.ID}}{{.Name}}",
		"service ls --format {{.ID}}{{.Name}}{{.Replicas}}",
		"node ls --format {{.ID}}{{.Status}}{{.Availability}}",
	} {
		// The engine lists images of one second in no order.
		lines := strings.Split(h.Docker(t, strings.Fields(what)...), "\n")
		slices.Sort(lines)
		all = append(all, lines...)
	}
	folders, err := filepath.Glob("/tmp/berth-demo.*")
	require.NoError(t, err)
	all = append(all, folders...)
	return strings.Join(append(all, h.Mounts(t)...), "\n")
}

// demo is the command that runs the demo on the engine, in a process group of
// its own as a shell would have it, writing to out.
func (h household) demo(t *testing.T, out io.Writer) *exec.Cmd {
	t.Helper()
	root, err := lab.Root()
	require.NoError(t, err)
	cmd := h.Command("bash", filepath.Join(root, "demo/demo.sh"))
	cmd.Env = append(cmd.Env, "BUILD="+h.build)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

func TestDemoTellsItsStoryAndLeavesNothing(t *testing.T) {
	h := newHousehold(t)
	before := h.inventory(t)
	var transcript bytes.Buffer
	require.NoError(t, h.demo(t, &transcript).Run(), "%s", &transcript)
	require.Equal(t, before, h.inventory(t))

	story := transcript.String()
	require.Equal(t, 5, strings.Count(story, "\nOur blog, 412 posts\n"), "new, restored, as a view, redone, undeleted:\n%s", story)
	require.Equal(t, 2, strings.Count(story, "\nHACKED\n"), "updated, undone:\n%s", story)
	at := -1
	for _, line := range []string{"$ docker plugin create berth-demo ", "$ docker plugin enable ", "$ docker volume create -d berth-demo ",
		"$ docker run ", "$ berth snapshot create ", "$ berth snapshot diff ", "(exit 4)", "--stop --yes", "$ berth undo ", "$ docker volume rm ", "$ berth trash restore ", "# All of it is removed again."} {
		next := strings.Index(story, line)
		require.Greater(t, next, at, "%q is missing or out of order:\n%s", line, story)
		at = next
	}
}

func TestInterruptedDemoLeavesNothing(t *testing.T) {
	h := newHousehold(t)
	before := h.inventory(t)
	for _, moment := range []string{"$ docker plugin create", "$ docker run", "$ docker volume rm"} {
		out, err := os.Create(filepath.Join(t.TempDir(), "transcript"))
		require.NoError(t, err)
		// Not the file itself but a copy of the output: then Wait waits for
		// the shell inside the node, not only for the program that went there.
		demo := h.demo(t, struct{ io.Writer }{out})
		require.NoError(t, demo.Start())
		lab.Eventually(t, "the demo to come to "+moment, func() error {
			if text := mustRead(t, out.Name()); !bytes.Contains(text, []byte(moment)) {
				return fmt.Errorf("transcript so far:\n%s", text)
			}
			return nil
		})
		// As Ctrl-C does: to the whole group in the foreground.
		require.NoError(t, syscall.Kill(-demo.Process.Pid, syscall.SIGINT))
		require.Error(t, demo.Wait(), "an interrupted demo says so")
		text := string(mustRead(t, out.Name()))
		require.Contains(t, text, "# Interrupted; all that was made is removed again.", "at %q", moment)
		require.Equal(t, before, h.inventory(t), "interrupted at %q:\n%s", moment, text)
	}
}

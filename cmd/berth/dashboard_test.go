package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/dashboard"
	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/plugin"
)

// dashboardPlugin is a plugin on a directory with the volume blog.
func dashboardPlugin(t *testing.T, socket string) {
	export := shortDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(export, "blog"), 0o755))
	env := map[string]string{"BERTH_EXPORT": "file://" + export, "BERTH_NODE": "node1", "BERTH_MOUNT_ROOT": t.TempDir()}
	log := logrus.New()
	log.SetOutput(io.Discard)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	srv := plugin.New(plugin.Config{Log: log, Socket: socket, Version: "test", SettingsFile: filepath.Join(export, "none"), Getenv: func(k string) string { return env[k] }})
	go func() { done <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.Eventually(t, func() bool { return knock(socket) == nil }, time.Minute, 5*time.Millisecond)
}

// shortDir is a directory whose sockets' paths are short enough.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "b")
	require.NoError(t, err)
	// A plugin that was stopped may have a call of the filesystem under way.
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, time.Minute, time.Millisecond)
	})
	return dir
}

func TestTheDashboardIsStartedAsDocumented(t *testing.T) {
	dir := shortDir(t)
	socket := filepath.Join(dir, "s")
	dashboardPlugin(t, socket)
	writeCertificate(t, filepath.Join(dir, "dashboard.pem"), filepath.Join(dir, "dashboard.key"))
	here := strings.NewReplacer("127.0.0.1:8080", "127.0.0.1:0", "10.1.2.3:8443", "127.0.0.1:0", "/etc/berth/", dir+"/")
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for _, command := range docs.Commands(t, "docs/dashboard.md", "TestTheDashboardIsStartedAsDocumented") {
		t.Run(command, func(t *testing.T) {
			args := append(strings.Fields(here.Replace(command))[1:], "--socket", socket, "-q")
			ctx, stop := context.WithCancel(t.Context())
			out, in := io.Pipe()
			code := make(chan int, 1)
			go func() { code <- run(ctx, args, nil, in, io.Discard) }()
			url, err := bufio.NewReader(out).ReadString('\n')
			require.NoError(t, err)
			require.Equal(t, strings.Contains(command, "--tls-cert"), strings.HasPrefix(url, "https://"), url)
			for _, host := range []string{"", "berth.example.edu"} {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimSpace(url), nil)
				require.NoError(t, err)
				r.Host = host
				got, err := client.Do(r)
				require.NoError(t, err)
				text, err := io.ReadAll(got.Body)
				require.NoError(t, err)
				got.Body.Close()
				if host == "" || strings.Contains(command, host) {
					require.Contains(t, string(text), `<a href="/volumes/blog">blog</a>`)
				} else {
					require.Equal(t, http.StatusMisdirectedRequest, got.StatusCode)
				}
			}
			stop()
			require.Equal(t, exitDone, <-code)
		})
	}
}

func TestTheDashboardsAddressIsData(t *testing.T) {
	for _, flag := range []string{"--json", "-q"} {
		ctx, stop := context.WithCancel(t.Context())
		out, in := io.Pipe()
		var talk bytes.Buffer
		code := make(chan int, 1)
		go func() {
			code <- run(ctx, []string{"dashboard", "--listen", "127.0.0.1:0", flag}, nil, in, &talk)
			in.Close()
		}()
		time.AfterFunc(100*time.Millisecond, stop)
		data, err := io.ReadAll(out)
		require.NoError(t, err)
		require.Regexp(t, `http://127\.0\.0\.1:\d+`, string(data))
		require.Equal(t, flag == "--json", json.Valid(data))
		require.Equal(t, exitDone, <-code)
		require.Empty(t, talk.String())
	}
}

func writeCertificate(t *testing.T, cert, key string) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"berth.example.edu"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(k)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
}

// TestTheDashboardsStackFileRuns runs the container that deploy/stacks/dashboard.yml
// describes on this machine's Docker engine, with a plugin's socket where a
// managed plugin has it. The container sees itself.
func TestTheDashboardsStackFileRuns(t *testing.T) {
	if os.Geteuid() != 0 || exec.Command("docker", "info").Run() != nil {
		lab.Skip(t, "needs root and a Docker engine")
	}
	project, err := readStack(t.Context(), []string{"../../deploy/stacks/dashboard.yml"}, "berth-dashboard")
	require.NoError(t, err)
	page := project.Services["page"]
	require.Equal(t, "campus", page.Deploy.Labels["berth.access"])
	require.Equal(t, "berth.example.edu", page.Deploy.Labels["berth.site"])
	require.Equal(t, page.Ports[0].Published, page.Deploy.Labels["berth.port"])
	require.Equal(t, []string{"node.role == manager"}, page.Deploy.Placement.Constraints)

	dir := shortDir(t)
	managed := filepath.Join(dir, "4f5a6b", "berth.sock") // as dockerd names it: by the plugin's id
	dashboardPlugin(t, managed)
	image := fmt.Sprintf("berth-dashboard-test:%d", os.Getpid())
	importImage(t, image)
	name := strings.NewReplacer(":", "-").Replace(image)
	args := []string{"run", "--rm", "-d", "--name", name, "-v", "/data", "--entrypoint", page.Entrypoint[0]}
	for _, v := range page.Volumes {
		require.True(t, v.ReadOnly, v.Target)
		source := strings.Replace(v.Source, "/run/docker/plugins", dir, 1)
		args = append(args, "--mount", fmt.Sprintf("type=bind,source=%s,target=%s,readonly", source, v.Target))
	}
	require.True(t, page.ReadOnly)
	args = append(args, "--read-only")
	for _, c := range page.CapDrop {
		args = append(args, "--cap-drop", c)
	}
	command(t, append(append(args, image), page.Command...)...)
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", "-v", name).Run() })
	address := strings.TrimSpace(command(t, "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name))
	var text string
	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+net.JoinHostPort(address, "8080")+"/", nil)
		require.NoError(t, err)
		r.Host = "berth.example.edu" // as the proxy sends it
		got, err := http.DefaultClient.Do(r)
		if err != nil {
			return false
		}
		defer got.Body.Close()
		data, err := io.ReadAll(got.Body)
		text = string(data)
		return err == nil && strings.Contains(text, name)
	}, time.Minute, 100*time.Millisecond, "the page in the container shows the container")
	require.Contains(t, text, `<a href="/volumes/blog">blog</a>`, "and the plugin's volumes")
	require.Contains(t, text, image)
	require.NotContains(t, text, "What does not answer")
}

// importImage makes an image of berth's root filesystem, which is what the
// Dockerfile makes.
func importImage(t *testing.T, image string) {
	root, err := lab.Root()
	require.NoError(t, err)
	made := exec.Command("sh", "-ec", `make -s rootfs BUILD="$1" >&2; tar -C "$1/plugin/rootfs" -c . | docker import - "$2"`, "sh", t.TempDir(), image)
	made.Dir = root
	out, err := made.CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() { _ = exec.Command("docker", "rmi", "-f", image).Run() })
}

func command(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("docker", args...).CombinedOutput()
	require.NoError(t, err, "docker %v: %s", args, out)
	return string(out)
}

// TestWhatAnEngineSaysRuns asks an engine that answers with the JSON of a
// manager, and of a single machine.
func TestWhatAnEngineSaysRuns(t *testing.T) {
	dir := shortDir(t)
	l, err := net.Listen("unix", filepath.Join(dir, "docker.sock"))
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(dir, "docker.sock"))
	answers := filepath.Join(dir, "engine.json")
	go func() { _ = http.Serve(l, engine(answers)) }()
	const containers = `[{"Id":"0123456789abcdef","Names":["/shop_web.1.x"],"State":"running","Labels":{"com.docker.swarm.task.name":"shop_web.1.x"}},
		{"Id":"fedcba9876543210","Names":["/lonely"],"Image":"mariadb:11.4","State":"running","Created":1764000000,"Labels":{"com.docker.compose.project":"own"},
		 "Mounts":[{"Type":"volume","Name":"depot_pg"},{"Type":"bind","Source":"/etc"}]}]`
	lonely := dashboard.Task{ID: "fedcba9876543210", Name: "lonely", Node: "m1", Stack: "own", Image: "mariadb:11.4", State: "running", Since: time.Unix(1764000000, 0).UTC(), Volumes: []string{"depot_pg"}}

	require.NoError(t, os.WriteFile(answers, []byte(`{"/info":{"Name":"m1","ServerVersion":"27.3.1","Swarm":{"ControlAvailable":true}},"/json":`+containers+`,
		"/nodes":[{"ID":"a","Spec":{"Role":"manager","Availability":"active"},"Description":{"Hostname":"m1","Engine":{"EngineVersion":"27.3.1"}},"Status":{"State":"ready"}},
			{"ID":"b","Spec":{"Role":"worker","Availability":"drain"},"Description":{"Hostname":"w1","Engine":{"EngineVersion":"20.10.24"}},"Status":{"State":"down"}}],
		"/services":[{"ID":"s","Spec":{"Name":"shop_web","Labels":{"com.docker.stack.namespace":"shop"}}},{"ID":"g","Spec":{"Name":"agent"}}],
		"/tasks":[{"ID":"t1","ServiceID":"s","NodeID":"b","Slot":1,"Status":{"State":"running","Timestamp":"2026-11-25T14:29:00Z"},
				"Spec":{"ContainerSpec":{"Image":"wordpress:6.8@sha256:00","Mounts":[{"Type":"volume","Source":"shop_web"},{"Type":"bind","Source":"/x"}]}}},
			{"ID":"t2","ServiceID":"g","NodeID":"a","Status":{"State":"starting"},"Spec":{"ContainerSpec":{"Image":"agent"}}},
			{"ID":"t3","ServiceID":"s","Slot":2,"Status":{"State":"pending"},"Spec":{"ContainerSpec":{"Image":"wordpress"}}}]}`), 0o600))
	got, err := clusterHere{}.Running(t.Context())
	require.NoError(t, err)
	require.Equal(t, dashboard.Cluster{Swarm: true,
		Nodes: []dashboard.Node{{Name: "m1", Role: "manager", State: "ready", Availability: "active", Engine: "27.3.1"}, {Name: "w1", Role: "worker", State: "down", Availability: "drain", Engine: "20.10.24"}},
		Tasks: []dashboard.Task{
			{ID: "t1", Name: "shop_web.1", Node: "w1", Stack: "shop", Service: "shop_web", Image: "wordpress:6.8", State: "running", Since: time.Date(2026, 11, 25, 14, 29, 0, 0, time.UTC), Volumes: []string{"shop_web"}},
			{ID: "t2", Name: "agent", Node: "m1", Service: "agent", Image: "agent", State: "starting"}, lonely,
		}}, got, "tasks that are nowhere yet, and tasks' containers, are left out")

	require.NoError(t, os.WriteFile(answers, []byte(`{"/info":{"Name":"m1","ServerVersion":"27.3.1"},"/json":`+containers+`}`), 0o600))
	got, err = clusterHere{}.Running(t.Context())
	require.NoError(t, err)
	require.False(t, got.Swarm)
	require.Equal(t, []dashboard.Node{{Name: "m1", State: "ready", Engine: "27.3.1"}}, got.Nodes)
	require.Len(t, got.Tasks, 2)
	require.Equal(t, lonely, got.Tasks[1])

	require.NoError(t, os.WriteFile(answers, []byte("{}"), 0o600))
	_, err = clusterHere{}.Running(t.Context())
	require.ErrorContains(t, err, "ask Docker: ")
}

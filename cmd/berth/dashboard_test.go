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

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/docs"
	"github.com/casit/berth/integration/lab"
	"github.com/casit/berth/stack"
)

// dashboardPlugin is a plugin on a directory with the volume blog.
func dashboardPlugin(t *testing.T, socket string) {
	export := shortDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(export, "blog"), 0o755))
	env := map[string]string{"BERTH_EXPORT": "file://" + export, "BERTH_NODE": "node1", "BERTH_MOUNT_ROOT": t.TempDir()}
	t.Cleanup(runPlugin(t, socket, filepath.Join(export, "none"), env))
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
	project, err := stack.Read(t.Context(), []string{"../../deploy/stacks/dashboard.yml"}, "berth-dashboard")
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

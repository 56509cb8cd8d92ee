package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator/simulatortest"
)

// buffer collects what several goroutines write.
type buffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// start runs the command until stop is called, which returns its outcome.
func start(t *testing.T, args ...string) (address string, log *buffer, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	log = &buffer{}
	done := make(chan error, 1)
	go func() {
		err := run(ctx, args, in, log)
		in.CloseWithError(io.EOF)
		done <- err
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err, log.String())
	return strings.TrimSpace(line), log, func() error { cancel(); return <-done }
}

func TestRun(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.MkdirAll(in("vol/site1"), 0o755))
	require.NoError(t, os.WriteFile(in("vol/site1/a"), []byte("one"), 0o644))
	require.NoError(t, os.WriteFile(in("pw"), []byte("secret\n"), 0o600))
	args := []string{"--listen", "127.0.0.1:0", "--svm", "svm1", "--volume", "docker_vols", "--junction", "/docker_vols", "--root", in("vol"),
		"--user", "admin", "--password-file", in("pw"), "--state", in("state.json"), "--ca-out", in("ca.pem"), "--version", simulatortest.Release(t),
		"--role", "../../deploy/ontap/berth-role.txt"}
	address, log, stop := start(t, args...)
	c, err := ontap.New(ontap.Config{Address: address, User: "admin", PasswordFile: in("pw"), CAFile: in("ca.pem")})
	require.NoError(t, err)
	export, err := c.ExportGet(t.Context(), "", nil, "/docker_vols")
	require.NoError(t, err)
	snapshot, err := c.SnapshotCreate(t.Context(), export.Volume.UUID, ontap.Snapshot{Name: "nightly"})
	require.NoError(t, err)
	got, err := os.ReadFile(in("vol/.snapshot/nightly/site1/a"))
	require.NoError(t, err)
	require.Equal(t, "one", string(got))

	// Faults are asked for beside the API.
	control(t, address, in("ca.pem"), http.MethodPost, `{"path":"/svm/svms","status":403,"code":"6","times":1}`, 200)
	control(t, address, in("ca.pem"), http.MethodPost, `{"job":"explode"}`, 400)
	control(t, address, in("ca.pem"), http.MethodPost, `{"sttaus":500}`, 400)
	require.Contains(t, control(t, address, in("ca.pem"), http.MethodGet, "", 200), `"status": 403`)
	_, err = c.SvmList(t.Context())
	require.ErrorContains(t, err, "[code 6]")
	_, err = c.SvmList(t.Context())
	require.NoError(t, err)
	control(t, address, in("ca.pem"), http.MethodPost, `{"status":500}`, 200)
	control(t, address, in("ca.pem"), http.MethodDelete, "", 200)
	c.Close()
	require.NoError(t, stop())
	require.Contains(t, log.String(), "ONTAP "+simulatortest.Release(t)+" on https://"+address)
	require.Contains(t, log.String(), "403 GET /api/svm/svms?")
	require.NotContains(t, log.String(), "secret")

	// Another run knows the same objects, and what it finds in .snapshot.
	require.NoError(t, os.Mkdir(in("vol/.snapshot/by-hand"), 0o755))
	address, _, stop = start(t, args...)
	c, err = ontap.New(ontap.Config{Address: address, User: "admin", PasswordFile: in("pw"), CAFile: in("ca.pem")})
	require.NoError(t, err)
	all, err := c.SnapshotList(t.Context(), export.Volume.UUID)
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.Contains(t, all, snapshot)
	c.Close()
	require.NoError(t, stop())
}

// TestPaste makes the role and the account of the role file as an administrator does.
func TestPaste(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	require.NoError(t, os.MkdirAll(in("vol"), 0o755))
	require.NoError(t, os.WriteFile(in("pw"), []byte("Horse-Battery\n"), 0o600))
	args := []string{"--svm", "svm1", "--volume", "docker_vols", "--junction", "/docker_vols", "--root", in("vol"), "--user", "admin",
		"--password-file", in("pw"), "--ca-out", in("ca.pem"), "--version", "9.11.1", "--paste", "../../deploy/ontap/berth-role.txt"}
	address, log, stop := start(t, args...)
	c, err := ontap.New(ontap.Config{Address: address, User: "berth", PasswordFile: in("pw"), CAFile: in("ca.pem")})
	require.NoError(t, err)
	defer c.Close()
	_, err = c.ClusterInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, stop())
	require.Regexp(t, `berth-role.txt:\d+: security login rest-role create .* -api /api/security/login/whoami .*\n  Error: command failed: Specified URI path`, log.String())
	require.NotContains(t, log.String(), "Horse")
}

func control(t *testing.T, address, ca, method, body string, status int) string {
	t.Helper()
	pem, err := os.ReadFile(ca)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), method, "https://"+address+"/simulator/faults", strings.NewReader(body))
	require.NoError(t, err)
	req.SetBasicAuth("admin", "secret")
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, status, resp.StatusCode, string(raw))
	return string(raw)
}

func TestUsage(t *testing.T) {
	dir := t.TempDir()
	good := []string{"--svm", "s", "--volume", "v", "--junction", "/v", "--root", dir, "--user", "u", "--password-file", "p"}
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "is not set"},
		{[]string{"--nonsense"}, ""},
		{append(good, "extra"), "unexpected argument extra"},
		{append(good, "--version", "ten"), "not like 9.16.1"},
		{append(good, "--lock-lengths", "words"), "is not string or number"},
		{append(good, "--web-access", "maybe"), "is not explicit"},
		{append(good, "--restore-spelling", "both"), "is not vserver or svm"},
		{append(good, "--client-ca", filepath.Join(dir, "absent")), "no such file"},
		{append(good, "--paste", filepath.Join(dir, "absent")), "no such file"},
		{append(good, "--junction", "v"), "must begin with /"},
		{append(good, "--root", filepath.Join(dir, "absent")), "no such file"},
		{append(good, "--role", filepath.Join(dir, "absent")), "no such file"},
		{append(good, "--address", "x"), "not an IP address"},
		{append(good, "--listen", "127.0.0.1:-1"), "invalid port"},
	} {
		err := run(t.Context(), c.args, io.Discard, io.Discard)
		require.ErrorContains(t, err, c.says, c.args)
	}
	var help bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-h"}, io.Discard, &help))
	require.Contains(t, help.String(), "Exit status")
}

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/doctor"
	"github.com/casit/berth/plugin"
)

var update = flag.Bool("update", false, "rewrite the golden parts of testdata")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"berth": main})
}

// TestScripts runs testdata/*.txtar: each is a session at the terminal, against
// a real server on a directory of its own.
//
//	serve [NAME=VALUE...]   starts `berth serve` and waits for its socket; VERSION
//	                        is what it calls itself
//	docker VERB [JSON]      sends a VolumeDriver verb as dockerd does
//	engine FILE             starts a Docker engine that answers from a file
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: *update,
		Setup: func(e *testscript.Env) error {
			e.Setenv("BERTH_SETTINGS", filepath.Join(e.WorkDir, "berth.env"))
			e.Setenv("BERTH_SOCKET", filepath.Join(e.WorkDir, "s"))
			e.Setenv("BERTH_MOUNT_ROOT", filepath.Join(e.WorkDir, "mounts"))
			e.Setenv("BERTH_EXPORT", "file://"+filepath.Join(e.WorkDir, "export"))
			e.Setenv("BERTH_NODE", "node1")
			e.Setenv("SUDO_USER", "alice")
			e.Setenv("TZ", "UTC")
			project, err := filepath.Abs("../..")
			if err != nil {
				return err
			}
			e.Setenv("PROJECT", project)
			return os.Mkdir(filepath.Join(e.WorkDir, "export"), 0o755)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"serve":  cmdServe,
			"docker": cmdDocker,
			"mask":   cmdMask,
			"filer":  cmdFiler,
			"engine": cmdEngine,
			"warns":  cmdFinds(doctor.Warn),
			"fails":  cmdFinds(doctor.Fail),
		},
	})
}

// cmdServe runs a server in this process under the script's environment.
func cmdServe(ts *testscript.TestScript, _ bool, args []string) {
	env := func(k string) string { return ts.Getenv(k) }
	for _, a := range args {
		k, v, _ := strings.Cut(a, "=")
		ts.Setenv(k, v)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	log := logrus.New()
	log.SetOutput(io.Discard)
	srv := plugin.New(plugin.Config{Log: log, Socket: ts.Getenv("BERTH_SOCKET"), Version: cmp.Or(ts.Getenv("VERSION"), "test"), SettingsFile: ts.Getenv("BERTH_SETTINGS"), Getenv: env})
	go func() { done <- srv.Run(ctx) }()
	ts.Defer(func() {
		cancel()
		ts.Check(<-done)
	})
	for range 1000 {
		if c, err := net.Dial("unix", ts.Getenv("BERTH_SOCKET")); err == nil {
			c.Close()
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("the server does not listen")
}

// cmdDocker is dockerd's side of the socket.
func cmdDocker(ts *testscript.TestScript, neg bool, args []string) {
	body := "{}"
	if len(args) > 1 {
		body = args[1]
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", ts.Getenv("BERTH_SOCKET"))
	}}}
	r, err := client.Post("http://x/VolumeDriver."+args[0], "application/json", strings.NewReader(body))
	ts.Check(err)
	defer r.Body.Close()
	var out struct{ Err string }
	ts.Check(json.NewDecoder(r.Body).Decode(&out))
	if (out.Err != "") != neg {
		ts.Fatalf("docker %v: %q", args, out.Err)
	}
}

// cmdMask replaces what differs from run to run in a file: times, trash ids.
func cmdMask(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	for _, r := range masks {
		text = r.what.ReplaceAllString(text, r.with)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func TestExitCodesAreDocumented(t *testing.T) {
	var out bytes.Buffer
	require.Equal(t, exitDone, run(t.Context(), []string{"--help"}, nil, &out, &out))
	require.Contains(t, out.String(), exitHelp)
	require.Equal(t, exitUsage, run(t.Context(), []string{"--frobnicate"}, nil, &out, &out))
}

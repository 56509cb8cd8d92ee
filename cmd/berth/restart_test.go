package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/job"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/snapshot"
)

// relay puts a socket between the command line and the plugin: before is called
// for each request, in the order of the requests, before the request goes on.
func (s *server) relay(before func(route string)) {
	s.asked = filepath.Join(s.dir, "relay")
	l, err := net.Listen("unix", s.asked)
	require.NoError(s.t, err)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: "berth"})
	proxy.Transport = &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", s.socket)
	}}
	var one sync.Mutex
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		before(strings.TrimPrefix(r.URL.Path, "/Berth."))
		one.Unlock()
		proxy.ServeHTTP(w, r)
	})}
	go func() { _ = srv.Serve(l) }()
	s.t.Cleanup(func() { _ = srv.Close() })
}

// jobs lists what is unfinished.
func (s *server) jobs() []*job.Job {
	s.t.Helper()
	var got plugin.Jobs
	require.NoError(s.t, plugin.NewClient(s.socket, "test").Call(s.t.Context(), "Berth.JobList", plugin.Empty{}, &got))
	return got.Jobs
}

// TestARestoreWhosePluginIsKilledIsNotRestored: the plugin is killed while the
// job copies, between two polls of the command line, and started again.
func TestARestoreWhosePluginIsKilledIsNotRestored(t *testing.T) {
	for _, flags := range [][]string{nil, {"--json"}, {"-q"}} {
		t.Run(strings.Join(flags, ""), func(t *testing.T) {
			s := newServer(t)
			s.start()
			t.Cleanup(func() { s.stop() })
			s.docker("Create", `{"Name":"blog"}`)
			for i := range 1000 {
				s.write(fmt.Sprintf("blog/d%d/f%d", i%50, i), "old")
			}
			s.must("snapshot", "create", "blog", "--name", "s1", "-q")
			s.write("blog/index.php", "new")
			killed := false
			s.relay(func(route string) {
				if route != "JobWait" || killed {
					return
				}
				killed = true
				for s.jobs()[0].State == job.Prepared {
					time.Sleep(time.Millisecond)
				}
				s.stop()
				s.start()
			})
			got := s.types(append([]string{"snapshot", "restore", "blog@s1", "--yes"}, flags...)...)
			if s.read("blog/index.php") == "" {
				t.Fatal("the job ended before the plugin was killed")
			}
			require.Equal(t, exitFailed, got.code, got.out+got.err)
			require.NotContains(t, got.out, "restored")
			require.Contains(t, got.err, "the restore of volume \"blog\" was interrupted on node1 and is not done")
			require.Contains(t, got.err, "'berth snapshot restore --resume blog' completes it, '--abort blog' ends it")
			require.Len(t, s.jobs(), 1, "the job is kept")

			s.asked = s.socket
			got = s.types("snapshot", "restore", "blog@s1", "--yes")
			require.Equal(t, exitInUse, got.code)
			require.Contains(t, got.err, "--resume blog")
			// A plugin that has just begun may not yet know that its own former
			// process is dead: it says "try again in a moment", and keeps the job.
			require.Eventually(t, func() bool {
				got = s.types("snapshot", "restore", "--resume", "blog")
				return got.code != exitInUse
			}, time.Minute, 100*time.Millisecond)
			require.Contains(t, got.out, "blog: restored, blog@s1", got.err)
			require.Empty(t, s.read("blog/index.php"))
			require.Empty(t, s.jobs())
		})
	}
}

// TestTheEndOfAJobIsOneValue for each answer that a plugin may give.
func TestTheEndOfAJobIsOneValue(t *testing.T) {
	failure := &plugin.Failure{Kind: "unreachable", Reason: "the export does not answer", Hint: "look at the filer"}
	j := &job.Job{ID: "job-1", Op: cluster.OpRestore, Engine: string(snapshot.EngineCopy), Items: []job.Item{{Volume: "blog"}}}
	for name, c := range map[string]struct {
		state     job.State
		err       error
		code      int
		reason    string
		resumable bool
	}{
		"done":                        {job.Swapped, nil, exitDone, "", false},
		"interrupted":                 {job.Copying, nil, exitFailed, "the restore of blog is not done", true},
		"never begun":                 {job.Prepared, nil, exitFailed, "the restore of blog is not done", true},
		"interrupted in the swap":     {job.Swapping, nil, exitFailed, "the restore of blog is not done", true},
		"failed, and nobody says why": {job.Failed, nil, exitFailed, "the restore of blog is not done", true},
		"failed":                      {job.Failed, failure, exitUnreachable, "the export does not answer", false},
		"done, with an error":         {job.Swapped, failure, exitUnreachable, "the export does not answer", true},
		"a state of a later berth":    {"paused", nil, exitFailed, "the restore of blog is not done", true},
		"no answer":                   {"", failure, exitUnreachable, "the export does not answer", true},
	} {
		t.Run(name, func(t *testing.T) {
			e := endOf(j, job.Progress{State: c.state, Over: true}, c.err)
			require.Equal(t, c.code == exitDone, e.done())
			if c.code == exitDone {
				return
			}
			code, reason, hint := judge(e.err)
			require.Equal(t, c.code, code)
			require.Contains(t, reason, c.reason)
			require.Equal(t, c.resumable, strings.Contains(hint, "'berth snapshot restore --resume blog' completes it, '--abort blog' ends it"))
			require.Equal(t, !c.resumable, e.ended(), "a job that is resumed is kept")
		})
	}
}

// TestAFailedRestoreIsOver says why, and another version can be restored.
func TestAFailedRestoreIsOver(t *testing.T) {
	s := blog(t)
	s.relay(func(route string) {
		if route == "JobStart" {
			require.NoError(t, os.RemoveAll(filepath.Join(s.export, ".snapshot/s1/blog")))
		}
	})
	got := s.types("snapshot", "restore", "blog@s1", "--yes")
	require.NotEqual(t, exitDone, got.code)
	require.NotContains(t, got.out, "restored")
	require.Empty(t, s.jobs())
	require.Equal(t, "newer", s.read("blog/index.php"))
}

// TestCtrlCEndsTheJob and starts what was stopped for it.
func TestCtrlCEndsTheJob(t *testing.T) {
	s := blog(t)
	for i := range 2000 {
		s.write(fmt.Sprintf(".snapshot/s1/blog/d%d/f%d", i%50, i), "old")
	}
	e := s.engine(web)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	s.relay(func(route string) {
		if route == "JobWait" {
			interrupt()
		}
	})
	var out, talk bytes.Buffer
	code := run(ctx, []string{"--socket", s.asked, "snapshot", "restore", "blog@s1", "--stop", "--yes"}, nil, &out, &talk)
	require.Equal(t, []string{"stop web", "start web"}, e.Did())
	require.Empty(t, s.jobs(), talk.String())
	if code == exitDone { // the swap had begun
		require.Equal(t, "old", s.read("blog/index.php"))
		return
	}
	require.Equal(t, exitFailed, code)
	require.Contains(t, talk.String(), "berth: cancelling\n")
	require.Contains(t, talk.String(), "berth: cancelled; the volume is as it was\n")
	require.Equal(t, "newer", s.read("blog/index.php"))
}

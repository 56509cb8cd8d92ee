package storm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/plugin"
)

// resident is the process's memory that is in the machine, in bytes.
func (n *node) resident(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.process.Process.Pid))
	require.NoError(t, err)
	_, after, ok := strings.Cut(string(text), "VmRSS:")
	require.True(t, ok)
	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	require.NoError(t, err)
	return kib << 10
}

// waves are the storms, each of a thousand callers or more at once.
var waves = map[string]func(t *testing.T, n *node){
	"10,000 connections": func(t *testing.T, n *node) {
		for i := range 10_000 {
			c := dial(t, n)
			defer c.Close()
			if i%2 == 0 {
				fmt.Fprintf(c, "POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
			}
		}
	},
	"1,000 large bodies": func(t *testing.T, n *node) {
		body := `{"Name":"` + strings.Repeat("x", 1_000_000) + `"}`
		atOnce(1000, func() { _, _ = n.post(t.Context(), "VolumeDriver.Mount", body) })
	},
	"1,000 slow bodies": func(t *testing.T, n *node) {
		body := strings.Repeat(" ", 100_000)
		atOnce(1000, func() {
			c := dial(t, n)
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(time.Minute)) // generous
			go fmt.Fprintf(c, "POST /VolumeDriver.List HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n%s", body)
			_, err := io.ReadAll(c)
			if err != nil && strings.Contains(err.Error(), "timeout") {
				t.Error("a slow body did not end")
			}
		})
	},
	"1,000 calls of the command line": func(t *testing.T, n *node) {
		calls := []string{"VolumeInspect", "VolumeUsers", "TrashList", "Usage", "Audit", "Doctor", "JobList", "VolumeNames"}
		var next atomic.Int64
		atOnce(1000, func() {
			answer, err := n.post(t.Context(), "Berth."+calls[int(next.Add(1))%len(calls)], `{"size":true}`)
			var f plugin.Failure
			if err == nil {
				err = json.Unmarshal([]byte(answer), &f)
			}
			if err != nil || f.Err != "" {
				t.Error(err, f.Err)
			}
		})
	},
	"2,000 lists": func(t *testing.T, n *node) {
		atOnce(2000, func() {
			if err := n.docker("List", nil); err != nil {
				t.Error(err)
			}
		})
	},
}

func atOnce(n int, do func()) {
	var all sync.WaitGroup
	for range n {
		all.Go(do)
	}
	all.Wait()
}

// dial connects, again when the kernel's queue is full.
func dial(t *testing.T, n *node) net.Conn {
	for {
		c, err := net.Dial("unix", n.Socket)
		if err == nil {
			return c
		}
		if t.Context().Err() != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestAStormPasses: whatever storm there is, dockerd is answered meanwhile, the log
// stays short, and the memory is given back.
func TestAStormPasses(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	x := filepath.Join(dir, "x")
	require.NoError(t, os.Mkdir(x, 0o755))
	n := run(t, nodeOn(t.TempDir(), "n1", x))
	for i := range 50 {
		require.NoError(t, n.docker("Create", map[string]any{"Name": fmt.Sprintf("v%02d", i)}))
	}
	for what, wave := range waves {
		t.Run(what, func(t *testing.T) {
			storm, over := context.WithCancel(t.Context())
			var watch sync.WaitGroup
			var slowest time.Duration
			asked := 0
			watch.Go(func() {
				for ; storm.Err() == nil; asked++ {
					began := time.Now()
					if err := n.docker("Get", map[string]any{"Name": "v07"}); err != nil && !strings.Contains(err.Error(), "resource temporarily unavailable") {
						t.Error("Get:", err)
					}
					slowest = max(slowest, time.Since(began))
					time.Sleep(5 * time.Millisecond)
				}
			})
			began := time.Now()
			wave(t, n)
			over()
			watch.Wait()
			t.Logf("%s long; Get %d times, the slowest took %s; %d MiB resident", time.Since(began).Round(time.Millisecond), asked, slowest.Round(time.Millisecond), n.resident(t)>>20)
			require.Less(t, slowest, 20*time.Second, "it waits for the storm's end")
		})
	}
	began := time.Now()
	require.Eventually(t, func() bool { return n.resident(t) < 64<<20 }, time.Minute, 100*time.Millisecond, "memory is given back")
	t.Logf("%d MiB resident after %s", n.resident(t)>>20, time.Since(began).Round(time.Second))
	require.Less(t, len(n.logged()), 5<<20)
}

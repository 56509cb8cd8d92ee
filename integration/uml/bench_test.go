package uml

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/rpc"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// benchFiles is how many files the workload has; BERTH_LAB_FILES=20000 is the
// whole of it, for which `cp -a` takes several minutes.
func benchFiles() int {
	if n, err := strconv.Atoi(os.Getenv("BERTH_LAB_FILES")); err == nil {
		return n
	}
	return 2000
}

// plant makes the workload on the server: files of log-normal sizes with a
// median of 4 KB, a directory for about seven of them.
func plant(b *testing.B, root string, files int) {
	b.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range files {
		dir := filepath.Join(root, fmt.Sprintf("d%d/e%d", i%(files/60+1), i%(files/7+1)))
		require.NoError(b, os.MkdirAll(dir, 0o755))
		size := int(min(4096*math.Exp(r.NormFloat64()*1.7), 4<<20))
		require.NoError(b, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%d", i)), bytes.Repeat([]byte{byte(i)}, size), 0o644))
	}
}

// BenchmarkAgainstTheKernelsClient compares our client with what one would
// type on the kernel's mount of the same export, on the same host, with 1 ms of
// delay in the network. The ratios are the kernel's time by ours.
func BenchmarkAgainstTheKernelsClient(b *testing.B) {
	Require(b)
	l, err := Start(b, 1)
	require.NoError(b, err)
	defer l.Close()
	h := l.Hosts[0]
	files := benchFiles()
	plant(b, l.Server.Path("src"), files)
	h.Run(b, "modprobe", "sch_netem")
	h.Run(b, "tc", "qdisc", "add", "dev", "vec0", "root", "netem", "delay", "1ms", "limit", "100000")
	h.Run(b, "mount", "-t", "nfs", "-o", fmt.Sprintf("vers=3,proto=tcp,hard,nolock,noacl,port=%d,mountport=%d", nfsPort, mountPort), serverAddress+":"+exportPath, "/mnt/export")
	typed := func(args ...string) float64 {
		began := time.Now()
		h.Run(b, args...)
		return time.Since(began).Seconds()
	}
	// On the host, whose processor is slow, and beside the server with the same
	// delay.
	hosts := map[string]struct {
		agent *rpc.Client
		delay time.Duration
	}{"host": {h.agent, 0}, "native": {l.agent, time.Millisecond}}
	ours := func(where, op, dst string) (seconds float64) {
		at := hosts[where]
		require.NoError(b, at.agent.Call("Agent.Tree", TreeJob{URL: ExportURL, Op: op, Src: "src", Dst: dst, Delay: at.delay}, &seconds))
		return seconds
	}
	change := func(dst string) { // one in a hundred
		n := 0
		require.NoError(b, filepath.WalkDir(l.Server.Path(dst), func(name string, d os.DirEntry, err error) error {
			if n++; err == nil && d.Type().IsRegular() && n%100 == 0 {
				err = os.WriteFile(name, []byte("changed"), 0o644)
			}
			return err
		}))
	}
	for b.Loop() {
		copied := typed("cp", "-a", "/mnt/export/src", "/mnt/export/theirs")
		change("theirs")
		h.Run(b, "sh", "-c", "echo 3 >/proc/sys/vm/drop_caches")
		synced := typed("rsync", "-a", "--delete", "/mnt/export/src/", "/mnt/export/theirs/")
		removed := typed("rm", "-rf", "/mnt/export/theirs")
		for where := range hosts {
			took := ours(where, "copy", "ours")
			b.ReportMetric(float64(files)/took, where+"-files/s")
			b.ReportMetric(copied/took, where+"-cp-a:copy")
			change("ours")
			b.ReportMetric(synced/ours(where, "sync", "ours"), where+"-rsync:sync")
			b.ReportMetric(removed/ours(where, "delete", "ours"), where+"-rm-rf:delete")
			for _, dir := range []string{"ours.staging", "ours.trash"} {
				ours(where, "delete", dir)
			}
		}
	}
}

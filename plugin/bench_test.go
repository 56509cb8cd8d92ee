package plugin

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The benchmarks run the real binary, as dockerd does: a process of its own,
// asked over its socket, on an export of 10,000 volumes.
//
//	go test ./plugin -run '^$' -bench .

const manyVolumes = 10_000

// process is a `berth serve` of its own.
type process struct {
	*served
	cmd    *exec.Cmd
	listen time.Duration // from exec to the first answer
}

func startProcess(b *testing.B, volumes int) *process {
	b.Helper()
	if os.Geteuid() != 0 {
		b.Skip("mounting needs root")
	}
	base := b.TempDir()
	bin := filepath.Join(base, "berth")
	out, err := exec.Command("go", "build", "-o", bin, "../cmd/berth").CombinedOutput()
	require.NoError(b, err, string(out))
	dir := filepath.Join(base, "export")
	require.NoError(b, os.MkdirAll(filepath.Join(dir, ".berth/volumes"), 0o700))
	for i := range volumes {
		name := fmt.Sprintf("site%05d", i)
		require.NoError(b, os.Mkdir(filepath.Join(dir, name), 0o755))
		meta := fmt.Sprintf(`{"version":1,"name":%q,"id":"x","created":"2026-11-23T05:30:00Z","created_by":"n1","options":{"uid":"33"}}`, name)
		require.NoError(b, os.WriteFile(filepath.Join(dir, ".berth/volumes", name+".json"), []byte(meta), 0o600))
	}
	b.Cleanup(func() { detachBelow(b, base) })
	p := &process{served: &served{base: base, dir: dir, socket: filepath.Join(base, "s.sock")}, cmd: exec.Command(bin, "serve")}
	p.cmd.Env = []string{"BERTH_EXPORT=file://" + dir, "BERTH_NODE=n1", "BERTH_SOCKET=" + p.socket, "BERTH_SETTINGS=" + filepath.Join(base, "none"), "BERTH_MOUNT_ROOT=" + filepath.Join(base, "mounts"), "BERTH_LOG_LEVEL=error"}
	p.http.Transport = &http.Transport{DialContext: dialUnix(p.socket)}
	began := time.Now()
	require.NoError(b, p.cmd.Start())
	b.Cleanup(func() {
		_ = p.cmd.Process.Signal(os.Interrupt)
		_ = p.cmd.Wait()
	})
	for p.ask("Plugin.Activate", "{}") == "" {
		require.Less(b, time.Since(began), 20*time.Second)
		time.Sleep(time.Millisecond)
	}
	p.listen = time.Since(began)
	return p
}

// ask sends a request and returns the answer, "" if there is none.
func (p *process) ask(route, body string) string {
	r, err := p.http.Post("http://x/"+route, contentType, strings.NewReader(body))
	if err != nil {
		return ""
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return ""
	}
	return string(data)
}

// resident is the process's memory, in MiB.
func (p *process) resident(b *testing.B) float64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	require.NoError(b, err)
	_, after, _ := strings.Cut(string(data), "VmRSS:")
	kib, err := strconv.Atoi(strings.Fields(after)[0])
	require.NoError(b, err)
	return float64(kib) / 1024
}

// timed runs f b.N times and reports its median and 99th percentile.
func timed(b *testing.B, f func(i int)) {
	took := make([]time.Duration, 0, b.N)
	for i := 0; b.Loop(); i++ {
		began := time.Now()
		f(i)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkServer(b *testing.B) {
	p := startProcess(b, manyVolumes)
	began := time.Now()
	first := p.ask("VolumeDriver.List", "{}")
	firstList := time.Since(began)
	require.Equal(b, manyVolumes, strings.Count(first, `"Name"`))
	time.Sleep(3 * time.Second) // until the listing counts as settled

	b.Run("ColdStart", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(float64(p.listen.Microseconds())/1000, "ms-to-listening")
		b.ReportMetric(float64(firstList.Microseconds())/1000, "ms-first-list")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("Get", func(b *testing.B) {
		timed(b, func(i int) {
			require.Contains(b, p.ask("VolumeDriver.Get", fmt.Sprintf(`{"Name":"site%05d"}`, i*7919%manyVolumes)), `"health":"ok"`)
		})
		b.ReportMetric(p.resident(b), "MiB-resident")
	})
	b.Run("List", func(b *testing.B) {
		timed(b, func(int) { p.ask("VolumeDriver.List", "{}") })
		b.ReportMetric(p.resident(b), "MiB-resident")
	})
	b.Run("MountUnmount", func(b *testing.B) {
		p.ask("VolumeDriver.Mount", `{"Name":"site00000","ID":"first"}`)
		before := mountsMade(b, p.base)
		timed(b, func(i int) {
			body := fmt.Sprintf(`{"Name":"site%05d","ID":"i%d"}`, i%manyVolumes, i)
			require.Contains(b, p.ask("VolumeDriver.Mount", body), "Mountpoint\":\"/")
			require.NotContains(b, p.ask("VolumeDriver.Unmount", body), "Err")
		})
		b.ReportMetric(float64(mountsMade(b, p.base)-before), "mounts-made")
	})
	b.Run("Create", func(b *testing.B) {
		timed(b, func(i int) {
			require.NotContains(b, p.ask("VolumeDriver.Create", fmt.Sprintf(`{"Name":"new%d-%d"}`, b.N, i)), "Err")
		})
	})
}

// mountsMade counts mounts by the highest id that the kernel gave below dir.
func mountsMade(b *testing.B, dir string) int {
	data, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(b, err)
	return strings.Count(string(data), dir+"/mounts/")
}

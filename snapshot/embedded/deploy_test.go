package embedded

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var deploys = flag.Int("deploys", 5, "how many snapshots are made of a volume that is being deployed to")

// deployment changes a volume as programs that deploy do, until it is told to stop.
type deployment struct {
	dir  string
	rand *rand.Rand
}

const (
	deployDirs  = 20
	deployFiles = 10
)

func (d *deployment) dirName() string {
	return filepath.Join(d.dir, fmt.Sprint("d", d.rand.IntN(deployDirs)))
}

// fill makes a directory anew.
func (d *deployment) fill(name string) {
	_ = os.MkdirAll(name, 0o755)
	for i := range deployFiles {
		_ = os.WriteFile(filepath.Join(name, fmt.Sprint("f", i)), []byte(name), 0o644)
	}
}

// step does one thing to one directory. What was there may be anything.
func (d *deployment) step() {
	name := d.dirName()
	switch d.rand.IntN(9) {
	case 0, 1:
		d.fill(name)
	case 2:
		_ = os.RemoveAll(name)
	case 3: // a release is switched
		_ = os.Rename(name, filepath.Join(d.dir, fmt.Sprint("old", d.rand.IntN(8))))
		_ = os.Symlink("releases/2", name)
	case 4:
		_ = os.RemoveAll(name)
		_ = os.WriteFile(name, []byte("a file of that name"), 0o644)
	case 5:
		_ = os.RemoveAll(name)
		_ = syscall.Mkfifo(name, 0o644)
	case 6:
		_ = os.Chmod(name, 0)
	case 7:
		_ = os.Rename(name, d.dirName())
	case 8:
		_ = os.RemoveAll(filepath.Join(d.dir, fmt.Sprint("old", d.rand.IntN(8))))
	}
}

// memory is a directory that costs no disk: each snapshot puts the filesystem on stable
// storage, with what the deployment writes.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "berth")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// Whatever happens to one volume while all are copied: the others are in the snapshot,
// and what is not whole is said.
func TestADeployDuringASnapshotKeepsNoOtherVolumeOut(t *testing.T) {
	for seed := range *deploys {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := memory(t)
			e := embeddedExport(t, dir)
			e.native = false
			d := &deployment{filepath.Join(dir, "app"), rand.New(rand.NewPCG(uint64(seed), 1))}
			for i := range deployDirs {
				d.fill(filepath.Join(d.dir, fmt.Sprint("d", i)))
			}
			require.NoError(t, os.WriteFile(filepath.Join(d.dir, "composer.json"), []byte("{}"), 0o644))
			stop := make(chan struct{})
			var deploying sync.WaitGroup
			deploying.Go(func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(100 * time.Microsecond):
						d.step()
					}
				}
			})
			made, without, absent := 0, 0, int64(0)
			for i := range 3 {
				name := fmt.Sprint("s", i)
				m, err := e.Create(t.Context(), name, "", nil, nil)
				require.NoError(t, err)
				made, without, absent = made+1, without+len(m.Failed), absent+m.Absent+m.Changed+m.Missing
				require.Subset(t, m.Volumes, []string{"blog", "shop"})
				require.Equal(t, "<?php // v1", embeddedFile(t, dir, ".snapshot/"+name+"/blog/index.php"))
				if len(m.Failed) > 0 {
					require.Equal(t, "app", m.Failed[0].Volume)
					require.NotEmpty(t, m.Failed[0].Reason)
					t.Log(m.Failed[0].Reason)
					require.NoDirExists(t, filepath.Join(dir, ".snapshot", name, "app"))
					continue
				}
				require.Equal(t, "{}", embeddedFile(t, dir, ".snapshot/"+name+"/app/composer.json"))
			}
			close(stop)
			t.Logf("%d snapshots, %d without the volume, %d names missing", made, without, absent)
			deploying.Wait()
			left, err := os.ReadDir(filepath.Join(dir, ".berth/staging"))
			require.NoError(t, err)
			for _, l := range left {
				require.Contains(t, l.Name(), "purge.", "nothing half made stays")
			}
		})
	}
}

package tamper

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/casit/berth/nfs/ganeshatest"
	"github.com/casit/berth/tree/treetest"
)

// local are exports on this machine, where berth makes the snapshots itself.
func local(t *testing.T, kind string) export {
	t.Helper()
	t.Parallel()
	Binary(t)
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounts and owners need root")
	}
	x := export{features: Features{Xattrs: true}, oracle: Oracle{Xattrs: true}, take: func(b *Berth, name string) {
		b.Run("snapshot", "create", "--name", name, "-q")
	}}
	switch kind {
	case "ext4":
		x.dir = loop(t, "mkfs.ext4", "-q", "-F")
	case "btrfs":
		x.dir = loop(t, "mkfs.btrfs", "-q")
	case "reflink": // of one volume of two: no instant of the whole
		x.dir = loop(t, "mkfs.btrfs", "-q")
		x.take = func(b *Berth, name string) {
			b.Create("other")
			b.Run("snapshot", "create", "site", "--name", name, "-q")
		}
	case "tmpfs":
		x.dir = tmpfs(t, t.TempDir())
	}
	return x
}

// loop is a fresh filesystem on a loop device until the test ends.
func loop(t *testing.T, mkfs ...string) string {
	t.Helper()
	if _, err := exec.LookPath(mkfs[0]); err != nil {
		treetest.Skip(t, "needs "+mkfs[0])
	}
	image, dir := filepath.Join(t.TempDir(), "image"), t.TempDir()
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 2<<30))
	out, err := exec.Command(mkfs[0], append(mkfs[1:], image)...).CombinedOutput()
	require.NoError(t, err, string(out))
	mount(t, dir, "-o", "loop", image)
	return dir
}

func tmpfs(t *testing.T, dir string) string {
	t.Helper()
	mount(t, dir, "-t", "tmpfs", "-o", "mode=755,size=2g", "none")
	return dir
}

func mount(t *testing.T, dir string, args ...string) {
	t.Helper()
	out, err := exec.Command("mount", append(args, dir)...).CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(func() { require.NoError(t, exec.Command("umount", "-R", dir).Run()) })
}

func TestEditsOnExt4(t *testing.T)    { tellStory(t, local(t, "ext4")) }
func TestEditsOnTmpfs(t *testing.T)   { tellStory(t, local(t, "tmpfs")) }
func TestEditsOnBtrfs(t *testing.T)   { tellStory(t, local(t, "btrfs")) }
func TestEditsOnReflink(t *testing.T) { tellStory(t, local(t, "reflink")) }

// TestAnEditWhileAVersionIsMade has files that change all the time: what their
// version has may be any state of them, and is told from the last one.
func TestAnEditWhileAVersionIsMade(t *testing.T) {
	for _, kind := range []string{"ext4", "btrfs"} {
		t.Run(kind, func(t *testing.T) { race(t, local(t, kind)) })
	}
}

func race(t *testing.T, x export) {
	b := Serve(t, x.dir, x.url)
	live := b.Create("site")
	const files = 8
	name := func(i int) string { return fmt.Sprintf("%s/f%d", live, i) }
	when := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	edit := func(i int, content byte) error {
		if err := os.WriteFile(name(i), bytes.Repeat([]byte{content}, 100), 0o644); err != nil {
			return err
		}
		return setTime(name(i), when)
	}
	for i := range files {
		require.NoError(t, edit(i, 0))
	}
	found := 0
	for round := range 10 {
		stop := make(chan struct{})
		var writing errgroup.Group
		writing.Go(func() error {
			for n := 1; ; n++ {
				select {
				case <-stop:
					return nil
				default:
					if err := edit(n%files, byte(n/files)); err != nil {
						return err
					}
				}
			}
		})
		snap := fmt.Sprintf("s%d", round)
		x.take(b, snap)
		close(stop)
		require.NoError(t, writing.Wait())
		version, err := Walk(x.dir + "/.snapshot/" + snap + "/site")
		require.NoError(t, err)
		now, err := Walk(live)
		require.NoError(t, err)
		changes, _ := b.Diff("site@" + snap)
		require.Empty(t, Compare(version, now).Check(namesOf(changes)), "round %d", round)
		found += len(changes)
	}
	t.Logf("%d of %d files were edited after their version", found, 10*files)
}

// served is a directory that nfs-ganesha serves. Its snapshots are made behind
// berth's back.
func served(t *testing.T, dir string, take func(name string)) export {
	t.Helper()
	x := ganeshatest.Export{Dir: dir}
	server := ganeshatest.Start(t, x)
	return export{edited: func() { server.Restart(x) },
		dir: dir, url: "nfs://127.0.0.1" + dir + "?port=20490&mountport=20491", oracle: Oracle{LaxLinkTimes: true},
		take: func(_ *Berth, name string) { take(name) }}
}

// inGanesha runs the test where a server can be started.
func inGanesha(t *testing.T) bool {
	t.Helper()
	t.Parallel()
	if why := ganeshatest.Missing(); why != "" {
		treetest.Skip(t, why)
	}
	Binary(t) // for the other process too
	return ganeshatest.Inside(t)
}

func run(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	require.NoError(t, err, "%q: %s", args, out)
}

func TestEditsOverTheWire(t *testing.T) {
	if !inGanesha(t) {
		return
	}
	dir := "/run/export"
	require.NoError(t, os.Mkdir(dir, 0o755))
	tmpfs(t, dir)
	tellStory(t, served(t, dir, func(name string) { copied(t, dir, name) }))
}

func TestEditsOverTheWireOnReflinks(t *testing.T) {
	if !inGanesha(t) {
		return
	}
	dir := loop(t, "mkfs.btrfs", "-q")
	tellStory(t, served(t, dir, func(name string) { copied(t, dir, name, "--reflink=always") }))
}

// copied makes a snapshot of the volume as somebody else does.
func copied(t *testing.T, dir, name string, options ...string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(dir+"/.snapshot/"+name, 0o755))
	run(t, append([]string{"cp", "-a", dir + "/site", dir + "/.snapshot/" + name}, options...)...)
}

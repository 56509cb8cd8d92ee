package tamper

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/tree/treetest"
)

// docs/restore.md says: "nothing is left out silently", and "the restored tree
// is complete". These tests look for the opposite: what cannot be kept or
// brought back, and a tree that lacks something while nobody has said so.

// honest requires that what an answer is silent about is there. A command may
// fail, naming what it cannot do; or succeed and name what it has left out; or
// leave out nothing.
func (r *repro) honest(a Answer, name string, want, got Tree) {
	r.t.Helper()
	said := a.Stdout + a.Stderr
	if a.Code != 0 {
		require.Contains(r.t, said, name, "a failure names what cannot be done")
		return
	}
	wrong := Unlike(want, got, false)
	if len(wrong) == 0 {
		return
	}
	require.Contains(r.t, said, filepath.Base(name), "exit 0, and silently: %s", first(wrong))
	require.Regexp(r.t, `[0-9]`, said, "a count")
	for _, w := range wrong {
		require.True(r.t, strings.Contains(w, name) || regexp.MustCompile(`^"[^"]*": mtime [^;]*$`).MatchString(w), "nobody has said: %s", w)
	}
}

func (r *repro) walk(name string) Tree {
	r.t.Helper()
	tree, err := Walk(r.path(name))
	require.NoError(r.t, err)
	return tree
}

func TestNothingIsLeftOutSilently(t *testing.T) {
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounts and owners need root")
	}
	Binary(t)
	for name, test := range map[string]func(t *testing.T){
		"everything that a filesystem has": func(t *testing.T) { everything(onDisk(t)) },
		"a device node that cannot be made": func(t *testing.T) {
			withoutMknod(onDisk(t, "setpriv", "--bounding-set", "-mknod", "--inh-caps", "-mknod"))
		},
		"attributes on a filesystem without": func(t *testing.T) { withoutXattrs(t) },
		"a mount in the volume":              func(t *testing.T) { withMount(onDisk(t)) },
		"a file that changes meanwhile":      func(t *testing.T) { torn(onDisk(t)) },
		"a version that vanishes meanwhile":  func(t *testing.T) { vanishing(onDisk(t)) },
		"names that others give a meaning":   func(t *testing.T) { ownNames(onDisk(t)) },
		"years of five digits":               func(t *testing.T) { farTimes(t) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// onDisk is a terminal of a plugin that runs on a disk, below a command.
func onDisk(t *testing.T, under ...string) *repro {
	t.Helper()
	dir := loop(t, "mkfs.ext4", "-q", "-F")
	return &repro{t: t, Berth: ServeUnder(t, under, dir, "")}
}

// everything that a filesystem can have comes back, by each engine.
func everything(r *repro) {
	live := r.Create("v")
	require.NoError(r.t, Site(live, 3, Features{Xattrs: true}))
	for name, node := range map[string]uint32{"char": unix.S_IFCHR, "block": unix.S_IFBLK, "socket": unix.S_IFSOCK, "fifo": unix.S_IFIFO} {
		dev := 0
		if name == "char" || name == "block" {
			dev = int(unix.Mkdev(259, 70000))
		}
		require.NoError(r.t, unix.Mknod(live+"/"+name, node|0o640, dev))
		require.NoError(r.t, unix.Chmod(live+"/"+name, 0o4641))
	}
	r.write("v/"+strings.Repeat(strings.Repeat("n", 255)+"/", 12)+"deep", "deep")
	require.NoError(r.t, setTime(live, time.Unix(1, 1)))
	a := r.Try("snapshot", "create", "v", "--name", "s")
	require.Zero(r.t, a.Code, a.Stderr)
	want := r.walk("v")
	require.Empty(r.t, Unlike(want, r.walk(".snapshot/s/v"), false))
	for _, how := range [][]string{{"--checksum"}, {"--live"}} {
		require.NoError(r.t, os.RemoveAll(live+"/wp-content"))
		for _, name := range []string{"char", "block", "socket", "fifo", "links/0"} {
			require.NoError(r.t, os.Remove(live+"/"+name))
		}
		r.Run(append([]string{"snapshot", "restore", "v@s", "--yes", "-q"}, how...)...)
		require.Empty(r.t, Unlike(want, r.walk("v"), false), "%q", how)
	}
	r.Run("snapshot", "restore", "v@s", "--as", "clone", "-q")
	require.Empty(r.t, Unlike(want, r.walk("clone"), false))
}

func withoutMknod(r *repro) {
	live := r.Create("v")
	r.write("v/i", "good")
	require.NoError(r.t, os.Mkdir(live+"/dev", 0o755))
	require.NoError(r.t, unix.Mknod(live+"/dev/sda", unix.S_IFBLK|0o600, int(unix.Mkdev(8, 0))))
	was := r.walk("v")
	a := r.Try("snapshot", "create", "v", "--name", "s")
	if a.Code == 0 {
		r.honest(a, "dev/sda", was, r.walk(".snapshot/s/v"))
	} else {
		r.honest(a, "dev/sda", nil, nil)
		require.NoDirExists(r.t, r.path(".snapshot/s"))
	}
	// A version that somebody else has made whole.
	require.NoError(r.t, os.RemoveAll(r.path(".snapshot/s")))
	require.NoError(r.t, os.MkdirAll(r.path(".snapshot/other"), 0o755))
	run(r.t, "cp", "-a", live, r.path(".snapshot/other"))
	r.write("v/i", "newer")
	require.NoError(r.t, os.Remove(live+"/dev/sda"))
	now := r.walk("v")
	for _, how := range [][]string{{"--live"}, nil} {
		a := r.Try(append([]string{"snapshot", "restore", "v@other", "--yes"}, how...)...)
		r.honest(a, "dev/sda", r.walk(".snapshot/other/v"), r.walk("v"))
		if a.Code != 0 && how == nil {
			require.Equal(r.t, now["dev"].Mode, r.walk("v")["dev"].Mode)
		}
		r.write("v/i", "newer")
	}
	a = r.Try("snapshot", "restore", "v@other", "--as", "clone")
	if a.Code != 0 {
		require.NoDirExists(r.t, r.path("clone"))
		require.Contains(r.t, a.Stderr, "dev/sda")
	} else {
		r.honest(a, "dev/sda", r.walk(".snapshot/other/v"), r.walk("clone"))
	}
}

// withoutXattrs has the export where no extended attributes are, and the
// snapshot where they are.
func withoutXattrs(t *testing.T) {
	dir := t.TempDir()
	mount(t, dir, "-t", "ramfs", "none")
	r := &repro{t: t, Berth: Serve(t, dir, "")}
	r.Create("v")
	r.write("v/i", "newer")
	if err := unix.Setxattr(r.path("v/i"), "user.x", []byte("x"), 0); err == nil {
		treetest.Skip(t, "ramfs has extended attributes here")
	}
	require.NoError(t, os.MkdirAll(r.path(".snapshot/s"), 0o755))
	run(t, "mount", "-t", "tmpfs", "none", r.path(".snapshot/s"))
	r.write(".snapshot/s/v/i", "good")
	require.NoError(t, setXattr(r.path(".snapshot/s/v/i"), "user.x", []byte("x")))
	for _, args := range [][]string{
		{"snapshot", "restore", "v@s", "--yes"},
		{"snapshot", "restore", "v@s", "--live", "--yes"},
		{"snapshot", "restore", "v@s:i", "--yes"},
	} {
		require.NoError(t, os.WriteFile(r.path("v/i"), []byte("newer"), 0o644))
		r.honest(r.Try(args...), "i", r.walk(".snapshot/s/v"), r.walk("v"))
	}
}

func withMount(r *repro) {
	disk := tmpfs(r.t, r.t.TempDir())
	require.NoError(r.t, os.WriteFile(disk+"/1.jpg", []byte("precious"), 0o644))
	r.Create("v")
	r.write("v/i", "good")
	r.bind(disk, "v/media")
	a := r.Try("snapshot", "create", "v", "--name", "s")
	if a.Code != 0 {
		require.Contains(r.t, a.Stderr, "media")
		return
	}
	if _, err := os.Stat(r.path(".snapshot/s/v/media/1.jpg")); err != nil {
		require.Contains(r.t, a.Stdout+a.Stderr, "media", "what is mounted is not in the version, and create has not said so")
	}
	require.Equal(r.t, "good", r.read(".snapshot/s/v/i"))
}

// torn has a file that is written all the time: each state of it is one byte,
// repeated.
func torn(r *repro) {
	const size = 4 << 20
	live := r.Create("v")
	for i := range 40 {
		r.write(fmt.Sprintf("v/%02d", i), strings.Repeat("x", i*1000))
	}
	f, err := os.Create(live + "/log")
	require.NoError(r.t, err)
	_, err = f.Write(make([]byte, size))
	require.NoError(r.t, err)
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		defer f.Close()
		for b := byte(1); ; b++ {
			for at := int64(0); at < size; at += 4096 {
				select {
				case <-stop:
					return
				default:
				}
				_, _ = f.WriteAt(bytes.Repeat([]byte{b}, 4096), at)
			}
		}
	})
	defer writing.Wait()
	defer sync.OnceFunc(func() { close(stop) })()
	a := r.Try("snapshot", "create", "v", "--name", "s")
	if a.Code != 0 {
		require.Contains(r.t, a.Stderr, "log")
		return
	}
	for i := range 40 {
		require.Equal(r.t, strings.Repeat("x", i*1000), r.read(fmt.Sprintf(".snapshot/s/v/%02d", i)))
	}
	text := r.read(".snapshot/s/v/log")
	if torn := strings.Trim(text, text[:1]) != "" || len(text) != size; torn {
		require.Regexp(r.t, `\b1 file\b`, a.Stdout+a.Stderr)
		require.Contains(r.t, a.Stdout+a.Stderr, "log", "the first name")
	}
}

// vanishing takes the version away while it is read: by somebody else, whom
// berth cannot refuse.
func vanishing(r *repro) {
	const files = 100
	r.Create("v")
	for i := range files {
		r.write(fmt.Sprintf("v/d%d/f%03d", i%10, i), strings.Repeat(fmt.Sprintf("%07d\n", i), 64<<10))
	}
	for _, how := range [][]string{nil, {"--live"}, {"--to", "beside"}} {
		r.Run("snapshot", "create", "v", "--name", "s", "-q")
		for i := range files {
			r.write(fmt.Sprintf("v/d%d/f%03d", i%10, i), "hacked")
		}
		version := r.walk(".snapshot/s/v")
		hacked := r.walk("v")
		done, ended := make(chan struct{}), make(chan error)
		go func() {
			for {
				found, _ := filepath.Glob(r.path(".berth/staging/*/*/d*/f*"))
				flat, _ := filepath.Glob(r.path(".berth/staging/*/*"))
				select {
				case <-done:
					ended <- nil
					return
				case <-time.After(time.Millisecond):
				}
				if len(found) > 2 || len(flat) > 3 {
					ended <- os.RemoveAll(r.path(".snapshot/s"))
					return
				}
			}
		}()
		a := r.Try(append([]string{"snapshot", "restore", "v@s", "--yes"}, how...)...)
		close(done)
		require.NoError(r.t, <-ended)
		got := r.walk("v")
		if a.Code == 0 && how != nil && how[0] == "--to" {
			got = r.walk("v/beside")
		}
		switch {
		case a.Code == 0:
			require.Empty(r.t, Unlike(version, got, false), "exit 0: the tree is complete")
		case how == nil:
			require.Empty(r.t, Compare(hacked, got).Paths, "a restore that failed has changed nothing")
		case how[0] == "--to":
			require.NoDirExists(r.t, r.path("v/beside"))
		default:
			require.Contains(r.t, a.Stderr, "undo", "a live restore that failed says how to go back")
		}
		r.Try("snapshot", "restore", "--abort", "v")
		require.NoError(r.t, os.RemoveAll(r.path(".snapshot/s")))
		require.NoError(r.t, os.RemoveAll(r.path("v/beside")))
		for i := range files {
			r.write(fmt.Sprintf("v/d%d/f%03d", i%10, i), strings.Repeat(fmt.Sprintf("%07d\n", i), 64<<10))
		}
	}
}

// ownNames are data on a local disk, whatever other systems call so.
func ownNames(r *repro) {
	r.Create("v")
	names := []string{".snapshot/s/v/i", ".snapshot/own", "sub/.snapshot/x/y", ".berth/volumes/v.json", ".nfs0123456789abcdef01234567", "sub/.nfs0123456789abcdef01234567",
		"lost+found/x", ".Trash-0/x", "a.tmp", ".zfs/x", "~snapshot/x"}
	for _, name := range names {
		r.write("v/"+name, "mine")
	}
	was := r.walk("v")
	a := r.Try("snapshot", "create", "v", "--name", "s")
	require.Zero(r.t, a.Code, a.Stderr)
	require.Empty(r.t, Unlike(was, r.walk(".snapshot/s/v"), false), a.Stdout+a.Stderr)
	for _, how := range []string{"--checksum", "--live"} {
		for _, name := range names {
			r.write("v/"+name, "hacked")
		}
		changes, _ := r.Diff("v@s")
		require.Len(r.t, changes, len(names))
		r.Run("snapshot", "restore", "v@s", "--yes", "-q", how)
		require.Empty(r.t, Unlike(was, r.walk("v"), false), how)
	}
	require.NoError(r.t, os.RemoveAll(r.path("v/sub")))
	r.Run("snapshot", "restore", "v@s:sub", "--yes", "-q")
	require.Equal(r.t, "mine", r.read("v/sub/.snapshot/x/y"))
	r.Run("snapshot", "restore", "v@s", "--as", "clone", "-q")
	require.Empty(r.t, Unlike(was, r.walk("clone"), false))
}

// farTimes are those that JSON's times cannot say.
func farTimes(t *testing.T) {
	r := &repro{t: t, Berth: Serve(t, tmpfs(t, t.TempDir()), "")}
	r.Create("v")
	for i, year := range []int{12345, -5, 1, 292000} {
		name := fmt.Sprintf("v/f%d", i)
		r.write(name, "good")
		far(t, r.path(name), year)
	}
	was := r.walk("v")
	r.Run("snapshot", "create", "v", "--name", "s", "-q")
	require.Empty(t, Unlike(was, r.walk(".snapshot/s/v"), false))
	for _, how := range [][]string{nil, {"--live"}} {
		for i := range 4 {
			r.write(fmt.Sprintf("v/f%d", i), "evil")
			far(t, r.path(fmt.Sprintf("v/f%d", i)), 20000+i)
		}
		hacked := r.walk("v")
		changes, _ := r.Diff("v@s")
		require.Len(t, changes, 4)
		r.Run("versions", "v:f0")
		r.Run(append([]string{"snapshot", "restore", "v@s", "--yes", "-q"}, how...)...)
		require.Empty(t, Unlike(was, r.walk("v"), false))
		r.Run(append([]string{"undo", "v", "--yes", "-q"}, how...)...)
		require.Empty(t, Unlike(hacked, r.walk("v"), false))
	}
}

func far(t *testing.T, name string, year int) {
	t.Helper()
	ts := unix.Timespec{Sec: time.Date(year, 6, 1, 0, 0, 0, 0, time.UTC).Unix(), Nsec: 5}
	require.NoError(t, unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{ts, ts}, 0))
}

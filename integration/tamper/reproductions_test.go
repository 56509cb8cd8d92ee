package tamper

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/tree/treetest"
)

// TestReproductions are faults of versions as they were found, at the terminal
// of a plugin on a local disk. Each is named for what is right.
func TestReproductions(t *testing.T) {
	if os.Geteuid() != 0 {
		treetest.Skip(t, "mounts and owners need root")
	}
	Binary(t)
	for name, test := range map[string]func(r *repro){
		"R1 a clone is whole or is not there":                 r1,
		"R2 a date in a name is that snapshot, plan to act":   r2,
		"R3 what is mounted in a volume is not deleted":       r3,
		"R4 a time is read in the zone of who types":          r4,
		"R5 attributes, ACLs and capabilities come back":      r5,
		"R6 a file whose size and time were kept is found":    r6,
		"R7 a deep path is the fault of one volume":           r7,
		"R8 hard links are counted once":                      r8,
		"R12 an empty variable destroys nothing":              r12,
		"R14 an immutable file is named":                      r14,
		"R15 a live undo brings the times of directories":     r15,
		"R16 a restored file gives its group no other rights": r16,
		"R19 names with colons and dates are read":            r19,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := loop(t, "mkfs.ext4", "-q", "-F")
			test(&repro{t: t, Berth: Serve(t, dir, "")})
		})
	}
}

// repro is a terminal.
type repro struct {
	t *testing.T
	*Berth
}

func (r *repro) path(parts ...string) string {
	return filepath.Join(append([]string{r.Dir}, parts...)...)
}

// write writes a file, and makes its directories.
func (r *repro) write(name, content string) {
	r.t.Helper()
	require.NoError(r.t, os.MkdirAll(filepath.Dir(r.path(name)), 0o755))
	require.NoError(r.t, os.WriteFile(r.path(name), []byte(content), 0o644))
}

func (r *repro) read(name string) string {
	r.t.Helper()
	text, err := os.ReadFile(r.path(name))
	require.NoError(r.t, err)
	return string(text)
}

// out is what a program prints.
func (r *repro) out(args ...string) string {
	r.t.Helper()
	out, err := exec.Command(args[0], args[1:]...).Output()
	require.NoError(r.t, err, "%q", args)
	return string(out)
}

func r1(r *repro) {
	const files, size = 120, 1 << 20
	r.Create("up")
	for i := range files {
		r.write(fmt.Sprintf("up/v%03d.mp4", i), strings.Repeat(fmt.Sprintf("%07d\n", i), size/8))
	}
	r.Run("snapshot", "create", "up", "--name", "hourly", "-q")
	gone := make(chan error)
	done := make(chan struct{})
	go func() { // the snapshot goes as soon as a file has been copied
		for {
			copied, _ := filepath.Glob(r.path(".berth/staging/*/*/*.mp4"))
			deeper, _ := filepath.Glob(r.path(".berth/staging/*/*.mp4"))
			select {
			case <-done:
				gone <- nil
				return
			case <-time.After(time.Millisecond):
			}
			if len(copied)+len(deeper) > 2 {
				gone <- os.RemoveAll(r.path(".snapshot/hourly"))
				return
			}
		}
	}()
	a := r.Try("snapshot", "restore", "up@hourly", "--as", "copy")
	close(done)
	require.NoError(r.t, <-gone)
	found, err := filepath.Glob(r.path("copy/*"))
	require.NoError(r.t, err)
	if a.Code != 0 {
		require.NoDirExists(r.t, r.path("copy"))
		require.NotContains(r.t, r.Run("ls"), "copy")
		return
	}
	r.t.Log("the clone was faster")
	require.Len(r.t, found, files)
	wrong, err := Oracle{}.Unlike(r.path("up"), r.path("copy"))
	require.NoError(r.t, err)
	require.Empty(r.t, wrong)
}

func r2(r *repro) {
	r.Create("blog")
	r.write("blog/i", "live")
	for d := 10; d <= 20; d++ {
		name := fmt.Sprintf(".snapshot/2026-11-%d", d)
		r.write(name+"/blog/i", fmt.Sprintf("content of %d", d))
		require.NoError(r.t, setTime(r.path(name), time.Date(2026, 11, d-1, 8, 0, 0, 0, time.UTC)))
	}
	require.Contains(r.t, r.Run("snapshot", "restore", "blog@2026-11-12", "--yes"), "2026-11-12")
	require.Equal(r.t, "content of 12", r.read("blog/i"))
	r.Run("snapshot", "restore", "blog@2026-11-12", "--as", "other")
	require.Equal(r.t, "content of 12", r.read("other/i"))
	r.Verb("Create", `{"Name":"third","Opts":{"from":"blog@2026-11-12"}}`)
	require.Equal(r.t, "content of 12", r.read("third/i"))
	require.Equal(r.t, "content of 12", r.Run("snapshot", "cat", "blog@2026-11-12:i"))
}

func r3(r *repro) {
	disk := tmpfs(r.t, r.t.TempDir())
	precious := filepath.Join(disk, "1.jpg")
	require.NoError(r.t, os.WriteFile(precious, []byte("precious"), 0o644))
	r.Create("site")
	r.write("site/index.php", "x")
	r.Run("snapshot", "create", "site", "--name", "s", "-q")
	r.write("site/index.php", "newer")
	r.bind(disk, "site/media")

	require.ErrorContains(r.t, r.verb("Remove", `{"Name":"site"}`), "media", "a volume with a mount in it is not removed, and the mount is named")
	for _, how := range [][]string{nil, {"--live"}} {
		a := r.Try(append([]string{"snapshot", "restore", "site@s", "--yes"}, how...)...)
		require.NotZero(r.t, a.Code)
		require.Contains(r.t, a.Stderr, "media")
	}
	require.FileExists(r.t, precious)

	// Mounted when it is in the trash already, and again in another tree there.
	run(r.t, "umount", r.path("site/media"))
	r.Verb("Remove", `{"Name":"site"}`)
	found, err := filepath.Glob(r.path(".berth/trash/*/data/media"))
	require.NoError(r.t, err)
	require.Len(r.t, found, 1)
	rel, err := filepath.Rel(r.Dir, found[0])
	require.NoError(r.t, err)
	r.bind(disk, rel)
	for _, id := range strings.Fields(r.Run("trash", "ls", "-q")) {
		r.Try("trash", "purge", id, "--yes")
	}
	r.Try("trash", "purge", "--older", "1ns", "--yes")
	// The purge goes on in the background, until it has come to the mount.
	deadline := time.Now().Add(10 * time.Second)
	for left := 1; left > 0 && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		names, _ := filepath.Glob(r.path(".berth/*/*/data/index.php"))
		left = len(names)
	}
	require.Equal(r.t, "precious", r.out("cat", precious))
}

// bind mounts a directory below the export; the mount ends with the export's.
func (r *repro) bind(dir, name string) {
	r.t.Helper()
	require.NoError(r.t, os.MkdirAll(r.path(name), 0o755))
	run(r.t, "mount", "--bind", dir, r.path(name))
}

func r4(r *repro) {
	r.Create("blog")
	r.write("blog/i", "live")
	r.Env = append(r.Env, "TZ=Asia/Tokyo")
	for _, h := range []string{"0100", "0900"} {
		r.write(".snapshot/berth.20261128T"+h+"00Z/blog/i", h)
	}
	require.Contains(r.t, r.Run("snapshot", "ls", "blog"), "2026-11-28 10:00")
	require.Equal(r.t, "0100", r.Run("snapshot", "cat", "blog@2026-11-28T1000:i"))
	require.Equal(r.t, "0900", r.Run("snapshot", "cat", "blog@2026-11-28T1800:i"))
}

func r5(r *repro) {
	r.Create("oc")
	r.write("oc/f", "x\n")
	r.write("oc/ping", "a program")
	f, ping := r.path("oc/f"), r.path("oc/ping")
	require.NoError(r.t, setXattr(f, "user.oc.id", []byte("1aa81512")))
	require.NoError(r.t, setXattr(f, "system.posix_acl_access", acl(6, 33, 6, 4, 6, 4)))
	require.NoError(r.t, setXattr(ping, "security.capability", capability(1<<13)))
	r.Run("snapshot", "create", "oc", "--name", "s", "-q")
	require.NoError(r.t, os.WriteFile(ping, []byte("another program"), 0o644))
	r.Run("snapshot", "restore", "oc@s", "--yes", "-q")
	require.Contains(r.t, r.out("getfattr", "-d", "--absolute-names", f), `user.oc.id="1aa81512"`)
	require.Contains(r.t, r.out("getfacl", "-cnp", f), "user:33:rw-")
	require.Contains(r.t, r.out("getcap", ping), "cap_net_raw=ep")
	r.Run("undo", "oc", "--yes", "-q")
	require.NoError(r.t, unix.Lremovexattr(f, "user.oc.id"))
	changes, _ := r.Diff("oc@s")
	require.Len(r.t, changes, 2)
	require.Equal(r.t, []string{"U", "f"}, []string{changes[0].Kind, changes[0].Path})
	require.Contains(r.t, changes[0].Fields, "xattr")
	require.Equal(r.t, []string{"M", "ping"}, []string{changes[1].Kind, changes[1].Path})
}

func r6(r *repro) {
	old := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	r.Create("wp")
	r.write("wp/l.php", "<?php require good;\n")
	require.NoError(r.t, setTime(r.path("wp/l.php"), old))
	r.Run("snapshot", "create", "wp", "--name", "s", "-q")
	r.write("wp/l.php", "<?php require evil;\n")
	require.NoError(r.t, setTime(r.path("wp/l.php"), old))
	for _, command := range [][]string{{"snapshot", "diff", "wp@s"}, {"snapshot", "diff", "wp@s", "--stat"}} {
		a := r.Try(command...)
		require.Contains(r.t, a.Stdout+a.Stderr, "1 file was changed and its time put back")
		if len(command) == 3 {
			require.Regexp(r.t, `(?m)^M  l\.php .*20 B, same size, same time`, a.Stdout)
		}
	}
	var versions []any
	require.NoError(r.t, json.Unmarshal([]byte(r.Run("versions", "wp:l.php", "--json")), &versions))
	require.Len(r.t, versions, 2)
	r.Run("snapshot", "restore", "wp@s", "--yes")
	require.Equal(r.t, "<?php require good;\n", r.read("wp/l.php"))
	require.NoError(r.t, json.Unmarshal([]byte(r.Run("versions", "wp:l.php", "--json")), &versions))
	require.Len(r.t, versions, 1)
}

// deepen makes a chain of directories that is longer than any path may be.
func deepen(t *testing.T, dir string) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	name := strings.Repeat("d", 200)
	for range 25 {
		require.NoError(t, unix.Mkdirat(fd, name, 0o755))
		below, err := unix.Openat(fd, name, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		require.NoError(t, err)
		unix.Close(fd)
		fd = below
	}
	unix.Close(fd)
}

// depth is how many directories a chain has.
func depth(t *testing.T, dir string) (n int) {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	for {
		below, err := unix.Openat(fd, strings.Repeat("d", 200), unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		if err != nil {
			return n
		}
		fd = below
		n++
	}
}

func r7(r *repro) {
	deepen(r.t, r.Create("a"))
	r.Create("blog")
	r.write("blog/i", "good")
	a := r.Try("snapshot", "create", "--name", "all")
	require.Equal(r.t, "good", r.read(".snapshot/all/blog/i"))
	if _, err := os.Stat(r.path(".snapshot/all/a")); err == nil {
		require.Equal(r.t, 25, depth(r.t, r.path(".snapshot/all/a")))
	} else {
		require.Regexp(r.t, `volume "?a"?`, a.Stdout+a.Stderr, "what has no version is named")
	}
	require.Contains(r.t, r.Try("ls", "--size").Stdout, "blog")
	r.Verb("Remove", `{"Name":"a"}`)
	r.Run(append([]string{"trash", "purge", "--yes"}, strings.Fields(r.Run("trash", "ls", "-q"))...)...)
	require.Eventually(r.t, func() bool {
		left, _ := filepath.Glob(r.path(".berth/staging/*"))
		trash, _ := filepath.Glob(r.path(".berth/trash/*"))
		return len(left)+len(trash) == 0
	}, 30*time.Second, 20*time.Millisecond, "the purge ends")
	for line := range strings.Lines(r.Try("doctor").Stdout) {
		if strings.Contains(line, "staging") {
			require.NotRegexp(r.t, `^(WARN|FAIL)`, line)
		}
	}
}

func r8(r *repro) {
	const size, names = 20 << 20, 600 // of a disk of 2 GiB
	r.Create("bk")
	r.write("bk/0/big", strings.Repeat("0123456789abcde\n", size/16))
	for i := range names {
		dir := r.path("bk", fmt.Sprint(i+1))
		require.NoError(r.t, os.Mkdir(dir, 0o755))
		require.NoError(r.t, os.Link(r.path("bk/0/big"), dir+"/big"))
	}
	r.Run("snapshot", "create", "bk", "--name", "s")
	var list []struct {
		Name string `json:"name"`
		Size int64  `json:"size_bytes"`
	}
	text := r.Run("ls", "--size", "--json")
	require.NoError(r.t, json.Unmarshal([]byte(text), &list))
	require.Equal(r.t, "bk", list[0].Name)
	require.InDelta(r.t, size, list[0].Size, size/5, text)
	r.Verb("Create", `{"Name":"c","Opts":{"from":"bk@s"}}`)
	require.InDelta(r.t, size, float64(used(r.t, r.path("c"))), size/5)
}

// used is what du says, in bytes.
func used(t *testing.T, dir string) (n int64) {
	t.Helper()
	out, err := exec.Command("du", "-sB1", dir).Output()
	require.NoError(t, err)
	_, err = fmt.Sscan(string(out), &n)
	require.NoError(t, err)
	return n
}

func r12(r *repro) {
	r.Create("blog")
	r.write("blog/i", "good")
	r.Run("snapshot", "create", "blog", "--name", "s", "-q")
	r.write("blog/i", "newer")
	var wrong []string
	for _, args := range [][]string{
		{"snapshot", "restore", "blog@s", "--as", ""},
		{"snapshot", "restore", "blog@s", "--as="},
		{"snapshot", "restore", "blog@s", "--to", ""},
		{"snapshot", "restore", "blog@s", "--stack", ""},
		{"snapshot", "restore", "blog@s", "--keep-undo", ""},
		{"snapshot", "restore", ""},
		{"snapshot", "restore", "blog@s:"},
		{"snapshot", "restore", "blog@"},
		{"undo", ""},
		{"undo", "blog", "--stack", ""},
	} {
		if a := r.Try(append(args, "--yes")...); a.Code != 2 || r.read("blog/i") != "newer" {
			wrong = append(wrong, fmt.Sprintf("%q: exit %d: %s%s", args, a.Code, a.Stdout, a.Stderr))
		}
		r.write("blog/i", "newer")
	}
	for _, args := range [][]string{
		{"snapshot", "create", "blog", "--name", ""},
		{"snapshot", "create", ""},
		{"snapshot", "create", "--stack", ""},
		{"snapshot", "rm", "", "--yes"},
		{"trash", "purge", "", "--yes"},
		{"trash", "purge", "--older", "", "--yes"},
	} {
		if a := r.Try(args...); a.Code != 2 {
			wrong = append(wrong, fmt.Sprintf("%q: exit %d: %s%s", args, a.Code, a.Stdout, a.Stderr))
		}
	}
	require.Empty(r.t, wrong)
	require.DirExists(r.t, r.path(".snapshot/s"))
}

func r14(r *repro) {
	r.Create("blog")
	r.write("blog/sub/i", "good")
	r.Run("snapshot", "create", "blog", "--name", "s", "-q")
	r.write("blog/sub/i", "hacked")
	run(r.t, "chattr", "+i", r.path("blog/sub/i"))
	defer run(r.t, "chattr", "-i", r.path("blog/sub/i"))
	a := r.Try("snapshot", "restore", "blog@s", "--live", "--yes")
	require.Equal(r.t, 1, a.Code, a.Stderr)
	require.Contains(r.t, a.Stderr, "sub/i")
	require.Contains(r.t, a.Stderr, "lsattr")
	require.NotContains(r.t, a.Stderr, "export rule")
	require.Equal(r.t, "hacked", r.read("blog/sub/i"))
}

func r15(r *repro) {
	r.Create("d")
	r.write("d/sub/a", "1")
	r.Run("snapshot", "create", "d", "--name", "s", "-q")
	r.write("d/sub/n", "22")
	before, err := Walk(r.path("d"))
	require.NoError(r.t, err)
	r.Run("snapshot", "restore", "d@s", "--live", "--yes", "-q")
	require.NoFileExists(r.t, r.path("d/sub/n"))
	r.Run("undo", "d", "--live", "--yes", "-q")
	after, err := Walk(r.path("d"))
	require.NoError(r.t, err)
	require.Empty(r.t, Unlike(before, after, false))
}

func r16(r *repro) {
	r.Create("s")
	r.write("s/f", "secret")
	require.NoError(r.t, os.Chown(r.path("s/f"), 0, 100))
	require.NoError(r.t, os.Chmod(r.path("s/f"), 0o640))
	require.NoError(r.t, setXattr(r.path("s/f"), "system.posix_acl_access", acl(6, 33, 7, 4, 7, 0)))
	r.write("s/o", "o")
	was := r.out("getfacl", "-cnp", r.path("s/f"))
	require.Contains(r.t, was, "group::r--")
	r.Run("snapshot", "create", "s", "--name", "s", "-q")
	r.write("s/o", "p")
	r.Run("snapshot", "restore", "s@s", "--yes", "-q")
	require.Equal(r.t, was, r.out("getfacl", "-cnp", r.path("s/f")))
}

func r19(r *repro) {
	r.Create("blog")
	names := []string{"autosnap_2026-11-27_00:00:01_daily", "autosnap_2026-11-27_00:15:01_hourly", "before:update",
		"auto-" + time.Now().UTC().Format("2006-01-02_15-04")}
	for _, name := range names {
		r.write(".snapshot/"+name+"/blog/i", name)
		require.NoError(r.t, setTime(r.path(".snapshot", name), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)))
	}
	for _, name := range names {
		require.Equal(r.t, name, r.Run("snapshot", "cat", "blog@"+name+":i"))
		r.Run("snapshot", "diff", "blog@"+name)
	}
	for _, name := range names[:2] {
		require.NoError(r.t, os.RemoveAll(r.path(".snapshot", name)))
	}
	require.Regexp(r.t, `^OK - `, r.Run("check", "--max-age", "26h"))
}

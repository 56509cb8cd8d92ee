package uml

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/snapshot"
)

// plantSite makes a tree like WordPress's on the server, with all that is hard
// to bring back.
func plantSite(t testing.TB, root string, files int) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	need := func(err error) {
		t.Helper()
		require.NoError(t, err)
	}
	for i := range files {
		dir := filepath.Join(root, fmt.Sprintf("wp-content/d%d/e%d", i%(files/60+1), i%(files/7+1)))
		need(os.MkdirAll(dir, 0o755))
		size := int(min(4096*math.Exp(r.NormFloat64()*1.5), 1<<20))
		if i%100 == 0 {
			size = 0
		}
		name := filepath.Join(dir, fmt.Sprintf("f%d.php", i))
		need(os.WriteFile(name, bytes.Repeat([]byte{byte(i%250) + 1}, size), os.FileMode(0o600|i%0o100)))
		need(os.Lchown(name, 33+i%3, 33))
		when := time.Unix(1.6e9+int64(i), int64(i)*1001)
		need(os.Chtimes(name, when, when))
		if i%500 == 0 {
			need(os.Link(name, name+".hard"))
			need(os.Symlink("f.php", name+".link"))
		}
	}
	for i, name := range []string{"new\nline", "invalid \xff\xfe", strings.Repeat("n", 255), "-rf", " space "} {
		need(os.WriteFile(filepath.Join(root, name), []byte(name), 0o644))
		need(os.Mkdir(filepath.Join(root, fmt.Sprint("dir", i)), 0o755))
		need(os.WriteFile(filepath.Join(root, fmt.Sprint("dir", i), name), []byte(name), 0o644))
	}
	need(unix.Mkfifo(filepath.Join(root, "fifo"), 0o640))
	need(os.WriteFile(filepath.Join(root, "setuid"), []byte("x"), 0o644))
	need(os.Chmod(filepath.Join(root, "setuid"), os.ModeSetuid|os.ModeSetgid|0o755))
	need(os.Chmod(filepath.Join(root, "dir1"), os.ModeSticky|os.ModeSetgid|0o775))
	f, err := os.Create(filepath.Join(root, "sparse"))
	need(err)
	defer f.Close()
	need(f.Truncate(64 << 20))
	_, err = f.WriteAt([]byte("end"), 40<<20)
	need(err)
}

// vandalize changes one file in a hundred, removes some and adds others.
func vandalize(t testing.TB, root string) {
	t.Helper()
	n := 0
	require.NoError(t, filepath.WalkDir(root, func(name string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		switch n++; n % 100 {
		case 0:
			if err = os.Remove(name); err == nil {
				err = os.WriteFile(name, []byte("HACKED"), 0o666)
			}
		case 50:
			err = os.Remove(name)
		case 70:
			err = os.Chmod(name, 0o777)
		case 80:
			err = os.WriteFile(name+".evil", []byte("evil"), 0o644)
		}
		return err
	}))
	require.NoError(t, os.RemoveAll(filepath.Join(root, "dir3")))
	require.NoError(t, os.Remove(filepath.Join(root, "fifo")))
	require.NoError(t, os.Mkdir(filepath.Join(root, "fifo"), 0o755))
}

// requests is how many requests the simulated filer has answered.
func requests(t testing.TB, l *Lab) int {
	t.Helper()
	text, err := os.ReadFile(l.dir + "/simulator.log")
	require.NoError(t, err)
	return strings.Count(string(text), "/api/")
}

// siteFiles is how many files the site has.
const siteFiles = 20000

// startSite starts a server with a filer's API, and a volume whose version
// "good" is the site.
func startSite(t testing.TB) (*Lab, Versions) {
	t.Helper()
	l := New(t, 0)
	settings, err := l.Server.StartFiler()
	require.NoError(t, err)
	job := Versions{URL: ExportURL}
	for _, s := range settings {
		if dir, ok := strings.CutPrefix(s, "config.source="); ok {
			job.Config = dir
		}
		if address, ok := strings.CutPrefix(s, "BERTH_ONTAP="); ok {
			job.Filer = address
		}
	}
	make := job
	make.Volume = "site"
	require.NoError(t, l.agent.Call("Agent.Versions", make, new(Restored)))
	plantSite(t, l.Server.Path("site"), siteFiles)
	make.Volume, make.Snapshot = "", "good"
	require.NoError(t, l.agent.Call("Agent.Versions", make, new(Restored)))
	return l, job
}

// restored carries a restore out and requires the tree of the version, by two
// tools that have nothing to do with berth.
func restored(t testing.TB, l *Lab, job Versions) (out Restored) {
	t.Helper()
	require.NoError(t, l.agent.Call("Agent.Versions", job, &out))
	require.Empty(t, out.Error)
	good, live := exportPath+"/.snapshot/good/site", exportPath+"/site"
	for _, args := range [][]string{
		// The server does not set the times of symlinks.
		{"rsync", "-niaH", "--delete", "--checksum", "--omit-link-times", good + "/", live + "/"},
		{"sh", "-c", "tar -C " + good + " -cf - . | tar -C " + live + " --compare -f -"},
	} {
		var r Result
		require.NoError(t, l.agent.Call("Agent.Run", Command{Args: args}, &r))
		require.NoError(t, r.error(args))
		require.Empty(t, r.Stdout, args[0])
	}
	return out
}

func TestAWordPressComesBackByEveryEngine(t *testing.T) {
	swarms.take(t)
	l, job := startSite(t)
	live := l.Server.Path("site")
	copyJob := job
	copyJob.Filer = "" // without the API: what .snapshot shows
	for _, c := range []struct {
		engine  string
		job     Versions
		request snapshot.RestoreRequest
		gone    bool // all of it
	}{
		{"filer", job, snapshot.RestoreRequest{Refs: []string{"site@good"}}, false},
		{"copy", copyJob, snapshot.RestoreRequest{Refs: []string{"site@good"}}, false},
		{"sync", job, snapshot.RestoreRequest{Refs: []string{"site@good"}, Live: true}, false},
		{"copy", copyJob, snapshot.RestoreRequest{Refs: []string{"site@good"}, Checksum: true}, true},
	} {
		if c.gone {
			require.NoError(t, os.RemoveAll(live))
		} else {
			vandalize(t, live)
		}
		before := requests(t, l)
		c.job.Restore = c.request
		out := restored(t, l, c.job)
		require.Equal(t, c.engine, out.Engine)
		if c.engine == "filer" {
			require.Less(t, float64(out.Wire), 0.01*float64(out.Bytes), "the data does not go over the network")
			require.Less(t, requests(t, l)-before, 20)
		}
		t.Logf("%s: %.1f s, %.5f bytes over the wire for each restored, %d requests to the API", c.engine, out.Seconds, float64(out.Wire)/float64(max(1, out.Bytes)), requests(t, l)-before)
	}
}

package proxy

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// rendering is what services give.
func rendering(t *testing.T, services ...Service) []File {
	t.Helper()
	sites, err := Sites(services)
	require.NoError(t, err)
	return Render(sites, nodes)
}

// kinds are the changes by file.
func kinds(c Changes) map[string]string {
	out := map[string]string{}
	for _, change := range c.List {
		out[change.Name] = change.Kind
	}
	return out
}

func TestADirectoryBecomesTheRendering(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "files")
	a, b := service("a", "site=a.example.edu"), service("b", "site=b.example.edu")
	write := func(services ...Service) Changes {
		c, err := Compare(dir, rendering(t, services...))
		require.NoError(t, err)
		require.NoError(t, c.Write())
		return c
	}
	require.Equal(t, map[string]string{"sites/a.example.edu.conf": Added, "sites/b.example.edu.conf": Added, "manifest": Added}, kinds(write(a, b)))
	require.False(t, write(a, b).Any())

	// sha256sum agrees, and no file can be executed.
	out, err := exec.Command("sh", "-c", "cd "+dir+" && sha256sum --check manifest && find . -type f -perm /111").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Equal(t, "sites/a.example.edu.conf: OK\nsites/b.example.edu.conf: OK\n", string(out))

	// What others put there stays, also a copy of a file of ours.
	ours, err := os.ReadFile(filepath.Join(dir, "sites/a.example.edu.conf"))
	require.NoError(t, err)
	for _, name := range []string{"sites/own.conf", "nginx.conf", "sites/notes.txt"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), ours, 0o600))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sites", "more"), 0o755))
	a.Labels["berth.cache"] = "static"
	require.Equal(t, map[string]string{"sites/a.example.edu.conf": Changed, "sites/b.example.edu.conf": Removed, "manifest": Changed}, kinds(write(a)))
	for _, name := range []string{"sites/own.conf", "nginx.conf", "sites/notes.txt"} {
		require.FileExists(t, filepath.Join(dir, name))
	}
	require.NoFileExists(t, filepath.Join(dir, "sites/b.example.edu.conf"))
	require.NoDirExists(t, filepath.Join(dir, stage))
}

func TestAFileOfOthersIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "sites"), 0o755))
	path := filepath.Join(dir, "sites/b.example.edu.conf")
	require.NoError(t, os.WriteFile(path, []byte("server {}\n"), 0o644))
	_, err := Compare(dir, rendering(t, service("a", "site=a.example.edu"), service("b", "site=b.example.edu")))
	require.ErrorAs(t, err, new(*NotOurs))
	require.ErrorContains(t, err, path)
}

// A run that was killed between two renames is completed by the next, and until
// then its sums are wrong.
func TestAHalfWrittenDirectoryIsCompleted(t *testing.T) {
	dir := t.TempDir()
	write := func(files []File) {
		c, err := Compare(dir, files)
		require.NoError(t, err)
		require.NoError(t, c.Write())
	}
	before := rendering(t, service("a", "site=a.example.edu"), service("gone", "site=gone.example.edu"))
	write(before)
	after := rendering(t, service("a", "site=a.example.edu", "cache=drupal"), service("b", "site=b.example.edu"))
	for i := range after {
		write(before)
		require.NoError(t, os.MkdirAll(filepath.Join(dir, stage, "sites"), 0o755))
		for _, f := range after[:i] {
			require.NoError(t, os.WriteFile(filepath.Join(dir, f.Name), f.Data, 0o644))
		}
		if i > 0 {
			require.Error(t, exec.Command("sh", "-c", "cd "+dir+" && sha256sum --quiet --check manifest 2>/dev/null").Run())
		}
		write(after)
		got, err := Compare(dir, after)
		require.NoError(t, err)
		require.False(t, got.Any(), "%v", kinds(got))
		require.NoDirExists(t, filepath.Join(dir, stage))
	}
}

func TestADirectoryThatCannotBeWrittenIsUnchanged(t *testing.T) {
	dir := t.TempDir()
	c, err := Compare(dir, rendering(t, service("a", "site=a.example.edu")))
	require.NoError(t, err)
	require.NoError(t, c.Write())
	c, err = Compare(dir, rendering(t, service("a", "site=a.example.edu", "cache=static"), service("b", "site=b.example.edu")))
	require.NoError(t, err)
	// A name that the filesystem refuses stands for a disk that is full: the
	// files before it are beside their places, and stay there.
	c.List[1].Name = "sites/" + string(make([]byte, 1)) + ".conf"
	require.Error(t, c.Write())
	same, err := Compare(dir, rendering(t, service("a", "site=a.example.edu")))
	require.NoError(t, err)
	require.False(t, same.Any())
}

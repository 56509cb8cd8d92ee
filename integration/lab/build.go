package lab

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// SiteImage is the image of the program testsite on every node that has it.
const SiteImage = "testsite:1"

// Root is the top of the checkout, found upwards from the package under test.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", fmt.Errorf("no go.mod above the working directory")
}

// What a test run builds, it builds once and below the run's directory, so that
// a test neither reads nor disturbs the developer's build folder.

// buildPlugin makes the managed plugin's folder, in make's own way.
var buildPlugin = sync.OnceValues(func() (folder string, err error) {
	root, dir, err := buildFolders("plugin")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "plugin"), command(root, "make", "rootfs", "BUILD="+dir)
})

// buildRelease makes a release of this checkout, in make's own way.
var buildRelease = sync.OnceValues(func() (folder string, err error) {
	root, dir, err := buildFolders("release")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "release"), command(root, "make", "release", "BUILD="+dir)
})

// buildSite makes the image of testsite, as a tar archive.
var buildSite = sync.OnceValues(func() ([]byte, error) {
	root, dir, err := buildFolders("site")
	if err != nil {
		return nil, err
	}
	site := filepath.Join(dir, "testsite")
	cmd := exec.Command("go", "build", "-o", site, "./integration/testsite")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build testsite: %w\n%s", err, out)
	}
	return archive(map[string]string{"testsite": site})
})

func buildFolders(name string) (root, dir string, err error) {
	root, err = Root()
	if err != nil {
		return "", "", err
	}
	r, err := thisRun()
	if err != nil {
		return "", "", err
	}
	dir = filepath.Join(r.dir, name)
	return root, dir, os.MkdirAll(dir, 0o755)
}

func command(dir string, args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return nil
}

// archive makes a tar archive of programs, by their name in it.
func archive(programs map[string]string) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for name, path := range programs {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			return nil, err
		}
		if _, err := w.Write(text); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), w.Close()
}

// PluginFolder is the folder of the managed plugin, built once per run.
func PluginFolder(t testing.TB) string {
	t.Helper()
	folder, err := buildPlugin()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// ReleaseFolder is the folder of a release, built once per run.
func ReleaseFolder(t testing.TB) string {
	t.Helper()
	folder, err := buildRelease()
	if err != nil {
		t.Fatal(err)
	}
	return folder
}

// SiteArchive is the archive of SiteImage's files, for engines other than the nodes' own.
func SiteArchive(t testing.TB) []byte {
	t.Helper()
	image, err := buildSite()
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// ImportSite makes SiteImage known to the node's engine.
func (n *Node) ImportSite() error {
	image, err := buildSite()
	if err != nil {
		return err
	}
	return n.Import(bytes.NewReader(image), SiteImage, `ENTRYPOINT ["/testsite"]`)
}

// Import makes an image from the archive of its files, with changes as in a
// Dockerfile.
func (n *Node) Import(archive io.Reader, image string, changes ...string) error {
	args := []string{"import"}
	for _, c := range changes {
		args = append(args, "--change", c)
	}
	cmd := n.dockerCommand(append(args, "-", image)...)
	cmd.Stdin = archive
	_, err := output(cmd)
	return err
}

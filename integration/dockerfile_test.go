package integration

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/integration/lab"
)

func TestDockerfileMakesTheSameBytesAsMakeWithoutARegistry(t *testing.T) {
	t.Parallel()
	root, err := lab.Root()
	require.NoError(t, err)
	l := lab.New(t, lab.Options{})
	n := l.Nodes[0]

	archive, toolchain := io.Pipe()
	go func() { toolchain.CloseWithError(writeToolchain(toolchain, root)) }()
	require.NoError(t, n.Import(archive, "toolchain:1",
		"ENV PATH=/usr/local/go/bin", "ENV HOME=/root", "ENV GOMODCACHE=/go/pkg/mod", "ENV GOPROXY=off", "ENV GOTOOLCHAIN=local"))
	n.Docker(t, "build", "--network", "none", "--build-arg", "BUILDER=toolchain:1", "--tag", "rootfs:1", root)

	saved := filepath.Join(t.TempDir(), "rootfs.tar")
	n.Docker(t, "save", "--output", saved, "rootfs:1")
	require.Equal(t, folderContents(t, filepath.Join(lab.PluginFolder(t), "rootfs")), imageContents(t, saved))
}

// folderContents describes the regular files below dir: mode, size, sum.
func folderContents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		below, _ := filepath.Rel(dir, path)
		if d.IsDir() {
			files[below+"/"] = info.Mode().Perm().String()
			return nil
		}
		text, err := os.ReadFile(path)
		files[below] = describe(info.Mode().Perm(), text)
		return err
	}))
	return files
}

// imageContents describes the files of a saved image the same way.
func imageContents(t *testing.T, saved string) map[string]string {
	t.Helper()
	parts := readTar(t, mustRead(t, saved))
	var manifest []struct{ Layers []string }
	require.NoError(t, json.Unmarshal(parts["manifest.json"].text, &manifest))
	files := map[string]string{}
	for _, layer := range manifest[0].Layers {
		for name, part := range readTar(t, parts[layer].text) {
			if part.header.Typeflag == tar.TypeDir {
				files[name] = fs.FileMode(part.header.Mode).Perm().String()
				continue
			}
			files[name] = describe(fs.FileMode(part.header.Mode).Perm(), part.text)
		}
	}
	return files
}

func describe(mode fs.FileMode, text []byte) string {
	return fmt.Sprintf("%s %d bytes, sha256 %x", mode, len(text), sha256.Sum256(text))
}

type tarPart struct {
	header *tar.Header
	text   []byte
}

func readTar(t *testing.T, archive []byte) map[string]tarPart {
	t.Helper()
	parts := map[string]tarPart{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return parts
		}
		require.NoError(t, err)
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		parts[h.Name] = tarPart{h, text}
	}
}

func mustRead(t *testing.T, file string) []byte {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return text
}

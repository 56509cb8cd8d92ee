package integration

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// writeToolchain writes this machine's Go, and the modules that berth is built
// from, as the archive of an image: what golang:1.26 is where there is a
// registry, as far as `go build` can tell.
func writeToolchain(out io.Writer, root string) error {
	w := tar.NewWriter(out)
	goroot, err := askGo(root, "env", "GOROOT")
	if err != nil {
		return err
	}
	for _, part := range []string{"VERSION", "go.env", "bin/go", "pkg/include", "pkg/tool", "src"} {
		if err := addTree(w, filepath.Join(goroot, part), path.Join("usr/local/go", part), neededToBuild); err != nil {
			return err
		}
	}
	cache, err := askGo(root, "env", "GOMODCACHE")
	if err != nil {
		return err
	}
	// The modules as unpacked, and what go reads to choose their versions.
	err = addTree(w, filepath.Join(cache, "cache/download"), "go/pkg/mod/cache/download", func(name string) bool {
		ext := filepath.Ext(name)
		return ext == ".mod" || ext == ".info" || ext == ".ziphash"
	})
	if err != nil {
		return err
	}
	dirs, err := askGo(root, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Dir}}{{end}}{{end}}", "./cmd/berth")
	if err != nil {
		return err
	}
	added := map[string]bool{}
	for dir := range strings.FieldsSeq(dirs) {
		below, err := filepath.Rel(cache, dir)
		if err != nil || added[dir] {
			continue
		}
		added[dir] = true
		if err := addTree(w, dir, path.Join("go/pkg/mod", below), neededToBuild); err != nil {
			return err
		}
	}
	for _, dir := range []string{"tmp/", "root/"} {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o777}); err != nil {
			return err
		}
	}
	return w.Close()
}

func askGo(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("go %v: %w: %s", args, err, exit.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// neededToBuild leaves out what is large and only for Go's own tests.
func neededToBuild(name string) bool {
	return !strings.HasSuffix(name, "_test.go") && !strings.Contains(name, "/testdata/")
}

// addTree adds the files below dir, or the file dir, under the name. Links are
// followed at the top only, as some distributions put Go's parts elsewhere.
func addTree(w *tar.Writer, dir, name string, wanted func(string) bool) error {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	return filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !wanted(file) {
			return err
		}
		below, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		return addFile(w, file, path.Join(name, below))
	})
}

func addFile(w *tar.Writer, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(w, f)
	return err
}

package uml

import (
	"archive/tar"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/casit/berth/integration/lab"
)

// needs says by which file one sees that a Debian package is there.
var needs = []struct{ pkg, file string }{
	{"user-mode-linux", "/usr/bin/linux.uml"},
	{"nfs-common", "/sbin/rpc.statd"},
	{"nfs-kernel-server", "/usr/sbin/rpc.nfsd"},
	{"rsync", "/usr/bin/rsync"},
	{"nfs-ganesha", "/usr/bin/ganesha.nfsd"},
	{"nfs-ganesha-vfs", "/usr/lib/*/ganesha/libfsalvfs.so"},
	{"rpcbind", "/sbin/rpcbind"},
	{"docker.io", "/usr/sbin/dockerd"},
	{"e2fsprogs", "/sbin/mkfs.ext4"},
	{"xfsprogs", "/usr/sbin/xfs_quota"},
	{"kmod", "/sbin/modprobe"},
	{"iproute2", "/sbin/ip"},
	{"iptables", "/usr/sbin/iptables"},
	{"busybox-static", "/usr/share/doc/busybox-static"},
	{"gcc", "/usr/bin/gcc"},
	{"libc6-dev", "/usr/include/dlfcn.h"},
}

func missing() []string {
	var pkgs []string
	for _, n := range needs {
		if found, _ := filepath.Glob(n.file); found == nil {
			pkgs = append(pkgs, n.pkg)
		}
	}
	return pkgs
}

// install installs what is missing, once.
var install = sync.OnceValue(func() error {
	if missing() == nil {
		return nil
	}
	if _, err := os.Stat("/etc/debian_version"); err != nil {
		return fmt.Errorf("%v, and this is not Debian", missing())
	}
	cmd := exec.Command("sh", "-c", "apt-get update -q && apt-get install -y -q --no-install-recommends "+strings.Join(missing(), " "))
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil || missing() != nil {
		return fmt.Errorf("%v, which apt-get could not install: %v\n%s", missing(), err, out[max(0, len(out)-2000):])
	}
	return nil
})

// Require skips the test unless this machine can run a lab. As root on Debian
// it installs what is missing.
func Require(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		lab.Skip(t, "hosts of our own need root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		lab.Skip(t, "hosts of our own need /dev/net/tun")
	}
	if err := install(); err != nil {
		lab.Skip(t, "hosts of our own need %v", err)
	}
	lab.Require(t)
}

// buildPreload makes what is loaded into every host's kernel; its source says why.
func buildPreload(dir string) error {
	root, err := lab.Root()
	if err != nil {
		return err
	}
	out, err := exec.Command("gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
		"-o", dir+"/ptrace.so", root+"/integration/uml/preload/ptrace.c").CombinedOutput()
	if err != nil {
		return fmt.Errorf("build ptrace.so: %w\n%s", err, out)
	}
	return nil
}

// buildImage makes the image that hosts have: testsite, and busybox for what
// needs a shell.
func buildImage(dir string) error {
	root, err := lab.Root()
	if err != nil {
		return err
	}
	site := exec.Command("go", "build", "-o", dir+"/testsite", "./integration/testsite")
	site.Dir, site.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := site.CombinedOutput(); err != nil {
		return fmt.Errorf("build testsite: %w\n%s", err, out)
	}
	file, err := os.Create(dir + "/image.tar")
	if err != nil {
		return err
	}
	defer file.Close()
	w := tar.NewWriter(file)
	programs := map[string]string{"testsite": dir + "/testsite", "bin/busybox": "/bin/busybox"}
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		text, err := os.ReadFile(programs[name])
		if err != nil {
			return err
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text))}); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	if err := w.WriteHeader(&tar.Header{Name: "bin/sh", Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}); err != nil {
		return err
	}
	return w.Close()
}

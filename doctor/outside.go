package doctor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// NoEngine judges a Docker engine that does not answer.
func NoEngine(err error) Finding {
	if os.IsPermission(err) || strings.Contains(err.Error(), "permission denied") {
		return warn("type it again with sudo", "the Docker engine's socket is not for this user, so shadows, options and claims are not looked at").named("engine")
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) {
		err = op // without the client's advice
	}
	return warn("systemctl status docker", "the Docker engine does not answer here, so shadows, options and claims are not looked at: %v", err).named("engine")
}

// ourMount matches the mountpoints of the plugin's generations.
var ourMount = regexp.MustCompile(`/(export|readonly)\.[0-9]+$`)

// MountsLeft lists berth's mounts on this host, from the kernel's own table.
func MountsLeft() Finding {
	all, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		return !ourMount.MatchString(i.Mountpoint), false
	})
	if err != nil {
		return failed(err, "").named("kernel-mount")
	}
	var at []string
	for _, i := range all {
		at = append(at, fmt.Sprintf("%s (%s of %s)", filepath.Base(i.Mountpoint), i.FSType, i.Source))
	}
	if at == nil {
		return ok("berth has nothing mounted on this host; containers keep what they have").named("kernel-mount")
	}
	return ok("still mounted on this host, so containers go on: %s", some(at)).named("kernel-mount")
}

// Directory judges the directory of a file:// export from outside, without
// opening it: it may be on a dead mount.
func Directory(dir string) Finding {
	i, err := MountOf(dir)
	if err != nil {
		return failed(err, "").named("export")
	}
	return ok("%s is on %s (%s), as the plugin may see it elsewhere; what is in it was not looked at", dir, i.Mountpoint, i.FSType).named("export")
}

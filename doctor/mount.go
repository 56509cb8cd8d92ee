package doctor

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/sys/mountinfo"
)

// MountOf returns the mount that a path is on, from the kernel's own table and
// without touching the filesystem.
func MountOf(path string) (*mountinfo.Info, error) {
	path = strings.TrimSuffix(path, "/")
	all, err := mountinfo.GetMounts(func(i *mountinfo.Info) (skip, stop bool) {
		below := i.Mountpoint == "/" || path == i.Mountpoint || strings.HasPrefix(path, i.Mountpoint+"/")
		return !below, false
	})
	if err != nil {
		return nil, fmt.Errorf("read the mounts: %w", err)
	}
	var found *mountinfo.Info
	for _, i := range all {
		if found == nil || len(i.Mountpoint) >= len(found.Mountpoint) { // the last one is on top
			found = i
		}
	}
	if found == nil {
		return nil, errors.New("read the mounts: none")
	}
	return found, nil
}

// KernelMount judges the node's mount of the export in the kernel's table; nil
// if there is none.
func KernelMount(i *mountinfo.Info) Finding {
	if i == nil {
		return ok("none yet: it is made for the first container here")
	}
	if !strings.HasPrefix(i.FSType, "nfs") {
		return ok("%s is on %s", i.Mountpoint, i.FSType)
	}
	options := i.Options + "," + i.VFSOptions
	if bad, next := badOptions(options); bad != "" {
		return warn(next, "%s (%s, %s) %s", i.Mountpoint, i.FSType, short(options), bad)
	}
	return ok("%s: %s, %s", i.Mountpoint, i.FSType, short(options))
}

// smallIO is the size below which reads and writes are slow, in bytes.
const smallIO = 64 << 10

// badOptions says which mount options do harm, and what to do about the first.
func badOptions(options string) (bad, next string) {
	set := map[string]string{}
	for o := range strings.SplitSeq(options, ",") {
		key, value, _ := strings.Cut(o, "=")
		set[key] = value
	}
	has := func(key string) bool { _, ok := set[key]; return ok }
	var all []string
	note := func(text, mend string) {
		if all = append(all, text); next == "" {
			next = mend
		}
	}
	if has("soft") || has("softerr") {
		note("is soft: writes are lost when the filer is away for a moment", "mount it hard")
	}
	if has("ro") {
		note("is read-only", "mount it rw")
	}
	if l := set["local_lock"]; has("nolock") || l == "all" || l == "posix" {
		note("has no locks between nodes", "systemctl enable --now rpcbind rpc-statd, then restart the containers here ('berth volume ps' lists them)")
	}
	if v := set["vers"]; v != "" && v != "3" {
		note("is NFS version "+v+": .snapshot is shown otherwise there", "mount it with vers=3")
	}
	for _, key := range []string{"rsize", "wsize"} {
		if n, err := strconv.Atoi(set[key]); err == nil && n < smallIO {
			note(fmt.Sprintf("has %s=%d: slow", key, n), "leave "+key+" out of BERTH_MOUNT_OPTIONS, and look at the server's limit")
		}
	}
	return strings.Join(all, ", "), next
}

// short leaves out uninteresting options.
func short(options string) string {
	var kept []string
	for o := range strings.SplitSeq(options, ",") {
		key, _, _ := strings.Cut(o, "=")
		switch key {
		case "vers", "rsize", "wsize", "hard", "soft", "softerr", "nolock", "local_lock", "proto", "ro", "addr":
			kept = append(kept, o)
		}
	}
	return strings.Join(kept, ",")
}

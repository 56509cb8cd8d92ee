package doctor

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Private judges the directories through which this node has the volumes' files: the
// mount root, and the directory of a file:// export. What a container's root makes
// there is a danger to the node as soon as its users reach it. A plugin in a mount
// namespace of its own does not see what is above its directories on the host, and
// takes that for open.
func Private(dirs ...string) Finding {
	var open []string
	next := "chmod 0700"
	for _, dir := range dirs {
		mode, reached, err := reachedByAll(dir)
		if err != nil {
			return failed(err, "ls -ld "+dir)
		}
		if reached {
			open = append(open, fmt.Sprintf("%s (mode %04o)", dir, mode))
			next += " " + dir
		}
	}
	if len(open) > 0 {
		return warn(next+" on this node: containers keep their volumes (a managed plugin's /export is /srv/berth there)",
			"every local user reaches the volumes through %s: he can run setuid files that a container's root made, and read secrets such as wp-config.php, of snapshots too", strings.Join(open, " and "))
	}
	return ok("only root reaches the volumes through %s", strings.Join(dirs, " and "))
}

// reachedByAll tells whether users without any right of their own can go into dir, by
// its real name, and the directory's mode.
func reachedByAll(dir string) (mode fs.FileMode, reached bool, err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return 0, false, err
	}
	reached = true
	for at := dir; ; at = filepath.Dir(at) {
		info, err := os.Stat(at)
		if err != nil {
			return 0, false, err
		}
		if at == dir {
			mode = info.Mode().Perm()
		}
		reached = reached && info.Mode()&0o001 != 0
		if at == "/" {
			return mode, reached, nil
		}
	}
}

// Harmless judges berth's own mounts: open are those on which setuid files or device
// nodes count, options is BERTH_MOUNT_OPTIONS.
func Harmless(open []string, options string) Finding {
	if len(open) == 0 {
		return ok("nosuid and nodev on all of berth's mounts here")
	}
	text := strings.Join(open, ", ")
	if wanted := wantsHarm(options); wanted != "" {
		return ok("setuid files or device nodes of volumes count on %s: BERTH_MOUNT_OPTIONS has %s", text, wanted)
	}
	return warn("berth volume ps; restart the containers that it lists: their next mount has both",
		"without nosuid or nodev: %s, where setuid files and device nodes of one volume count for all its users", text)
}

func wantsHarm(options string) string {
	var said []string
	for o := range strings.SplitSeq(options, ",") {
		if o = strings.TrimSpace(o); o == "suid" || o == "dev" {
			said = append(said, o)
		}
	}
	return strings.Join(said, " and ")
}

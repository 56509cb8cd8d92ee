package mounts

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Settings: {
		{"BERTH_MOUNT_ROOT: …", "the directory of this node's mounts cannot be made", "run berth as root; in a managed plugin do not set it"},
		{"BERTH_MOUNT_ROOT=…: write the absolute path of a directory of its own, such as /var/lib/berth/mounts", "a relative path, or one that leads to `/`", "`BERTH_MOUNT_ROOT=/var/lib/berth/mounts`; in a managed plugin do not set it"},
	},
	catalogue.Wire: {
		{"mount the export on …: …; berth serve needs CAP_SYS_ADMIN", "berth is not root, or in a container without the capability", "run it as root; a managed plugin has the capability"},
		{"mount the export on …: …", "the words behind the colon", "`berth doctor`"},
		{"mount the export: …", "the kernel's mount hangs: the filer does not answer", "try again when the filer answers"},
		{"mount …: the kernel's mount of the export does not answer", "the filer is away; nothing is lost", "try again when the filer answers"},
		{"look at …: …", "the node's mount does not show the volume any more", "try again; `dmesg`; `berth volume ps` lists what to restart"},
		{"this node still sees what volume … was before it was replaced", "after a restore on another node, the kernel still remembers the old directory", "try again in a moment"},
		{"read the mounts: …", "`/proc` is not there", "`ls /proc/self/mountinfo`"},
		{"the mount of … is not in mountinfo: …", "somebody unmounted it at this moment", "mount it again"},
		{"… is not below its mount …", "the directory was moved while it was open", "mount it again"},
		{"statx: …", "a kernel before 5.8", "Linux 5.12 or newer"},
		{"open_tree: …", "an old kernel, or not enough rights", "Linux 5.12 or newer, as root"},
		{"mount_setattr: …", "a kernel before 5.12", "Linux 5.12 or newer"},
		{"move_mount: …", "not enough rights, or the mountpoint was removed", "run berth as root; try again"},
		{"detach …: …", "an old mount could not be detached", "nothing; berth tries again by itself"},
	},
}

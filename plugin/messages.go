package plugin

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.NoPlugin: {
		{"ask berth on …: …", "the plugin ended, or did not answer in time", "`docker plugin ls`; again; `journalctl -u docker -n 50`"},
		{"ask …: …", "the request could not be made", "report it, with the command"},
		{"berth does not know …", "the plugin is older than the command line", "upgrade the plugin ([upgrade.md](upgrade.md)), or use the older command"},
		{"read the answer of …: …", "the plugin ended while it answered, or is another version", "`berth version`; bring both to one version; again"},
		{"the berth on … is another version and does not know …", "the plugin ended while it answered, or is another version", "`berth version`; bring both to one version; again"},
		{"berth could not read on; its log says why ('journalctl -u docker')", "the plugin met an error in the middle of a stream", "`journalctl -u docker -n 50`; again"},
		{"listen on …: another berth serve answers there; stop it, or give --socket", "a second `berth serve` on this node", "stop one: with a managed plugin, `berth serve` need not run"},
		{"listen on …: …", "the socket's directory cannot be written", "as root; look at what is at that path"},
		{"the request was cut short: …", "the caller went away in the middle", "again"},
		{"the request is too large", "a request of more than the plugin reads: not from dockerd or berth", "who else speaks to the socket?"},
		{"the request has no body", "dockerd re-sent a request that it had used up", "again"},
		{"the request is not JSON of the expected form: …", "a caller of another version, or no berth at all", "`berth version`: one version of both"},
	},
	catalogue.Settings: {
		{"BERTH_EXPORT is not set; put it in …", "no setting names the export", "`echo BERTH_EXPORT=nfs://FILER/PATH >> /etc/berth/berth.env`"},
		{"BERTH_EXPORT: …", "what is wrong with it, behind the colon", "the rows `BERTH_EXPORT: …: …`"},
		{"BERTH_MOUNT_OPTIONS: …", "what is wrong with it, behind the colon", "the rows `mount option …`"},
		{"BERTH_MOUNT_ROOT: …", "the directory of this node's mounts cannot be made", "as root; in a managed plugin leave the setting alone"},
		{"read the settings: …", "the file is there and cannot be read", "`ls -l /etc/berth/berth.env`; root has to read it"},
		{"line …: want NAME=VALUE", "a line that is no setting", "correct that line, or begin it with `#`"},
		{"line …: unknown setting …; see docs/settings.md", "a misspelt `BERTH_…`", "correct it: [settings.md](settings.md) has all"},
		{"BERTH_EXPORT=… is not a URL; …", "it cannot be read as a URL", "`nfs://HOST/PATH` or `file:///DIR`"},
		{"BERTH_EXPORT=… is not an export; …", "another scheme, a host in `file://`, or a relative path", "`nfs://HOST/PATH` or `file:///DIR` with three slashes"},
		{"BERTH_EXPORT=…: unknown parameter …; only id is known", "something else behind `?` of a `file:` export", "take it away"},
		{"BERTH_EXPORT=… is the whole host; name the export's directory", "`file:///`", "name a directory"},
		{"BERTH_NODE=…: a node's name is letters, digits, '_', '.' or '-'", "another character in it", "correct it"},
		{"this host's name is unknown (…); set BERTH_NODE", "the host has no name", "`BERTH_NODE=NAME`, another on each node"},
		{"BERTH_TZ=…: write a time zone of the IANA database, such as Europe/Berlin or UTC", "another word, or rules instead of a name", "the name of the filer's zone"},
		{"BERTH_LOG_LEVEL=…: write debug, info, warning or error", "another word", "one of the four"},
		{"BERTH_METRICS=…: write IP:PORT, such as 127.0.0.1:9624 for this host alone, or :9624 for every address of it", "a name, or no port", "as it says"},
		{"…=…: write a duration of at least …, such as 90s or 168h", "no unit, or too short", "as it says"},
		{"BERTH_ONTAP_INSECURE=…: write 1, or leave it out", "another value", "as it says"},
	},
	catalogue.Export: {
		{"the export cannot be asked; no answer is better than a wrong one", "dockerd asked for an unknown volume while the export is away; the request is left open on purpose", "mend the export; nothing is wrong with the volume"},
	},
	catalogue.Volumes: {
		{"there is no time zone \"…\"", "the command line and the plugin have other lists of zones", "`TZ=UTC berth …`, or another name of the zone"},
		{"the time zone of this host cannot be read: …", "a broken `/etc/localtime` or `TZ`", "`TZ=Europe/Berlin berth …`"},
	},
	catalogue.Filer: {
		{"BERTH_ONTAP is not set: berth does not talk to the filer's REST interface", "it is not", "set `BERTH_ONTAP`, `BERTH_ONTAP_USER`, `BERTH_ONTAP_PASSWORD_FILE`"},
		{"the export is a directory of this host, so berth cannot know where it is on the filer", "`BERTH_EXPORT=file:…`", "`BERTH_EXPORT=nfs://FILER/PATH`"},
		{"the filer's API has refused the password", "so it is not tried again unasked, which would lock the account", "correct the file of `BERTH_ONTAP_PASSWORD_FILE`; `berth ontap status` tries it"},
	},
	catalogue.Wire: {
		{"mount the export on …: …; berth serve needs CAP_SYS_ADMIN", "not root, or a container without it", "as root; a managed plugin has it"},
		{"mount the export on …: …", "the words behind the colon", "`berth doctor`"},
		{"mount the export: …", "the kernel's mount hangs: the filer does not answer", "when it answers, again"},
		{"mount …: the kernel's mount of the export does not answer", "the filer is away; nothing is lost", "again when the filer answers"},
		{"look at …: …", "the node's mount has the volume no more", "again; `dmesg`; `berth volume ps` lists what to restart"},
		{"this node still sees what volume … was before it was replaced", "the kernel's memory of names, after a restore elsewhere", "again in a moment"},
		{"put what was written on the server: …", "the filer does not take the last writes in time", "nothing is lost; they go out when it answers"},
		{"an export of type … cannot be mounted", "a defect of berth", "report it"},
		{"read the mounts: …", "`/proc` is not there", "`ls /proc/self/mountinfo`"},
		{"the mount of … is not in mountinfo: …", "it was unmounted this moment", "mount it again"},
		{"… is not below its mount …", "the directory was moved while it was open", "mount it again"},
		{"statx: …", "a kernel before 5.8", "Linux 5.12 or newer"},
		{"open_tree: …", "an old kernel, or not enough rights", "Linux 5.12 or newer, as root"},
		{"mount_setattr: …", "a kernel before 5.12", "Linux 5.12 or newer"},
		{"move_mount: …", "not enough rights, or the mountpoint went", "as root; again"},
		{"detach …: …", "an old mount could not be taken away", "nothing; it is tried again by itself"},
	},
}

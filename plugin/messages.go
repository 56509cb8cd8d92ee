package plugin

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.NoPlugin: {
		{"ask berth on …: …", "the plugin ended, or did not answer in time", "`docker plugin ls`; try again; `journalctl -u docker -n 50`"},
		{"ask …: …", "the request could not be made: a defect of berth", "report it, with the command"},
		{"berth does not know …", "the plugin is older than the command line", "upgrade the plugin ([upgrade.md](upgrade.md)), or use the older command"},
		{"the answer of … is larger than … MiB", "more than 200,000 volumes, or something else answers on that socket", "ask for single volumes by name; `berth version`"},
		{"read the answer of …: …", "the plugin ended in the middle of its answer, or has another version", "`berth version`; bring both to one version; try again"},
		{"the berth on … is another version and does not know …", "the plugin and the command line have different versions", "`berth version`; bring both to one version; try again"},
		{"berth could not read on; its log says why ('journalctl -u docker')", "the plugin met an error in the middle of a stream", "`journalctl -u docker -n 50`; try again"},
		{"listen on …: another berth serve answers there; stop it, or give --socket", "a second `berth serve` on this node", "stop one: with a managed plugin, `berth serve` need not run"},
		{"listen on …: there is a file that is no socket; remove it, or give another --socket", "a file or directory has the socket's name", "`ls -l` that path; another `--socket`, or move the file away"},
		{"listen on …: …", "the socket's directory cannot be written", "as root; look at what is at that path"},
		{"the request was cut short: …", "the caller went away in the middle", "try again"},
		{"the request is too large", "a request that neither dockerd nor berth sends", "find out which program uses the socket"},
		{"the request did not arrive within …", "the caller has sent a part and waits", "send it again; a program that hangs on the socket"},
		{"berth has too many requests at once to begin another one", "a script that starts commands faster than they end", "`ps -C berth` on this node; try again when they have ended"},
		{"the request has no body", "dockerd re-sent a request without its body", "try again"},
		{"the request is not JSON of the expected form: …", "the caller has another version, or is no berth", "`berth version`: bring both to one version"},
	},
	catalogue.Settings: {
		{"BERTH_EXPORT is not set; put it in …", "no setting names the export", "`echo BERTH_EXPORT=nfs://FILER/PATH >> /etc/berth/berth.env`"},
		{"BERTH_EXPORT: …", "the text behind the colon says what is wrong", "the rows `BERTH_EXPORT: …: …`"},
		{"BERTH_MOUNT_OPTIONS: …", "the text behind the colon says what is wrong", "the rows `mount option …`"},
		{"read the settings: …", "the file exists and cannot be read", "`ls -l /etc/berth/berth.env`; root has to be able to read it"},
		{"line …: want NAME=VALUE", "the line is no setting", "correct the line, or begin it with `#`"},
		{"line …: unknown setting …; see docs/settings.md", "a misspelt `BERTH_…`", "correct it: [settings.md](settings.md) has all"},
		{"BERTH_EXPORT=… is not a URL; …", "the value is no URL", "`nfs://HOST/PATH` or `file:///DIR`"},
		{"BERTH_EXPORT=… is not an export; …", "another scheme, a host in `file://`, or a relative path", "`nfs://HOST/PATH` or `file:///DIR` with three slashes"},
		{"BERTH_EXPORT=…: unknown parameter …; only id is known", "another parameter behind `?` of a `file:` export", "remove it"},
		{"BERTH_EXPORT=… is the whole host; name the export's directory", "`file:///`", "name a directory"},
		{"BERTH_NODE=…: a node's name is letters, digits, '_', '.' or '-'", "another character in it", "correct it"},
		{"this host's name is unknown (…); set BERTH_NODE", "the host has no name", "`BERTH_NODE=NAME`, another on each node"},
		{"BERTH_TZ=…: write a time zone of the IANA database, such as Europe/Berlin or UTC", "another word, or rules instead of a name", "the name of the filer's zone"},
		{"BERTH_LOG_LEVEL=…: write debug, info, warning or error", "another word", "one of the four"},
		{"BERTH_METRICS=…: write IP:PORT, such as 127.0.0.1:9624 for this host alone, or :9624 for every address of it", "a name instead of an address, or no port", "`BERTH_METRICS=127.0.0.1:9624`"},
		{"…=…: write a duration of at least …, such as 90s or 168h", "no unit, or too short", "a number with a unit: `90s`, `168h`"},
		{"BERTH_ONTAP_INSECURE=…: write 1, or leave it out", "another value than `1`", "`BERTH_ONTAP_INSECURE=1`, or remove the line"},
	},
	catalogue.Export: {
		{"berth ended this request, since its settings changed", "a setting of the class identity was changed", "again in a few seconds"},
		{"the export … is not opened yet: the session before has not ended", "the settings changed, and the export before does not answer", "nothing: berth goes on by itself within seconds"},
		{"the export cannot be asked; no answer is better than a wrong one", "dockerd asked for an unknown volume while the export is away; berth leaves the request open on purpose", "mend the export; nothing is wrong with the volume"},
	},
	catalogue.Volumes: {
		{"there is no time zone \"…\"", "the command line and the plugin have different lists of time zones", "`TZ=UTC berth …`, or another name of the zone"},
		{"the time zone of this host cannot be read: …", "a broken `/etc/localtime` or `TZ`", "`TZ=Europe/Berlin berth …`"},
	},
	catalogue.Restore: {
		{"interrupted: berth begins another session, since … changed", "a setting of the class identity was changed while the job ran", "`berth snapshot restore --resume VOLUME`, or `--abort`; set back the setting first if it names another export now"},
		{"interrupted: berth stops", "the plugin was disabled or upgraded while the job ran", "when it is back: `berth snapshot restore --resume VOLUME`, or `--abort`"},
	},
	catalogue.Filer: {
		{"BERTH_ONTAP is not set: berth does not talk to the filer's REST interface", "`BERTH_ONTAP` is not set", "set `BERTH_ONTAP`, `BERTH_ONTAP_USER`, `BERTH_ONTAP_PASSWORD_FILE`"},
		{"the export is a directory of this host, so berth cannot know where it is on the filer", "`BERTH_EXPORT=file:…`", "`BERTH_EXPORT=nfs://FILER/PATH`"},
	},
	catalogue.Wire: {
		{"an export of type … cannot be mounted", "a defect of berth", "report it"},
	},
}

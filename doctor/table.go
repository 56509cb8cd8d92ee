package doctor

// Described says what a check looks at. A test compares docs/doctor.md with
// this table.
type Described struct {
	Name, Looks string
}

// Table lists every check, in the order of a report.
var Table = []Described{
	{"plugin", "the plugin is installed, enabled, answers, and is the version of this command"},
	{"settings", "the settings in force, and where each is from"},
	{"password", "`BERTH_ONTAP_PASSWORD_FILE` is there, readable, and for nobody else"},
	{"client-certificate", "`BERTH_ONTAP_CERT` and `BERTH_ONTAP_KEY` belong together, are valid for 30 days more, and the key is for nobody else"},
	{"kernel-mount", "the options of the node's mount, as the kernel has them: not soft, with locks, NFSv3, large transfers"},
	{"private", "only root reaches the mount root, and the directory of a `file://` export: mode 0700, of it or of a directory above it"},
	{"nosuid", "berth's own mounts, views too, have nosuid and nodev, unless `BERTH_MOUNT_OPTIONS` says otherwise"},
	{"portmap", "the server's rpcbind tells where NFSv3, MOUNT and the lock manager are"},
	{"mount", "the server lets this node mount the export"},
	{"nfs", "a round trip: GETATTR of the export's root"},
	{"export", "berth has the export open, and it is the known one"},
	{"probe", "write, read, link and rename of a probe file in `.berth`"},
	{"clock", "the time that the server gives a new file against this node's"},
	{"root", "root stays root, and a file that is given away belongs to whom it was given"},
	{"space", "room: warn below 10 %, fail below 5 %"},
	{"inodes", "the same for inodes"},
	{"statd", "rpcbind and rpc.statd answer on this node"},
	{"lock", "a real lock of a probe file: of two owners one gets it, and the other when it is free again"},
	{"snapdir", "`.snapshot` is reached by name, where it is wanted"},
	{"snapdir-inside", "`.snapshot` is in no volume's listing, where `chown -R` would walk into it"},
	{"snapshot-age", "the newest snapshot is younger than `--max-age`"},
	{"ontap", "ONTAP's REST interface answers and knows the export: version, SVM, volume"},
	{"ontap-role", "the user's role has what berth needs; before 9.19.1 what only changes need is known after the first one"},
	{"ontap-policy", "a snapshot policy is on, and makes something"},
	{"ontap-snapdir", "neither the volume nor the NFS service hides `.snapshot`"},
	{"ontap-rules", "no export rule squashes root"},
	{"ontap-style", "security style unix"},
	{"ontap-restore", "whether the filer brings directories back itself"},
	{"ontap-copies", "SnapMirror's copies of the volume: warn if unhealthy or more than 26 hours behind"},
	{"ontap-limit", "the share of 1,023 snapshots in use: warn from 80 %"},
	{"ontap-autodelete", "the filer deletes no snapshots when space runs out"},
	{"ontap-reserve", "snapshots use no more than their reserve"},
	{"ontap-ransomware", "anti-ransomware sees no attack: fail if it is moderately or highly probable"},
	{"ontap-analytics", "whether File System Analytics counts, so that sizes need no walk"},
	{"ontap-locked", "how many snapshots are locked, and until when; from 9.12.1"},
	{"metadata", "every volume's metadata can be read"},
	{"control-files", "each file of `.berth` is what its name and place say, and what dead nodes began can be finished"},
	{"unfinished", "no volume is recorded without a directory"},
	{"own-trees", "volumes that are trees of their own (qtree, subvolume, project), and whether one is nearly at its limit"},
	{"leases", "no node uses what is not there"},
	{"convoy", "no volume that Rancher Convoy knows is left to be imported"},
	{"staging", "private files are swept, and what is purged goes"},
	{"trash", "what has expired is gone"},
	{"jobs", "no restore, undo or takeover was interrupted or has failed, and journals can be read"},
	{"passed-over", "this node could work on every item: no lease, lock, epoch or trash item that it leaves out until somebody mends it"},
	{"nodes", "every node beats"},
	{"names", "no two nodes have one name"},
	{"versions", "all nodes have one version of berth"},
	{"health", "what the nodes say of themselves"},
	{"reverted", "the whole export was not brought back to an earlier time in the last week"},
	{"users", "no container uses an old mount, or writes to the trash"},
	{"engine", "the Docker engine of this node answers; it is only listed if not"},
	{"shadows", "no local volume hides one of the export"},
	{"options", "what Docker here was told of volumes is what they have"},
	{"claims", "every use that this node holds has a container"},
	{"swarm", "on a manager: every ready node of the swarm reports on this export"},
	{"site", "with `--url`: the web site refuses `/.snapshot/`"},
}

// Known tells whether a check is in the table.
func Known(check string) bool {
	for _, d := range Table {
		if d.Name == check {
			return true
		}
	}
	return false
}

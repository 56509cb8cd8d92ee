package problem

import "github.com/casit/berth/problem/catalogue"

// Messages are what this package says when something is wrong; with those of the
// other packages they are the tables of docs/troubleshooting.md.
var Messages = catalogue.Messages{
	catalogue.Export: {
		{"…: the export … did not answer in time", "the filer or the network is away; nothing is lost", "`berth doctor` says how far requests come; berth goes on when the filer answers"},
		{"…: the export … is away: its directory was unmounted, moved or replaced", "another directory is where the export was", "mount it again; berth goes on within seconds"},
		{"…: the export … is full", "no space is left; removing and purging work all the same", "`berth df`; `berth trash ls`; `berth trash purge ID`; or grow the volume on the filer"},
		{"…: a quota on the export … is used up", "a quota of the export, of a volume's own tree, or of a user; the filesystem may have space", "`berth trash purge ID`; on a filer `volume quota report`, `volume quota policy rule modify`, `volume quota resize`; on XFS `xfs_quota -x -c 'limit -p …'`, on btrfs `btrfs qgroup limit`"},
		{"…: the server has no room for it, although the export … has", "NFS3ERR_NOSPC, or ENOSPC, with free space: an XFS project quota, or a directory at its largest size", "`berth volume inspect NAME` shows a limit of its own; `xfs_quota -x -c 'report -p'`; on a filer `volume show -fields maxdir-size`"},
		{"…: the export … has room, and no inodes left for new files", "many small files", "`berth trash purge ID`; `df -i`; on a filer `volume modify -files N`"},
		{"…: the export … is read-only", "exported or mounted read-only for this node", "on the filer: rw in the export's rule; on the host: `mount -o remount,rw`"},
		{"…: … is immutable (chattr +i)", "somebody, or a hardening tool, has set the attribute `i`", "on the export's host `lsattr -d PATH`, `chattr -i PATH`; then try again"},
		{"…: … is append-only (chattr +a)", "somebody, or a hardening tool, has set the attribute `a`", "on the export's host `chattr -a PATH`; then try again"},
		{"…: another filesystem is mounted on …, and berth touches nothing of it", "a disk, or another directory, is mounted inside a volume", "`umount PATH` on the export's host (`findmnt` lists mounts); then try again"},
		{"…: the export … refuses berth's writes (…)", "root is squashed", "`superuser=sys` in the export rule (ONTAP), `no_root_squash` (Linux); `berth doctor` tries it"},
		{"…: the name is too long for the export", "the server takes shorter names", "a shorter name"},
	},
	catalogue.Restore: {
		{"… names of … …, the first: …", "berth makes whole copies only: these names cannot be made here, or changed while a volume in use was cloned", "restore other paths, or copy them by hand; clone a snapshot: `from=NAME@SNAPSHOT`"},
		{"… names of … …: the snapshot is being deleted, the first: …", "somebody deletes the snapshot that is being read", "another version, or single paths: `NAME@SNAPSHOT:PATH`"},
		{"the snapshot of … was deleted or moved while it was read", "somebody deleted the snapshot meanwhile", "another version"},
		{"… was removed or replaced while it was read", "somebody removed or restored the volume that is being copied", "try again"},
	},
}

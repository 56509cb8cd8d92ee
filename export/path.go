package export

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strconv"
)

// Names below the export (design: where volumes live).
const (
	Dir         = ".berth"
	recordFile  = ".berth/export.json"
	recordCopy  = ".berth/export-copy.json"
	MetaDir     = ".berth/volumes"
	NodeDir     = ".berth/nodes"
	LeaseDir    = ".berth/leases"
	LockDir     = ".berth/locks"
	StagingDir  = ".berth/staging"
	TrashDir    = ".berth/trash"
	AuditDir    = ".berth/audit"
	PausesFile  = ".berth/pauses.json"
	SnapshotDir = ".snapshot"

	// ReserveDir is room for berth's own files on an export that is full.
	ReserveDir = ".berth/reserve"

	// CacheDir holds results that are true for good, each under a hash of what
	// they follow from. Any of them may be deleted at any time.
	CacheDir = ".berth/cache"
)

// Prefixes of names in StagingDir.
const (
	TmpPrefix   = "tmp."   // private files and directories; old ones are swept
	PurgePrefix = "purge." // trees that any node deletes
	// CopyPrefix marks copies of trash items, UndeletePrefix ITEM.RANDOM: they are
	// swept when no lock names their item.
	CopyPrefix = "undelete-"
	JobPrefix  = "job-" // directories with a journal
)

// EpochPrefix begins the names of epochs in the lease directory of a volume.
const EpochPrefix = "epoch."

// MetaPath is the metadata of a volume.
func MetaPath(volume string) string { return path.Join(MetaDir, volume+".json") }

// LockPath is the lock of a volume.
func LockPath(volume string) string { return path.Join(LockDir, volume) }

// NodePath is the heartbeat of a node.
func NodePath(node string) string { return path.Join(NodeDir, node+".json") }

// LeasePath is a node's lease of a volume or view.
func LeasePath(name, node string) string { return path.Join(LeaseDir, name, node+".json") }

// EpochPath is an epoch of a volume.
func EpochPath(volume string, number uint64) string {
	return path.Join(LeaseDir, volume, EpochPrefix+strconv.FormatUint(number, 10))
}

// JournalPath is the journal of a job.
func JournalPath(id string) string { return path.Join(StagingDir, id, "journal.json") }

// TrashPath is a trash item.
func TrashPath(id string) string { return path.Join(TrashDir, id) }

// TrashData is the tree of a trash item.
func TrashData(id string) string { return path.Join(TrashDir, id, "data") }

// ChangesFile is the name, in a trash item of single files, of the record of what
// was replaced or removed.
const ChangesFile = "changes.jsonl"

// TrashMeta is the record of a trash item.
func TrashMeta(id string) string { return path.Join(TrashDir, id, "volume.json") }

// CachePath is what is kept under a key; kind is the extension of its name.
func CachePath(key, kind string) string {
	sum := sha256.Sum256([]byte(key))
	return path.Join(CacheDir, hex.EncodeToString(sum[:16])+kind)
}

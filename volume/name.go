package volume

import (
	"path"
	"strings"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
)

const nameHint = "a name is 1 to 200 letters, digits, '_', '.' or '-', beginning with a letter or digit"

// CheckName refuses what cannot be a volume's name. dockerd checks nothing for
// plugins (reference: engine, ValidateVolumeName), so this is the only check.
func CheckName(name string) error {
	switch {
	case name == "":
		return problem.New(problem.Invalid, nameHint, "the volume has no name")
	case len(name) > 200:
		return problem.New(problem.Invalid, nameHint, "the volume name %.20q… has %d characters", name, len(name))
	case !export.IsName(name):
		return problem.New(problem.Invalid, nameHint, "%q is not a volume name", name)
	}
	return nil
}

// Ref is a volume name as Docker may write it: NAME, or NAME@SNAPSHOT for a
// read-only view of a version.
type Ref struct {
	Name, Snapshot string
}

// ParseRef splits and checks a Docker volume name.
func ParseRef(s string) (Ref, error) {
	name, snap, view := strings.Cut(s, "@")
	if err := CheckName(name); err != nil {
		return Ref{}, err
	}
	if view {
		if snap == "" || snap == "." || snap == ".." || len(snap) > 255 || strings.ContainsAny(snap, "/\x00\n") {
			return Ref{}, problem.New(problem.Invalid, "write VOLUME@SNAPSHOT with the snapshot's exact name", "%q names no snapshot", s)
		}
	}
	return Ref{Name: name, Snapshot: snap}, nil
}

// String is the name as Docker writes it.
func (r Ref) String() string {
	if r.Snapshot == "" {
		return r.Name
	}
	return r.Name + "@" + r.Snapshot
}

// Path is where the data is below the export.
func (r Ref) Path() string {
	if r.Snapshot == "" {
		return r.Name
	}
	return path.Join(export.SnapshotDir, r.Snapshot, r.Name)
}

// Where Rancher Convoy kept its records, beside the volumes, and what stands
// around a volume's name in the name of its record.
const (
	ConvoyDir    = "config"
	ConvoyPrefix = "vfs_volume_"
	ConvoySuffix = ".json"
)

// ConvoyVolume is the volume that one of Convoy's records speaks of; false for
// other files.
func ConvoyVolume(file string) (name string, ok bool) {
	name, begins := strings.CutPrefix(file, ConvoyPrefix)
	name, ends := strings.CutSuffix(name, ConvoySuffix)
	return name, begins && ends
}

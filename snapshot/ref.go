package snapshot

import (
	"path"
	"regexp"
	"strings"

	"github.com/casit/berth/volume"
)

// Ref names a version of a volume, or of a file or directory in it:
// VOLUME[@SNAPSHOT][:PATH]. Without a snapshot it is the live volume, without
// a path all of it. Snapshot is what was typed; see Resolve.
type Ref struct {
	Volume, Snapshot, Path string
}

// ParseRef reads a reference. The path is cleaned, and never leaves the volume.
func ParseRef(s string) (Ref, error) {
	rest, p, hasPath := strings.Cut(s, ":")
	name, snap, hasSnap := strings.Cut(rest, "@")
	r := Ref{Volume: name, Snapshot: snap}
	if err := volume.CheckName(name); err != nil {
		return Ref{}, err
	}
	switch {
	case hasSnap && snap == "":
		return Ref{}, errorf(volume.Invalid, "for example "+name+"@latest", "%q names no snapshot after the @", s)
	case len(snap) > 255 || strings.ContainsAny(snap, "/\x00\n") || snap == "." || snap == "..":
		return Ref{}, errorf(volume.Invalid, "'berth snapshot ls "+name+"' lists them", "%q is not a snapshot's name", snap)
	case hasPath && clock.MatchString(snap+":"+p):
		return Ref{}, errorf(volume.Invalid, "write the time without a colon: "+name+"@"+snap+p[:2], "%q: what follows a colon is a path", s)
	case strings.ContainsRune(p, 0):
		return Ref{}, errorf(volume.Invalid, "", "the path has a byte 0 in it")
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return Ref{}, errorf(volume.Invalid, "give the path from the volume's root", "%q leads out of where it is", p)
		}
	}
	r.Path = strings.TrimPrefix(path.Clean("/"+p), "/")
	return r, nil
}

// clock is a time that was written with a colon, 2026-11-20T03:00, behind
// which a path may follow.
var clock = regexp.MustCompile(`^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:|$)`)

// String writes the reference as it is typed.
func (r Ref) String() string {
	s := r.Volume
	if r.Snapshot != "" {
		s += "@" + r.Snapshot
	}
	switch {
	case r.Path == "":
	case clock.MatchString(r.Snapshot + ":" + r.Path):
		s += ":/" + r.Path
	default:
		s += ":" + r.Path
	}
	return s
}

// Source is where it is below the export, in the snapshot of that exact name,
// or live for "".
func (r Ref) Source(snap string) string {
	if snap == "" {
		return path.Join(r.Volume, r.Path)
	}
	return path.Join(dir, snap, r.Volume, r.Path)
}

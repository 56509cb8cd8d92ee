package reference

import (
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/volume"
)

// Ref names a version of a volume, or of a file or directory in it:
// VOLUME[@SNAPSHOT][:PATH]. Without a snapshot it names the live volume, without
// a path the whole volume. In the result of Parse, Snapshot is the word that was
// typed; in the result of Resolve, it is the snapshot's exact name.
type Ref struct {
	Volume, Snapshot, Path string
}

// Parse reads a reference without the list of snapshots: the first colon ends
// the snapshot's name. Use Ask for names that have a colon themselves.
func Parse(s string) (Ref, error) {
	a, err := Ask(s)
	if err != nil || !a.Versioned {
		return a.Ref, err
	}
	snap, p, _ := strings.Cut(a.after, ":")
	return a.cut(snap, p)
}

// Asked is a reference as a request has it: read as far as that is possible
// without the list of snapshots.
type Asked struct {
	Ref
	Versioned bool    // the reference names a snapshot
	after     string  // everything after the @: "nightly:wp-content"
	Exact     *Exact  // the version, where a plan has resolved the reference before
	Within    *string // the path, instead of the path in the text
	// Inherits gives a reference without a path the path of the reference before.
	Inherits bool
	// Planned says that the snapshot's name is exact, although only the text is
	// there: journals of berth 0.1 have no more.
	Planned bool
}

// Ask reads a reference as far as that is possible without the list of snapshots:
// the volume, and the path in a live volume.
func Ask(s string) (Asked, error) {
	i := strings.IndexAny(s, ":@")
	name, rest := s, ""
	if i >= 0 {
		name, rest = s[:i], s[i+1:]
	}
	if err := volume.CheckName(name); err != nil {
		return Asked{}, err
	}
	a := Asked{Ref: Ref{Volume: name}}
	if i >= 0 && s[i] == '@' {
		a.Versioned, a.after = true, rest
		return a, nil
	}
	var err error
	if a.Path, err = cleanPath(rest); err == nil && i >= 0 && strings.Trim(rest, "/") == "" {
		err = noPath(s)
	}
	return a, err
}

// noPath refuses a colon with nothing but slashes behind it. Most likely a
// variable is unset, and nobody asks for the whole volume.
func noPath(s string) error {
	return problem.New(problem.Invalid, "without the colon it is the whole volume; is a variable unset?", "%q names no path after the colon", s)
}

// cut makes a reference of the two parts of the text after the @: snap before
// the colon, p behind it.
func (a Asked) cut(snap, p string) (Ref, error) {
	switch {
	case snap == "":
		return Ref{}, problem.New(problem.Invalid, "for example "+a.Volume+"@latest", "%q names no snapshot after the @", a.Volume+"@"+a.after)
	case len(snap) > 255 || strings.ContainsAny(snap, "/\x00\n") || snap == "." || snap == "..":
		return Ref{}, problem.New(problem.Invalid, "'berth snapshot ls "+a.Volume+"' lists them", "%q is not a snapshot's name", snap)
	case len(snap) < len(a.after) && clock.MatchString(a.after):
		return Ref{}, problem.New(problem.Invalid, "write the time without a colon: "+a.Volume+"@"+snap+p[:2], "%q: what follows a colon is a path", a.Volume+"@"+a.after)
	}
	within, err := cleanPath(p)
	if err == nil && strings.Trim(p, "/") == "" && len(snap) < len(a.after) {
		err = noPath(a.Volume + "@" + a.after)
	}
	return Ref{Volume: a.Volume, Snapshot: snap, Path: within}, err
}

// cleanPath cleans a path in a volume. It refuses a path that leads out of the
// volume.
func cleanPath(p string) (string, error) {
	if strings.ContainsRune(p, 0) {
		return "", problem.New(problem.Invalid, "", "the path has a byte 0 in it")
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == ".." {
			return "", problem.New(problem.Invalid, "give the path from the volume's root", "%q leads out of where it is", p)
		}
	}
	return strings.TrimPrefix(path.Clean("/"+p), "/"), nil
}

// Resolve finds the version that is meant. It returns the reference with the
// snapshot's exact name, and the snapshot; nil for the live volume. Where the
// text after the @ can be cut at several colons, the longest name of a snapshot
// counts, else the first colon.
func (a Asked) Resolve(all []Snapshot, now time.Time, zone *time.Location) (r Ref, s *Snapshot, err error) {
	switch {
	case a.Exact != nil:
		r = Ref{Volume: a.Exact.Volume, Snapshot: string(a.Exact.Snapshot), Path: string(a.Exact.Path)}
		s, err = a.Exact.Find(all)
	case a.Versioned:
		r, s, err = a.version(all, now, zone)
	default:
		r = a.Ref
	}
	if err == nil && a.Within != nil {
		r.Path, err = cleanPath(*a.Within)
	}
	return r, s, err
}

// version is Resolve for text with an @.
func (a Asked) version(all []Snapshot, now time.Time, zone *time.Location) (Ref, *Snapshot, error) {
	for end := len(a.after); end > 0; end = strings.LastIndexByte(a.after[:end], ':') {
		for i, s := range all {
			if s.Name == a.after[:end] {
				p, err := cleanPath(strings.TrimPrefix(a.after[end:], ":"))
				if err == nil && end < len(a.after) && strings.Trim(a.after[end+1:], "/") == "" {
					err = noPath(a.Volume + "@" + a.after)
				}
				return Ref{Volume: a.Volume, Snapshot: s.Name, Path: p}, &all[i], err
			}
		}
	}
	snap, p, _ := strings.Cut(a.after, ":")
	r, err := a.cut(snap, p)
	if err != nil {
		return r, nil, err
	}
	if a.Planned {
		return r, nil, problem.New(problem.NotFound, "'berth snapshot ls "+a.Volume+"' lists those that there are", "no snapshot %q any more", snap)
	}
	s, err := Resolve(snap, all, now, zone)
	r.Snapshot = s.Name
	return r, &s, err
}

// Text writes an exact reference so that Resolve reads the same one from it, with
// these snapshots. A slash begins the path where Resolve would read a longer
// snapshot's name without it.
func (r Ref) Text(all []Snapshot) string {
	s := r.String()
	if a, err := Ask(s); err == nil && a.Versioned && r.Path != "" {
		if again, _, err := a.version(all, time.Time{}, time.UTC); err == nil && again != r {
			return Ref{Volume: r.Volume, Snapshot: r.Snapshot}.String() + ":/" + r.Path
		}
	}
	return s
}

// Want reads a reference of a request: exact if it is there, else the text.
func Want(text string, exact *Exact) (Asked, error) {
	if exact == nil {
		return Ask(text)
	}
	return Asked{Ref: Ref{Volume: exact.Volume}, Versioned: true, Exact: exact}, exact.Check()
}

// clock matches a time with a colon, 2026-11-20T03:00. A path may follow it.
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

// Source is the path of the version below the export: in the snapshot with the
// exact name snap, or in the live volume for "".
func (r Ref) Source(snap string) string {
	if snap == "" {
		return path.Join(r.Volume, r.Path)
	}
	return path.Join(Dir, snap, r.Volume, r.Path)
}

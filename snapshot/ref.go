package snapshot

import (
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/volume"
)

// Ref names a version of a volume, or of a file or directory in it:
// VOLUME[@SNAPSHOT][:PATH]. Without a snapshot it is the live volume, without
// a path all of it. Snapshot is what was typed; see Resolve.
type Ref struct {
	Volume, Snapshot, Path string
}

// ParseRef reads a reference without knowing which snapshots there are: its
// first colon ends the snapshot. Where a snapshot's name has a colon in it, only
// the list of them tells where the path begins; see asked.
func ParseRef(s string) (Ref, error) {
	a, err := parse(s)
	if err != nil || !a.versioned {
		return a.Ref, err
	}
	snap, p, _ := strings.Cut(a.after, ":")
	return a.cut(snap, p)
}

// asked is a reference in a request.
type asked struct {
	Ref
	versioned bool    // a snapshot is named, by what stands after the @, path and all
	after     string  // "nightly:wp-content"
	exact     *Exact  // it has been resolved before
	within    *string // the path, instead of one in the text
	// inherits: without a path of its own it has that of the reference before.
	inherits bool
	// planned: the snapshot's name is exact, in a journal of berth 0.1, which did
	// not say so.
	planned bool
}

// parse reads a reference as far as that is possible without the snapshots:
// the volume, and the path of a live one.
func parse(s string) (asked, error) {
	i := strings.IndexAny(s, ":@")
	name, rest := s, ""
	if i >= 0 {
		name, rest = s[:i], s[i+1:]
	}
	if err := volume.CheckName(name); err != nil {
		return asked{}, err
	}
	a := asked{Ref: Ref{Volume: name}}
	if i >= 0 && s[i] == '@' {
		a.versioned, a.after = true, rest
		return a, nil
	}
	var err error
	if a.Path, err = cleanPath(rest); err == nil && i >= 0 && strings.Trim(rest, "/") == "" {
		err = noPath(s)
	}
	return a, err
}

// noPath refuses a colon behind which nothing but slashes stands: a variable that is unset,
// most likely, and not a wish for the whole volume.
func noPath(s string) error {
	return problem.New(problem.Invalid, "without the colon it is the whole volume; is a variable unset?", "%q names no path after the colon", s)
}

// cut makes a reference of what stands after the @, cut in two at a colon.
func (a asked) cut(snap, p string) (Ref, error) {
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

// cleanPath cleans a path in a volume, which it never leaves.
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

// resolve finds the version that is meant: the reference with the snapshot's
// exact name, and the snapshot; none for the live volume. Of all cuts at a
// colon the longest one that is a snapshot's name counts, else the first.
func (a asked) resolve(all []Snapshot, now time.Time, zone *time.Location) (r Ref, s *Snapshot, err error) {
	switch {
	case a.exact != nil:
		r = Ref{Volume: a.exact.Volume, Snapshot: string(a.exact.Snapshot), Path: string(a.exact.Path)}
		s, err = a.exact.find(all)
	case a.versioned:
		r, s, err = a.version(all, now, zone)
	default:
		r = a.Ref
	}
	if err == nil && a.within != nil {
		r.Path, err = cleanPath(*a.within)
	}
	return r, s, err
}

func (a asked) version(all []Snapshot, now time.Time, zone *time.Location) (Ref, *Snapshot, error) {
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
	if a.planned {
		return r, nil, problem.New(problem.NotFound, "'berth snapshot ls "+a.Volume+"' lists those that there are", "no snapshot %q any more", snap)
	}
	s, err := Resolve(snap, all, now, zone)
	r.Snapshot = s.Name
	return r, &s, err
}

// text writes an exact reference so that it is read back as the same one, with
// these snapshots: where a longer name than its own would be read, a slash
// begins the path.
func (r Ref) text(all []Snapshot) string {
	s := r.String()
	if a, err := parse(s); err == nil && a.versioned && r.Path != "" {
		if again, _, err := a.version(all, time.Time{}, time.UTC); err == nil && again != r {
			return Ref{Volume: r.Volume, Snapshot: r.Snapshot}.String() + ":/" + r.Path
		}
	}
	return s
}

// want reads a reference of a request, which may be exact.
func want(text string, exact *Exact) (asked, error) {
	if exact == nil {
		return parse(text)
	}
	return asked{Ref: Ref{Volume: exact.Volume}, versioned: true, exact: exact}, exact.Check()
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

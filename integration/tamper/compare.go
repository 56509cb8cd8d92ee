package tamper

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Difference is what differs between two trees.
type Difference struct {
	// Paths differ by themselves: each of them has to be named.
	Paths []string
	// Links are groups of names. Which names of a group are one file has
	// changed: at least one of a group has to be named, no matter which.
	Links [][]string
}

// Any tells whether anything differs.
func (d Difference) Any() bool { return len(d.Paths)+len(d.Links) > 0 }

// Compare finds what differs between two trees. The times of directories and
// symlinks belong to what a restore brings back, and not to what differs:
// every change of an entry moves the first, and not every server sets the second.
func Compare(a, b Tree) Difference {
	var d Difference
	groups := map[string]string{} // each name's next one in its group
	for _, name := range union(a, b) {
		x, inA := a[name]
		y, inB := b[name]
		if !inA || !inB || plain(x) != plain(y) {
			d.Paths = append(d.Paths, name)
		}
		if x.Links != y.Links {
			join(groups, name, x.Links)
			join(groups, name, y.Links)
		}
	}
	members := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		top := find(groups, name)
		members[top] = append(members[top], name)
	}
	for _, top := range slices.Sorted(maps.Keys(members)) {
		d.Links = append(d.Links, members[top])
	}
	return d
}

// plain leaves out what is no difference by itself.
func plain(e Entry) Entry {
	e.Links = ""
	if e.Kind == 'd' || e.Kind == 'l' {
		e.Mtime = time.Time{}
	}
	return e
}

func union(a, b Tree) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all.names()
}

// join puts a name and the names of a link set into one group.
func join(groups map[string]string, name, links string) {
	for _, other := range append(split(links), name) {
		if _, ok := groups[other]; !ok {
			groups[other] = other
		}
		groups[find(groups, other)] = find(groups, name)
	}
}

func find(groups map[string]string, name string) string {
	for groups[name] != name {
		if groups[name] == "" {
			groups[name] = name
		}
		name = groups[name]
	}
	return name
}

func split(links string) []string {
	if links == "" {
		return nil
	}
	return strings.Split(links, "\x00")
}

// Check says what is wrong with a list of paths that claims to be all that
// differs: nil if it names everything and invents nothing.
func (d Difference) Check(claimed []string) (wrong []string) {
	named, may := map[string]bool{}, map[string]bool{}
	for _, name := range claimed {
		if named[name] {
			wrong = append(wrong, fmt.Sprintf("named twice: %q", name))
		}
		named[name] = true
	}
	for _, name := range d.Paths {
		if may[name] = true; !named[name] {
			wrong = append(wrong, fmt.Sprintf("not found: %q", name))
		}
	}
	for _, group := range d.Links {
		some := false
		for _, name := range group {
			may[name], some = true, some || named[name]
		}
		if !some {
			wrong = append(wrong, fmt.Sprintf("not found: that other names of %q are one file", group))
		}
	}
	for _, name := range claimed {
		if !may[name] {
			wrong = append(wrong, fmt.Sprintf("invented: %q", name))
		}
	}
	return wrong
}

// Unlike lists how tree b is not exactly tree a, times of all and link sets
// included; with laxLinkTimes without the times of symlinks.
func Unlike(a, b Tree, laxLinkTimes bool) (out []string) {
	for _, name := range union(a, b) {
		x, inA := a[name]
		y, inB := b[name]
		if laxLinkTimes && x.Kind == 'l' && y.Kind == 'l' {
			x.Mtime = y.Mtime
		}
		switch {
		case !inB:
			out = append(out, fmt.Sprintf("missing: %q", name))
		case !inA:
			out = append(out, fmt.Sprintf("too much: %q", name))
		case x != y:
			out = append(out, fmt.Sprintf("%q: %s", name, fields(x, y)))
		}
	}
	return out
}

// fields says which fields of two entries differ.
func fields(x, y Entry) string {
	var out []string
	add := func(differs bool, format string, args ...any) {
		if differs {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	add(x.Kind != y.Kind, "kind %c, now %c", x.Kind, y.Kind)
	add(x.Mode != y.Mode, "mode %04o, now %04o", x.Mode, y.Mode)
	add(x.UID != y.UID || x.GID != y.GID, "owner %d:%d, now %d:%d", x.UID, x.GID, y.UID, y.GID)
	add(x.Size != y.Size, "size %d, now %d", x.Size, y.Size)
	add(x.Rdev != y.Rdev, "device %x, now %x", x.Rdev, y.Rdev)
	add(x.Sum != y.Sum, "content")
	add(x.Target != y.Target, "target %q, now %q", x.Target, y.Target)
	add(!x.Mtime.Equal(y.Mtime), "mtime %v, now %v", x.Mtime, y.Mtime)
	add(x.Xattrs != y.Xattrs, "attributes %s, now %s", x.Xattrs, y.Xattrs)
	add(x.Links != y.Links, "one file with %q, now with %q", split(x.Links), split(y.Links))
	return strings.Join(out, "; ")
}

package tree

import "strings"

// DifferenceKind says how a name differs between two trees.
type DifferenceKind byte

// The kinds, by the letters that they are shown with.
const (
	Added    DifferenceKind = '+' // only the second tree has it
	Removed  DifferenceKind = '-' // only the first tree has it
	Modified DifferenceKind = 'M' // other content
	Updated  DifferenceKind = 'U' // same content, other attributes
	Retyped  DifferenceKind = 'T' // another kind of file
)

// String is the kind's letter.
func (k DifferenceKind) String() string { return string(rune(k)) }

// ChangedFields says what is different; of what is there on one side only, or
// of another kind, nothing.
type ChangedFields uint8

// The fields.
const (
	ChangedContent ChangedFields = 1 << iota // known to be different, not only by mtime
	ChangedSize
	ChangedMtime
	ChangedMode
	ChangedUID
	ChangedGID
	ChangedDevice // major and minor
)

// String lists the fields: "size, mtime".
func (f ChangedFields) String() string {
	var words []string
	for i, word := range []string{"content", "size", "mtime", "mode", "uid", "gid", "device"} {
		if f&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// Difference is one name that is not the same in two trees.
type Difference struct {
	Path   string // below the trees compared; "." for themselves
	Kind   DifferenceKind
	Fields ChangedFields
	A, B   Attr // on either side; zero where it is not there
}

// attributes compares a name's attributes; a or b may be nil. The result is nil
// if nothing is different.
func (c *comparing) attributes(name string, a, b *entryAt) *Difference {
	d := &Difference{Path: name}
	switch {
	case a == nil:
		d.Kind, d.B = Added, b.attr
		return d
	case b == nil:
		d.Kind, d.A = Removed, a.attr
		return d
	}
	x, y := a.attr, b.attr
	d.A, d.B = x, y
	if x.Kind != y.Kind {
		d.Kind = Retyped
		return d
	}
	differ := func(f ChangedFields, is bool) {
		if is {
			d.Fields |= f
		}
	}
	differ(ChangedSize, (x.Kind == Regular || x.Kind == Symlink) && x.Size != y.Size)
	differ(ChangedMtime, x.Kind == Regular && !x.Mtime.Equal(y.Mtime))
	differ(ChangedMode, x.Kind != Symlink && x.Mode != y.Mode)
	differ(ChangedUID, x.UID != y.UID)
	differ(ChangedGID, x.GID != y.GID)
	differ(ChangedDevice, (x.Kind == BlockDevice || x.Kind == CharDevice) && (x.Major != y.Major || x.Minor != y.Minor))
	content := ChangedSize | ChangedDevice
	if !c.opts.Checksum {
		content |= ChangedMtime
	}
	switch {
	case d.Fields&content != 0:
		d.Kind = Modified
	case d.Fields != 0:
		d.Kind = Updated
	default:
		return nil
	}
	return d
}

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

// ChangedFields says which fields differ. It is zero for a name that one side alone
// has, and for a name of two kinds.
type ChangedFields uint16

// The fields.
const (
	ChangedContent ChangedFields = 1 << iota // known to be different, not only by mtime
	ChangedSize
	ChangedMtime
	ChangedMode
	ChangedUID
	ChangedGID
	ChangedDevice // major and minor
	ChangedXattrs // extended attributes, ACLs among them
	ChangedLinks  // which other names the file has in the tree
)

// String lists the fields: "size, mtime".
func (f ChangedFields) String() string {
	var words []string
	for i, word := range []string{"content", "size", "mtime", "mode", "uid", "gid", "device", "xattrs", "links"} {
		if f&(1<<i) != 0 {
			words = append(words, word)
		}
	}
	return strings.Join(words, ", ")
}

// Disguised tells a change that only reading shows: other content, but the same
// size and time.
func (d *Difference) Disguised() bool {
	return d.Kind == Modified && d.A.Kind == Regular && d.Fields&ChangedContent != 0 && d.Fields&(ChangedSize|ChangedMtime) == 0
}

// Difference is one name that is not the same in two trees.
type Difference struct {
	Path   string // below the trees compared; "." for themselves
	Kind   DifferenceKind
	Fields ChangedFields
	A, B   Attr // on the two sides; zero where the name does not exist
}

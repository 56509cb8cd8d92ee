package compare

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/casit/berth/tree"
)

// Changes count the differences between two trees.
type Changes struct {
	Added        int64 `json:"added"`
	Removed      int64 `json:"removed"`
	Modified     int64 `json:"modified"` // other content or another kind
	Updated      int64 `json:"updated"`  // other attributes only
	Unchanged    int64 `json:"unchanged"`
	AddedBytes   int64 `json:"added_bytes"`
	RemovedBytes int64 `json:"removed_bytes"`
	// ModifiedBytes is the size of the second tree's modified files.
	ModifiedBytes int64 `json:"modified_bytes"`
	// Disguised are modified files with the same size and time as before.
	Disguised int64 `json:"time_put_back,omitempty"`
	// Held are files that could not be read, since a program holds them. Each counts
	// as modified.
	Held      int64    `json:"held,omitempty"`
	HeldPaths []string `json:"held_paths,omitempty"` // the first ones, with the reason
	// KeptOpen are the names .nfs and 24 digits, which an NFS client keeps of
	// removed files that are open. They are left out.
	KeptOpen int64 `json:"kept_open,omitempty"`
}

// Any tells whether there is a difference.
func (c Changes) Any() bool { return c.Added+c.Removed+c.Modified+c.Updated > 0 }

// Tally counts differences. The bytes of a file with several names count once on
// each side.
type Tally struct {
	Changes
	seen [2]map[[2]uint64]bool
}

// Count counts one difference. first is false if the bytes of the second side were
// counted before, by another name of the file.
func (c *Tally) Count(d tree.Difference) (first bool) {
	before, now := c.bytes(0, d.A), c.bytes(1, d.B)
	switch d.Kind {
	case tree.Added:
		c.Added++
		c.AddedBytes += now
	case tree.Removed:
		c.Removed++
		c.RemovedBytes += before
	case tree.Modified, tree.Retyped:
		c.Modified++
		c.ModifiedBytes += now
		if d.Disguised() {
			c.Disguised++
		}
	case tree.Updated:
		c.Updated++
	}
	return now > 0
}

// bytes returns the bytes of a file on one side, 0 if another name has counted them.
func (c *Tally) bytes(side int, a tree.Attr) int64 {
	if a.Kind == tree.Regular && a.Nlink > 1 {
		id := [2]uint64{a.Device, a.FileID}
		if c.seen[side][id] {
			return 0
		}
		if c.seen[side] == nil {
			c.seen[side] = map[[2]uint64]bool{}
		}
		c.seen[side][id] = true
	}
	return BytesOf(a)
}

// BytesOf is the size of a regular file, 0 for all else.
func BytesOf(a tree.Attr) int64 {
	if a.Kind == tree.Regular {
		return a.Size
	}
	return 0
}

// UsedBy is what a file takes on the disk, without holes.
func UsedBy(a tree.Attr) int64 { return min(BytesOf(a), a.Used) }

// Complete completes the counts: a name that was compared and has no difference is
// unchanged.
func (c *Changes) Complete(s tree.Stats) {
	c.KeptOpen = s.Busy
	c.Held, c.HeldPaths = s.Missing.Total, s.Missing.Paths[:min(10, len(s.Missing.Paths))]
	c.Unchanged = max(0, s.Files+s.Dirs-c.Added-c.Removed-c.Modified-c.Updated)
}

// Change is one name that differs.
type Change struct {
	Kind    string `json:"kind"`               // + - M U T
	Path    string `json:"path"`               // below the directories compared
	PathB64 []byte `json:"path_b64,omitempty"` // where Path is no UTF-8
	Fields  string `json:"fields,omitempty"`   // the fields that differ: "size, mtime"
	Before  *File  `json:"before,omitempty"`
	After   *File  `json:"after,omitempty"`
}

// File is a name's attributes.
type File struct {
	Kind     string    `json:"kind"`
	Mode     uint32    `json:"mode"`
	UID      uint32    `json:"uid"`
	GID      uint32    `json:"gid"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
}

// Name is the path with all bytes as they are.
func (c *Change) Name() string {
	if c.PathB64 != nil {
		return string(c.PathB64)
	}
	return c.Path
}

// Whole is the file that was added or removed; nil for one that changed.
func (c *Change) Whole() *File {
	switch c.Kind {
	case "+":
		return c.After
	case "-":
		return c.Before
	}
	return nil
}

// Describe makes a Change of a difference.
func Describe(d tree.Difference) *Change {
	c := &Change{Kind: d.Kind.String(), Path: d.Path, Fields: d.Fields.String()}
	if !utf8.ValidString(d.Path) {
		c.Path, c.PathB64 = strings.ToValidUTF8(d.Path, "\uFFFD"), []byte(d.Path)
	}
	c.Before, c.After = FileOf(d.A), FileOf(d.B)
	return c
}

// FileOf makes a File of attributes; nil if there are none.
func FileOf(a tree.Attr) *File {
	if a.Kind == 0 {
		return nil
	}
	return &File{Kind: a.Kind.String(), Mode: a.Mode, UID: a.UID, GID: a.GID, Bytes: a.Size, Modified: Shown(a.Mtime)}
}

// Shown returns a time that JSON can carry: its year has four digits. Files may have
// other times.
func Shown(t time.Time) time.Time {
	first, last := time.Time{}, time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
	switch {
	case t.Before(first):
		return first
	case t.After(last):
		return last
	}
	return t.UTC()
}

package export

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/casit/berth/tree"
)

// Record is the content of a control file. Nothing is done on the word of a
// file before Fits has agreed.
type Record interface {
	// Fits returns why the record cannot be that of the control file name, a path
	// below the export: the record speaks of another volume, node or place than
	// the name does, or has a value that no berth writes.
	Fits(name string) error
}

// Read decodes the control file name into v. A file that is broken, or whose
// record does not fit its name, is an error for which IsBroken is true.
func Read(ctx context.Context, fsys tree.FS, name string, v Record) error {
	data, err := tree.ReadFile(ctx, fsys, name, MaxFile)
	if err != nil {
		return err
	}
	return Decode(name, data, v)
}

// Decode is Read of bytes that were read before.
func Decode(name string, data []byte, v Record) error {
	err := json.Unmarshal(data, v)
	if err == nil {
		err = v.Fits(name)
	}
	if err != nil {
		return &fs.PathError{Op: "decode", Path: name, Err: err}
	}
	return nil
}

// IsBroken tells a control file that is there and is none (torn, of another
// volume, a directory, a symlink, too large, on a bad block) from a file that is
// not there, and from an export that does not answer.
func IsBroken(err error) bool {
	p := (*fs.PathError)(nil)
	return errors.As(err, &p) && p.Op == "decode" || IsContent(err) || errors.Is(err, fs.ErrPermission) && !mayBeExport(err)
}

// IsContent is IsBroken for a file of any content. A refusal is none: a server that
// squashes root refuses all files.
func IsContent(err error) bool {
	if err == nil || mayBeExport(err) {
		return false
	}
	for _, wrong := range []error{tree.ErrTooLarge, syscall.EISDIR, syscall.ENOTDIR, syscall.ELOOP, syscall.ENXIO, syscall.EIO} {
		if errors.Is(err, wrong) {
			return true
		}
	}
	return false
}

// Why is what is wrong with a broken control file, without its path.
func Why(err error) error {
	if p := (*fs.PathError)(nil); errors.As(err, &p) {
		return p.Err
	}
	return err
}

// Unfit is why a record cannot be that of its file, as it is said behind the file's
// name.
func Unfit(format string, args ...any) error { return unfit(fmt.Sprintf(format, args...)) }

type unfit string

func (u unfit) Error() string { return string(u) }

// Fault is a control file that is not what its name and place say. Nothing is
// done on its word.
type Fault struct {
	Path   string // below the export
	Volume string // whose file it is, "" for no volume's
	Work   string // the item of a lock whose operation cannot be finished
	Why    error
}

// CheckVersion refuses the records of a newer format, instead of guessing.
func CheckVersion(version int) error {
	if version != FormatVersion {
		return Unfit("has format version %d, this berth knows %d", version, FormatVersion)
	}
	return nil
}

// nameRule is what every name of a volume and of a node matches.
var nameRule = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,199}$`)

// IsName tells whether name may be that of a volume or of a node.
func IsName(name string) bool { return nameRule.MatchString(name) }

// CheckName refuses a name in a control file that is not the one which the
// file's own name says.
func CheckName(what, name, want string) error {
	if name != want || !IsName(name) {
		return Unfit("belongs to %s %q", what, name)
	}
	return nil
}

// IsItem tells whether name may be that of an item in the trash or in staging,
// which begins with one of the prefixes, if any are given.
func IsItem(name string, prefixes ...string) bool {
	if !IsName(name) {
		return false
	}
	for _, p := range prefixes {
		if strings.HasPrefix(name, p) && len(name) > len(p) {
			return true
		}
	}
	return len(prefixes) == 0
}

// IsBelow tells whether name is a clean path below the directory dir.
func IsBelow(dir, name string) bool {
	return tree.CheckPath(name) == nil && path.Clean(name) == name && strings.HasPrefix(name, dir+"/")
}

// The years in which times of control files may be. The zero time is none.
const (
	firstYear = 1970
	lastYear  = 2500
)

// CheckTime refuses times that no clock has shown. Later ones could neither be
// counted with nor be written as JSON.
func CheckTime(times ...time.Time) error {
	for _, t := range times {
		if y := t.UTC().Year(); !t.IsZero() && (y < firstYear || y > lastYear) {
			return Unfit("has a time in the year %d", y)
		}
	}
	return nil
}

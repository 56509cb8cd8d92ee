package ontap

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
)

var (
	// ErrBusy matches an Error whose object is in use: an owned, locked or not
	// yet expired snapshot, a volume with a revert under way.
	ErrBusy = errors.New("busy")

	// ErrOutcomeUnknown matches an Error of a change that may or may not have
	// happened: the answer was lost, or the cluster no longer tells about the job.
	ErrOutcomeUnknown = errors.New("outcome unknown")

	// ErrPassword matches an Error of a call that the cluster refused for its
	// password or certificate, and of a call that was not sent because the
	// password is the one that the cluster has refused.
	ErrPassword = errors.New("password refused")
)

// Codes of ONTAP that callers and tests name. They arrive as decimal strings.
const (
	CodeExists            = "1"       // an entry with the same identifiers exists
	CodeUnsupported       = "3"       // no such API, or not supported by this release
	CodeNotFound          = "4"       // no entry with these identifiers
	CodePermission        = "6"       // the role does not allow it
	CodeInUse             = "8"       // the object is in use
	CodeUnexpectedField   = "262179"  // unexpected argument
	CodeInvalidValue      = "262197"  // invalid value for a field
	CodeNotAuthorized     = "6691623" // wrong user, wrong or expired password
	CodeNoSuchFile        = "6684674" // files API: no such file or directory
	CodeDirNotEmpty       = "131138"  // files API: directory not empty
	CodeReadOnly          = "131102"  // files API: read-only file system
	CodeFileExists        = "6488118" // files API: the name is taken
	CodeSnapshotExists    = "525059"  // a snapshot with that name exists
	CodeSnapshotLimit     = "525062"  // the FlexVol holds 1023 snapshots
	CodeNoSpace           = "524479"  // no space for a snapshot, or the FlexVol is offline
	CodeSnapshotName      = "1638518" // invalid snapshot name
	CodeSnapshotReserved  = "1638477" // reserved snapshot name prefix
	CodeSnapshotMissing   = "1638600" // the snapshot does not exist
	CodeSnapshotOwned     = "1638543" // the snapshot has an owner
	CodeSnapshotBusy      = "1638555" // the snapshot has not expired or is locked
	CodeSnapshotReference = "1638476" // a reference snapshot of another job
)

// Error says why one call failed: the cluster refused it, its job failed, or the
// connection to the cluster broke. An Error never holds a password or a request
// body.
type Error struct {
	Op      string // what was asked, e.g. "POST /storage/volumes/{uuid}/snapshots"
	HTTP    int    // status of the answer; 0 when there was none
	Code    string // ONTAP's code, a decimal number; "" when it gave none
	Target  string // the field that ONTAP blames, often ""
	Message string // ONTAP's words, or ours

	// Job is the uuid of the job that failed or has an unknown outcome, or "".
	Job string

	// Unknown says that the change may have happened (ErrOutcomeUnknown).
	Unknown bool

	// err is the cause below HTTP, e.g. context.DeadlineExceeded. Where this
	// package judges an answer itself, err is the kind of the error.
	err error
}

// Error prints the operation, whether its outcome is unknown, then what ONTAP said
// with its numbers.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("ontap: ")
	b.WriteString(e.Op)
	b.WriteString(": ")
	if e.Unknown {
		b.WriteString(ErrOutcomeUnknown.Error() + ": ")
	}
	if e.Message != "" {
		b.WriteString(e.Message)
	} else if text := http.StatusText(e.HTTP); text != "" {
		b.WriteString(strings.ToLower(text))
	} else {
		b.WriteString("no message")
	}
	if e.Target != "" {
		fmt.Fprintf(&b, " (field %s)", e.Target)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, " [code %s]", e.Code)
	}
	if e.HTTP != 0 && e.HTTP != http.StatusOK {
		fmt.Fprintf(&b, " [http %d]", e.HTTP)
	}
	if e.Job != "" {
		fmt.Fprintf(&b, " [job %s]", e.Job)
	}
	return b.String()
}

// Unwrap returns the cause that this package knows beside ONTAP's words, or nil:
// a context's error, a TLS error, fs.ErrNotExist for a listing without the object.
func (e *Error) Unwrap() error { return e.err }

// kinds maps ONTAP's codes to what callers ask for. A code decides before the
// HTTP status does: ONTAP answers an unknown API with 404 and code 3, and that
// must not read as "this snapshot does not exist".
var kinds = map[string]error{
	CodeExists:            fs.ErrExist,
	"917526":              fs.ErrExist, // duplicate volume name
	CodeFileExists:        fs.ErrExist,
	"6488083":             fs.ErrExist, // rename target exists
	CodeSnapshotExists:    fs.ErrExist,
	CodeUnsupported:       errors.ErrUnsupported,
	CodeNoAnalytics:       errors.ErrUnsupported,
	"6488109":             errors.ErrUnsupported, // not on FlexCache volumes
	"6488113":             errors.ErrUnsupported, // directory restore needs 9.15.1
	"6488114":             errors.ErrUnsupported, // directory restore on a FlexGroup
	CodeNotFound:          fs.ErrNotExist,
	CodeNoSuchFile:        fs.ErrNotExist,
	CodeSnapshotMissing:   fs.ErrNotExist,
	"1638503":             fs.ErrNotExist, // snapshot not on this volume
	"1638473":             fs.ErrNotExist, // snapshot tag not found
	"542797":              fs.ErrNotExist, // file or snapshot does not exist
	"918235":              fs.ErrNotExist, // volume uuid not found
	"2621462":             fs.ErrNotExist, // SVM name does not exist
	CodePermission:        fs.ErrPermission,
	CodeNotAuthorized:     fs.ErrPermission,
	CodeReadOnly:          fs.ErrPermission,
	CodeInUse:             ErrBusy,
	CodeSnapshotOwned:     ErrBusy,
	CodeSnapshotBusy:      ErrBusy,
	CodeSnapshotReference: ErrBusy,
	"524481":              ErrBusy, // the volume is locked or fenced
	"1638532":             ErrBusy, // a revert is in progress
}

// Is maps an Error to fs.ErrNotExist, fs.ErrExist, fs.ErrPermission,
// errors.ErrUnsupported, ErrBusy and ErrOutcomeUnknown. An unknown outcome
// matches ErrOutcomeUnknown alone: a job that vanished does not mean that its
// object is missing.
func (e *Error) Is(target error) bool {
	if e.Unknown {
		return target == ErrOutcomeUnknown
	}
	if target == ErrPassword {
		return e.HTTP == http.StatusUnauthorized || certificateRefused(e.err)
	}
	if kind, ok := kinds[e.Code]; ok {
		return target == kind
	}
	switch e.HTTP {
	case http.StatusNotFound:
		return target == fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == fs.ErrPermission
	case http.StatusMethodNotAllowed:
		return target == errors.ErrUnsupported
	}
	return false
}

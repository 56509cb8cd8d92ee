package simulator

import (
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/ontap"
)

// failure is an answer with ONTAP's error envelope.
type failure struct {
	status  int
	code    string
	target  string
	message string
}

func (f *failure) Error() string { return f.message + " [" + f.code + "]" }

func (f *failure) envelope() map[string]any {
	body := map[string]any{"message": f.message, "code": f.code}
	if f.target != "" {
		body["target"] = f.target
	}
	return map[string]any{"error": body}
}

func fail(status int, code, target, format string, args ...any) *failure {
	return &failure{status, code, target, fmt.Sprintf(format, args...)}
}

func unexpected(argument string) *failure {
	return fail(http.StatusBadRequest, ontap.CodeUnexpectedField, argument, "Unexpected argument %q.", argument)
}

func invalid(value, field string) *failure {
	return fail(http.StatusBadRequest, ontap.CodeInvalidValue, field, "The value %q is invalid for field %q", value, field)
}

func missing(field string) *failure {
	return fail(http.StatusBadRequest, "262177", field, "Missing value for field %q.", field)
}

func entryNotFound(target string) *failure {
	return fail(http.StatusNotFound, ontap.CodeNotFound, target, "entry doesn't exist")
}

var (
	apiNotFound   = fail(http.StatusNotFound, ontap.CodeUnsupported, "", "API not found")
	notSupported  = fail(http.StatusMethodNotAllowed, ontap.CodeUnsupported, "", "The operation is not supported.")
	notAuthorized = fail(http.StatusUnauthorized, ontap.CodeNotAuthorized, "", "User is not authorized.")
	notAllowed    = fail(http.StatusForbidden, ontap.CodePermission, "", "not authorized for that command")
	noSuchFile    = fail(http.StatusNotFound, ontap.CodeNoSuchFile, "", "No such file or directory.")
	dirNotEmpty   = fail(http.StatusConflict, ontap.CodeDirNotEmpty, "", "Directory not empty.")
	readOnlyFS    = fail(http.StatusForbidden, ontap.CodeReadOnly, "", "Read-only file system.")
	fileExists    = fail(http.StatusConflict, ontap.CodeFileExists, "", "A file or directory with that name already exists.")
	noVolumeHere  = fail(http.StatusBadRequest, "6488110", "", "A volume delete is not supported on this endpoint.")
)

// fromDir makes ONTAP's answer to an error of the directory.
func fromDir(err error) *failure {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.EXDEV):
		return noSuchFile
	case errors.Is(err, unix.EEXIST):
		return fileExists
	case errors.Is(err, unix.ENOTEMPTY):
		return dirNotEmpty
	case errors.Is(err, unix.EROFS):
		return readOnlyFS
	case errors.Is(err, unix.ENOSPC):
		return fail(http.StatusInternalServerError, ontap.CodeNoSpace, "", "The specified volume is not online or does not have enough space to create a snapshot.")
	}
	return fail(http.StatusInternalServerError, "65541", "", "Internal error: %v", err)
}

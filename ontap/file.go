package ontap

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
)

// waited makes a change wait on the cluster for up to 10 s, so that a quick
// change needs no polling. The answer to a slower change is 202 and its job.
var waited = url.Values{"return_timeout": {"10"}}

// relative checks a path inside a FlexVol and returns it without the leading
// slash. It refuses the FlexVol's root, and "." and ".." before a server could
// resolve them.
func relative(op, p string) (string, error) {
	clean := strings.TrimPrefix(p, "/")
	if clean == "" || clean[0] == '/' || clean != path.Clean(clean) || clean == ".." || strings.HasPrefix(clean, "../") || clean == "." ||
		strings.ContainsRune(clean, 0) {
		return "", &Error{Op: op, Message: "not a plain path inside the FlexVol"}
	}
	return clean, nil
}

// FileClone makes a clone of one file inside a FlexVol, without copying data
// (POST /storage/file/clone, 9.6). Source may lie in a snapshot:
// ".snapshot/NAME/dir/file". Both paths begin at the FlexVol's root. An
// existing destination is refused, never overwritten.
func (c *Client) FileClone(ctx context.Context, volume Ref, source, destination string) error {
	const api = "/storage/file/clone"
	src, err := relative("POST "+api, source)
	if err != nil {
		return err
	}
	dst, err := relative("POST "+api, destination)
	if err != nil {
		return err
	}
	body := struct {
		Volume      Ref    `json:"volume"`
		Source      string `json:"source_path"`
		Destination string `json:"destination_path"`
	}{volume, src, dst}
	return change(ctx, c, request{method: http.MethodPost, path: api, query: waited, body: body})
}

// DirectoryDelete deletes a directory and all below it on the cluster
// (DELETE /storage/volumes/{volume.uuid}/files/{path}?recurse=true, 9.8), the
// equivalent of rm -rf. It never deletes a FlexVol and never a snapshot.
func (c *Client) DirectoryDelete(ctx context.Context, volumeUUID, dir string) error {
	api := "/storage/volumes/" + segment(volumeUUID) + "/files/"
	clean, err := relative("DELETE "+api, dir)
	if err != nil {
		return err
	}
	if volumeUUID == "" {
		return &Error{Op: "DELETE " + api, Message: "volume has no uuid"}
	}
	query := url.Values{"recurse": {"true"}, "return_timeout": {"10"}}
	return change(ctx, c, request{method: http.MethodDelete, path: api + segment(clean), query: query})
}

// directoryRestore is 9.15.1 and 9.16.1 only; later releases do not document it.
const directoryRestore = "/storage/directory-restore"

// DirectoryRestoreSupported asks whether this cluster has directory-restore
// (OPTIONS /storage/directory-restore). It probes, because only 9.15.1 and
// 9.16.1 document the call. A role without the privilege is an error.
func (c *Client) DirectoryRestoreSupported(ctx context.Context) (bool, error) {
	got, err := do[struct{}](ctx, c, request{method: http.MethodOptions, path: directoryRestore})
	switch {
	case isUnsupported(err):
		return false, nil
	case err != nil:
		return false, err
	}
	return strings.Contains(got.header.Get("Allow"), http.MethodPost), nil
}

// Restore names a directory in a snapshot and the path for its copy.
type Restore struct {
	SVM      string // name
	Volume   string // name
	Snapshot string // name
	Path     string // the directory, from the FlexVol's root
	To       string // a name that is free, on the same FlexVol
}

// DirectoryRestore brings a directory back out of a snapshot under new inodes,
// without copying data, and waits for the job
// (POST /storage/directory-restore, 9.15.1 and 9.16.1). It is not atomic: a
// restore that fails may leave a part at To. A cluster without the call
// answers an error matching errors.ErrUnsupported.
//
// The page of the call has the body in two spellings: in its table vserver and
// path, in its text svm and source_path. The second is sent where the first one's
// fields are refused.
func (c *Client) DirectoryRestore(ctx context.Context, r Restore) error {
	from, err := relative("POST "+directoryRestore, r.Path)
	if err != nil {
		return err
	}
	to, err := relative("POST "+directoryRestore, r.To)
	if err != nil {
		return err
	}
	body := struct {
		SVM      string `json:"vserver"`
		Volume   string `json:"volume"`
		Snapshot string `json:"snapshot"`
		Path     string `json:"path"`
		To       string `json:"restore_path"`
	}{r.SVM, r.Volume, r.Snapshot, "/" + from, "/" + to}
	r1 := request{method: http.MethodPost, path: directoryRestore, query: waited, body: body}
	err = change(ctx, c, r1)
	if !refusesFields(err) {
		return err
	}
	r1.body = struct {
		SVM      Ref    `json:"svm"`
		Volume   Ref    `json:"volume"`
		Snapshot Ref    `json:"snapshot"`
		Path     string `json:"source_path"`
		To       string `json:"restore_path"`
	}{Ref{Name: r.SVM}, Ref{Name: r.Volume}, Ref{Name: r.Snapshot}, "/" + from, "/" + to}
	if second := change(ctx, c, r1); !refusesFields(second) {
		return second
	}
	return err
}

// refusesFields tells whether a body was refused for the names or the kinds of
// its fields, before anything was done.
func refusesFields(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.HTTP == http.StatusBadRequest && e.Job == "" &&
		slices.Contains([]string{CodeUnexpectedField, CodeInvalidValue, "262177", "262185", "262188", "262196"}, e.Code)
}

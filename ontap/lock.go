package ontap

import (
	"context"
	"net/http"
	"slices"
	"strings"
)

// Lock is a lock on a file, as NLM, NFSv4 or SMB clients hold it. It has no byte
// range: nothing reads the range, and its numbers (up to 2^64-1, a string in new
// releases) must not lose the list.
type Lock struct {
	UUID          string `json:"uuid"`
	Path          string `json:"path"` // from the SVM's root, junctions included
	Protocol      string `json:"protocol"`
	ClientAddress string `json:"client_address"`
}

// LockList reads the locks on path, which begins at the SVM's root, and on
// everything below it (GET /protocols/locks, 9.10.1). "" means the whole FlexVol.
// It asks for all locks of the FlexVol: ONTAP does not document which wildcards a
// query may mix with quoted text.
func (c *Client) LockList(ctx context.Context, svmUUID, volumeUUID, path string) ([]Lock, error) {
	all, err := list[Lock](ctx, c, "/protocols/locks", where("svm.uuid", svmUUID, "volume.uuid", volumeUUID))
	path = strings.TrimSuffix(path, "/")
	return slices.DeleteFunc(all, func(l Lock) bool {
		return path != "" && l.Path != path && !strings.HasPrefix(l.Path, path+"/")
	}), err
}

// LockBreak takes one lock away from a client without telling the client
// (DELETE /protocols/locks/{uuid}, 9.10.1). The uuid stands in the path, so that
// no server can read the request as one for all locks.
func (c *Client) LockBreak(ctx context.Context, lock Lock) error {
	if lock.UUID == "" {
		return &Error{Op: "DELETE /protocols/locks", Message: "lock has no uuid"}
	}
	return change(ctx, c, request{method: http.MethodDelete, path: "/protocols/locks/" + segment(lock.UUID)})
}

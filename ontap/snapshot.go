package ontap

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"time"
)

// MaxSnapshots is how many snapshots a FlexVol holds.
const MaxSnapshots = 1023

// Snapshot is a snapshot of a FlexVol. For SnapshotCreate only Name, Comment,
// ExpiryTime, SnaplockExpiry and Label count.
type Snapshot struct {
	UUID    string `json:"uuid,omitempty"`
	Name    string `json:"name,omitempty"`
	Comment string `json:"comment,omitempty"`

	// CreateTime has a resolution of one second on the cluster's clock.
	CreateTime time.Time `json:"create_time,omitzero"`

	Label      string    `json:"snapmirror_label,omitempty"` // 1 to 31 characters
	ExpiryTime time.Time `json:"expiry_time,omitzero"`       // not deleted before

	// SnaplockExpiry is until when the snapshot is locked: ONTAP neither deletes
	// nor renames a locked one. nil: not locked, or not told.
	SnaplockExpiry *time.Time `json:"snaplock_expiry_time,omitempty"`
}

func snapshotsOf(volumeUUID string) string {
	return "/storage/volumes/" + segment(volumeUUID) + "/snapshots"
}

// SnapshotList reads all snapshots of a FlexVol, oldest first
// (GET /storage/volumes/{volume.uuid}/snapshots, 9.6).
func (c *Client) SnapshotList(ctx context.Context, volumeUUID string) ([]Snapshot, error) {
	path := snapshotsOf(volumeUUID)
	all, err := list[Snapshot](ctx, c, path, where("order_by", "create_time"))
	seen := map[string]bool{}
	for _, s := range all {
		if seen[s.UUID] {
			// Who keeps the newest few would count it twice.
			return nil, &Error{Op: "GET " + path, HTTP: http.StatusOK, Message: "the listing has a snapshot twice"}
		}
		seen[s.UUID] = true
	}
	return all, err
}

// SnapshotGet reads one snapshot
// (GET /storage/volumes/{volume.uuid}/snapshots/{uuid}, 9.6).
func (c *Client) SnapshotGet(ctx context.Context, volumeUUID, uuid string) (Snapshot, error) {
	return getBy(ctx, c, snapshotsOf(volumeUUID)+"/"+segment(uuid), uuid, func(s Snapshot) string { return s.UUID })
}

// SnapshotGetByName reads one snapshot by its exact name
// (GET /storage/volumes/{volume.uuid}/snapshots, 9.6).
func (c *Client) SnapshotGetByName(ctx context.Context, volumeUUID, name string) (Snapshot, error) {
	path := snapshotsOf(volumeUUID)
	all, err := list[Snapshot](ctx, c, path, where("name", exactly(name)))
	if err != nil {
		return Snapshot{}, err
	}
	return only(all, path, "snapshot "+name, func(s Snapshot) bool { return s.Name == name })
}

// SnapshotCreate takes a snapshot, waits until it exists and reads its record
// (POST /storage/volumes/{volume.uuid}/snapshots, 9.6). A taken name matches
// fs.ErrExist; a full FlexVol has the code CodeSnapshotLimit. If the outcome is
// unknown (ErrOutcomeUnknown), SnapshotGetByName tells.
func (c *Client) SnapshotCreate(ctx context.Context, volumeUUID string, want Snapshot) (Snapshot, error) {
	body := Snapshot{Name: want.Name, Comment: want.Comment, Label: want.Label, ExpiryTime: want.ExpiryTime, SnaplockExpiry: want.SnaplockExpiry}
	r := request{method: http.MethodPost, path: snapshotsOf(volumeUUID), query: waited, body: body}
	// The answer has no uuid: the job's record and its Location name the
	// snapshot by name only.
	if err := change(ctx, c, r); err != nil {
		return Snapshot{}, err
	}
	made, err := c.SnapshotGetByName(ctx, volumeUUID, want.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return made, held(r, "the snapshot is not there")
	}
	return made, err
}

// held is the error of a change that the cluster called a success and that has no
// effect. With multi-admin verification a cluster answers so and waits for other
// administrators.
func held(r request, what string) *Error {
	return &Error{Op: r.op(), HTTP: http.StatusOK, Unknown: true,
		Message: "the filer says success, and " + what + "; it may wait for the approval of another administrator (security multi-admin-verify request show)"}
}

// SnapshotSetComment replaces a snapshot's comment
// (PATCH /storage/volumes/{volume.uuid}/snapshots/{uuid}, 9.6).
func (c *Client) SnapshotSetComment(ctx context.Context, volumeUUID, uuid, comment string) error {
	body := map[string]string{"comment": comment}
	return change(ctx, c, request{method: http.MethodPatch,
		path: snapshotsOf(volumeUUID) + "/" + segment(uuid), query: waited, body: body})
}

// SnapshotDelete deletes a snapshot and waits for the job
// (DELETE /storage/volumes/{volume.uuid}/snapshots/{uuid}, 9.6). The error for an
// owned, locked or not yet expired snapshot matches ErrBusy; one that waits for
// another administrator's approval matches ErrOutcomeUnknown.
func (c *Client) SnapshotDelete(ctx context.Context, volumeUUID, uuid string) error {
	if uuid == "" {
		// Without a uuid the path would name all snapshots.
		return &Error{Op: "DELETE " + snapshotsOf(volumeUUID), Message: "snapshot has no uuid"}
	}
	r := request{method: http.MethodDelete, path: snapshotsOf(volumeUUID) + "/" + segment(uuid), query: waited}
	byJob, err := changeBy(ctx, c, r)
	if err != nil || byJob {
		return err
	}
	switch _, err := c.SnapshotGet(ctx, volumeUUID, uuid); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return held(r, fmt.Sprintf("the snapshot cannot be looked at: %v", err))
	}
	return held(r, "the snapshot is still there")
}

// SnapshotPolicy says which snapshots ONTAP takes by itself.
type SnapshotPolicy struct {
	Ref
	Enabled bool `json:"enabled"`
	SVM     Ref  `json:"svm"` // empty for a policy of the cluster
	Copies  []struct {
		Schedule Ref `json:"schedule"`
		Count    int `json:"count"` // how many are kept
	} `json:"copies"`
}

// String prints the policy as an administrator says it, e.g.
// "default: hourly 6, daily 2, weekly 2".
func (p SnapshotPolicy) String() string {
	var copies []string
	for _, s := range p.Copies {
		copies = append(copies, s.Schedule.Name+" "+itoa(int64(s.Count)))
	}
	text := p.Name + ": " + or(strings.Join(copies, ", "), "no schedule")
	if !p.Enabled {
		text += " (disabled)"
	}
	return text
}

// SnapshotPolicyGet reads a snapshot policy with its schedules' names
// (GET /storage/snapshot-policies/{uuid}, 9.6).
func (c *Client) SnapshotPolicyGet(ctx context.Context, uuid string) (SnapshotPolicy, error) {
	return get[SnapshotPolicy](ctx, c, "/storage/snapshot-policies/"+segment(uuid), nil)
}

// SnapshotPolicyGetByName reads the policy an SVM means by name: its own, or
// else the cluster's (GET /storage/snapshot-policies, 9.6).
func (c *Client) SnapshotPolicyGetByName(ctx context.Context, svm, name string) (SnapshotPolicy, error) {
	const path = "/storage/snapshot-policies"
	all, err := list[SnapshotPolicy](ctx, c, path, where("name", exactly(name)))
	if err != nil {
		return SnapshotPolicy{}, err
	}
	var cluster []SnapshotPolicy
	for _, p := range all {
		if p.SVM.Name == svm && svm != "" {
			return p, nil
		}
		if p.SVM.Name == "" {
			cluster = append(cluster, p)
		}
	}
	return only(cluster, path, "snapshot policy "+name, func(p SnapshotPolicy) bool { return p.Name == name })
}

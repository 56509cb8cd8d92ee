package simulator

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/ontap"
)

// snapshotCalls answers for the snapshots of the FlexVol.
type snapshotCalls struct{ *Simulator }

// all copies the FlexVol's snapshots. It takes mu.
func (s snapshotCalls) all() collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	volume := s.world.VolumeUUID
	c := collection{schema: "/storage/volumes/{volume.uuid}/snapshots", key: "uuid", defaults: []string{"name"},
		expensive: []string{"reclaimable_space", "delta", "owners"},
		self:      func(x record) string { return "/api/storage/volumes/" + volume + "/snapshots/" + x.text("uuid") }}
	for _, x := range s.world.Snapshots {
		r := rec("uuid", x.UUID, "version_uuid", x.Version, "name", x.Name, "create_time", stamp(x.CreateTime),
			"size", x.Size, "logical_size", x.Size, "svm", s.svm(s.cfg.SVM),
			"volume.name", s.cfg.Volume, "volume.uuid", volume, "provenance_volume.uuid", volume, "reclaimable_space", x.Size)
		if x.Comment != "" {
			r.set("comment", x.Comment)
		}
		if x.Label != "" {
			r.set("snapmirror_label", x.Label)
		}
		if !x.ExpiryTime.IsZero() {
			r.set("expiry_time", stamp(x.ExpiryTime))
		}
		if len(x.Owners) > 0 {
			r.set("owners", slices.Clone(x.Owners))
		}
		c.records = append(c.records, r)
	}
	return c
}

func (s snapshotCalls) list(r *call) (any, error) {
	if r.vars["volume.uuid"] != "*" {
		if err := s.onVolume(r); err != nil {
			return nil, err
		}
	}
	return s.all().list(r)
}

func (s snapshotCalls) get(r *call) (any, error) {
	if err := s.onVolume(r); err != nil {
		return nil, err
	}
	if _, err := s.byUUID(r.vars["uuid"]); err != nil {
		return nil, err
	}
	return s.all().one(r, r.vars["uuid"])
}

// byUUID copies the record of a snapshot. It takes mu.
func (s snapshotCalls) byUUID(uuid string) (snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.world.Snapshots {
		if x.UUID == uuid {
			return *x, nil
		}
	}
	return snapshot{}, fail(http.StatusNotFound, ontap.CodeSnapshotMissing, "uuid", "The snapshot does not exist.")
}

// validSnapshotName is the code that refuses a name, "" if it is good.
func validSnapshotName(name string) string {
	switch {
	case name == "" || len(name) > 255 || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\:*?\"<>|\x00\n\t "):
		return ontap.CodeSnapshotName
	case strings.HasPrefix(name, "snapmirror."):
		return ontap.CodeSnapshotReserved
	}
	return ""
}

func checkName(name string) error {
	switch validSnapshotName(name) {
	case ontap.CodeSnapshotName:
		return fail(http.StatusBadRequest, ontap.CodeSnapshotName, "name", "The specified snapshot name is invalid.")
	case ontap.CodeSnapshotReserved:
		return fail(http.StatusBadRequest, ontap.CodeSnapshotReserved, "name", "User-created snapshot names cannot begin with %q.", "snapmirror.")
	}
	return nil
}

// create starts a job, after all checks that need no job.
func (s snapshotCalls) create(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	if err := s.onVolume(r); err != nil {
		return nil, err
	}
	body, err := r.body("/storage/volumes/{volume.uuid}/snapshots")
	if err != nil {
		return nil, err
	}
	made := &snapshot{Name: body.text("name"), Comment: body.text("comment"), Label: body.text("snapmirror_label")}
	if made.Name == "" {
		return nil, missing("name")
	}
	if err := checkName(made.Name); err != nil {
		return nil, err
	}
	if body.has("snapmirror_label") && (made.Label == "" || len(made.Label) > 31) {
		return nil, invalid(made.Label, "snapmirror_label")
	}
	if made.ExpiryTime, err = expiry(body); err != nil {
		return nil, err
	}
	if err := s.room(made.Name); err != nil {
		return nil, err
	}
	location := "/api/storage/volumes/" + r.vars["volume.uuid"] + "/snapshots/?name=" + url.QueryEscape(made.Name)
	answer, err := s.start(r, location, func() error { return s.take(made) })
	if out, ok := answer.(record); ok && r.query.Get("return_records") == "true" {
		out["num_records"] = 1
		out["records"] = []record{{"name": made.Name}}
	}
	return answer, err
}

func expiry(body record) (time.Time, error) {
	if !body.has("expiry_time") {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, body.text("expiry_time"))
	if err != nil {
		return t, invalid(body.text("expiry_time"), "expiry_time")
	}
	return t, nil
}

// room refuses a taken name and a full FlexVol. It takes mu.
func (s snapshotCalls) room(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.world.snapshot(name) != nil {
		return fail(http.StatusConflict, ontap.CodeSnapshotExists, "name", "A snapshot with the specified name already exists.")
	}
	if len(s.world.Snapshots) >= s.cfg.MaxSnapshots {
		return fail(http.StatusConflict, ontap.CodeSnapshotLimit, "", "Cannot exceed maximum number of snapshots.")
	}
	return nil
}

// take makes the snapshot. It runs in a job.
func (s snapshotCalls) take(made *snapshot) error {
	if err := s.room(made.Name); err != nil {
		return err
	}
	made.CreateTime = s.cfg.Now().UTC().Truncate(time.Second)
	made.Size = s.dir.Usage().Used
	if err := s.dir.Take(made.Name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made.UUID, made.Version = s.uuid(), s.uuid()
	s.world.Snapshots = append(s.world.Snapshots, made)
	return s.save()
}

// patch sets comment, label and expiry, and renames.
func (s snapshotCalls) patch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	if err := s.onVolume(r); err != nil {
		return nil, err
	}
	body, err := r.body("/storage/volumes/{volume.uuid}/snapshots")
	if err != nil {
		return nil, err
	}
	old, err := s.byUUID(r.vars["uuid"])
	if err != nil {
		return nil, err
	}
	expires, err := expiry(body)
	if err != nil {
		return nil, err
	}
	name := old.Name
	if body.has("name") && body.text("name") != old.Name {
		name = body.text("name")
		if err := checkName(name); err != nil {
			return nil, err
		}
	}
	return s.start(r, "", func() error {
		if name != old.Name {
			if err := s.dir.RenameSnapshot(old.Name, name); err != nil {
				return err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		x := s.world.snapshot(old.Name)
		if x == nil {
			return fail(http.StatusNotFound, ontap.CodeSnapshotMissing, "uuid", "The snapshot does not exist.")
		}
		x.Name = name
		if body.has("comment") {
			x.Comment = body.text("comment")
		}
		if body.has("snapmirror_label") {
			x.Label = body.text("snapmirror_label")
		}
		if body.has("expiry_time") {
			x.ExpiryTime = expires
		}
		return s.save()
	})
}

// delete starts a job at once. A snapshot with owners or an expiry time makes the
// job fail.
func (s snapshotCalls) delete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	if err := s.onVolume(r); err != nil {
		return nil, err
	}
	x, err := s.byUUID(r.vars["uuid"])
	if err != nil {
		return nil, err
	}
	return s.start(r, "", func() error { return s.drop(x.UUID) })
}

// deleteQuery deletes all snapshots that match the query of DELETE on the
// collection.
func (s snapshotCalls) deleteQuery(r *call) (any, error) {
	if err := s.onVolume(r); err != nil {
		return nil, err
	}
	c := s.all()
	q, err := c.parse(r)
	if err != nil {
		return nil, err
	}
	if len(q.filters) == 0 {
		return nil, fail(http.StatusBadRequest, "262255", "", "DELETE on a collection needs a query.")
	}
	found := c.selected(q)
	return s.start(r, "", func() error {
		for _, x := range found {
			if err := s.drop(x.text("uuid")); err != nil {
				return err
			}
		}
		return nil
	})
}

// drop deletes one snapshot. It runs in a job.
func (s snapshotCalls) drop(uuid string) error {
	x, err := s.byUUID(uuid)
	switch {
	case err != nil:
		return err
	case len(x.Owners) > 0:
		return fail(http.StatusConflict, ontap.CodeSnapshotOwned, "", "Failed to delete snapshot %q because it has an owner.", x.Name)
	case x.ExpiryTime.After(s.cfg.Now()):
		return fail(http.StatusConflict, ontap.CodeSnapshotBusy, "", "Snapshot %q has not expired or is locked.", x.Name)
	}
	if err := s.dir.Drop(x.Name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world.Snapshots = slices.DeleteFunc(s.world.Snapshots, func(y *snapshot) bool { return y.UUID == uuid })
	return s.save()
}

package simulator

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator/flexvol"
)

// snapshotCalls answers for the snapshots of the FlexVol.
type snapshotCalls struct{ *Simulator }

const snapshotSchema = "/storage/volumes/{volume.uuid}/snapshots"

// all copies the snapshots of a volume, or of all volumes if it is "*". It takes mu.
func (s snapshotCalls) all(of string) collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: snapshotSchema, key: "uuid", defaults: []string{"name"},
		expensive: []string{"reclaimable_space", "delta", "owners"},
		self: func(x record) string {
			return "/api/storage/volumes/" + x.text("provenance_volume.uuid") + "/snapshots/" + x.text("uuid")
		}}
	for _, x := range s.world.Snapshots {
		if of != "*" && !s.world.isOf(x, of) {
			continue
		}
		volume, name := s.world.VolumeUUID, s.cfg.Volume
		if made := s.made(x.Volume); made != nil {
			volume, name = made.UUID, made.Name
		}
		r := rec("uuid", x.UUID, "version_uuid", x.Version, "name", x.Name, "create_time", stamp(x.CreateTime),
			"size", x.Size, "logical_size", x.Size, "svm", s.svm(s.cfg.SVM),
			"volume.name", name, "volume.uuid", volume, "provenance_volume.uuid", volume, "reclaimable_space", x.Size)
		if x.Comment != "" {
			r.set("comment", x.Comment)
		}
		if x.Label != "" {
			r.set("snapmirror_label", x.Label)
		}
		if !x.ExpiryTime.IsZero() {
			r.set("expiry_time", stamp(x.ExpiryTime))
		}
		if !x.Locked.IsZero() {
			left := x.Locked.Sub(s.cfg.Now())
			r.set("snaplock_expiry_time", stamp(x.Locked))
			r.set("snaplock.expiry_time", stamp(x.Locked))
			r.set("snaplock.expired", left <= 0)
			r.set("snaplock.time_until_expiry", period(left))
		}
		if owners := s.owners(x); len(owners) > 0 {
			r.set("owners", owners)
		}
		c.records = append(c.records, r)
	}
	return c
}

// period is a duration as ISO 8601 has it, in whole seconds.
// Nothing and less is PT0S, and other times leave out what is zero: P1DT2H, PT3M4S.
func period(d time.Duration) string {
	seconds := max(0, int64(d.Seconds()))
	var date, clock string
	for _, part := range []struct {
		letter string
		length int64
		to     *string
	}{{"D", 86400, &date}, {"H", 3600, &clock}, {"M", 60, &clock}, {"S", 1, &clock}} {
		if n := seconds / part.length; n > 0 {
			*part.to += fmt.Sprintf("%d%s", n, part.letter)
		}
		seconds %= part.length
	}
	switch {
	case date+clock == "":
		return "PT0S"
	case clock == "":
		return "P" + date
	}
	return "P" + date + "T" + clock
}

// owners are those that hold a snapshot: applications, and volumes that are clones
// of it. The caller holds mu.
func (s *Simulator) owners(x *snapshot) []string {
	owners := slices.Clone(x.Owners)
	if slices.ContainsFunc(s.world.Volumes, func(v *volume) bool { return v.Snapshot == x.UUID }) {
		owners = append(owners, "volume_clone")
	}
	return owners
}

func (s snapshotCalls) list(r *call) (any, error) {
	if r.vars["volume.uuid"] != "*" {
		if _, err := s.onVolume(r); err != nil {
			return nil, err
		}
	}
	return s.all(r.vars["volume.uuid"]).list(r)
}

func (s snapshotCalls) get(r *call) (any, error) {
	if _, err := s.onVolume(r); err != nil {
		return nil, err
	}
	if _, err := s.byUUID(r.vars["volume.uuid"], r.vars["uuid"]); err != nil {
		return nil, err
	}
	return s.all(r.vars["volume.uuid"]).one(r, r.vars["uuid"])
}

// byUUID copies the record of a snapshot of a volume. It takes mu.
func (s snapshotCalls) byUUID(volume, uuid string) (snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.world.snapshotsOf(volume) {
		if x.UUID == uuid {
			out := *x
			out.Owners = s.owners(x)
			return out, nil
		}
	}
	return snapshot{}, noSnapshot
}

var noSnapshot = fail(http.StatusNotFound, ontap.CodeSnapshotMissing, "uuid", "The snapshot does not exist.")

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

// snapshotRules are the fields that POST and PATCH of a snapshot set.
var snapshotRules = map[string]rule{
	"name": anything, "comment": atMost(255), "expiry_time": anything, "snapmirror_label": rule{good: func(v string) bool { return v != "" && len(v) <= 31 }},
	"snaplock_expiry_time": anything, "snaplock.expiry_time": anything,
}

// create starts a job, after all checks that need no job.
func (s snapshotCalls) create(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	dir, notThere := s.onVolume(r)
	if notThere != nil {
		return nil, notThere
	}
	body, err := r.body(snapshotSchema)
	if err != nil {
		return nil, err
	}
	if _, err := obey(body, snapshotRules); err != nil {
		return nil, err
	}
	made := &snapshot{Name: body.text("name"), Comment: body.text("comment"), Label: body.text("snapmirror_label")}
	if made.Name == "" {
		return nil, missing("name")
	}
	if err := checkName(made.Name); err != nil {
		return nil, err
	}
	if made.ExpiryTime, err = expiry(body, "expiry_time"); err != nil {
		return nil, err
	}
	if made.Locked, err = s.lock(r, body); err != nil {
		return nil, err
	}
	if uuid := r.vars["volume.uuid"]; uuid != s.world.VolumeUUID {
		made.Volume = uuid
	}
	if err := s.room(made); err != nil {
		return nil, err
	}
	location := "/api/storage/volumes/" + r.vars["volume.uuid"] + "/snapshots/?name=" + url.QueryEscape(made.Name)
	answer, err := s.start(r, location, func() error { return s.take(dir, made) })
	if out, ok := answer.(record); ok && r.query.Get("return_records") == "true" {
		out["num_records"] = 1
		out["records"] = []record{{"name": made.Name}}
	}
	return answer, err
}

func expiry(body record, field string) (time.Time, error) {
	if !body.has(field) {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05-07:00", "2006-01-02T15:04:05-0700"} {
		if t, err := time.Parse(layout, body.text(field)); err == nil {
			return t, nil
		}
	}
	return time.Time{}, invalid(body.text(field), field)
}

// lock reads until when a body locks a snapshot; a volume without snapshot
// locking takes no lock. It takes mu.
func (s snapshotCalls) lock(r *call, body record) (time.Time, error) {
	field := "snaplock.expiry_time"
	if body.has("snaplock_expiry_time") {
		field = "snaplock_expiry_time"
	}
	until, err := expiry(body, field)
	if err != nil || until.IsZero() {
		return until, err
	}
	is, err := volumeCalls(s).present(r.vars["volume.uuid"])
	switch {
	case err != nil:
		return until, err
	case is.text("snapshot_locking_enabled") != "true":
		return until, fail(http.StatusBadRequest, "1638618", field, "The property %q cannot be specified: snapshot locking is not enabled on the volume.", field)
	case !until.After(s.cfg.Now()):
		return until, fail(http.StatusBadRequest, "1638554", field, "Failed to set expiry time for the snapshot: it has passed.")
	}
	return until, nil
}

// room refuses a taken name and a full volume. It takes mu.
func (s snapshotCalls) room(made *snapshot) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	volume := orString(made.Volume, s.world.VolumeUUID)
	if s.world.snapshotIn(volume, made.Name) != nil {
		return fail(http.StatusConflict, ontap.CodeSnapshotExists, "name", "A snapshot with the specified name already exists.")
	}
	if len(s.world.snapshotsOf(volume)) >= s.cfg.MaxSnapshots {
		return fail(http.StatusConflict, ontap.CodeSnapshotLimit, "", "Cannot exceed maximum number of snapshots.")
	}
	return nil
}

// take makes the snapshot. It runs in a job.
func (s snapshotCalls) take(dir *flexvol.Dir, made *snapshot) error {
	if err := s.room(made); err != nil {
		return err
	}
	made.CreateTime = s.cfg.Now().UTC().Truncate(time.Second)
	made.Size = dir.Usage().Used
	if err := dir.Take(made.Name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	made.UUID, made.Version = s.uuid(), s.uuid()
	s.world.Snapshots = append(s.world.Snapshots, made)
	return s.save()
}

// patch sets comment, label and expiry, renames, and locks longer.
func (s snapshotCalls) patch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	dir, notThere := s.onVolume(r)
	if notThere != nil {
		return nil, notThere
	}
	body, err := r.body(snapshotSchema)
	if err != nil {
		return nil, err
	}
	if _, err := obey(body, snapshotRules); err != nil {
		return nil, err
	}
	volume := r.vars["volume.uuid"]
	old, err := s.byUUID(volume, r.vars["uuid"])
	if err != nil {
		return nil, err
	}
	expires, err := expiry(body, "expiry_time")
	if err != nil {
		return nil, err
	}
	locked, err := s.lock(r, body)
	if err != nil {
		return nil, err
	}
	if !locked.IsZero() && locked.Before(old.Locked) {
		return nil, fail(http.StatusBadRequest, "1638554", "snaplock_expiry_time", "Failed to set expiry time for the snapshot: a lock can only be extended.")
	}
	name := old.Name
	if body.has("name") && body.text("name") != old.Name {
		name = body.text("name")
		if err := checkName(name); err != nil {
			return nil, err
		}
		if old.Locked.After(s.cfg.Now()) {
			return nil, fail(http.StatusConflict, ontap.CodeSnapshotBusy, "", "Snapshot %q has not expired or is locked.", old.Name)
		}
	}
	return s.start(r, "", func() error {
		if name != old.Name {
			if err := dir.RenameSnapshot(old.Name, name); err != nil {
				return err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		x := s.world.snapshotIn(volume, old.Name)
		if x == nil {
			return noSnapshot
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
		if !locked.IsZero() {
			x.Locked = locked
		}
		return s.save()
	})
}

// delete starts a job at once. A snapshot with owners, an expiry time or a lock
// makes the job fail.
func (s snapshotCalls) delete(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	dir, notThere := s.onVolume(r)
	if notThere != nil {
		return nil, notThere
	}
	volume := r.vars["volume.uuid"]
	x, err := s.byUUID(volume, r.vars["uuid"])
	if err != nil {
		return nil, err
	}
	return s.start(r, "", func() error { return s.drop(dir, volume, x.UUID) })
}

// deleteQuery deletes all snapshots that match the query of DELETE on the
// collection.
func (s snapshotCalls) deleteQuery(r *call) (any, error) {
	dir, notThere := s.onVolume(r)
	if notThere != nil {
		return nil, notThere
	}
	volume := r.vars["volume.uuid"]
	c := s.all(volume)
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
			if err := s.drop(dir, volume, x.text("uuid")); err != nil {
				return err
			}
		}
		return nil
	})
}

// drop deletes one snapshot. It runs in a job.
func (s snapshotCalls) drop(dir *flexvol.Dir, volume, uuid string) error {
	x, err := s.byUUID(volume, uuid)
	switch {
	case err != nil:
		return err
	case len(x.Owners) > 0:
		return fail(http.StatusConflict, ontap.CodeSnapshotOwned, "", "Failed to delete snapshot %q because it has an owner.", x.Name)
	case x.Busy:
		return fail(http.StatusConflict, ontap.CodeSnapshotBusy, "", "Snapshot %q is busy.", x.Name)
	case x.ExpiryTime.After(s.cfg.Now()), x.Locked.After(s.cfg.Now()):
		return fail(http.StatusConflict, ontap.CodeSnapshotBusy, "", "Snapshot %q has not expired or is locked.", x.Name)
	}
	if err := dir.Drop(x.Name); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.world.Snapshots = slices.DeleteFunc(s.world.Snapshots, func(y *snapshot) bool { return y.UUID == uuid })
	return s.save()
}

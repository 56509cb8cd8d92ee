package simulator

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/casit/berth/ontap/simulator/flexvol"
)

// volumeCalls answers for volumes and for the NFS service of their SVMs.
type volumeCalls struct{ *Simulator }

// volumes are the FlexVol that is Root, the root volume of each SVM, and the
// volumes of the other SVMs.
func (s volumeCalls) volumes() collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: "/storage/volumes", key: "uuid", defaults: []string{"name", "svm.name", "svm.uuid"}, self: hrefOf("/storage/volumes"),
		expensive: []string{"analytics", "anti_ransomware", "application", "encryption", "clone", "files", "max_dir_size", "metric", "movement", "quota",
			"statistics", "space.snapshot.autodelete_trigger", "space.snapshot.autodelete_enabled", "nas.junction_parent"}}
	is := s.dir.Usage()
	for _, svm := range s.svms() {
		root := s.volume(svm, svm+"_root", s.world.RootUUIDs[svm], "/", flexvol.Usage{Size: 1 << 30, Free: 1 << 30})
		root.set("is_svm_root", true)
		data := s.volume(svm, s.cfg.Volume, s.world.DataUUIDs[svm], s.cfg.Junction, is)
		if svm == s.cfg.SVM {
			data.set("style", s.cfg.Style)
			data.set("comment", s.world.Settings.VolumeComment)
			data.set("state", s.world.Settings.State)
			data.set("snapshot_directory_access_enabled", s.world.Settings.SnapshotDirectory)
			data.set("snapshot_count", len(s.world.Snapshots))
			data.set("snapshot_policy.name", s.world.Settings.SnapshotPolicy)
			data.set("snapshot_policy.uuid", s.world.Named["policy "+s.world.Settings.SnapshotPolicy])
			data.set("nas.security_style", s.world.Settings.SecurityStyle)
			data.set("files.maximum", is.Files)
			data.set("files.used", is.FilesUsed)
		}
		c.records = append(c.records, root, data)
	}
	return c
}

// volume is the record of an ordinary volume. The caller holds mu.
func (s volumeCalls) volume(svm, name, uuid, junction string, is flexvol.Usage) record {
	percent := int64(0)
	if is.Size > 0 {
		percent = 100 * is.Used / is.Size
	}
	policy := s.world.Policies[0]
	return rec("uuid", uuid, "name", name, "svm", s.svm(svm), "type", "rw", "style", "flexvol", "state", "online", "comment", "",
		"create_time", "2026-01-01T00:00:00+00:00", "language", "c.utf_8", "size", is.Size, "is_svm_root", false, "snapshot_count", 0,
		"aggregates", []record{s.aggregate()}, "snapshot_policy.name", "none", "snapshot_policy.uuid", s.world.Named["policy none"],
		"snapshot_directory_access_enabled", true, "snapshot_locking_enabled", false, "access_time_enabled", true,
		"nas.path", junction, "nas.security_style", "unix", "nas.unix_permissions", 755, "nas.uid", 0, "nas.gid", 0,
		"nas.export_policy.name", policy.Name, "nas.export_policy.id", policy.ID,
		"space.size", is.Size, "space.available", is.Free, "space.used", is.Used, "space.percent_used", percent,
		"space.snapshot.used", 0, "space.snapshot.reserve_percent", 5, "space.snapshot.autodelete_enabled", false,
		"guarantee.type", "none", "guarantee.honored", true, "tiering.policy", "none", "qos.policy.name", nil,
		"clone.is_flexclone", false, "clone.has_flexclone", false, "analytics.state", "off", "analytics.supported", true,
		"quota.state", "off", "autosize.mode", "off", "encryption.enabled", false, "snaplock.type", "non_snaplock")
}

func (s volumeCalls) list(r *call) (any, error) { return s.volumes().list(r) }

func (s volumeCalls) get(r *call) (any, error) { return s.volumes().one(r, r.vars["uuid"]) }

// patch changes the comment, the snapshot policy, the export policy and the access
// to .snapshot. It refuses a revert, which would take all berth volumes back.
func (s volumeCalls) patch(r *call) (any, error) {
	if err := r.onlyQuery("snapshot_directory_access_enabled", "is_constituent", "validate_only"); err != nil {
		return nil, err
	}
	body := record{}
	if r.ContentLength != 0 {
		var err error
		if body, err = r.body("/storage/volumes"); err != nil {
			return nil, err
		}
	}
	if value := r.query.Get("snapshot_directory_access_enabled"); value != "" {
		if err := boolean("snapshot_directory_access_enabled", value); err != nil {
			return nil, err
		}
		body["snapshot_directory_access_enabled"] = value == "true"
	}
	can := []string{"comment", "snapshot_directory_access_enabled", "snapshot_policy", "nas"}
	for name := range body {
		if !slices.Contains(can, name) {
			return nil, fail(http.StatusBadRequest, "262196", name, "Field %q cannot be set in this operation.", name)
		}
	}
	if r.vars["uuid"] != s.world.VolumeUUID {
		return nil, entryNotFound("uuid")
	}
	policy := body.text("snapshot_policy.name")
	if policy != "" && policy != "default" && policy != "none" {
		return nil, fail(http.StatusBadRequest, "917551", "snapshot_policy.name", "Specified snapshot policy not found.")
	}
	return s.start(r, "", func() error {
		s.mu.Lock()
		set := &s.world.Settings
		if body.has("comment") {
			set.VolumeComment = body.text("comment")
		}
		if body.has("snapshot_directory_access_enabled") {
			set.SnapshotDirectory = body.text("snapshot_directory_access_enabled") == "true"
		}
		if policy != "" {
			set.SnapshotPolicy = policy
		}
		err := s.save()
		s.mu.Unlock()
		return errors.Join(err, s.showSnapshots())
	})
}

// nfsServices is the NFS service of each SVM.
func (s volumeCalls) nfsServices() collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: "/protocols/nfs/services", key: "svm.uuid", defaults: []string{"svm.name"}, expensive: []string{"metric", "statistics"},
		self: func(x record) string { return "/api/protocols/nfs/services/" + x.text("svm.uuid") }}
	for _, name := range s.svms() {
		c.records = append(c.records, rec("svm", s.svm(name), "enabled", true, "state", "online",
			"transport.tcp_enabled", true, "transport.udp_enabled", false, "vstorage_enabled", false, "showmount_enabled", true,
			"protocol.v3_enabled", true, "protocol.v3_64bit_identifiers_enabled", true,
			"protocol.v40_enabled", false, "protocol.v41_enabled", false,
			"protocol.v3_features.hide_snapshot_enabled", s.world.Settings.HideSnapshot && name == s.cfg.SVM,
			"protocol.v3_features.fsid_change", true, "protocol.v3_features.mount_root_only", true,
			"protocol.v3_features.ejukebox_enabled", true, "protocol.v3_features.connection_drop", true))
	}
	return c
}

// onVolume checks that a path's volume is the FlexVol, online.
func (s *Simulator) onVolume(r *call) *failure {
	uuid := r.vars["volume.uuid"]
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case uuid == s.world.VolumeUUID && s.world.Settings.State == "online":
		return nil
	case uuid == s.world.VolumeUUID:
		return fail(http.StatusBadRequest, "917752", "volume.uuid", "Volume is offline.")
	}
	return fail(http.StatusNotFound, "918235", "volume.uuid", "A volume with UUID %q was not found.", strings.ToValidUTF8(uuid, "?"))
}

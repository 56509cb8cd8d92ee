package simulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Settings are the settings that an administrator of the filer makes by hand.
type Settings struct {
	SnapshotDirectory bool   `json:"snapshot_directory"` // volume modify -snapdir-access
	HideSnapshot      bool   `json:"hide_snapshot"`      // vserver nfs modify -v3-hide-snapshot
	SnapshotPolicy    string `json:"snapshot_policy"`    // default or none
	VolumeComment     string `json:"comment,omitempty"`
	State             string `json:"state"`          // of the FlexVol: online or offline
	SecurityStyle     string `json:"security_style"` // of the FlexVol: unix, ntfs or mixed

	SwitchedOver bool `json:"switched_over,omitempty"` // MetroCluster: the SVM is called NAME-mc

	SnapshotLocking bool   `json:"snapshot_locking,omitempty"`
	Analytics       string `json:"analytics,omitempty"`  // File System Analytics: on, off or "", which is off
	Incomplete      bool   `json:"incomplete,omitempty"` // analytics lack what they have not counted yet

	AntiRansomware string    `json:"anti_ransomware,omitempty"` // enabled, dry_run, paused, disabled or "", which is disabled
	Attack         string    `json:"attack,omitempty"`          // its probability: none, low, moderate, high or "", which is none
	Suspects       []Suspect `json:"suspects,omitempty"`
}

// Suspect is a kind of file that anti-ransomware finds suspicious.
type Suspect struct {
	Format string `json:"format"`
	Count  int64  `json:"count"` // files
}

// show lays the settings over the record of the FlexVol.
func (x Settings) show(r record) {
	r.set("comment", x.VolumeComment)
	r.set("state", x.State)
	r.set("snapshot_directory_access_enabled", x.SnapshotDirectory)
	r.set("snapshot_locking_enabled", x.SnapshotLocking)
	r.set("snapshot_policy.name", x.SnapshotPolicy)
	r.set("nas.security_style", x.SecurityStyle)
	r.set("analytics.state", orString(x.Analytics, "off"))
	r.set("anti_ransomware.state", orString(x.AntiRansomware, "disabled"))
	r.set("anti_ransomware.attack_probability", orString(x.Attack, "none"))
	if len(x.Suspects) > 0 {
		suspects := []record{}
		for _, one := range x.Suspects {
			suspects = append(suspects, rec("count", one.Count, "format", one.Format, "is_high_entropy", true))
		}
		r.set("anti_ransomware.suspect_files", suspects)
	}
}

// put keeps a field of the FlexVol. It says whether the field is one of the settings.
func (x *Settings) put(name string, value any) bool {
	word, _ := value.(string)
	yes, _ := value.(bool)
	switch name {
	case "comment":
		x.VolumeComment = word
	case "state":
		x.State = word
	case "snapshot_directory_access_enabled":
		x.SnapshotDirectory = yes
	case "snapshot_locking_enabled":
		x.SnapshotLocking = yes
	case "snapshot_policy.name":
		x.SnapshotPolicy = word
	case "nas.security_style":
		x.SecurityStyle = word
	case "analytics.state":
		x.Analytics = word
	case "anti_ransomware.state":
		x.AntiRansomware = word
	default:
		return false
	}
	return true
}

// world is the state that survives a restart. The file is JSON:
//
//	{"format": 1, "cluster_uuid": "...", "snapshots": [{"uuid": "...", "name": "nightly", ...}], ...}
type world struct {
	Format      int               `json:"format"`
	ClusterUUID string            `json:"cluster_uuid"`
	NodeUUID    string            `json:"node_uuid"`
	AggrUUID    string            `json:"aggregate_uuid"`
	SVMUUIDs    map[string]string `json:"svm_uuids"`  // by SVM
	RootUUIDs   map[string]string `json:"root_uuids"` // root volumes, by SVM
	DataUUIDs   map[string]string `json:"data_uuids"` // volumes of the other SVMs, by SVM
	LIFUUIDs    map[string]string `json:"lif_uuids"`  // by SVM
	VolumeUUID  string            `json:"volume_uuid"`
	Named       map[string]string `json:"named_uuids"` // schedules, policies, peers
	Snapshots   []*snapshot       `json:"snapshots"`
	Policies    []*exportPolicy   `json:"export_policies"`
	Settings    Settings          `json:"settings"`
	Security    security          `json:"security,omitzero"`

	Set       map[string]settings `json:"volume_settings,omitempty"` // by volume
	NFS       map[string]settings `json:"nfs_settings,omitempty"`    // by SVM
	Volumes   []*volume           `json:"volumes,omitempty"`         // that were made
	Schedules []*snapshotPolicy   `json:"snapshot_policies,omitempty"`
	Qtrees    []*qtree            `json:"qtrees,omitempty"`
	Quotas    []*quotaRule        `json:"quota_rules,omitempty"`
	Mirrors   []*Mirror           `json:"mirrors,omitempty"`
}

// snapshot is the record of one snapshot of the FlexVol.
type snapshot struct {
	UUID       string    `json:"uuid"`
	Version    string    `json:"version_uuid"`
	Name       string    `json:"name"`
	Comment    string    `json:"comment,omitempty"`
	CreateTime time.Time `json:"create_time"`
	ExpiryTime time.Time `json:"expiry_time,omitzero"`
	Label      string    `json:"snapmirror_label,omitempty"`
	Owners     []string  `json:"owners,omitempty"`
	Busy       bool      `json:"busy,omitempty"` // cannot be deleted, though nobody owns it
	Size       int64     `json:"size"`           // bytes
	Locked     time.Time `json:"snaplock_expiry_time,omitzero"`
	Volume     string    `json:"volume,omitempty"` // "" is the FlexVol
}

// snapshot is a snapshot of the FlexVol, nil if it has none of that name.
func (w *world) snapshot(name string) *snapshot { return w.snapshotIn(w.VolumeUUID, name) }

// snapshotIn is a snapshot of a volume, nil if it has none of that name.
func (w *world) snapshotIn(volume, name string) *snapshot {
	for _, x := range w.Snapshots {
		if w.isOf(x, volume) && x.Name == name {
			return x
		}
	}
	return nil
}

func (w *world) isOf(x *snapshot, volume string) bool {
	return x.Volume == volume || x.Volume == "" && volume == w.VolumeUUID
}

// snapshotsOf are the snapshots of a volume, the oldest first.
func (w *world) snapshotsOf(volume string) []*snapshot {
	return slices.DeleteFunc(slices.Clone(w.Snapshots), func(x *snapshot) bool { return !w.isOf(x, volume) })
}

// load reads the state file or begins a new world, draws the uuids that are
// missing, and brings the snapshots' records in line with .snapshot.
func (s *Simulator) load() error {
	w := world{Format: 1, Settings: Settings{SnapshotDirectory: true, SnapshotPolicy: "default", State: "online", SecurityStyle: "unix"}}
	if s.cfg.StateFile != "" {
		raw, err := os.ReadFile(s.cfg.StateFile)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("simulator: %w", err)
		default:
			if err := json.Unmarshal(raw, &w); err != nil {
				return fmt.Errorf("simulator: state file %s: %w", s.cfg.StateFile, err)
			}
			if w.Format != 1 {
				return fmt.Errorf("simulator: state file %s has format %d, not 1", s.cfg.StateFile, w.Format)
			}
		}
	}
	for _, id := range []*string{&w.ClusterUUID, &w.NodeUUID, &w.AggrUUID, &w.VolumeUUID} {
		if *id == "" {
			*id = s.uuid()
		}
	}
	for _, byName := range []*map[string]string{&w.SVMUUIDs, &w.RootUUIDs, &w.DataUUIDs, &w.LIFUUIDs, &w.Named} {
		if *byName == nil {
			*byName = map[string]string{}
		}
	}
	for _, svm := range s.svms() {
		for _, byName := range []map[string]string{w.SVMUUIDs, w.RootUUIDs, w.DataUUIDs, w.LIFUUIDs} {
			if byName[svm] == "" {
				byName[svm] = s.uuid()
			}
		}
	}
	for _, name := range []string{"hourly", "daily", "weekly", "policy default", "policy none"} {
		if w.Named[name] == "" {
			w.Named[name] = s.uuid()
		}
	}
	w.DataUUIDs[s.cfg.SVM] = w.VolumeUUID
	if len(w.Policies) == 0 {
		w.Policies = []*exportPolicy{defaultPolicy()}
	}
	if len(w.Schedules) == 0 {
		w.Schedules = builtInPolicies(w.Named)
	}
	s.world = w
	s.switched.Store(w.Settings.SwitchedOver)
	if err := s.openVolumes(); err != nil {
		return err
	}
	if err := s.adopt(); err != nil {
		return err
	}
	return s.save()
}

// adopt makes the records agree with the directories in .snapshot: each directory
// gets a record, and a record without a directory is dropped.
func (s *Simulator) adopt() error {
	there, err := s.dir.Snapshots()
	if err != nil {
		return err
	}
	maps.DeleteFunc(there, func(name string, _ time.Time) bool { return validSnapshotName(name) != "" })
	s.world.Snapshots = slices.DeleteFunc(s.world.Snapshots, func(r *snapshot) bool {
		_, ok := there[r.Name]
		return !ok && r.Volume == ""
	})
	for _, name := range slices.Sorted(maps.Keys(there)) {
		if s.world.snapshot(name) == nil {
			s.world.Snapshots = append(s.world.Snapshots, &snapshot{UUID: s.uuid(), Version: s.uuid(), Name: name, CreateTime: there[name].UTC()})
		}
	}
	slices.SortStableFunc(s.world.Snapshots, func(a, b *snapshot) int { return a.CreateTime.Compare(b.CreateTime) })
	return nil
}

// save writes the state file atomically. The caller is New or holds mu.
func (s *Simulator) save() error {
	if s.cfg.StateFile == "" {
		return nil
	}
	raw, err := json.MarshalIndent(s.world, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(s.cfg.StateFile), ".simulator-*")
	if err != nil {
		return fmt.Errorf("simulator: save state: %w", err)
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(append(raw, '\n')); err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), s.cfg.StateFile)
	}
	if err != nil {
		return fmt.Errorf("simulator: save state: %w", err)
	}
	return nil
}

// svms are the names of all SVMs, ours first.
func (s *Simulator) svms() []string { return append([]string{s.cfg.SVM}, s.cfg.OtherSVMs...) }

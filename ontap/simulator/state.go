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
	Size       int64     `json:"size"` // bytes
}

func (w *world) snapshot(name string) *snapshot {
	i := slices.IndexFunc(w.Snapshots, func(s *snapshot) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return w.Snapshots[i]
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
	s.world = w
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
		return !ok
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

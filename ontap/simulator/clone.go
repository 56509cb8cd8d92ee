package simulator

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator/flexvol"
)

// volume is one that was made by POST: a directory of the Pool, named by its uuid.
type volume struct {
	UUID     string `json:"uuid"`
	Name     string `json:"name"`
	Parent   string `json:"parent,omitempty"`          // the volume of which it is a clone
	Snapshot string `json:"parent_snapshot,omitempty"` // uuid
}

// made is a volume of the Pool, nil if there is none. The caller holds mu.
func (s *Simulator) made(uuid string) *volume {
	for _, v := range s.world.Volumes {
		if v.UUID == uuid {
			return v
		}
	}
	return nil
}

// openVolumes opens the directories of the Pool. A volume without one is gone.
func (s *Simulator) openVolumes() error {
	s.dirs = map[string]*flexvol.Dir{}
	var kept []*volume
	for _, v := range s.world.Volumes {
		if s.cfg.Pool == "" {
			continue
		}
		dir, err := flexvol.Open(filepath.Join(s.cfg.Pool, v.UUID), s.cfg.Immutable)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		s.dirs[v.UUID] = dir
		kept = append(kept, v)
	}
	s.world.Volumes = kept
	return nil
}

// usageOf is how full a volume of the Pool is. The caller holds mu.
func (s *Simulator) usageOf(uuid string) flexvol.Usage {
	dir := s.dirs[uuid]
	if dir == nil {
		return flexvol.Usage{}
	}
	is := dir.Usage()
	if sum, err := dir.Sum("."); err == nil {
		is.Used, is.FilesUsed = sum.Bytes, sum.Files+sum.Directories
	}
	return is
}

// cloned shows whose clone a volume is. The caller holds mu.
func (s *Simulator) cloned(x record, v *volume) {
	if v.Parent == "" {
		return
	}
	name := s.cfg.Volume
	if parent := s.made(v.Parent); parent != nil {
		name = parent.Name
	}
	x.set("clone.is_flexclone", true)
	x.set("clone.parent_volume.name", name)
	x.set("clone.parent_volume.uuid", v.Parent)
	x.set("clone.parent_svm", s.svm(s.cfg.SVM))
	x.set("clone.split_initiated", false)
	for _, snapshot := range s.world.Snapshots {
		if snapshot.UUID == v.Snapshot {
			x.set("clone.parent_snapshot.name", snapshot.Name)
			x.set("clone.parent_snapshot.uuid", snapshot.UUID)
		}
	}
}

// split makes a clone a volume of its own.
func (v *volume) split() { v.Parent, v.Snapshot = "", "" }

// bornWith are the fields of POST beyond those of PATCH. What is not played can
// only have the value that it has.
var bornWith = map[string]rule{
	"name": volumeName, "svm.name": anything, "svm.uuid": anything, "aggregates": anything,
	"style": oneOf("flexvol").or("918240"), "type": oneOf("rw"), "language": oneOf("c.utf_8"),
	"encryption.enabled": oneOf("false"), "tiering.policy": oneOf("none"), "snaplock.type": oneOf("non_snaplock"),
	"clone.is_flexclone": anything, "clone.parent_volume.name": anything, "clone.parent_volume.uuid": anything,
	"clone.parent_snapshot.name": anything, "clone.parent_snapshot.uuid": anything, "clone.parent_svm.name": anything, "clone.parent_svm.uuid": anything,
}

// birth is a volume that is to be made.
type birth struct {
	volume
	set      map[string]any
	from     *flexvol.Dir // of the parent
	snapshot string       // of the parent; "" is to be taken
}

// create makes an empty volume, or a clone of a snapshot with its content.
func (s volumeCalls) create(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(volumeSchema)
	if err != nil {
		return nil, err
	}
	rules := map[string]rule{}
	for _, more := range []map[string]rule{volumeRules, bornWith} {
		for name, x := range more {
			rules[name] = x
		}
	}
	b := &birth{}
	if b.set, err = obey(body, rules); err != nil {
		return nil, err
	}
	for long, short := range aliases {
		if value, ok := b.set[long]; ok {
			delete(b.set, long)
			b.set[short] = value
		}
	}
	if err := s.born(b, body); err != nil {
		return nil, err
	}
	b.UUID = s.drawUUID()
	answer, err := s.start(r, "/api/storage/volumes/"+b.UUID, func() error { return s.make(b) })
	if out, ok := answer.(record); ok && r.query.Get("return_records") == "true" {
		out["num_records"] = 1
		out["records"] = []record{rec("uuid", b.UUID, "name", b.Name)}
	}
	return answer, err
}

// born checks what a new volume shall be. It takes mu.
func (s volumeCalls) born(b *birth, body record) error {
	bad := func(code, target, why string) error { return fail(http.StatusBadRequest, code, target, "%s", why) }
	b.Name = body.text("name")
	svm, svmUUID := body.text("svm.name"), body.text("svm.uuid")
	clone := body.text("clone.is_flexclone") == "true"
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case svm == "" && svmUUID == "":
		return bad("2621707", "svm", "No SVM was specified. Either \"svm.name\" or \"svm.uuid\" must be supplied.")
	case svm != "" && svm != s.ours() || svmUUID != "" && svmUUID != s.world.SVMUUIDs[s.cfg.SVM]:
		return fail(http.StatusNotFound, "2621462", "svm", "The target SVM does not exist.")
	case b.Name == "":
		return missing("name")
	case s.taken(b.Name, ""):
		return fail(http.StatusConflict, "917526", "name", "The volume name specified is a duplicate.")
	case s.cfg.Pool == "":
		return bad("918701", "", "The specified operation on the volume endpoint is not supported on this platform: the simulator has no Pool.")
	case !clone && len(body.values("aggregates.name"))+len(body.values("aggregates.uuid")) == 0:
		return bad("787140", "aggregates", "One of \"aggregates.uuid\", \"aggregates.name\", or \"style\" must be provided.")
	case body.has("aggregates") && body.text("aggregates.name") != "aggr1" && body.text("aggregates.uuid") != s.world.AggrUUID:
		return bad("917508", "aggregates", "The target aggregate could not be found.")
	case !clone && body.has("clone"):
		return bad("918247", "clone", "Specifying a value is not valid for a volume FlexClone creation.")
	case clone && body.has("size"):
		return bad("918247", "size", "Specifying a value is not valid for a volume FlexClone creation.")
	}
	if path := body.text("nas.path"); path != "" && s.mounted(path, "") {
		return bad("918252", "nas.path", "The specified \"nas.path\" is invalid: another volume is mounted there.")
	}
	if clone {
		if err := s.parent(b, body); err != nil {
			return err
		}
	} else if b.set["size"] == nil {
		b.set["size"] = int64(20 << 20)
	}
	for name := range bornWith {
		delete(b.set, name)
	}
	return s.namesPolicies(b.set)
}

// parent finds what a clone is made of. The caller holds mu.
func (s volumeCalls) parent(b *birth, body record) error {
	name, uuid := body.text("clone.parent_volume.name"), body.text("clone.parent_volume.uuid")
	candidates := map[string]string{s.world.VolumeUUID: s.cfg.Volume}
	for _, v := range s.world.Volumes {
		candidates[v.UUID] = v.Name
	}
	for id, called := range candidates {
		if uuid != "" && id == uuid || uuid == "" && name != "" && called == name {
			b.Parent = id
			if name != "" && name != called {
				return fail(http.StatusBadRequest, "918236", "clone.parent_volume", "The specified \"parent_volume.uuid\" and \"parent_volume.name\" do not refer to the same volume.")
			}
		}
	}
	if b.Parent == "" {
		return fail(http.StatusNotFound, "524601", "clone.parent_volume", "Parent volume %q not found.", orString(name, uuid))
	}
	b.from = s.dirOf(b.Parent)
	byName, byUUID := body.text("clone.parent_snapshot.name"), body.text("clone.parent_snapshot.uuid")
	if byName == "" && byUUID == "" {
		return nil
	}
	for _, x := range s.world.snapshotsOf(b.Parent) {
		if byName != "" && x.Name == byName || byName == "" && x.UUID == byUUID {
			if byUUID != "" && x.UUID != byUUID {
				return fail(http.StatusBadRequest, "918243", "clone.parent_snapshot", "The specified snapshot UUID is not correct for the specified snapshot name.")
			}
			b.snapshot, b.Snapshot = x.Name, x.UUID
			return nil
		}
	}
	return fail(http.StatusNotFound, ontap.CodeSnapshotMissing, "clone.parent_snapshot", "The snapshot does not exist.")
}

// make carries a birth out. It runs in a job. A clone without a snapshot takes one.
func (s volumeCalls) make(b *birth) error {
	if b.Parent != "" && b.snapshot == "" {
		taken := &snapshot{Name: fmt.Sprintf("clone_%s.%s", b.Name, s.cfg.Now().UTC().Format("2006-01-02_150405.0"))}
		if b.Parent != s.world.VolumeUUID {
			taken.Volume = b.Parent
		}
		if err := snapshotCalls(s).take(b.from, taken); err != nil {
			return err
		}
		b.snapshot, b.Snapshot = taken.Name, taken.UUID
	}
	at := filepath.Join(s.cfg.Pool, b.UUID)
	if err := os.Mkdir(at, 0o755); err != nil {
		return err
	}
	dir, err := flexvol.Open(at, s.cfg.Immutable)
	if err != nil {
		return errors.Join(err, os.RemoveAll(at))
	}
	if b.Parent != "" {
		if err := dir.Become(b.from, b.snapshot); err != nil {
			dir.Close()
			return errors.Join(err, os.RemoveAll(at))
		}
	}
	s.mu.Lock()
	if s.taken(b.Name, "") {
		s.mu.Unlock()
		dir.Close()
		return errors.Join(fail(http.StatusConflict, "917526", "name", "The volume name specified is a duplicate."), os.RemoveAll(at))
	}
	fresh := b.volume
	s.world.Volumes = append(s.world.Volumes, &fresh)
	s.dirs[b.UUID] = dir
	s.mu.Unlock()
	is, err := s.present(b.UUID)
	if err != nil {
		return err
	}
	return s.apply(is, b.set)
}

// delete deletes a volume of the Pool. ONTAP's recovery queue is not played: it is
// gone at once.
func (s volumeCalls) delete(r *call) (any, error) {
	if err := r.onlyQuery("force"); err != nil {
		return nil, err
	}
	uuid := r.vars["uuid"]
	is, err := s.present(uuid)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	kept := s.made(uuid) == nil
	s.mu.Unlock()
	switch {
	case is.text("is_svm_root") == "true":
		return nil, fail(http.StatusConflict, "917531", "uuid", "Cannot delete the root volume because the SVM contains other volumes.")
	case kept:
		return nil, fail(http.StatusBadRequest, "918701", "uuid", "The specified operation on the volume endpoint is not supported on this platform: the simulator keeps this volume.")
	}
	return s.start(r, "", func() error {
		s.mu.Lock()
		switch {
		case slices.ContainsFunc(s.world.Volumes, func(v *volume) bool { return v.Parent == uuid }):
			s.mu.Unlock()
			return fail(http.StatusConflict, "524615", "uuid", "Failed to delete volume because it has one or more clones.")
		case is.text("nas.path") != "":
			s.mu.Unlock()
			return fail(http.StatusConflict, "917536", "uuid", "Job completed with specified error: the volume must be unmounted before it is deleted.")
		}
		dir := s.dirs[uuid]
		delete(s.dirs, uuid)
		delete(s.world.Set, uuid)
		s.world.Volumes = slices.DeleteFunc(s.world.Volumes, func(v *volume) bool { return v.UUID == uuid })
		s.world.Snapshots = slices.DeleteFunc(s.world.Snapshots, func(x *snapshot) bool { return x.Volume == uuid })
		s.world.Qtrees = slices.DeleteFunc(s.world.Qtrees, func(q *qtree) bool { return q.Volume == uuid })
		s.world.Quotas = slices.DeleteFunc(s.world.Quotas, func(q *quotaRule) bool { return q.Volume == uuid })
		err := s.save()
		s.mu.Unlock()
		return errors.Join(err, dir.Destroy())
	})
}

// restore takes a volume back to a snapshot, wholly or one file of it. What is
// newer than the snapshot is lost, and so are newer snapshots.
func (s volumeCalls) restore(r *call, body record) (any, error) {
	if len(body) > 0 {
		return nil, fail(http.StatusBadRequest, "918251", "", "Specifying a value is not valid for a snapshot restore operation.")
	}
	if r.query.Has("restore_to.snapshot.force") && s.version.Major < 19 {
		return nil, unexpected("restore_to.snapshot.force")
	}
	uuid := r.vars["uuid"]
	is, err := s.present(uuid)
	if err != nil {
		return nil, err
	}
	if err := s.online(is); err != nil {
		return nil, err
	}
	name, id := r.query.Get("restore_to.snapshot.name"), r.query.Get("restore_to.snapshot.uuid")
	s.mu.Lock()
	dir := s.dirOf(uuid)
	all := s.world.snapshotsOf(uuid)
	s.mu.Unlock()
	i := slices.IndexFunc(all, func(x *snapshot) bool {
		return (name != "" || id != "") && (name == "" || x.Name == name) && (id == "" || x.UUID == id)
	})
	if i < 0 || dir == nil {
		return nil, fail(http.StatusNotFound, "524511", "restore_to.snapshot", "Failed to restore snapshot %q.", orString(name, id))
	}
	if r.query.Has("restore_to.path") {
		return s.restoreFile(r, dir, all[i].Name)
	}
	return s.start(r, "", func() error {
		for _, newer := range all[i+1:] {
			s.mu.Lock()
			owned, locked := len(s.owners(newer)) > 0, newer.Locked.After(s.cfg.Now())
			s.mu.Unlock()
			switch {
			case locked:
				return fail(http.StatusConflict, "9437886", "", "Volume snapshot restore failed because there are newer unexpired locked snapshots in the volume.")
			case owned:
				return fail(http.StatusConflict, "1638480", "", "Failed to promote snapshot %q because one or more newer snapshots are in use.", all[i].Name)
			}
		}
		if err := dir.Revert(all[i].Name); err != nil {
			return err
		}
		for _, newer := range slices.Backward(all[i+1:]) {
			if err := dir.Drop(newer.Name); err != nil {
				return err
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.world.Snapshots = slices.DeleteFunc(s.world.Snapshots, func(x *snapshot) bool { return slices.Contains(all[i+1:], x) })
		return s.save()
	})
}

// restoreFile takes one file back to a snapshot, or makes it under another name.
func (s volumeCalls) restoreFile(r *call, dir *flexvol.Dir, snapshot string) (any, error) {
	from, err1 := inside(r.query.Get("restore_to.path"))
	to, err2 := inside(orString(r.query.Get("restore_to.restore_path"), r.query.Get("restore_to.path")))
	if err := errors.Join(err1, err2); err != nil || from == "." || to == "." || flexvol.InSnapshot(from) || flexvol.InSnapshot(to) {
		return nil, invalid(r.query.Get("restore_to.path"), "restore_to.path")
	}
	source := path.Join(flexvol.SnapDir, snapshot, from)
	if st, err := dir.Lstat(source); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fail(http.StatusBadRequest, "524511", "restore_to.path", "Failed to restore snapshot %q: %q is not a file there.", snapshot, strings.ToValidUTF8(from, "?"))
	}
	return s.start(r, "", func() error {
		fresh := path.Join(path.Dir(to), flexvol.Unfinished+s.drawUUID())
		if err := dir.CopyOut(source, fresh); err != nil {
			return err
		}
		if err := dir.Remove(to, false); err != nil && !errors.Is(err, unix.ENOENT) {
			return errors.Join(fail(http.StatusConflict, "524511", "restore_to.restore_path", "Failed to restore snapshot %q.", snapshot), dir.Remove(fresh, false))
		}
		return dir.Rename(fresh, to)
	})
}

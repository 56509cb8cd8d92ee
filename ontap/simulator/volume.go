package simulator

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/casit/berth/ontap/simulator/flexvol"
)

const volumeSchema = "/storage/volumes"

// volumeCalls answers for volumes and for the NFS service of their SVMs.
type volumeCalls struct{ *Simulator }

// volumes are the FlexVol that is Root, the root volume of each SVM, the volumes
// of the other SVMs, and those that were made.
func (s volumeCalls) volumes() collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: volumeSchema, key: "uuid", defaults: []string{"name", "svm.name", "svm.uuid"}, self: hrefOf(volumeSchema),
		expensive: []string{"analytics", "anti_ransomware", "application", "encryption", "clone", "files", "max_dir_size", "metric", "movement", "quota",
			"statistics", "space.snapshot.autodelete_trigger", "space.snapshot.autodelete_enabled", "nas.junction_parent"}}
	is := s.dir.Usage()
	for _, svm := range s.svms() {
		root := s.volume(svm, svm+"_root", s.world.RootUUIDs[svm], "/", flexvol.Usage{Size: 1 << 30, Free: 1 << 30})
		root.set("is_svm_root", true)
		data := s.volume(svm, s.cfg.Volume, s.world.DataUUIDs[svm], s.cfg.Junction, is)
		if svm == s.cfg.SVM {
			data.set("style", s.cfg.Style)
			s.world.Settings.show(data)
			s.content(data, s.world.VolumeUUID, s.dir)
		}
		c.records = append(c.records, root, data)
	}
	for _, made := range s.world.Volumes {
		x := s.volume(s.cfg.SVM, made.Name, made.UUID, "", s.usageOf(made.UUID))
		s.cloned(x, made)
		s.content(x, made.UUID, s.dirs[made.UUID])
		c.records = append(c.records, x)
	}
	for _, x := range c.records {
		s.asSet(x)
	}
	return c
}

// content shows what a volume's directory has. The caller holds mu.
func (s *Simulator) content(x record, uuid string, dir *flexvol.Dir) {
	x.set("snapshot_count", len(s.world.snapshotsOf(uuid)))
	if dir == nil {
		return
	}
	is := dir.Usage()
	x.set("files.maximum", is.Files)
	x.set("files.used", is.FilesUsed)
	if st, err := dir.Lstat("."); err == nil {
		permissions, _ := strconv.Atoi(strconv.FormatUint(uint64(st.Mode&0o7777), 8))
		x.set("nas.unix_permissions", permissions)
		x.set("nas.uid", int64(st.Uid))
		x.set("nas.gid", int64(st.Gid))
	}
}

// asSet lays over a volume's record what an administrator has set, and makes the
// fields agree that depend on others. The caller holds mu.
func (s *Simulator) asSet(x record) {
	set := s.world.Set[x.text("uuid")]
	set.show(x)
	size, _ := strconv.ParseInt(x.text("size"), 10, 64)
	used, _ := strconv.ParseInt(x.text("space.used"), 10, 64)
	free, _ := strconv.ParseInt(x.text("space.available"), 10, 64)
	reserve, _ := strconv.ParseInt(x.text("space.snapshot.reserve_percent"), 10, 64)
	x.set("space.size", size)
	if set["size"] != nil {
		free = max(0, min(free, size-used))
	}
	x.set("space.available", free)
	x.set("space.logical_space.available", free)
	if size > 0 {
		x.set("space.percent_used", 100*used/size)
		x.set("space.snapshot.reserve_size", size/100*reserve)
	}
	if id := set["nas.export_policy.id"]; id != nil {
		for _, p := range s.world.Policies {
			if p.ID == id {
				x.set("nas.export_policy.name", p.Name)
			}
		}
	}
	if name := x.text("snapshot_policy.name"); name != "" {
		x.set("snapshot_policy.uuid", s.world.Named["policy "+name])
	}
	if x.text("nas.path") == "" {
		delete(x["nas"].(record), "path")
	}
	x.set("space.snapshot.autodelete.enabled", x.text("space.snapshot.autodelete_enabled") == "true")
	x.set("space.snapshot.autodelete.trigger", x.text("space.snapshot.autodelete_trigger"))
	if x.text("analytics.state") == "on" {
		x.set("analytics.scan_progress", 100)
	}
}

// volume is the record of an ordinary volume. The caller holds mu.
func (s *Simulator) volume(svm, name, uuid, junction string, is flexvol.Usage) record {
	policy := s.world.Policies[0]
	return rec("uuid", uuid, "name", name, "svm", s.svm(svm), "type", "rw", "style", "flexvol", "state", "online", "comment", "",
		"create_time", "2026-01-01T00:00:00+00:00", "language", "c.utf_8", "size", is.Size, "is_svm_root", false, "snapshot_count", 0,
		"aggregates", []record{s.aggregate()}, "snapshot_policy.name", "none",
		"snapshot_directory_access_enabled", true, "snapshot_locking_enabled", false, "access_time_enabled", true,
		"nas.path", junction, "nas.security_style", "unix", "nas.unix_permissions", 755, "nas.uid", 0, "nas.gid", 0,
		"nas.export_policy.name", policy.Name, "nas.export_policy.id", policy.ID,
		"space.available", is.Free, "space.used", is.Used,
		"space.logical_space.used", is.Used, "space.logical_space.used_percent", percentOf(is), "space.logical_space.used_by_afs", is.Used,
		"space.logical_space.reporting", false, "space.logical_space.enforcement", false,
		"space.nearly_full_threshold_percent", 95, "space.full_threshold_percent", 98, "space.fractional_reserve", 0,
		"space.snapshot.used", 0, "space.snapshot.reserve_percent", 5,
		"space.snapshot.autodelete_enabled", false, "space.snapshot.autodelete_trigger", "volume",
		"space.snapshot.autodelete.commitment", "try", "space.snapshot.autodelete.defer_delete", "user_created",
		"space.snapshot.autodelete.delete_order", "oldest_first", "space.snapshot.autodelete.prefix", "(not specified)",
		"space.snapshot.autodelete.target_free_space", 20,
		"guarantee.type", "none", "guarantee.honored", true, "tiering.policy", "none", "qos.policy.name", nil,
		"clone.is_flexclone", false, "clone.has_flexclone", false, "analytics.state", "off", "analytics.supported", true,
		"anti_ransomware.state", "disabled", "anti_ransomware.attack_probability", "none",
		"quota.state", "off", "autosize.mode", "off", "autosize.grow_threshold", 98, "autosize.shrink_threshold", 50,
		"autosize.minimum", is.Size, "autosize.maximum", is.Size/5*6,
		"encryption.enabled", false, "snaplock.type", "non_snaplock")
}

func percentOf(is flexvol.Usage) int64 {
	if is.Size == 0 {
		return 0
	}
	return 100 * is.Used / is.Size
}

func (s volumeCalls) list(r *call) (any, error) { return s.volumes().list(r) }

func (s volumeCalls) get(r *call) (any, error) { return s.volumes().one(r, r.vars["uuid"]) }

var volumeName = rule{good: regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,202}$`).MatchString, code: "917888"}

// volumeRules are the fields that a volume's PATCH really sets.
var volumeRules = map[string]rule{
	"comment":                                     atMost(1023),
	"state":                                       oneOf("online", "offline", "restricted").or("918652"),
	"size":                                        between(20<<20, 300<<40).or("917534"),
	"space.size":                                  between(20<<20, 300<<40).or("917534"),
	"access_time_enabled":                         anything,
	"snapshot_directory_access_enabled":           anything,
	"snapshot_locking_enabled":                    anything,
	"snapshot_policy.name":                        anything,
	"snapshot_policy.uuid":                        anything,
	"nas.path":                                    rule{good: func(v string) bool { return v == "" || strings.HasPrefix(v, "/") }, code: "918252"},
	"nas.export_policy.name":                      anything,
	"nas.export_policy.id":                        anything,
	"nas.security_style":                          oneOf("unix", "ntfs", "mixed"),
	"nas.unix_permissions":                        octal,
	"nas.uid":                                     uint32s,
	"nas.gid":                                     uint32s,
	"quota.enabled":                               anything,
	"analytics.state":                             oneOf("on", "off").or("111411206"),
	"anti_ransomware.state":                       oneOf("disabled", "enabled", "dry_run", "paused"),
	"guarantee.type":                              oneOf("none", "volume"),
	"autosize.mode":                               oneOf("off", "grow", "grow_shrink"),
	"autosize.minimum":                            between(20<<20, 300<<40),
	"autosize.maximum":                            between(20<<20, 300<<40),
	"autosize.grow_threshold":                     percent,
	"autosize.shrink_threshold":                   percent,
	"space.snapshot.reserve_percent":              percent,
	"space.snapshot.autodelete_enabled":           anything,
	"space.snapshot.autodelete_trigger":           oneOf("volume", "snap_reserve"),
	"space.snapshot.autodelete.enabled":           anything,
	"space.snapshot.autodelete.trigger":           oneOf("volume", "snap_reserve"),
	"space.snapshot.autodelete.commitment":        oneOf("try", "disrupt", "destroy"),
	"space.snapshot.autodelete.defer_delete":      oneOf("scheduled", "user_created", "prefix", "none"),
	"space.snapshot.autodelete.delete_order":      oneOf("newest_first", "oldest_first"),
	"space.snapshot.autodelete.prefix":            atMost(15),
	"space.snapshot.autodelete.target_free_space": between(5, 100),
	"space.logical_space.reporting":               anything,
	"space.logical_space.enforcement":             anything,
	"space.nearly_full_threshold_percent":         percent,
	"space.full_threshold_percent":                percent,
	"name":                                        volumeName,
	"clone.split_initiated":                       anything,
}

// aliases are two names of one setting; the second is kept.
var aliases = map[string]string{
	"space.size":                        "size",
	"space.snapshot.autodelete.enabled": "space.snapshot.autodelete_enabled",
	"space.snapshot.autodelete.trigger": "space.snapshot.autodelete_trigger",
}

// patch changes a volume, or takes it back to a snapshot.
func (s volumeCalls) patch(r *call) (any, error) {
	if err := r.onlyQuery("snapshot_directory_access_enabled", "is_constituent", "validate_only", "restore_to.snapshot.name", "restore_to.snapshot.uuid",
		"restore_to.snapshot.force", "restore_to.path", "restore_to.restore_path"); err != nil {
		return nil, err
	}
	body := record{}
	if r.ContentLength != 0 {
		var err error
		if body, err = r.body(volumeSchema); err != nil {
			return nil, err
		}
	}
	for name := range r.query {
		if strings.HasPrefix(name, "restore_to.") {
			return s.restore(r, body)
		}
	}
	if value := r.query.Get("snapshot_directory_access_enabled"); value != "" {
		if err := boolean("snapshot_directory_access_enabled", value); err != nil {
			return nil, err
		}
		body["snapshot_directory_access_enabled"] = value == "true"
	}
	only := r.query.Get("validate_only") == "true" || body.text("validate_only") == "true"
	delete(body, "validate_only")
	set, err := obey(body, volumeRules)
	if err != nil {
		return nil, err
	}
	for long, short := range aliases {
		if value, ok := set[long]; ok {
			delete(set, long)
			set[short] = value
		}
	}
	uuid := r.vars["uuid"]
	is, err := s.present(uuid)
	if err != nil {
		return nil, err
	}
	if err := s.allowed(is, set); err != nil || only {
		return nil, err
	}
	return s.start(r, "", func() error { return errors.Join(s.apply(is, set), s.showSnapshots()) })
}

// present is the record of a volume with all its fields.
func (s volumeCalls) present(uuid string) (record, error) {
	for _, x := range s.volumes().records {
		if x.text("uuid") == uuid {
			return x, nil
		}
	}
	return nil, entryNotFound("uuid")
}

// allowed checks what fields of a volume mean for others, and resolves the names
// of policies. It takes mu.
func (s volumeCalls) allowed(is record, set map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	bad := func(code, target, why string) error { return fail(http.StatusBadRequest, code, target, "%s", why) }
	if size, ok := set["size"].(int64); ok {
		if used, _ := strconv.ParseInt(is.text("space.used"), 10, 64); size < used {
			return bad("917534", "size", "The value specified for field \"-size\" is too small.")
		}
	}
	if err := s.namesPolicies(set); err != nil {
		return err
	}
	then := func(name string) string { // the value after the change
		if value, ok := set[name]; ok {
			return strings.Join(texts(value), ",")
		}
		return is.text(name)
	}
	amount := func(name string) int64 {
		n, _ := strconv.ParseInt(then(name), 10, 64)
		return n
	}
	_, uid := set["nas.uid"]
	_, gid := set["nas.gid"]
	_, mode := set["nas.unix_permissions"]
	_, split := set["clone.split_initiated"]
	_, renamed := set["name"]
	fixed := is.text("is_svm_root") == "true" || is.text("svm.name") != s.ours()
	path, moved := set["nas.path"].(string)
	switch {
	case fixed && (set["state"] != nil || moved || renamed || set["quota.enabled"] != nil):
		return bad("917628", "uuid", "Modification of the specified fields is not allowed for the target volume type.")
	case renamed && s.made(is.text("uuid")) == nil:
		return bad("917628", "name", "Modification of the specified fields is not allowed for the target volume type.") // the FlexVol keeps its name
	case renamed && s.taken(then("name"), is.text("uuid")):
		return bad("917526", "name", "The volume name specified is a duplicate.")
	case (uid || gid || mode) && s.dirOf(is.text("uuid")) == nil:
		return bad("917628", "nas", "Modification of the specified fields is not allowed for the target volume type.")
	case is.text("state") != "online" && set["state"] == nil && (moved || uid || gid || mode || set["quota.enabled"] != nil || set["analytics.state"] != nil):
		return bad("9437885", "uuid", "The volume is not online.")
	case moved && path != "" && s.mounted(path, is.text("uuid")):
		return bad("918252", "nas.path", "The specified \"nas.path\" is invalid: another volume is mounted there.")
	case set["quota.enabled"] == true && !slices.ContainsFunc(s.world.Quotas, func(q *quotaRule) bool { return q.Volume == is.text("uuid") }):
		return bad("5308610", "quota.enabled", "Failed to activate quotas: no valid quota rules were found for the volume.")
	case split && (set["clone.split_initiated"] != true || is.text("clone.is_flexclone") != "true"):
		return bad("918248", "clone.split_initiated", "Specifying a value is not valid for initiating volume FlexClone split operation.")
	case amount("autosize.grow_threshold") <= amount("autosize.shrink_threshold"):
		return bad("917829", "autosize", "Volume autosize grow threshold must be larger than autosize shrink threshold.")
	case (set["autosize.minimum"] != nil || set["autosize.maximum"] != nil) && amount("autosize.minimum") >= amount("autosize.maximum"):
		return bad("917831", "autosize", "Volume minimum autosize must be smaller than the maximum autosize.")
	case then("anti_ransomware.state") != "disabled" && then("space.snapshot.autodelete.commitment") == "destroy":
		return bad("203161629", "anti_ransomware", "Anti-ransomware is not supported on a volume with Snapshot autodelete commitment set to \"destroy\".")
	case set["anti_ransomware.state"] == "paused" && is.text("anti_ransomware.state") == "disabled":
		return invalid("paused", "anti_ransomware.state")
	case set["snapshot_locking_enabled"] == false && is.text("snapshot_locking_enabled") == "true":
		return bad("917628", "snapshot_locking_enabled", "Snapshot locking cannot be disabled once it is enabled.")
	}
	return nil
}

// namesPolicies replaces the policies of a change by the id and the name that are
// kept. The caller holds mu.
func (s volumeCalls) namesPolicies(set map[string]any) error {
	uuid, byUUID := set["snapshot_policy.uuid"].(string)
	name, byName := set["snapshot_policy.name"].(string)
	if byUUID || byName {
		p := s.world.policy(func(p *snapshotPolicy) bool { return byName && p.Name == name || !byName && p.UUID == uuid })
		switch {
		case p == nil:
			return fail(http.StatusBadRequest, "917551", "snapshot_policy.name", "Specified snapshot policy not found.")
		case byUUID && p.UUID != uuid:
			return fail(http.StatusBadRequest, "1638587", "snapshot_policy", "The specified snapshot_policy.name and snapshot_policy.uuid refer to different snapshot policies.")
		}
		delete(set, "snapshot_policy.uuid")
		set["snapshot_policy.name"] = p.Name
	}
	id, byID := set["nas.export_policy.id"].(int64)
	name, byName = set["nas.export_policy.name"].(string)
	if byID || byName {
		i := slices.IndexFunc(s.world.Policies, func(p *exportPolicy) bool {
			return (!byName || p.Name == name) && (!byID || p.ID == id)
		})
		if i < 0 {
			return fail(http.StatusBadRequest, "1703954", "nas.export_policy", "Export policy does not exist")
		}
		delete(set, "nas.export_policy.name")
		set["nas.export_policy.id"] = s.world.Policies[i].ID
	}
	return nil
}

// apply carries out a change. It runs in a job.
func (s volumeCalls) apply(is record, set map[string]any) error {
	uuid := is.text("uuid")
	s.mu.Lock()
	dir := s.dirOf(uuid)
	s.mu.Unlock()
	if dir != nil {
		if mode, ok := set["nas.unix_permissions"].(int64); ok {
			bits, err := strconv.ParseUint(strconv.FormatInt(mode, 10), 8, 12)
			if err != nil {
				return err
			}
			if err := dir.Chmod(uint32(bits)); err != nil {
				return err
			}
		}
		uid, byUID := set["nas.uid"].(int64)
		gid, byGID := set["nas.gid"].(int64)
		if byUID || byGID {
			if !byUID {
				uid = -1
			}
			if !byGID {
				gid = -1
			}
			if err := dir.Chown(int(uid), int(gid)); err != nil {
				return err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range []string{"nas.unix_permissions", "nas.uid", "nas.gid"} {
		delete(set, name)
	}
	if on, ok := set["quota.enabled"]; ok {
		delete(set, "quota.enabled")
		set["quota.state"] = map[any]string{true: "on", false: "off"}[on]
	}
	if set["state"] != nil && set["state"] != "online" {
		set["nas.path"] = "" // a volume that is not online is not mounted
	}
	if set["clone.split_initiated"] == true {
		delete(set, "clone.split_initiated")
		s.made(uuid).split()
	}
	if name, ok := set["name"].(string); ok {
		delete(set, "name")
		s.made(uuid).Name = name
	}
	for name, value := range set {
		s.put(uuid, name, value)
	}
	return s.save()
}

// put keeps a setting of a volume. The caller holds mu.
func (s *Simulator) put(uuid, name string, value any) {
	if uuid == s.world.VolumeUUID && s.world.Settings.put(name, value) {
		return
	}
	if s.world.Set == nil {
		s.world.Set = map[string]settings{}
	}
	if s.world.Set[uuid] == nil {
		s.world.Set[uuid] = settings{}
	}
	s.world.Set[uuid][name] = value
}

// mounted says whether another volume of the SVM is at a junction path. The caller
// holds mu.
func (s *Simulator) mounted(path, but string) bool {
	at := func(uuid, otherwise string) bool {
		if set, ok := s.world.Set[uuid]["nas.path"]; ok {
			otherwise, _ = set.(string)
		}
		return uuid != but && otherwise == path
	}
	return path == "/" || at(s.world.VolumeUUID, s.cfg.Junction) ||
		slices.ContainsFunc(s.world.Volumes, func(v *volume) bool { return at(v.UUID, "") })
}

// taken says whether another volume of the SVM has the name. The caller holds mu.
func (s *Simulator) taken(name, but string) bool {
	return name == s.cfg.SVM+"_root" || name == s.cfg.Volume ||
		slices.ContainsFunc(s.world.Volumes, func(v *volume) bool { return v.Name == name && v.UUID != but })
}

func noVolume(uuid string) *failure {
	return fail(http.StatusNotFound, "918235", "volume.uuid", "A volume with UUID %q was not found.", strings.ToValidUTF8(uuid, "?"))
}

// onVolume checks that a path's volume is there and online, and returns its content.
func (s *Simulator) onVolume(r *call) (*flexvol.Dir, *failure) {
	uuid := r.vars["volume.uuid"]
	s.mu.Lock()
	defer s.mu.Unlock()
	dir, state := s.dirOf(uuid), "online"
	if set, ok := s.world.Set[uuid]["state"].(string); ok {
		state = set
	}
	if uuid == s.world.VolumeUUID {
		state = s.world.Settings.State
	}
	switch {
	case dir == nil:
		return nil, noVolume(uuid)
	case state != "online":
		return nil, fail(http.StatusBadRequest, "917752", "volume.uuid", "Volume is offline.")
	}
	return dir, nil
}

// dirOf is the content of a volume, nil if it has none. The caller holds mu, or
// the volume is the FlexVol.
func (s *Simulator) dirOf(uuid string) *flexvol.Dir {
	if uuid == s.world.VolumeUUID {
		return s.dir
	}
	return s.dirs[uuid]
}

package simulator

const nfsSchema = "/protocols/nfs/services"

// nfsServices is the NFS service of each SVM.
func (s volumeCalls) nfsServices() collection {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := collection{schema: nfsSchema, key: "svm.uuid", defaults: []string{"svm.name"}, expensive: []string{"metric", "statistics"},
		self: func(x record) string { return "/api/protocols/nfs/services/" + x.text("svm.uuid") }}
	for _, name := range s.svms() {
		x := rec("svm", s.svm(name), "enabled", true, "state", "online",
			"transport.tcp_enabled", true, "transport.udp_enabled", false, "vstorage_enabled", false, "showmount_enabled", true,
			"protocol.v3_enabled", true, "protocol.v3_64bit_identifiers_enabled", true,
			"protocol.v40_enabled", false, "protocol.v41_enabled", false,
			"protocol.v3_features.fsid_change", true, "protocol.v3_features.mount_root_only", true,
			"protocol.v3_features.ejukebox_enabled", true, "protocol.v3_features.connection_drop", true)
		s.world.NFS[s.world.SVMUUIDs[name]].show(x)
		x.set("protocol.v3_features.hide_snapshot_enabled", s.world.Settings.HideSnapshot && name == s.cfg.SVM)
		if x.text("enabled") == "false" {
			x.set("state", "offline")
		}
		c.records = append(c.records, x)
	}
	return c
}

func (s volumeCalls) nfsList(r *call) (any, error) { return s.nfsServices().list(r) }

func (s volumeCalls) nfsGet(r *call) (any, error) { return s.nfsServices().one(r, r.vars["svm.uuid"]) }

// nfsRules are the fields that PATCH of an NFS service sets. Only
// hide_snapshot_enabled changes what clients see: the simulator serves no NFS.
var nfsRules = map[string]rule{
	"enabled": anything, "showmount_enabled": anything, "vstorage_enabled": anything,
	"transport.tcp_enabled": anything, "transport.udp_enabled": anything,
	"protocol.v3_enabled": anything, "protocol.v3_64bit_identifiers_enabled": anything, "protocol.v40_enabled": anything, "protocol.v41_enabled": anything,
	"protocol.v3_features.hide_snapshot_enabled": anything, "protocol.v3_features.fsid_change": anything,
	"protocol.v3_features.mount_root_only": anything, "protocol.v3_features.ejukebox_enabled": anything, "protocol.v3_features.connection_drop": anything,
}

func (s volumeCalls) nfsPatch(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body(nfsSchema)
	if err != nil {
		return nil, err
	}
	set, err := obey(body, nfsRules)
	if err != nil {
		return nil, err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if err := s.nfsApply(r.vars["svm.uuid"], set); err != nil {
		return nil, err
	}
	return nil, s.showSnapshots()
}

// nfsApply keeps the settings of an SVM's service. It takes mu.
func (s volumeCalls) nfsApply(svm string, set map[string]any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ours := svm == s.world.SVMUUIDs[s.cfg.SVM]
	known := ours
	for _, name := range s.cfg.OtherSVMs {
		known = known || s.world.SVMUUIDs[name] == svm
	}
	if !known {
		return entryNotFound("svm.uuid")
	}
	const hide = "protocol.v3_features.hide_snapshot_enabled"
	if hidden, ok := set[hide].(bool); ok {
		if !ours {
			return notSettable(hide) // the other SVMs have no .snapshot
		}
		s.world.Settings.HideSnapshot = hidden
		delete(set, hide)
	}
	if s.world.NFS == nil {
		s.world.NFS = map[string]settings{}
	}
	if s.world.NFS[svm] == nil {
		s.world.NFS[svm] = settings{}
	}
	for name, value := range set {
		s.world.NFS[svm][name] = value
	}
	return s.save()
}

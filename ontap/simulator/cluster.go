package simulator

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

func stamp(t time.Time) string {
	return t.UTC().Truncate(time.Second).Format("2006-01-02T15:04:05+00:00")
}

func number(code string) int {
	n, _ := strconv.Atoi(code)
	return n
}

func hrefOf(path string) func(record) string {
	return func(x record) string { return "/api" + path + "/" + x.text("uuid") }
}

func (s *Simulator) node() string { return "cluster1-01" }

func (s *Simulator) aggregate() record { return rec("name", "aggr1", "uuid", s.world.AggrUUID) }

// svm is the reference to an SVM inside other records.
func (s *Simulator) svm(name string) record {
	uuid := s.world.SVMUUIDs[name]
	return record{"name": s.called(name), "uuid": uuid, "_links": record{"self": record{"href": "/api/svm/svms/" + uuid}}}
}

// inventory answers for what a cluster has: nodes, SVMs, interfaces, schedules.
type inventory struct{ *Simulator }

func (s inventory) cluster(r *call) (any, error) {
	x := rec("name", "cluster1", "uuid", s.world.ClusterUUID, "location", "simulator",
		"version", s.versionRecord(), "timezone.name", "Etc/UTC",
		"management_interfaces", []record{rec("ip.address", s.cfg.Address, "name", "cluster_mgmt", "uuid", s.world.ClusterUUID)})
	if s.version.Major > 16 || s.version.Major == 16 && s.version.Minor >= 1 {
		x.set("san_optimized", false)
		x.set("disaggregated", false)
	}
	c := collection{schema: "/cluster", key: "uuid", records: []record{x}, self: func(record) string { return "/api/cluster" }}
	return c.one(r, s.world.ClusterUUID)
}

func (s inventory) versionRecord() record {
	return record{"full": "NetApp Release " + s.cfg.Version + ": Thu Jan 01 00:00:00 UTC 2026", "generation": s.version.Generation, "major": s.version.Major, "minor": s.version.Minor}
}

func (s inventory) nodes() collection {
	x := rec("uuid", s.world.NodeUUID, "name", s.node(), "serial_number", "4048820-60-9", "model", "SIMBOX", "state", "up",
		"membership", "member", "location", "simulator", "uptime", 86400, "version", s.versionRecord(),
		"controller.cpu.count", 2, "controller.memory_size", int64(8)<<30, "controller.over_temperature", "normal",
		"ha.enabled", false, "is_spares_low", false)
	return collection{schema: "/cluster/nodes", key: "uuid", defaults: []string{"name"}, records: []record{x}, self: hrefOf("/cluster/nodes")}
}

func (s inventory) schedules() collection {
	c := collection{schema: "/cluster/schedules", key: "uuid", defaults: []string{"name"}, self: hrefOf("/cluster/schedules")}
	for name, cron := range map[string]record{
		"hourly": {"minutes": []int{5}},
		"daily":  {"minutes": []int{10}, "hours": []int{0}},
		"weekly": {"minutes": []int{15}, "hours": []int{0}, "weekdays": []int{0}},
	} {
		c.records = append(c.records, rec("uuid", s.world.Named[name], "name", name, "type", "cron", "scope", "cluster",
			"cluster.name", "cluster1", "cluster.uuid", s.world.ClusterUUID, "cron", cron))
	}
	return c
}

func (s inventory) svmRecords() collection {
	c := collection{schema: "/svm/svms", key: "uuid", defaults: []string{"name"}, self: hrefOf("/svm/svms")}
	for _, name := range s.svms() {
		protocol := func(enabled bool) record { return record{"allowed": enabled, "enabled": enabled} }
		c.records = append(c.records, rec("uuid", s.world.SVMUUIDs[name], "name", s.called(name), "state", "running", "subtype", "default",
			"language", "c.utf_8", "comment", "", "aggregates", []record{s.aggregate()}, "ipspace.name", "Default", "ipspace.uuid", s.world.AggrUUID,
			"snapshot_policy.name", "default", "snapshot_policy.uuid", s.world.Named["policy default"], "max_volumes", "unlimited",
			"nfs", protocol(true), "cifs", protocol(false), "iscsi", protocol(false), "fcp", protocol(false), "nvme", protocol(false)))
	}
	return c
}

// peers is an empty collection: no SVM of the simulator has a peer.
func (s inventory) peers() collection {
	return collection{schema: "/svm/peers", key: "uuid", defaults: []string{"name"}, self: hrefOf("/svm/peers")}
}

func (s inventory) interfaces() collection {
	c := collection{schema: "/network/ip/interfaces", key: "uuid", defaults: []string{"name"}, self: hrefOf("/network/ip/interfaces")}
	for i, name := range s.svms() {
		address := s.cfg.Address
		if i > 0 {
			address = fmt.Sprintf("127.0.1.%d", i)
		}
		family, netmask := "ipv4", "24"
		if net.ParseIP(address).To4() == nil {
			family, netmask = "ipv6", "64"
		}
		node := rec("name", s.node(), "uuid", s.world.NodeUUID)
		c.records = append(c.records, rec("uuid", s.world.LIFUUIDs[name], "name", name+"_nfs1", "enabled", true, "state", "up", "scope", "svm",
			"ip.address", address, "ip.family", family, "ip.netmask", netmask, "svm", s.svm(name), "vip", false,
			"services", []string{"data_core", "data_nfs"}, "service_policy.name", "default-data-files",
			"ipspace.name", "Default", "location.node", node, "location.home_node", node, "location.is_home", true,
			"location.home_port.name", "e0c", "location.port.name", "e0c", "location.auto_revert", true))
	}
	return c
}

func (s inventory) aggregates() collection {
	is := s.dir.Usage()
	x := rec("uuid", s.world.AggrUUID, "name", "aggr1", "state", "online", "volume_count", 2*len(s.svms()),
		"node.name", s.node(), "node.uuid", s.world.NodeUUID, "home_node.name", s.node(), "home_node.uuid", s.world.NodeUUID,
		"space.block_storage.size", is.Size, "space.block_storage.available", is.Free, "space.block_storage.used", is.Used,
		"block_storage.primary.disk_type", "ssd", "block_storage.storage_type", "ssd", "snaplock_type", "non_snaplock")
	return collection{schema: "/storage/aggregates", key: "uuid", defaults: []string{"name"}, expensive: []string{"metric", "statistics"},
		records: []record{x}, self: hrefOf("/storage/aggregates")}
}

// whoami answers with the user's present role.
func (s inventory) whoami(r *call) (any, error) {
	privileges := []record{}
	for _, p := range r.user.privileges {
		privileges = append(privileges, rec("path", p.Path, "access", string(p.Access)))
	}
	return record{"username": r.user.Name, "roles": []string{r.user.role}, "privileges": privileges,
		"_links": record{"self": record{"href": "/api/security/login/whoami"}}}, nil
}

// emsLog accepts a client's EMS message.
func (s inventory) emsLog(r *call) (any, error) {
	if err := r.onlyQuery(); err != nil {
		return nil, err
	}
	body, err := r.body("/support/ems/application-logs")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"computer_name", "event_source", "app_version", "event_id", "category", "event_description", "severity", "autosupport_required"} {
		if !body.has(name) {
			return nil, missing(name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.events = append(s.events, body); len(s.events) > 1000 {
		s.events = s.events[1:]
	}
	r.status = http.StatusCreated
	return nil, nil
}

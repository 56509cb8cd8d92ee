package simulator

// storageRoutes are the endpoints of volumes and of what belongs to them.
func (s *Simulator) storageRoutes() map[string]route {
	var (
		volumes   = volumeCalls{s}
		snapshots = snapshotCalls{s}
		files     = fileCalls{s}
		exports   = exportCalls{s}
		policies  = policyCalls{s}
		qtrees    = qtreeCalls{s}
		quotas    = quotaCalls{s}
		mirrors   = mirrorCalls{s}
	)
	return map[string]route{
		"/storage/volumes":                  {"GET": volumes.list, "POST": volumes.create},
		"/storage/volumes/{uuid}":           {"GET": volumes.get, "PATCH": volumes.patch, "DELETE": volumes.delete},
		"/storage/file/clone":               {"POST": files.clone},
		"/storage/snapshot-policies":        {"GET": policies.list, "POST": policies.create, "PATCH": policies.every(policies.patch), "DELETE": policies.every(policies.delete)},
		"/storage/snapshot-policies/{uuid}": {"GET": policies.get, "PATCH": policies.patch, "DELETE": policies.delete},
		"/storage/snapshot-policies/{snapshot_policy.uuid}/schedules": {
			"GET": policies.scheduleList, "POST": policies.scheduleCreate,
			"PATCH": policies.everySchedule(policies.schedulePatch), "DELETE": policies.everySchedule(policies.scheduleDelete)},
		"/storage/snapshot-policies/{snapshot_policy.uuid}/schedules/{schedule.uuid}": {
			"GET": policies.scheduleGet, "PATCH": policies.schedulePatch, "DELETE": policies.scheduleDelete},
		"/storage/volumes/{volume.uuid}/snapshots": {
			"GET": snapshots.list, "POST": snapshots.create, "DELETE": snapshots.deleteQuery},
		"/storage/volumes/{volume.uuid}/snapshots/{uuid}": {
			"GET": snapshots.get, "PATCH": snapshots.patch, "DELETE": snapshots.delete},
		"/storage/volumes/{volume.uuid}/files": {"GET": files.get},
		"/storage/volumes/{volume.uuid}/files/{path}": {
			"GET": files.get, "POST": files.create, "PATCH": files.rename, "DELETE": files.delete},
		"/storage/qtrees":                              {"GET": qtrees.list, "POST": qtrees.create, "PATCH": qtrees.every(qtrees.patch), "DELETE": qtrees.every(qtrees.delete)},
		"/storage/qtrees/{volume.uuid}/{id}":           {"GET": qtrees.get, "PATCH": qtrees.patch, "DELETE": qtrees.delete},
		"/storage/quota/rules":                         {"GET": quotas.list, "POST": quotas.create, "PATCH": quotas.every(quotas.patch), "DELETE": quotas.every(quotas.delete)},
		"/storage/quota/rules/{uuid}":                  {"GET": quotas.get, "PATCH": quotas.patch, "DELETE": quotas.delete},
		"/storage/quota/reports":                       {"GET": quotas.reportList},
		"/storage/quota/reports/{volume.uuid}/{index}": {"GET": quotas.reportGet},
		"/snapmirror/relationships":                    {"GET": mirrors.list, "POST": mirrors.create},
		"/snapmirror/relationships/{uuid}":             {"GET": mirrors.get, "PATCH": mirrors.patch, "DELETE": mirrors.delete},
		"/protocols/nfs/services":                      {"GET": volumes.nfsList},
		"/protocols/nfs/services/{svm.uuid}":           {"GET": volumes.nfsGet, "PATCH": volumes.nfsPatch},
		"/protocols/nfs/export-policies":               {"GET": exports.policyList, "POST": exports.policyCreate, "PATCH": exports.every(exports.policyPatch), "DELETE": exports.every(exports.policyDelete)},
		"/protocols/nfs/export-policies/{id}": {
			"GET": exports.policyGet, "PATCH": exports.policyPatch, "DELETE": exports.policyDelete},
		"/protocols/nfs/export-policies/{policy.id}/rules": {
			"GET": exports.ruleList, "POST": exports.ruleCreate, "PATCH": exports.everyRule(exports.rulePatch), "DELETE": exports.everyRule(exports.ruleDelete)},
		"/protocols/nfs/export-policies/{policy.id}/rules/{index}": {
			"GET": exports.ruleGet, "PATCH": exports.rulePatch, "DELETE": exports.ruleDelete},
		"/protocols/nfs/export-policies/{policy.id}/rules/{index}/clients": {
			"GET": exports.clientList, "POST": exports.clientCreate},
	}
}

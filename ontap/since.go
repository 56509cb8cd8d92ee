package ontap

import (
	"reflect"
	"slices"
	"strings"
)

// This file says since which release of ONTAP each call and each field of this
// package exists. Where a page or a binding only shows that a release has it, the
// release stands here all the same: it may be older, and never newer. A test
// holds the table to the calls, the fields and the comments of the package.

// Introduced says since when something exists, and who says so.
type Introduced struct {
	Release string // e.g. 9.11.1
	Until   string // the last release that has it; "" for all later ones
	Source  string // one of the Source constants
}

// Sources of the table.
const (
	SourcePage     = "reference page"      // docs.netapp.com, "Introduced In"
	SourceSpec     = "specification 9.7"   // swagger_full.yaml of Trident 21.07
	SourceBindings = "bindings"            // the first generation of Trident's bindings that has it
	SourceReleases = "ontap-releases.md"   // our own collection of such facts
	SourcePublic   = "public clients only" // no page that we have; NetApp's own clients use it on all releases
)

// Call is one endpoint that this package uses. Path is that of the reference, with
// the names of its variables.
type Call struct {
	Method, Path string
	Introduced
}

// Calls are all endpoints that this package uses.
func Calls() []Call {
	call := func(method, path, release, source string) Call {
		return Call{method, path, Introduced{Release: release, Source: source}}
	}
	restore := func(method string) Call {
		return Call{method, directoryRestore, Introduced{Release: "9.15.1", Until: "9.16.1", Source: SourcePage}}
	}
	return []Call{
		call("GET", "/cluster", "9.6", SourcePage),
		call("GET", "/cluster/jobs/{uuid}", "9.6", SourcePage),
		call("GET", "/cluster/schedules", "9.6", SourcePublic),
		call("GET", "/svm/svms", "9.6", SourcePage),
		call("GET", "/network/ip/interfaces", "9.6", SourcePage),
		call("GET", "/storage/volumes", "9.6", SourcePage),
		call("GET", "/storage/volumes/{uuid}", "9.6", SourcePage),
		call("GET", "/storage/volumes/{volume.uuid}/snapshots", "9.6", SourcePage),
		call("POST", "/storage/volumes/{volume.uuid}/snapshots", "9.6", SourcePage),
		call("GET", "/storage/volumes/{volume.uuid}/snapshots/{uuid}", "9.6", SourcePage),
		call("PATCH", "/storage/volumes/{volume.uuid}/snapshots/{uuid}", "9.6", SourcePage),
		call("DELETE", "/storage/volumes/{volume.uuid}/snapshots/{uuid}", "9.6", SourcePage),
		call("GET", "/storage/volumes/{volume.uuid}/files/{path}", "9.8", SourcePage), // 9.7; with analytics 9.8
		call("DELETE", "/storage/volumes/{volume.uuid}/files/{path}", "9.8", SourcePage),
		call("POST", "/storage/file/clone", "9.6", SourcePage),
		restore("OPTIONS"),
		restore("POST"),
		call("GET", "/storage/snapshot-policies", "9.6", SourceSpec),
		call("GET", "/storage/snapshot-policies/{uuid}", "9.6", SourceSpec),
		call("GET", "/storage/qtrees", "9.6", SourceSpec),
		call("GET", "/storage/quota/reports", "9.6", SourceSpec),
		call("GET", "/snapmirror/relationships", "9.6", SourcePublic),
		call("GET", "/protocols/locks", "9.10.1", SourceBindings),
		call("DELETE", "/protocols/locks/{uuid}", "9.10.1", SourceReleases),
		call("GET", "/protocols/nfs/services/{svm.uuid}", "9.6", SourcePublic),
		call("GET", "/protocols/nfs/export-policies/{policy.id}/rules", "9.6", SourcePage),
		call("GET", "/security/login/whoami", "9.19.1", SourceReleases),
	}
}

// fact is a row of fieldFacts: fields with spaces between, and their release.
type fact struct {
	fields string
	Introduced
}

// fieldFacts are the fields of each record, by the name of its type.
var fieldFacts = map[string][]fact{
	"Cluster": {
		{"name uuid version.generation version.major version.minor", Introduced{Release: "9.6", Source: SourcePage}},
	},
	"jobRecord": {
		{"state message code error.message error.code", Introduced{Release: "9.6", Source: SourcePage}},
	},
	"scopedSchedule": {
		{"name uuid type cron.minutes cron.hours cron.days cron.weekdays cron.months", Introduced{Release: "9.6", Source: SourcePublic}},
		{"svm.name svm.uuid", Introduced{Release: "9.11.1", Source: SourceBindings}},
	},
	"SVM":       {{"name uuid", Introduced{Release: "9.6", Source: SourcePage}}},
	"Interface": {{"ip.address svm.name svm.uuid", Introduced{Release: "9.6", Source: SourcePage}}},
	"Volume": {
		{"name uuid svm.name svm.uuid style nas.path nas.security_style nas.export_policy.id nas.export_policy.name space.size space.available " +
			"space.snapshot.used space.snapshot.reserve_percent snapshot_policy.name snapshot_policy.uuid", Introduced{Release: "9.6", Source: SourceSpec}},
		{"analytics.state analytics.supported", Introduced{Release: "9.8", Source: SourcePage}},
		{"snapshot_count", Introduced{Release: "9.10.1", Source: SourceReleases}},
		{"anti_ransomware.state anti_ransomware.attack_probability anti_ransomware.suspect_files", Introduced{Release: "9.11.1", Source: SourceBindings}},
		{"space.snapshot.autodelete_enabled", Introduced{Release: "9.11.1", Source: SourceBindings}},
		{"snapshot_directory_access_enabled", Introduced{Release: "9.11.1", Source: SourceReleases}},
		{"snapshot_locking_enabled", Introduced{Release: "9.12.1", Source: SourceBindings}},
	},
	"mounted": {{"nas.path", Introduced{Release: "9.6", Source: SourceSpec}}},
	"Snapshot": {
		{"name uuid comment create_time expiry_time", Introduced{Release: "9.6", Source: SourcePage}},
		{"snapmirror_label", Introduced{Release: "9.9.1", Source: SourceReleases}},
		{"snaplock_expiry_time", Introduced{Release: "9.11.1", Source: SourceBindings}},
	},
	"SnapshotPolicy": {{"name uuid enabled svm.name svm.uuid copies", Introduced{Release: "9.6", Source: SourceSpec}}},
	"Qtree":          {{"id name", Introduced{Release: "9.6", Source: SourceSpec}}},
	"QuotaReport": {
		{"qtree.id qtree.name space.hard_limit space.soft_limit space.used.total files.hard_limit files.soft_limit files.used.total",
			Introduced{Release: "9.6", Source: SourceSpec}},
	},
	"counted": {
		{"name is_junction analytics.bytes_used analytics.file_count", Introduced{Release: "9.8", Source: SourcePage}},
		{"analytics.incomplete_data", Introduced{Release: "9.12.1", Source: SourcePage}},
	},
	"relationship": {
		{"uuid source.path destination.path state healthy lag_time unhealthy_reason", Introduced{Release: "9.6", Source: SourcePublic}},
	},
	"destination": {{"uuid source.path destination.path", Introduced{Release: "9.6", Source: SourcePublic}}},
	"Lock":        {{"uuid path protocol client_address", Introduced{Release: "9.10.1", Source: SourceBindings}}},
	"NFSService":  {{"protocol.v3_features.hide_snapshot_enabled", Introduced{Release: "9.13.1", Source: SourceReleases}}},
	"ExportRule":  {{"clients superuser", Introduced{Release: "9.6", Source: SourcePage}}},
	"Identity":    {{"username roles privileges", Introduced{Release: "9.19.1", Source: SourceReleases}}},
}

// FieldSince says since when a field of a record exists. record is the name of the
// record's type, field the dotted name in ONTAP's JSON.
func FieldSince(record, field string) (Introduced, bool) {
	for _, f := range fieldFacts[record] {
		if slices.Contains(strings.Fields(f.fields), field) {
			return f.Introduced, true
		}
	}
	return Introduced{}, false
}

// newer says that the oldest supported release may lack a field.
func newer(record reflect.Type, field string) bool {
	since, known := FieldSince(record.Name(), field)
	return !known || since.Version().AtLeast(OldestVersion) && since.Version() != OldestVersion
}

// Version is the release as a Version; an odd one is zero.
func (i Introduced) Version() Version { v, _ := ParseVersion(i.Release); return v }

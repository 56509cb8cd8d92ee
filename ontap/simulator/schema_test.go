package simulator

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap/internal/reference"
)

// served names, for each resource, the definition of its record and the
// operations whose parameters count.
var served = []struct {
	path       string
	definition string
	also       []string // further paths with the same record
}{
	{"/cluster", "cluster", nil},
	{"/cluster/jobs", "job", []string{"/cluster/jobs/{uuid}"}},
	{"/cluster/nodes", "node_response_inline_records_inline_array_item", nil},
	{"/cluster/schedules", "schedule", []string{"/cluster/schedules/{uuid}"}},
	{"/network/ip/interfaces", "ip_interface", []string{"/network/ip/interfaces/{uuid}"}},
	{"/protocols/locks", "client_lock", nil},
	{"/protocols/nfs/export-policies", "export_policy", []string{"/protocols/nfs/export-policies/{id}"}},
	{"/protocols/nfs/export-policies/{policy.id}/rules", "export_rule", []string{"/protocols/nfs/export-policies/{policy.id}/rules/{index}"}},
	{"/protocols/nfs/export-policies/{policy.id}/rules/{index}/clients", "export_client", nil},
	{"/protocols/nfs/services", "nfs_service", []string{"/protocols/nfs/services/{svm.uuid}"}},
	{"/security/login/whoami", "whoami", nil},
	{"/storage/aggregates", "aggregate", nil},
	{"/storage/directory-restore", "directory_restore", nil},
	{"/storage/file/clone", "file_clone", nil},
	{"/storage/qtrees", "qtree", []string{"/storage/qtrees/{volume.uuid}/{id}"}},
	{"/storage/quota/reports", "quota_report", []string{"/storage/quota/reports/{volume.uuid}/{index}"}},
	{"/storage/quota/rules", "quota_rule", []string{"/storage/quota/rules/{uuid}"}},
	{"/storage/snapshot-policies", "snapshot_policy", []string{"/storage/snapshot-policies/{uuid}"}},
	{"/storage/snapshot-policies/{snapshot_policy.uuid}/schedules", "snapshot_policy_schedule", nil},
	{"/storage/volumes", "volume", []string{"/storage/volumes/{uuid}"}},
	{"/storage/volumes/{volume.uuid}/files/{path}", "file_info", nil},
	{"/storage/volumes/{volume.uuid}/snapshots", "snapshot", []string{"/storage/volumes/{volume.uuid}/snapshots/{uuid}"}},
	{"/support/ems/application-logs", "ems_application_log", nil},
	{"/svm/svms", "svm", []string{"/svm/svms/{uuid}"}},
}

// standard are the query parameters that every operation of a kind has.
var standard = []string{"fields", "max_records", "order_by", "return_records", "return_timeout", "continue_on_failure", "serial_records"}

func TestFieldsAreDocumented(t *testing.T) {
	spec := reference.Swagger(t)
	got := map[string]schema{}
	for _, s := range served {
		out := schema{Fields: map[string]string{}, Query: map[string][]string{}}
		require.Contains(t, spec.Definitions, s.definition)
		flatten(spec, out.Fields, "", map[string]any{"$ref": "#/definitions/" + s.definition}, false, nil)
		for _, path := range append([]string{s.path}, s.also...) {
			for method, operation := range spec.Paths[path] {
				for _, p := range operation.Parameters {
					if p.In != "query" || slices.Contains(standard, p.Name) {
						continue
					}
					if _, field := out.Fields[p.Name]; !field || method != "get" {
						m := strings.ToUpper(method)
						out.Query[m] = append(out.Query[m], p.Name)
					}
				}
			}
		}
		for m, names := range out.Query {
			slices.Sort(names)
			names = slices.DeleteFunc(slices.Compact(names), func(n string) bool { return out.Fields[n] != "" && m != "PATCH" })
			if out.Query[m] = names; len(names) == 0 {
				delete(out.Query, m)
			}
		}
		// A query-based PATCH filters by every field; only the others count.
		out.Query["PATCH"] = slices.DeleteFunc(out.Query["PATCH"], func(n string) bool {
			return out.Fields[n] != "" && n != "snapshot_directory_access_enabled"
		})
		if len(out.Query["PATCH"]) == 0 {
			delete(out.Query, "PATCH")
		}
		got[s.path] = out
	}
	text, err := json.MarshalIndent(got, "", " ")
	require.NoError(t, err)
	reference.Golden(t, "fields.json", append(text, '\n'))
}

// flatten lists the leaves of a definition under dotted names.
func flatten(spec *reference.Document, out map[string]string, name string, node map[string]any, readonly bool, seen []string) {
	if ref, ok := node["$ref"].(string); ok {
		ref = strings.TrimPrefix(ref, "#/definitions/")
		if slices.Contains(seen, ref) {
			return
		}
		ro, _ := node["readOnly"].(bool)
		flatten(spec, out, name, spec.Definitions[ref], readonly || ro, append(slices.Clone(seen), ref))
		return
	}
	if ro, _ := node["readOnly"].(bool); ro {
		readonly = true
	}
	kind, _ := node["type"].(string)
	switch kind {
	case "object", "":
		properties, _ := node["properties"].(map[string]any)
		for key, value := range properties {
			if key == "_links" {
				continue
			}
			flatten(spec, out, strings.TrimPrefix(name+"."+key, "."), value.(map[string]any), readonly, seen)
		}
		return
	case "array":
		items, _ := node["items"].(map[string]any)
		if resolved := resolve(spec, items); resolved["type"] == "object" || resolved["properties"] != nil {
			// The same record without the list's own mark.
			flatten(spec, out, name, items, readonly, seen)
			return
		}
	}
	if readonly {
		kind += " ro"
	}
	out[name] = kind
}

func resolve(spec *reference.Document, node map[string]any) map[string]any {
	for node["$ref"] != nil {
		node = spec.Definitions[strings.TrimPrefix(node["$ref"].(string), "#/definitions/")]
	}
	return node
}

func TestFieldsFileIsBesideTheCode(t *testing.T) {
	_, err := os.Stat(filepath.Join(".", "fields.json"))
	require.NoError(t, err)
	require.Equal(t, "string", schemas()["/storage/volumes"].kind("name"))
}

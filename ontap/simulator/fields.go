package simulator

import (
	_ "embed"
	"encoding/json"
	"maps"
	"strings"
	"sync"
)

// fieldsJSON is every documented field of the resources we serve. Its shape:
//
//	{"/storage/volumes": {
//	   "fields": {"uuid": "string ro", "size": "integer", ...},
//	   "query":  {"GET": ["is_constituent"], ...}}}
//
// Names are dotted; a list of objects counts as its objects, as in ONTAP's
// queries. Types are string, integer, boolean, number and array (of strings or
// integers); ro marks what no body may set. Query has the parameters of a
// method beyond the fields. The test TestFieldsAreDocumented holds it to the
// reference and writes it with -update.
//
//go:embed fields.json
var fieldsJSON []byte

// schema is what one resource documents.
type schema struct {
	Fields map[string]string   `json:"fields"`
	Query  map[string][]string `json:"query"`
}

var schemas = sync.OnceValue(func() map[string]schema {
	var out map[string]schema
	if err := json.Unmarshal(fieldsJSON, &out); err != nil {
		panic("simulator: fields.json: " + err.Error()) // it is compiled in
	}
	out["/svm/peers"] = undocumented
	maps.Copy(out, securitySchemas)
	out[mirrorSchema] = mirrorFields
	out[restoreSchema] = restoreFields
	out["/network/ip/interfaces"].Fields["services"] = "array ro" // the reference has it as a filter only
	return out
})

// undocumented is /svm/peers, which the reference lacks and clients read.
var undocumented = schema{Fields: map[string]string{
	"uuid": "string ro", "name": "string", "state": "string", "applications": "array",
	"svm.name": "string", "svm.uuid": "string",
	"peer.svm.name": "string", "peer.svm.uuid": "string", "peer.cluster.name": "string", "peer.cluster.uuid": "string",
}}

// kind is the type of a documented field, "" if there is none of that name.
func (s schema) kind(field string) string {
	kind, _, _ := strings.Cut(s.Fields[field], " ")
	return kind
}

// settable says whether a body may set the field.
func (s schema) settable(field string) bool {
	return !strings.HasSuffix(s.Fields[field], " ro")
}

// prefix says whether field is the name of an object with documented fields.
func (s schema) prefix(field string) bool {
	for name := range s.Fields {
		if strings.HasPrefix(name, field+".") {
			return true
		}
	}
	return false
}

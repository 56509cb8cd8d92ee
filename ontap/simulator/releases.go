package simulator

import (
	_ "embed"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Releases are the ONTAP releases that berth supports and that the simulator
// plays, oldest first.
var Releases = []string{"9.11.1", "9.12.1", "9.13.1", "9.14.1", "9.15.1", "9.16.1", "9.17.1", "9.18.1", "9.19.1"}

// DefaultRelease is played where no release is named.
const DefaultRelease = "9.16.1"

// Supported says whether the simulator plays a release.
func Supported(release string) bool { return slices.Contains(Releases, release) }

// CompareReleases orders two releases, e.g. 9.9.1 before 9.11.1. What is no
// number counts as 0.
func CompareReleases(a, b string) int { return slices.Compare(numbersOf(a), numbersOf(b)) }

func numbersOf(release string) []int {
	var out []int
	for _, part := range strings.Split(release, ".") {
		n, _ := strconv.Atoi(part)
		out = append(out, n)
	}
	return out
}

// releasesJSON says since when ONTAP has what is younger than the oldest release
// of Releases; what it does not name, every release has. Its shape:
//
//	{"calls":      {"/security/login/whoami": "9.19.1", "DELETE /protocols/locks": "9.13.1", ...},
//	 "queries":    {"PATCH /storage/volumes/{uuid}": {"restore_to.snapshot.force": "9.19.1"}, ...},
//	 "fields":     {"/storage/volumes/{volume.uuid}/snapshots": {"logical_size": "9.12.1", ...}},
//	 "role_paths": {"/api/storage/volumes/*/files": "9.12.1", ...}}
//
// A call is a path with all its methods, or one method of it; queries are
// parameters that are no fields. A field stands for all below it. Role paths are
// those with a wildcard that a role may have. "A-B" is what B was the last to
// have.
//
//go:embed releases.json
var releasesJSON []byte

// introduced is releasesJSON.
type introduced struct {
	Calls     map[string]string            `json:"calls"`
	Queries   map[string]map[string]string `json:"queries"`
	Fields    map[string]map[string]string `json:"fields"`
	RolePaths map[string]string            `json:"role_paths"`
}

var since = sync.OnceValue(func() introduced {
	var out introduced
	if err := json.Unmarshal(releasesJSON, &out); err != nil {
		panic("simulator: releases.json: " + err.Error()) // it is compiled in
	}
	return out
})

// has says whether a release has what came and perhaps went with others: "",
// "9.12.1" or "9.15.1-9.16.1".
func has(release, span string) bool {
	first, last, ends := strings.Cut(span, "-")
	return (first == "" || CompareReleases(release, first) >= 0) && (!ends || CompareReleases(release, last) <= 0)
}

// plays says whether the release has what came and perhaps went with
// others.
func (c *Config) plays(span string) bool { return c.Ageless || has(c.Version, span) }

// released leaves out the methods that the release lacks. Nil means that it lacks
// the path.
func (c *Config) released(template string, all route) route {
	calls := since().Calls
	if !c.plays(calls[template]) {
		return nil
	}
	out := route{}
	for method, answer := range all {
		if c.plays(calls[method+" "+template]) {
			out[method] = answer
		}
	}
	return out
}

// schemasOf are the schemas without the fields that the release lacks.
func (c *Config) schemasOf() map[string]schema {
	out := maps.Clone(schemas())
	for path, young := range since().Fields {
		var lacks []string
		for field, span := range young {
			if !c.plays(span) {
				lacks = append(lacks, field)
			}
		}
		if len(lacks) == 0 {
			continue
		}
		fields := maps.Clone(out[path].Fields)
		maps.DeleteFunc(fields, func(name, _ string) bool { return under(name, lacks) })
		out[path] = schema{Fields: fields, Query: out[path].Query}
	}
	return out
}

// schema is what the release documents of a resource.
func (r *call) schema(path string) schema {
	if r.schemas == nil {
		return schemas()[path]
	}
	return r.schemas[path]
}

// lacks says whether all releases together document a field of path, but not the
// one whose schema this is.
func (s schema) lacks(path, field string) bool {
	return s.Fields != nil && s.kind(field) == "" && schemas()[path].kind(field) != ""
}

// knows says whether the release has a query parameter of this call that is no
// field.
func (r *call) knows(parameter string) bool {
	span := since().Queries[r.Method+" "+r.template][parameter]
	return r.plays == nil || r.plays(span)
}

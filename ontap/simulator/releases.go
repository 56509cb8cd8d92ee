package simulator

import (
	_ "embed"
	"encoding/json"
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
//	{"calls":  {"/security/login/whoami": "9.19.1", "DELETE /protocols/locks": "9.13.1", ...},
//	 "fields": {"/storage/volumes/{volume.uuid}/snapshots": {"logical_size": "9.12.1", ...}}}
//
// A call is a path with all its methods, or one method of it. A field stands for
// all below it. "A-B" is what B was the last to have.
//
//go:embed releases.json
var releasesJSON []byte

// introduced is releasesJSON.
type introduced struct {
	Calls  map[string]string            `json:"calls"`
	Fields map[string]map[string]string `json:"fields"`
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

// released leaves out the methods that the release lacks. Nil means that it lacks
// the path.
func (s *Simulator) released(template string, all route) route {
	calls := since().Calls
	if s.cfg.Ageless {
		return all
	}
	if !has(s.cfg.Version, calls[template]) {
		return nil
	}
	out := route{}
	for method, answer := range all {
		if has(s.cfg.Version, calls[method+" "+template]) {
			out[method] = answer
		}
	}
	return out
}

// Package simulatortest says which ONTAP the tests of this run play.
//
//	cfg := simulator.Config{Root: t.TempDir(), Version: simulatortest.Release(t), ...}
//
// BERTH_ONTAP_RELEASE=9.11.1 go test ./... runs them against another one.
package simulatortest

import (
	"os"
	"strings"

	"github.com/casit/berth/ontap/simulator"
)

// Variable is the environment variable that names the release.
const Variable = "BERTH_ONTAP_RELEASE"

// fataler is the part of testing.TB that Release needs; testscript has it too.
type fataler interface {
	Fatalf(format string, args ...any)
}

// Release is the ONTAP release that a test's simulator plays: that of
// BERTH_ONTAP_RELEASE, else simulator.DefaultRelease. It ends the test if the
// simulator does not know the release.
func Release(t fataler) string {
	release := os.Getenv(Variable)
	switch {
	case release == "":
		return simulator.DefaultRelease
	case !simulator.Supported(release):
		t.Fatalf("%s=%s is none of %s", Variable, release, strings.Join(simulator.Releases, ", "))
	}
	return release
}

// AtLeast says whether the release of this run is wanted or newer.
func AtLeast(t fataler, wanted string) bool {
	return simulator.CompareReleases(Release(t), wanted) >= 0
}

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Skip skips the test and says why; with BERTH_REQUIRE=all, as in CI, a reason
// to skip is a failure instead, so that a skip cannot rot unseen.
func Skip(t testing.TB, format string, args ...any) {
	t.Helper()
	reason := fmt.Sprintf(format, args...)
	if os.Getenv("BERTH_REQUIRE") == "all" {
		t.Fatalf("may not skip (BERTH_REQUIRE=all): %s", reason)
	}
	t.Skip(reason)
}

// Require skips the test unless this machine can run a lab.
func Require(t testing.TB) {
	t.Helper()
	if missing := lacking(); len(missing) > 0 {
		Skip(t, "engines of our own need %s", strings.Join(missing, ", "))
	}
}

// lacking lists what this machine lacks to run a lab, in words.
func lacking() []string {
	var missing []string
	if os.Geteuid() != 0 {
		missing = append(missing, "root")
	}
	for _, name := range []string{"docker", "dockerd", "containerd", "runc", "ip", "iptables", "nsenter", "make"} {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, "the program "+name)
		}
	}
	return missing
}

// Package treetest is what tests of filesystems share.
package treetest

import (
	"os"
	"testing"
)

// Skip skips a test that this machine cannot run, naming the reason. With
// BERTH_REQUIRE=all it fails instead: there, nothing may be missing.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("BERTH_REQUIRE") == "all" {
		t.Fatalf("required, and cannot run here: %s", reason)
	}
	t.Skip(reason)
}

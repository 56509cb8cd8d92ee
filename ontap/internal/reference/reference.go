// Package reference gives tests the ONTAP REST reference, which lies beside
// the checkout and not in it, and golden files.
//
// A worked example:
//
//	spec := reference.Swagger(t)              // skips, with the reason, where there is none
//	reference.Golden(t, "testdata/x.json", got) // go test -update writes it
//
// It does not promise that the reference is what a filer does. With
// BERTH_REQUIRE=all in the environment a skip is a failure.
package reference

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write golden files instead of comparing them")

// Document is what of the Swagger 2.0 document our tests read by themselves.
type Document struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name string `json:"name"`
			In   string `json:"in"`
		} `json:"parameters"`
	} `json:"paths"`
	Definitions map[string]map[string]any `json:"definitions"`
}

// Bytes returns the document as it is, reading it once per test binary.
func Bytes(t testing.TB) []byte {
	t.Helper()
	raw, ok := Find(t)
	if !ok {
		Skip(t, "no ONTAP reference beside the checkout")
	}
	return raw
}

// Find is Bytes for tests that are worth running without the reference too.
func Find(t testing.TB) ([]byte, bool) {
	t.Helper()
	raw, err := bytesOnce()
	if err != nil && os.Getenv("BERTH_REQUIRE") == "all" {
		t.Fatal("the ONTAP reference must be there (BERTH_REQUIRE=all): " + err.Error())
	}
	return raw, err == nil
}

// Swagger returns the parsed document.
func Swagger(t testing.TB) *Document {
	t.Helper()
	var out Document
	require.NoError(t, json.Unmarshal(Bytes(t), &out))
	return &out
}

var bytesOnce = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return os.ReadFile(filepath.Join(dir, "..", "shared", "reference", "ontap-openapi.json"))
		}
		if dir == filepath.Dir(dir) {
			return nil, os.ErrNotExist
		}
	}
})

// Skip skips a test with the reason, or fails it where BERTH_REQUIRE=all.
func Skip(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("BERTH_REQUIRE") == "all" {
		t.Fatal("must not be skipped (BERTH_REQUIRE=all): " + reason)
	}
	t.Skip(reason)
}

// Golden compares got with a file, or writes the file with -update.
func Golden(t testing.TB, file string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, got, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "go test -update writes it")
	require.Equal(t, string(want), string(got), "%s; go test -update writes it", file)
}

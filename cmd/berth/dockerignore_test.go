package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The image's builder gets no folder that .dockerignore does not name.
func TestTheDockerfileGetsEveryPackage(t *testing.T) {
	named, err := os.ReadFile("../../.dockerignore")
	require.NoError(t, err)
	packages, err := exec.Command("go", "list", "-deps", ".").Output()
	require.NoError(t, err)
	for p := range strings.FieldsSeq(string(packages)) {
		if ours, ok := strings.CutPrefix(p, "github.com/casit/berth/"); ok {
			top, _, _ := strings.Cut(ours, "/")
			require.Contains(t, strings.Fields(string(named)), "!"+top, ".dockerignore keeps package %s away", ours)
		}
	}
}

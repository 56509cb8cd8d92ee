package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/cluster"
	"github.com/casit/berth/convoy"
	"github.com/casit/berth/dashboard"
	"github.com/casit/berth/docker"
	"github.com/casit/berth/doctor"
	"github.com/casit/berth/examine"
	"github.com/casit/berth/export"
	"github.com/casit/berth/guard"
	"github.com/casit/berth/job"
	"github.com/casit/berth/kernel"
	"github.com/casit/berth/nfs"
	"github.com/casit/berth/ontap"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/plugin/mounts"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/problem/catalogue"
	"github.com/casit/berth/proxy"
	"github.com/casit/berth/repair"
	"github.com/casit/berth/show"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/embedded"
	"github.com/casit/berth/snapshot/netapp"
	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/stack"
	"github.com/casit/berth/sweep"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/volume"
)

// TestTroubleshootingIsMadeOfTheMessages holds the tables of
// docs/troubleshooting.md to those of the packages, and writes them with
// -update.
func TestTroubleshootingIsMadeOfTheMessages(t *testing.T) {
	const file = "../../docs/troubleshooting.md"
	page, err := os.ReadFile(file)
	require.NoError(t, err)
	made, err := catalogue.Render(string(page), messages, plugin.Messages, mounts.Messages, problem.Messages, guard.Messages, export.Messages, cluster.Messages, sweep.Messages, job.Messages, volume.Messages, repair.Messages, snapshot.Messages, reference.Messages, embedded.Messages, netapp.Messages, compare.Messages,
		tree.Messages, kernel.Messages, nfs.Messages, ontap.Messages, convoy.Messages, proxy.Messages, dashboard.Messages, doctor.Messages, docker.Messages, stack.Messages, show.Messages, examine.Messages)
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(made), 0o644))
		return
	}
	require.Equal(t, made, string(page), "after a change of a messages.go: go generate ./cmd/berth")
}

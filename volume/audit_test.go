package volume

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
)

func TestTheAuditTrailIsKeptForThirteenMonths(t *testing.T) {
	dir := t.TempDir()
	node(t, dir, "n1").beats()
	now := time.Now().UTC()
	month := func(ago int) string {
		return time.Date(now.Year(), now.Month()-time.Month(ago), 1, 0, 0, 0, 0, time.UTC).Format("200601")
	}
	kept := []string{"n-1-" + month(0) + ".jsonl", "n-1-" + month(13) + ".jsonl", "notes", "n1-199913.jsonl"}
	for _, name := range append(kept, "n-1-"+month(14)+".jsonl", "gone-200001.jsonl") {
		write(t, dir, export.AuditDir, name, "{}\n")
	}
	n := node(t, dir, "n2") // has not swept yet
	n.beats()
	require.Eventually(t, func() bool { // the sweep that the beat began may be at work
		n.sweeps()
		return len(entries(t, dir, export.AuditDir)) == len(kept) && len(entries(t, dir, export.StagingDir)) == 0
	}, 10*time.Second, 5*time.Millisecond)
	require.ElementsMatch(t, kept, entries(t, dir, export.AuditDir))
}

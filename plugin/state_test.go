package plugin

import (
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/snapshot/reference"
	"github.com/casit/berth/volume"
)

// collected is a collector for tests.
type collected func(chan<- prometheus.Metric)

func (collected) Describe(chan<- *prometheus.Desc)       {}
func (c collected) Collect(out chan<- prometheus.Metric) { c(out) }

func TestWhatNobodyKnowsIsNoMetric(t *testing.T) {
	now := time.Date(2026, 11, 30, 8, 0, 0, 0, time.UTC)
	v := &survey{weights: map[string]int64{}}
	values := func(v *survey, trash []*volume.Trashed) map[string]float64 {
		registry := prometheus.NewPedanticRegistry()
		registry.MustRegister(collected(func(out chan<- prometheus.Metric) {
			v.collect(out, now)
			v.collectTrash(out, trash, now)
		}))
		families, err := registry.Gather()
		require.NoError(t, err)
		out := map[string]float64{}
		for _, f := range families {
			out[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
		}
		return out
	}
	require.Empty(t, values(v, nil), "nothing has been asked yet")

	v.asked = true
	got := values(v, []*volume.Trashed{})
	require.True(t, math.IsInf(got["berth_snapshot_newest_age_seconds"], 1), "there is none")
	require.NotContains(t, got, "berth_export_size_bytes")
	require.Contains(t, got, "berth_trash_items", "it is empty")
	v.newest = &reference.Snapshot{Name: "odd"}
	require.True(t, math.IsInf(values(v, nil)["berth_snapshot_newest_age_seconds"], 1), "a time that nobody tells is no age")
	v.newest.Time = now.Add(-time.Hour)
	require.Equal(t, 3600.0, values(v, nil)["berth_snapshot_newest_age_seconds"])
}

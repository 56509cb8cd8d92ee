package ontap_test

import (
	"context"
	"io/fs"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
	"github.com/casit/berth/ontap/simulator"
)

// polled makes POSTs answer 202 at once, so that the job is polled.
func polled(c *simulator.Config) { c.NoWaiting = true }

func TestJobIsPolled(t *testing.T) {
	w := newWorld(t, polled)
	made := w.snapshot("s")
	require.NotEmpty(t, w.log.matching("GET /api/cluster/jobs/"))
	require.NoError(t, w.client.SnapshotDelete(t.Context(), w.volume, made.UUID))
}

func TestJobFails(t *testing.T) {
	for _, how := range []func(*simulator.Config){polled, func(*simulator.Config) {}} {
		w := newWorld(t, how)
		w.inject(simulator.Fault{Method: "POST", Job: "fail", Code: "524479", Message: "no space"})
		_, err := w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "s"})
		var e *ontap.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, "524479", e.Code)
		require.ErrorContains(t, err, "POST /storage/volumes/"+w.volume+"/snapshots: no space")
		require.NotErrorIs(t, err, ontap.ErrOutcomeUnknown)
	}
}

func TestJobHangs(t *testing.T) {
	w := newWorld(t, polled)
	w.inject(simulator.Fault{Method: "POST", Job: "stick"})
	ctx, cancel := context.WithCancel(t.Context())
	w.waits.hook = func(n int) {
		if n == 30 {
			cancel()
		}
	}
	_, err := w.client.SnapshotCreate(ctx, w.volume, ontap.Snapshot{Name: "s"})
	require.ErrorIs(t, err, ontap.ErrOutcomeUnknown)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "job is still running")
	slept := w.waits.all()
	require.Equal(t, 100*time.Millisecond, slept[0])
	require.Equal(t, 5*time.Second, slept[len(slept)-1], "pauses grow, and not for ever")
}

func TestJobVanishes(t *testing.T) {
	w := newWorld(t, polled)
	w.inject(simulator.Fault{Method: "POST", Job: "vanish"})
	_, err := w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "s"})
	require.ErrorIs(t, err, ontap.ErrOutcomeUnknown)
	require.NotErrorIs(t, err, fs.ErrNotExist, "the job is missing, not the snapshot")
	require.ErrorContains(t, err, "job is gone")
	found, err := w.client.SnapshotGetByName(t.Context(), w.volume, "s")
	require.NoError(t, err, "the caller looks")
	require.Equal(t, "s", found.Name)
}

func TestFailoverInTheMiddleOfAJob(t *testing.T) {
	w := newWorld(t, polled)
	jobs := "/cluster/jobs/*"
	w.inject(
		simulator.Fault{Path: jobs, Drop: true, Times: 7},
		simulator.Fault{Path: jobs, Status: 503, Code: "8", Times: 6},
		simulator.Fault{Path: jobs, Status: 500, Code: "65552", Times: 5},
		simulator.Fault{Path: jobs, Status: 404, Code: "4", Times: 2},
	)
	w.spoiled.Store(true)
	w.snapshot("s")
	require.Len(t, w.log.matching("POST /"), 1, "the change was sent once")
}

func TestFailoverThatDoesNotEnd(t *testing.T) {
	w := newWorld(t, polled)
	w.spoiled.Store(true)
	w.inject(simulator.Fault{Path: "/cluster/jobs/*", Drop: true})
	_, err := w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "s"})
	require.ErrorIs(t, err, ontap.ErrOutcomeUnknown)
	require.ErrorContains(t, err, "job cannot be asked")
	require.Greater(t, w.waits.clock().Sub(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)), 3*time.Minute)
}

func TestJobAnswersThatMakeNoSense(t *testing.T) {
	for body, says := range map[string]string{
		`{"state":"done?"}`:              `job has state "done?"`,
		`{"state":7}`:                    "job cannot be asked",
		`{"uuid":"x"}`:                   `job has state ""`,
		`{"state":"failure"}`:            "job failed without saying why",
		`{"state":"failure","code":"x"}`: "job failed without saying why",
		`{"state":"failure","code":4,"message":"entry doesn't exist"}`: "entry doesn't exist [code 4]",
	} {
		w := newWorld(t, polled)
		w.spoiled.Store(true)
		w.inject(simulator.Fault{Path: "/cluster/jobs/*", Body: body})
		_, err := w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "s"})
		require.ErrorContains(t, err, says, body)
	}
	w := newWorld(t)
	w.spoiled.Store(true)
	w.inject(simulator.Fault{Method: "DELETE", Body: `{"job":{"uuid":7}}`})
	err := w.client.DirectoryDelete(t.Context(), w.volume, "x")
	require.ErrorIs(t, err, ontap.ErrOutcomeUnknown)
}

// TestSuccessWithoutEffect is a cluster with multi-admin verification: it answers
// 200 and no job, and does nothing before other administrators agree.
func TestSuccessWithoutEffect(t *testing.T) {
	w := newWorld(t)
	s := w.snapshot("s")
	w.spoiled.Store(true)
	w.inject(simulator.Fault{Method: "DELETE", Body: "{}", Times: 1}, simulator.Fault{Method: "POST", Body: "{}", Times: 1})
	err := w.client.SnapshotDelete(t.Context(), w.volume, s.UUID)
	require.ErrorIs(t, err, ontap.ErrOutcomeUnknown)
	require.ErrorContains(t, err, "still there")
	require.ErrorContains(t, err, "security multi-admin-verify request show")
	_, err = w.client.SnapshotCreate(t.Context(), w.volume, ontap.Snapshot{Name: "t"})
	require.ErrorIs(t, err, ontap.ErrOutcomeUnknown)
	require.NotErrorIs(t, err, fs.ErrNotExist, "the FlexVol is there")
	require.ErrorContains(t, err, "approval of another administrator")
	require.NoError(t, w.client.SnapshotDelete(t.Context(), w.volume, s.UUID))

	// A cluster that deletes at once, and answers without a job, is believed after a look.
	s = w.snapshot("u")
	require.NoError(t, w.client.SnapshotDelete(t.Context(), w.volume, s.UUID))
	w.inject(simulator.Fault{Method: "DELETE", Body: "{}", Times: 1})
	require.NoError(t, w.client.SnapshotDelete(t.Context(), w.volume, s.UUID), "it is gone")
}

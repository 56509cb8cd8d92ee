package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
)

// Each change of a record makes it one of another place, or one that nobody writes.
func TestARecordThatDoesNotFitItsNameIsBroken(t *testing.T) {
	const (
		lock  = `{"version":1,"id":"aa","state":"held","op":"restore","volume":"blog","node":"n9","incarnation":"x","since":"2026-11-23T05:30:00Z","work":"job-1"}`
		epoch = `{"version":1,"id":"aa","state":"held","node":"n9","boot":"b","since":"2026-11-23T05:30:00Z"}`
		lease = `{"version":1,"volume":"blog","node":"n9","boot":"b","incarnation":"x","since":"2026-11-23T05:30:00Z","mounts":{"id":{"count":1,"since":"2026-11-23T05:30:00Z","generation":1}}}`
		beat  = `{"version":1,"node":"n9","incarnation":"x","boot":"b","counter":1,"ttl_seconds":9,"state":"up","berth":"1","health":"ok","written":"2026-11-23T05:30:00Z"}`
		pause = `{"version":1,"pauses":[{"kind":"reverted","from":"2026-11-23T05:30:00Z","to":"2026-11-23T06:30:00Z","noticed_by":"n9"}]}`
	)
	everywhere := []string{"", "null", "[]", `"x"`, "0", "\xef\xbb\xbf", "\x00", "{", "NaN", strings.Repeat("[", 20000), strings.Repeat(`{"a":`, 20000)}
	times := [][2]string{{`"2026-11-23T05`, `"0001-11-23T05`}, {`"2026-11-23T05`, `"9999-11-23T05`}, {`"version":1`, `"version":2`}, {`"version":1`, `"version":0`}, {`"version":1`, `"version":9223372036854775808`}, {`"version":1`, `"version":"1"`}}
	for _, c := range []struct {
		file, whole string
		v           func() export.Record
		changes     [][2]string
	}{
		{export.LockDir + "/blog@/3", lock, func() export.Record { return &Lock{} }, [][2]string{
			{`"blog"`, `"shop"`}, {`"blog"`, `"../blog"`}, {`"blog"`, `""`}, {`"volume":"blog"`, `"volume":"blog","volume":"shop"`}, {`"held"`, `"hexd"`}, {`"held"`, `""`}, {`"aa"`, `""`},
			{`"n9"`, `""`}, {`"n9"`, `"../n9"`}, {`"job-1"`, `"../job-1"`}, {`"job-1"`, `"20261130-1008-d2b30a"`}, {`"job-1"`, `"job-"`}, {`"job-1"`, `".."`}, {`"restore","volume":"blog"`, `"restore","volume":"blog","Volume":"shop"`},
		}},
		{export.LockPath("blog"), strings.Replace(lock, `"state":"held",`, "", 1), func() export.Record { return &Lock{} }, [][2]string{{`"blog"`, `"shop"`}, {`"job-1"`, `"/etc"`}}},
		{export.EpochPath("blog", 3), epoch, func() export.Record { return &Epoch{} }, [][2]string{{`"held"`, `"free "`}, {`"n9"`, `"n/9"`}, {`"aa"`, `""`}}},
		{export.LeasePath("blog", "n9"), lease, func() export.Record { return &Lease{} }, [][2]string{
			{`"blog"`, `"shop"`}, {`"n9"`, `"n8"`}, {`"boot":"b"`, `"boot":""`}, {`"count":1`, `"count":0`}, {`"count":1`, `"count":-1`}, {`"count":1`, `"count":9223372036854775807`},
			{`"count":1`, `"count":9223372036854775808`}, {`"generation":1`, `"generation":-1`}, {`"generation":1`, `"generation":1,"fenced":"../x"`}, {`{"id"`, `{},"x":{"id"`},
		}},
		{export.NodePath("n9"), beat, func() export.Record { return &Heartbeat{} }, [][2]string{
			{`"n9"`, `"n1"`}, {`"ttl_seconds":9`, `"ttl_seconds":-9`}, {`"ttl_seconds":9`, `"ttl_seconds":1e300`}, {`"up"`, `"down"`}, {`"counter":1`, `"counter":-1`}, {`"counter":1`, `"counter":18446744073709551616`},
		}},
		{export.PausesFile, pause, func() export.Record { return &pauses{} }, [][2]string{{`T06`, `T04`}, {`"to":"2026`, `"to":"9999`}}},
	} {
		require.NoError(t, export.Decode(c.file, []byte(c.whole), c.v()))
		damaged := append([]string{c.whole[:len(c.whole)/2], c.whole + c.whole}, everywhere...)
		for _, change := range append(c.changes, times...) {
			text := strings.ReplaceAll(c.whole, change[0], change[1])
			if text == c.whole {
				require.Contains(t, times, change, "%s: nothing to change", c.file)
				continue
			}
			damaged = append(damaged, text)
		}
		for _, text := range damaged {
			err := export.Decode(c.file, []byte(text), c.v())
			require.True(t, export.IsBroken(err), "%s: %.300s: %v", c.file, text, err)
		}
	}
}

// Nothing is done on the word of a lock that speaks of another volume, whatever
// its owner.
func TestALockOfAnotherVolumeIsNotFinished(t *testing.T) {
	dir := t.TempDir()
	n := node(t, dir, "n1")
	n.beats()
	for i, file := range []string{export.LockPath("blog"), export.LockDir + "/wiki@/7", export.LockDir + "/far@/18446744073709551615"} {
		write(t, dir, file, fmt.Sprintf(`{"version":1,"id":"aa%d","state":"held","op":"create","volume":"shop","node":"dead","incarnation":"x"}`, i))
	}
	n.waits(40 * n.cfg.LeaseTTL / 3)
	n.must(n.FinishDead(ctx, n.e))
	require.Empty(t, n.finished)
	for _, volume := range []string{"blog", "wiki"} {
		require.ErrorContains(t, n.busy(volume), "'berth volume repair "+volume+"'")
	}
	require.NoError(t, n.busy("shop"))
	require.NoError(t, n.busy("far"), "a number that no node reaches is none")
}

package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
)

// at is a process of the host "boot-n1" in a place, which another process may have.
func at(place, other string) func(*Config) {
	return func(c *Config) { c.Sole = func(string) (string, string, error) { return place, other, nil } }
}

func TestANamesakeOfThisBootIsRefusedUntilItHasEnded(t *testing.T) {
	for name, c := range map[string]struct {
		place, other string
		refused      string // what the second one is told while the first one lives; "" for nothing
		later        bool   // it is let in when the first one is silent
	}{
		"in this place, alive":                        {place: "net:[1]", other: "process 7", refused: "calls itself n1 on this export (it is process 7)"},
		"in this place, and has ended":                {place: "net:[1]"},
		"in another place":                            {place: "net:[2]", refused: "(it is in another network namespace", later: true},
		"an earlier berth, which says no place":       {place: ""},
		"the name was another user's, so no proof is": {place: "random", refused: "another network namespace", later: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			place := "net:[1]"
			if c.place == "" {
				place = ""
			}
			first := node(t, dir, "n1", at(place, ""))
			first.must(first.Admit(ctx, first.e))
			first.beats()
			require.NoError(t, first.uses("blog", "a", false))

			second := node(t, dir, "n1", at(c.place, c.other))
			err := second.Admit(ctx, second.e)
			if c.refused == "" {
				require.NoError(t, err)
				second.must(second.Load(ctx, second.e))
				require.Len(t, second.Claims("blog"), 1, "a restarted one goes on at once")
				second.beats()
				require.True(t, second.Named())
				return
			}
			require.ErrorContains(t, err, c.refused)
			require.Equal(t, problem.InUse, problem.KindOf(err))
			require.Equal(t, c.later, errors.Is(err, ErrUnsettled), "a Mount waits")
			for range 5 { // the first one lives
				first.beats()
				second.clock.move(3 * time.Second)
				err := second.Admit(ctx, second.e)
				require.ErrorContains(t, err, c.refused)
				require.NotErrorIs(t, err, ErrUnsettled, "no Mount waits for what is known")
			}
			require.True(t, first.Named(), "nothing was written under its name")
			require.FileExists(t, filepath.Join(dir, export.LeasePath("blog", "n1")))
			if !c.later {
				return
			}
			for range 3 { // it was killed: 1.5 of its pauses go by
				second.clock.move(3 * time.Second)
				err = second.Admit(ctx, second.e)
			}
			require.NoError(t, err)
			second.must(second.Load(ctx, second.e))
			require.Len(t, second.Claims("blog"), 1, "its containers go on")
			second.beats()
			require.True(t, second.Named())
		})
	}
}

// A file under a node's name that nobody can read is that node's fault.
func TestOneHeartbeatThatCannotBeReadLeavesTheOthersJudged(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, file string){
		"empty":   func(t *testing.T, file string) { require.NoError(t, os.WriteFile(file, nil, 0o600)) },
		"no JSON": func(t *testing.T, file string) { require.NoError(t, os.WriteFile(file, []byte("{\x00"), 0o600)) },
		"1 GiB":   func(t *testing.T, file string) { require.NoError(t, os.Truncate(file, 1<<30)) },
		"a directory": func(t *testing.T, file string) {
			require.NoError(t, os.Remove(file))
			require.NoError(t, os.Mkdir(file, 0o700))
		},
		"a symlink": func(t *testing.T, file string) {
			require.NoError(t, os.Remove(file))
			require.NoError(t, os.Symlink("/dev/zero", file))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n1, n2, n3 := node(t, dir, "n1"), node(t, dir, "n2"), node(t, dir, "n3")
			n2.beats()
			n3.beats()
			damage(t, filepath.Join(dir, export.NodePath("n2")))
			for range 5 { // n1 lives, n3 has died
				n1.clock.move(3 * time.Second)
				n1.beats()
			}
			n1.must(n1.Poll(ctx, n1.e))
			require.Equal(t, Expired, n1.life("n3"))
			require.True(t, n1.Named())
			require.True(t, n1.Reached())
		})
	}
}

// Nor does one keep its own node from beating.
func TestANodeBeatsOverWhatIsWrongUnderItsName(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, dir string){
		"its heartbeat is no JSON": func(t *testing.T, dir string) { write(t, dir, export.NodePath("n1"), "{") },
		"its heartbeat is empty":   func(t *testing.T, dir string) { write(t, dir, export.NodePath("n1"), "") },
		"its heartbeat is a directory": func(t *testing.T, dir string) {
			require.NoError(t, os.Remove(filepath.Join(dir, export.NodePath("n1"))))
			require.NoError(t, os.MkdirAll(filepath.Join(dir, export.NodePath("n1"), "x"), 0o700))
		},
		"the pauses are a directory": func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, export.PausesFile), 0o700))
		},
		"a lease is a directory": func(t *testing.T, dir string) {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, export.LeasePath("v", "n1"), "x"), 0o700))
		},
		"the leases are a file": func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, export.LeaseDir)))
			write(t, dir, export.LeaseDir, "x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n1, n2 := node(t, dir, "n1"), node(t, dir, "n2")
			n1.beats()
			n2.beats()
			damage(t, dir)
			for range 5 {
				n1.clock.move(3 * time.Second)
				n2.clock.move(3 * time.Second)
				n1.must(n1.Beat(ctx))
				require.NotEqual(t, Expired, n2.life("n1"))
			}
		})
	}
}

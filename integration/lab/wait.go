package lab

import (
	"fmt"
	"testing"
	"time"
)

// Patience is how long a test waits for something that must happen. It is far
// beyond what any step takes, so only a thing that never happens fails.
const Patience = 90 * time.Second

// Eventually waits until check returns nil and fails with its last error when
// that never happens.
func Eventually(t testing.TB, what string, check func() error) {
	t.Helper()
	if err := waitFor(what, check); err != nil {
		t.Fatal(err)
	}
}

// Insist runs a docker command until it succeeds, and returns its output. It is
// for what managers of a swarm refuse for a moment: a change of what they are
// changing themselves, of anything while they elect a leader, and the removal of a
// network of which they have not forgotten the last task.
func Insist(t testing.TB, manager interface {
	TryDocker(args ...string) (string, error)
}, args ...string) (out string) {
	t.Helper()
	Eventually(t, fmt.Sprintf("docker %v", args), func() (err error) {
		out, err = manager.TryDocker(args...)
		return err
	})
	return out
}

func waitFor(what string, check func() error) error {
	deadline := time.Now().Add(Patience)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 300*time.Millisecond) {
		err := check()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s for %s: %w", Patience, what, err)
		}
		time.Sleep(pause)
	}
}

package tree

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A call on one name that is not answered is given up; the others go on, and when it is
// answered after all, the name can be read again.
func TestANameThatIsNotAnsweredIsGivenUp(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	l, err := OpenLocal(ctx, dir)
	require.NoError(t, err)
	defer l.Close()
	l.wait = 5 * time.Millisecond
	answered := make(chan struct{})
	hang := func() (int, error) { <-answered; return 1, nil }
	for i := range 2 * maxStuck {
		_, err := ask(ctx, l, "read", filepath.Join("slow", string(rune('a'+i))), hang, nil)
		require.ErrorIs(t, err, ErrHeld)
	}
	// Nobody waits for it again, and no slot is taken.
	begun := time.Now()
	l.wait = time.Hour
	_, err = ask(ctx, l, "read", "slow/a", hang, nil)
	require.EqualError(t, err, "read slow/a: "+ErrHeld.Error())
	require.Less(t, time.Since(begun), time.Minute)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "f"), nil, 0o644))
	_, err = l.Stat(ctx, "f")
	require.NoError(t, err)

	// Their callers may give up earlier.
	for i := range 2 * maxStuck {
		short, stop := context.WithTimeout(ctx, time.Millisecond)
		_, err := ask(short, l, "read", filepath.Join("other", string(rune('a'+i))), hang, nil)
		stop()
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
	_, err = l.Stat(ctx, "f")
	require.NoError(t, err)
	short, stop := context.WithCancelCause(ctx)
	time.AfterFunc(20*time.Millisecond, func() { stop(errors.New("enough")) })
	_, err = ask(short, l, "read", "slower", hang, nil)
	require.ErrorIs(t, err, context.Canceled)

	close(answered)
	require.Eventually(t, func() bool { return !l.stuck.has("slow/a") && l.calls() == 0 }, time.Minute, time.Millisecond)
	_, err = ask(ctx, l, "read", "slow/a", hang, nil)
	require.NoError(t, err)
}

func TestAnOperationLosesItsPatience(t *testing.T) {
	p := newPatience()
	p.take(treeWait - 1)
	require.False(t, p.ended())
	p.take(1)
	require.True(t, p.ended())
	require.False(t, (*patience)(nil).ended())
}

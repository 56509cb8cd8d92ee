package ontap_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/ontap"
)

// refusals counts the answers 401.
func (r *requests) refusals() (n int) {
	for _, e := range r.matching("/api/") {
		if e.Status == 401 {
			n++
		}
	}
	return n
}

// TestRefusedPasswordIsTriedOnce asks everything that the client can ask, with
// several clients at once, as the session, doctor and the survey do.
func TestRefusedPasswordIsTriedOnce(t *testing.T) {
	w := roleWorld(t)
	require.NoError(t, os.WriteFile(w.secret, []byte("the old one"), 0o600))
	cfg := w.config()
	cfg.PasswordFile = filepath.Join(t.TempDir(), "pw")
	require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte("the old one\n"), 0o600))
	first := w.newClient(cfg)
	_, err := first.ClusterInfo(t.Context())
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(w.secret, []byte("the new one"), 0o600)) // on the filer alone

	before := w.log.refusals()
	for range 3 {
		w.client = w.newClient(cfg)
		for need, all := range calls(w) {
			for _, call := range all {
				err := call()
				if strings.Contains(err.Error(), "no uuid") {
					continue // nothing was asked
				}
				require.ErrorIs(t, err, ontap.ErrPassword, need)
				require.ErrorIs(t, err, fs.ErrPermission)
				require.NotErrorIs(t, err, ontap.ErrOutcomeUnknown)
				_, known := ontap.NeedFor(err)
				require.False(t, known, "no privilege is missing")
			}
		}
	}
	_, err = first.ClusterInfo(t.Context())
	require.ErrorIs(t, err, ontap.ErrPassword)
	require.ErrorContains(t, err, "sends nothing until "+cfg.PasswordFile+" has another content")
	require.Equal(t, 1, w.log.refusals()-before)

	for _, content := range []string{"", "\n", "the old one\n"} {
		require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte(content), 0o600))
		_, err = first.ClusterInfo(t.Context())
		require.ErrorIs(t, err, ontap.ErrPassword, "%q is no other password", content)
	}
	require.NoError(t, os.Remove(cfg.PasswordFile))
	_, err = first.ClusterInfo(t.Context())
	require.ErrorIs(t, err, ontap.ErrPassword)
	require.Equal(t, 1, w.log.refusals()-before)

	require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte("the new one"), 0o600))
	_, err = first.ClusterInfo(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, w.log.refusals()-before)
}

// TestHalfWrittenPasswordIsNotTried: the second look sees the other half.
func TestHalfWrittenPasswordIsNotTried(t *testing.T) {
	w := newWorld(t)
	require.NoError(t, os.WriteFile(w.secret, []byte("whole-new-password"), 0o600))
	cfg := w.config()
	cfg.PasswordFile = filepath.Join(t.TempDir(), "pw")
	require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte("old"), 0o600))
	cfg.Wait = func(ctx context.Context, d time.Duration) error {
		require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte("whole-new-password"), 0o600))
		return ctx.Err()
	}
	client := w.newClient(cfg)
	_, err := client.ClusterInfo(t.Context())
	require.ErrorIs(t, err, ontap.ErrPassword)
	require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte("whole-"), 0o600))
	_, err = client.ClusterInfo(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, w.log.refusals())
}

func TestWrongPasswordOfManyAtOnce(t *testing.T) {
	w := newWorld(t)
	cfg := w.config()
	cfg.PasswordFile = filepath.Join(t.TempDir(), "pw")
	require.NoError(t, os.WriteFile(cfg.PasswordFile, []byte("wrong"), 0o600))
	var all sync.WaitGroup
	for range 20 {
		client := w.newClient(cfg)
		all.Go(func() {
			if _, err := client.SvmList(t.Context()); !errors.Is(err, ontap.ErrPassword) {
				t.Errorf("%v", err)
			}
		})
	}
	all.Wait()
	require.Equal(t, 1, w.log.refusals())
}

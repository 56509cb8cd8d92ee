package export

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
)

func open(t *testing.T, dir string, change ...func(*Config)) *Conn {
	t.Helper()
	cfg := Config{URL: "file://" + dir, Open: func(ctx context.Context) (tree.FS, error) { return tree.OpenLocal(ctx, dir) }}
	for _, f := range change {
		f(&cfg)
	}
	c := New(cfg)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestAnExportIsInitializedOnceAndKnownAgain(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	learned := ""
	e, err := open(t, dir, func(c *Config) { c.Learned = func(id string) { learned = id } }).Connect(ctx)
	require.NoError(t, err)
	require.Equal(t, e.ID, learned)
	again, err := open(t, dir, func(c *Config) { c.Known = func() string { return learned } }).Connect(ctx)
	require.NoError(t, err)
	require.Equal(t, e.ID, again.ID)

	_, err = open(t, t.TempDir(), func(c *Config) { c.Known = func() string { return learned } }).Connect(ctx)
	require.Equal(t, problem.Unreachable, problem.KindOf(err), "an empty directory is not filled")
	_, err = open(t, t.TempDir(), func(c *Config) { c.ID, c.Known = "new", func() string { return learned } }).Connect(ctx)
	require.NoError(t, err)
}

func TestOfTwoThatPublishOneWins(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	e, err := open(t, dir).Connect(ctx)
	require.NoError(t, err)
	require.NoError(t, e.Publish(ctx, LockPath("site1"), "mine"))
	require.NoError(t, e.Publish(ctx, LockPath("site1"), "mine"), "a replay")
	require.ErrorIs(t, e.Publish(ctx, LockPath("site1"), "yours"), fs.ErrExist)
	require.NoError(t, e.Replace(ctx, LockPath("site1"), "yours"))
	var there text
	require.NoError(t, Read(ctx, e.FS, LockPath("site1"), &there))
	require.EqualValues(t, "yours", there)
	left, err := os.ReadDir(filepath.Join(dir, StagingDir))
	require.NoError(t, err)
	require.Empty(t, left, "no private file stays")
}

func TestAnExportThatIsReplacedUnderItsHandleIsAway(t *testing.T) {
	dir, ctx := filepath.Join(t.TempDir(), "export"), t.Context()
	require.NoError(t, os.Mkdir(dir, 0o755))
	c := open(t, dir)
	require.NoError(t, c.With(ctx, "look", func(*Export) error { return nil }))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, Dir)))
	err := c.With(ctx, "look", func(e *Export) error {
		_, err := e.FS.Stat(ctx, MetaPath("site1"))
		return err
	})
	require.Equal(t, problem.Unreachable, problem.KindOf(err), "%v", err)
	require.Nil(t, c.Current(), "it is opened again")
}

// text and number are records of tests.
type (
	text   string
	number int
)

func (*text) Fits(string) error   { return nil }
func (*number) Fits(string) error { return nil }

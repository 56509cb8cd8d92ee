package volume

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/tree"
)

// disturbed is a filesystem on which something happens as soon as a file is opened
// in what is copied.
type disturbed struct {
	tree.FS
	once sync.Once
	do   func()
}

func (d *disturbed) Open(ctx context.Context, name string) (tree.File, error) {
	if strings.HasSuffix(filepath.Dir(name), "up") { // the first of all
		d.once.Do(d.do)
	}
	return d.FS.Open(ctx, name)
}

func TestACloneOfWhatChangesMeanwhileIsNotThere(t *testing.T) {
	for name, test := range map[string]struct {
		from, want, hint string
		do               func(t *testing.T, dir string)
	}{
		"a snapshot is moved away": {"up@hourly", "the snapshot of up@hourly was deleted or moved while it was read", "berth snapshot ls up", func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, ".snapshot/hourly"), filepath.Join(dir, ".snapshot/.gone")))
		}},
		"a snapshot is deleted": {"up@hourly", "the snapshot of up@hourly was deleted or moved while it was read", "berth snapshot ls up", func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, ".snapshot/hourly")))
		}},
		"a snapshot is being deleted": {"up@hourly", ": the snapshot is being deleted, the first: .snapshot/hourly/up", "berth snapshot ls up", func(t *testing.T, dir string) {
			for i := range 100 {
				require.NoError(t, os.Remove(filepath.Join(dir, fmt.Sprintf(".snapshot/hourly/up/f%03d", i+10))))
			}
		}},
		"a volume is written": {"up", " names of up changed while they were read, the first: up/f", "from=up@SNAPSHOT", func(t *testing.T, dir string) {
			for i := range 120 {
				require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("up/f%03d", i)), []byte("longer than before"), 0o644))
			}
		}},
		"a volume is replaced": {"up", "up was removed or replaced while it was read", "from=up@SNAPSHOT", func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "up"), filepath.Join(dir, ".old")))
			require.NoError(t, os.Mkdir(filepath.Join(dir, "up"), 0o755))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			n := node(t, dir, "n1", func(c *Config) {
				open := c.Open
				c.Open = func(ctx context.Context) (tree.FS, error) {
					f, err := open(ctx)
					if err != nil {
						return nil, err
					}
					return &disturbed{FS: f, do: func() { test.do(t, dir) }}, nil
				}
			})
			n.must(n.Create(ctx, "up", nil))
			for i := range 120 {
				write(t, dir, fmt.Sprintf("up/f%03d", i), "content")
				write(t, dir, fmt.Sprintf(".snapshot/hourly/up/f%03d", i), "content")
				write(t, dir, fmt.Sprintf(".snapshot/daily/up/f%03d", i), "content")
			}
			err := n.Create(ctx, "copy", map[string]string{"from": test.from})
			require.ErrorContains(t, err, test.want)
			require.ErrorContains(t, err, test.hint)
			require.NoDirExists(t, filepath.Join(dir, "copy"))
			require.NotContains(t, entries(t, dir, ".berth/volumes"), "copy.json")
			require.Equal(t, []string{"up"}, n.names())
			n.sweeps()
			require.Empty(t, entries(t, dir, ".berth/staging"))

			n.must(n.Create(ctx, "copy", map[string]string{"from": "up@daily"}))
			require.Len(t, entries(t, dir, "copy"), 120, "the next one begins anew")
		})
	}
}

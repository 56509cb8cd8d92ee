package volume

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
)

// hostileVerbs are what Docker and the command line ask of volumes.
var hostileVerbs = map[string]func(ctx context.Context, n *testNode) error{
	"list": func(ctx context.Context, n *testNode) error { _, err := n.List(ctx); return err },
	"clone": func(ctx context.Context, n *testNode) error {
		return n.Create(ctx, "new", map[string]string{"from": "site1"})
	},
	"mount":   func(ctx context.Context, n *testNode) error { _, err := n.Mount(ctx, "site1", "a", 1); return err },
	"remove":  func(ctx context.Context, n *testNode) error { return n.Remove(ctx, "site1") },
	"restore": func(ctx context.Context, n *testNode) error { _, _, err := n.Trash.Restore(ctx, "old", ""); return err },
	"takeover": func(ctx context.Context, n *testNode) error {
		return n.CheckTakeover(ctx, "site1", "n2", true)
	},
	"upkeep": func(ctx context.Context, n *testNode) error { return n.tick(ctx) },
}

// Whatever a server does, each verb ends, and no volume's data are lost: they are in
// the volume or in the trash.
func TestHostileServerEndsEachVerb(t *testing.T) {
	for _, h := range nfstest.Hostiles() {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			var wait sync.WaitGroup
			for verb, do := range hostileVerbs {
				s := nfstest.New(t)
				target, err := nfs.ParseTarget(s.URL("/"))
				require.NoError(t, err)
				n := node(t, "unused", "n1", func(c *Config) {
					c.URL = target.String()
					c.Open = func(ctx context.Context) (tree.FS, error) {
						return tree.OpenWire(ctx, target, &nfs.Config{ReplyTimeout: 100 * time.Millisecond, Patience: 300 * time.Millisecond, MaxEntries: 5000})
					}
				})
				n.beats()
				n.must(n.Create(ctx, "site1", nil))
				n.must(n.Create(ctx, "old", nil))
				for _, name := range []string{"/site1/file", "/old/file", "/site1/sub/x"} {
					s.WriteFile(name, []byte("precious "+name))
				}
				n.must(n.Remove(ctx, "old"))
				wait.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
					defer cancel()
					h.Begin(s, "/site1")
					err := do(ctx, n)
					assert.NoError(t, ctx.Err(), "%s did not end: %v", verb, err)
					s.Reset()
					s.Lie(nfstest.Lies{})
					for _, name := range []string{"/site1/file", "/old/file", "/site1/sub/x"} {
						assert.True(t, holds(s, "", []byte("precious "+name)), fmt.Sprint(verb, " lost ", name))
					}
				})
			}
			wait.Wait()
		})
	}
}

// holds tells whether some file of the server has this content.
func holds(s *nfstest.Server, dir string, content []byte) bool {
	for _, name := range s.Names(dir + "/") {
		name = dir + "/" + name
		if i, err := s.Stat(name); err == nil && i.Type == 2 {
			if holds(s, name, content) {
				return true
			}
		} else if data, err := s.ReadFile(name); err == nil && bytes.Equal(data, content) {
			return true
		}
	}
	return false
}

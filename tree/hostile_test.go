package tree_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
)

// hostileOp is what berth does to trees; lies about listings are about dir.
type hostileOp struct {
	name, dir string
	do        func(ctx context.Context, w *tree.Wire) error
	changes   string // the tree that it may change
}

var hostileOps = []hostileOp{
	{"list", "/src", func(ctx context.Context, w *tree.Wire) error {
		return w.ReadDirPlus(ctx, "src", func(tree.EntryPlus) error { return nil })
	}, ""},
	{"read", "/src", func(ctx context.Context, w *tree.Wire) error {
		_, err := tree.ReadFile(ctx, w, "src/file", 1<<20)
		return err
	}, ""},
	{"measure", "/src", func(ctx context.Context, w *tree.Wire) error {
		_, err := tree.Measure(ctx, w, "src")
		return err
	}, ""},
	{"compare", "/src", func(ctx context.Context, w *tree.Wire) error {
		_, err := tree.Compare(ctx, w, "src", "dst", tree.Equality{Checksum: true}, func(tree.Difference) error { return nil })
		return err
	}, ""},
	{"copy", "/src", func(ctx context.Context, w *tree.Wire) error {
		_, err := tree.Copy(ctx, w, "src", "new", tree.CopyOptions{}, nil)
		return err
	}, "/new"},
	{"delete", "/dst", func(ctx context.Context, w *tree.Wire) error { return tree.Delete(ctx, w, "dst", nil) }, "/dst"},
	{"restore", "/src", hostileSync, "/dst"},
	{"restore onto", "/dst", hostileSync, "/dst"},
}

func hostileSync(ctx context.Context, w *tree.Wire) error {
	_, err := tree.Sync(ctx, w, "src", "dst", tree.SyncOptions{Staging: "staging", Trash: "trash"}, nil)
	return err
}

// hostileFiles are what the trees have before.
func hostileFiles() map[string][]byte {
	big := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	return map[string][]byte{
		"/src/file": []byte("of the version"), "/src/big": big, "/src/sub/file": []byte("below"),
		"/dst/file": []byte("of the volume."), "/dst/big": big[16:], "/dst/sub/file": []byte("below"), "/dst/only": []byte("nowhere else"),
		"/keep/file": []byte("of somebody else"),
	}
}

func newHostile(t *testing.T) (*nfstest.Server, *tree.Wire) {
	s := nfstest.New(t)
	for name, data := range hostileFiles() {
		s.WriteFile(name, data)
	}
	s.Mkdir("/staging")
	s.Mkdir("/trash")
	target, err := nfs.ParseTarget(s.URL("/"))
	require.NoError(t, err)
	w, err := tree.OpenWire(t.Context(), target, &nfs.Config{ReplyTimeout: 100 * time.Millisecond, Patience: 300 * time.Millisecond, MaxEntries: 5000})
	require.NoError(t, err)
	t.Cleanup(func() { w.Close() })
	require.NoError(t, w.Symlink(t.Context(), "file", "src/link", tree.SetAttr{}))
	return s, w
}

// Whatever a server does, each operation ends, with an error that says what the
// server did, and what it has no business with is as it was. The cases mostly wait,
// so all operations of one way to misbehave run at once.
func TestHostileServerEndsEachOperation(t *testing.T) {
	for _, h := range nfstest.Hostiles() {
		t.Run(h.Name, func(t *testing.T) {
			t.Parallel()
			var wait sync.WaitGroup
			for _, op := range hostileOps {
				s, w := newHostile(t)
				wait.Go(func() { assert.NoError(t, meet(t.Context(), s, w, h, op), op.name) })
			}
			wait.Wait()
		})
	}
}

// meet carries an operation out on a server that misbehaves, and says what is wrong.
func meet(ctx context.Context, s *nfstest.Server, w *tree.Wire, h nfstest.Hostile, op hostileOp) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	before := s.Calls(nfstest.Any)
	h.Begin(s, op.dir)
	err := op.do(ctx, w)
	if ctx.Err() != nil {
		return fmt.Errorf("it did not end: %w", err)
	}
	if n := s.Calls(nfstest.Any) - before; n > 60_000 {
		return fmt.Errorf("%d calls", n)
	}
	if h.Says != "" && !avoids(h.Name, op.name) && (err == nil || !strings.Contains(err.Error(), h.Says)) {
		return fmt.Errorf("the error does not say %q: %w", h.Says, err)
	}
	s.Reset()
	s.Lie(nfstest.Lies{})
	for name, want := range hostileFiles() {
		if strings.HasPrefix(name, op.changes+"/") && op.changes != "" {
			continue
		}
		if got, err := s.ReadFile(name); err != nil || !bytes.Equal(want, got) {
			return fmt.Errorf("%s has changed: %v", name, err)
		}
	}
	if strings.HasPrefix(op.name, "restore") {
		return kept(s)
	}
	return nil
}

// avoids: operations that do not meet the lie.
func avoids(lie, op string) bool {
	kind, _, _ := strings.Cut(lie, ":")
	switch kind {
	case "READDIR":
		return op == "read" || strings.HasSuffix(lie, "in itself") && (op == "list" || op == "restore onto")
	case "READ":
		return op == "list" || op == "measure" || op == "delete"
	}
	return false
}

// kept: what a restore has replaced or removed is in the volume or in the trash.
func kept(s *nfstest.Server) error {
	found := map[string]bool{}
	var walk func(dir string)
	walk = func(dir string) {
		for _, name := range s.Names(dir) {
			name = dir + "/" + name
			if i, err := s.Stat(name); err == nil && i.Type == 2 {
				walk(name)
			} else if data, err := s.ReadFile(name); err == nil {
				found[string(data)] = true
			}
		}
	}
	walk("/dst")
	walk("/trash")
	for name, want := range hostileFiles() {
		if strings.HasPrefix(name, "/dst/") && !found[string(want)] {
			return fmt.Errorf("%s is neither in the volume nor in the trash: %s %s", name, s.Names("/trash"), s.Names("/dst"))
		}
	}
	return nil
}

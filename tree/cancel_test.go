package tree_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// Whatever an operation waits for on a server that has gone silent, it ends with its
// context.
func TestEverythingEndsWithItsContextOnASilentServer(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	makeDirs(t, w, "a", "a/d", "b", "b/d", "trash", "staging")
	for _, name := range []string{"a/f", "b/f", "a/d/f", "b/d/f"} {
		treetest.Write(t, w, name, "content")
	}
	s.WriteFile("/a/large", make([]byte, 3<<20))
	s.WriteFile("/b/large", make([]byte, 3<<20))
	a, err := w.Stat(ctx, "a/large")
	require.NoError(t, err)
	var calls, after, copies atomic.Int64
	s.Hook(func(nfstest.Call) nfstest.Fault {
		if calls.Add(1) > after.Load() {
			return nfstest.Fault{Lose: true}
		}
		return nfstest.Fault{}
	})
	t.Cleanup(s.Reset)
	operations := map[string]func(ctx context.Context) error{
		"compare": func(ctx context.Context) error {
			_, err := tree.Compare(ctx, w, "a", "b", tree.Equality{Checksum: true}, func(tree.Difference) error { return nil })
			return err
		},
		"copy": func(ctx context.Context) error {
			_, err := tree.Copy(ctx, w, "a", fmt.Sprintf("copy%d", copies.Add(1)), tree.CopyOptions{Checksum: true}, nil)
			return err
		},
		"sync": func(ctx context.Context) error {
			_, err := tree.Sync(ctx, w, "a", "b", tree.SyncOptions{Staging: "staging", Trash: "trash", Equality: tree.Equality{Checksum: true}}, nil)
			return err
		},
		"measure": func(ctx context.Context) error { _, err := tree.Measure(ctx, w, "a"); return err },
		"delete":  func(ctx context.Context) error { return tree.Delete(ctx, w, "b", nil) },
		"send":    func(ctx context.Context) error { return tree.Send(ctx, w, "a/large", a, io.Discard) },
	}
	for _, what := range []string{"compare", "copy", "sync", "measure", "send", "delete"} {
		do := operations[what]
		for _, n := range []int64{0, 2, 4, 6, 9} { // calls that are answered
			calls.Store(0)
			after.Store(n)
			short, cancel := context.WithTimeout(ctx, 30*time.Millisecond)
			err := do(short)
			cancel()
			took := time.Since(deadlineOf(short))
			if err == nil {
				break // the operation takes fewer calls
			}
			require.Truef(t, errors.Is(err, context.DeadlineExceeded), "%s, %d: %v", what, n, err)
			t.Logf("%s, silent after %d calls: ended %v after its context", what, n, took)
			require.Less(t, took, 10*time.Second, what)
		}
	}
}

package tree_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

const jukebox = 10008 // NFS3ERR_JUKEBOX, RFC 1813 §2.6

func ptr[T any](v T) *T { return &v }

func TestWireSaysWhatWentWrongInWords(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	s.Mkdir("/d")
	s.WriteFile("/d/f", []byte("x"))
	require.NoError(t, w.Symlink(ctx, "d", "l", tree.SetAttr{}))
	_, err := w.Stat(ctx, "d/none")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "stat d/none: no such file or directory (NFS3ERR_NOENT)")
	_, err = w.Stat(ctx, "l/f")
	require.ErrorIs(t, err, syscall.ELOOP)
	_, err = w.Stat(ctx, "d/f/x")
	require.ErrorIs(t, err, syscall.ENOTDIR)
	require.ErrorIs(t, w.ReadDir(ctx, "l", func(tree.Entry) error { return nil }), syscall.ELOOP)
	require.ErrorIs(t, w.Rmdir(ctx, "d"), syscall.ENOTEMPTY)
	for name, want := range map[string]error{"d": syscall.EISDIR, "l": syscall.ELOOP} {
		_, err := w.Open(ctx, name)
		require.ErrorIs(t, err, want)
	}
	s.SetReadOnly(true)
	require.ErrorIs(t, w.Mkdir(ctx, "x", tree.SetAttr{}), syscall.EROFS)
}

func TestWireBelowTheExport(t *testing.T) {
	s := nfstest.New(t)
	s.SetDeepMounts(false)
	s.WriteFile("/a/b/f", []byte("x"))
	target, err := nfs.ParseTarget(s.URL("/a/b"))
	require.NoError(t, err)
	w, err := tree.OpenWire(ctx, target, nil)
	require.NoError(t, err)
	defer w.Close()
	require.Equal(t, []string{"f"}, treetest.Names(t, w, "."))
	require.NoError(t, openWire(t, s).Symlink(ctx, "a", "l", tree.SetAttr{}))
	target.Path = strings.Replace(target.Path, "/a/b", "/l/b", 1)
	_, err = tree.OpenWire(ctx, target, nil)
	require.ErrorIs(t, err, syscall.ENOTDIR)
}

func TestWireSurvivesFaults(t *testing.T) {
	for name, spoil := range map[string]func(s *nfstest.Server, n int){
		"jukebox": func(s *nfstest.Server, n int) { s.On(nfstest.Any, 1, nfstest.Fault{Status: jukebox}) },
		"done, connection cut": func(s *nfstest.Server, n int) {
			for _, p := range []nfstest.Proc{nfstest.Mkdir, nfstest.Create, nfstest.Write, nfstest.Rename, nfstest.Remove, nfstest.Link} {
				s.On(p, 1, nfstest.Fault{Close: true})
			}
		},
		"forgets": func(s *nfstest.Server, n int) { s.Forget() },
	} {
		t.Run(name, func(t *testing.T) {
			s := nfstest.New(t)
			w := openWire(t, s)
			big := strings.Repeat("0123456789abcdef", 40_000)
			for n := range 3 {
				spoil(s, n)
				d := fmt.Sprintf("d%d", n)
				require.NoError(t, w.Mkdir(ctx, d, tree.SetAttr{Mode: ptr[uint32](0o750)}))
				f, err := w.Create(ctx, d+"/f", tree.SetAttr{Mode: ptr[uint32](0o640)})
				require.NoError(t, err)
				_, err = f.WriteAt(ctx, []byte(big), 0)
				require.NoError(t, err)
				s.Restart() // what is not on stable storage is gone
				require.NoError(t, f.Sync(ctx))
				require.NoError(t, w.Link(ctx, d+"/f", d+"/g"))
				require.NoError(t, w.Rename(ctx, d+"/f", d+"/h"))
				require.NoError(t, w.Remove(ctx, d+"/g"))
				require.Equal(t, big, treetest.Read(t, w, d+"/h"))
				require.Equal(t, []string{"h"}, s.Names("/"+d))
			}
		})
	}
}

func TestAVerifierThatChangesWhileAFileIsWritten(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	f, err := w.Create(ctx, "f", tree.SetAttr{Mode: ptr[uint32](0o600)})
	require.NoError(t, err)
	var done sync.WaitGroup
	stop := make(chan struct{})
	big := []byte(strings.Repeat("0123456789abcdef", 100_000))
	s.On(nfstest.Commit, 1, nfstest.Fault{Delay: time.Millisecond})
	done.Go(func() {
		for s.Calls(nfstest.Write) < 5 {
			select {
			case <-stop:
				return
			default:
			}
		}
		s.Forget()
	})
	_, err = f.WriteAt(ctx, big, 0)
	close(stop)
	done.Wait()
	require.NoError(t, err)
	s.Restart()
	got, err := s.ReadFile("/f")
	require.NoError(t, err)
	require.Equal(t, big, got)
}

func TestAnExportThatWasMadeAnewIsAway(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	treetest.Write(t, w, "f", "x")
	require.NoError(t, w.Check(ctx))
	s.Recreate()
	_, err := w.Stat(ctx, "f")
	require.ErrorIs(t, err, tree.ErrAway)
	require.NotErrorIs(t, err, fs.ErrNotExist, "away is not absent")
	require.ErrorIs(t, w.Mkdir(ctx, "d", tree.SetAttr{}), tree.ErrAway)
	require.ErrorIs(t, w.Check(ctx), tree.ErrAway)
	_, err = tree.Copy(ctx, w, ".", "x", tree.CopyOptions{}, nil)
	require.ErrorIs(t, err, tree.ErrAway)
	require.ErrorIs(t, tree.Delete(ctx, w, "f", nil), tree.ErrAway)
}

// A handle that is remembered is never mistaken for what its name is now.
func TestWireSeesWhatOthersMoved(t *testing.T) {
	s := nfstest.New(t)
	here, other := openWire(t, s), openWire(t, s)
	s.WriteFile("/a/b/c/f", []byte("old"))
	s.WriteFile("/new/c/f", []byte("new"))
	require.Equal(t, "old", treetest.Read(t, here, "a/b/c/f"))
	require.NoError(t, other.Rename(ctx, "a/b", "trash"))
	_, err := here.Stat(ctx, "a/b/c/f")
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NoError(t, other.Rename(ctx, "new", "a/b"))
	require.Equal(t, "new", treetest.Read(t, here, "a/b/c/f"))
	require.NoError(t, tree.Delete(ctx, other, "a", nil))
	s.WriteFile("/a/b/c/f", []byte("newer"))
	require.Equal(t, "newer", treetest.Read(t, here, "a/b/c/f"))
	treetest.Write(t, here, "a/b/c/g", "")
	require.Equal(t, []string{"f", "g"}, s.Names("/a/b/c"))
}

// A file that others keep replacing is always found.
func TestReadFileWhileItIsReplaced(t *testing.T) {
	s := nfstest.New(t)
	here, other := openWire(t, s), openWire(t, s)
	treetest.Write(t, other, "f", "content")
	var wait sync.WaitGroup
	stop, cancel := context.WithCancel(ctx)
	wait.Go(func() {
		for i := 0; stop.Err() == nil; i++ {
			f, err := other.Create(ctx, "f.new", tree.SetAttr{})
			if err == nil {
				_, err = f.WriteAt(ctx, []byte("content"), 0)
			}
			if err = errors.Join(err, other.Rename(ctx, "f.new", "f")); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 300 {
		data, err := tree.ReadFile(ctx, here, "f", 100)
		if !errors.Is(err, syscall.EBUSY) {
			require.NoError(t, err)
			require.Equal(t, "content", string(data))
		}
	}
	cancel()
	wait.Wait()
}

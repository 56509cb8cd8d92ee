package tree_test

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// watched calls do, and returns what inotify tells of the names in the directory dir
// meanwhile: a mask for each name, "" for dir itself.
func watched(t *testing.T, dir string, do func()) map[string]uint32 {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	require.NoError(t, err)
	defer unix.Close(fd)
	_, err = unix.InotifyAddWatch(fd, dir, unix.IN_ALL_EVENTS)
	require.NoError(t, err)
	do()
	saw := map[string]uint32{}
	buf := make([]byte, 64<<10)
	for {
		n, err := unix.Read(fd, buf)
		if errors.Is(err, unix.EAGAIN) {
			return saw
		}
		require.NoError(t, err)
		for rest := buf[:n]; len(rest) > 0; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(&rest[0]))
			end := unix.SizeofInotifyEvent + int(e.Len)
			name := strings.TrimRight(string(rest[unix.SizeofInotifyEvent:end]), "\x00")
			saw[name] |= e.Mask
			rest = rest[end:]
		}
	}
}

// reading are the operations that read a live tree "live", and a version "old" of it.
func reading(t *testing.T, l *tree.Local) map[string]func() error {
	return map[string]func() error{
		"copy": func() error {
			_, err := tree.Copy(ctx, l, "live", "copy", tree.CopyOptions{Live: true, Proofs: &tree.Proofs{}}, nil)
			return err
		},
		"copy that is read again": func() error {
			_, err := tree.Copy(ctx, l, "live", "copy2", tree.CopyOptions{Checksum: true}, nil)
			return err
		},
		"compare": func() error {
			_, err := tree.Compare(ctx, l, "old", "live", tree.Equality{}, func(tree.Difference) error { return nil })
			return err
		},
		"compare all": func() error {
			_, err := tree.Compare(ctx, l, "live", "old", tree.Equality{Checksum: true}, func(tree.Difference) error { return nil })
			return err
		},
		"measure": func() error {
			_, err := tree.Measure(ctx, l, "live")
			return err
		},
		"read": func() error {
			_, err := tree.ReadFile(ctx, l, "live/file", 1<<20)
			return err
		},
		"sync of what is equal": func() error {
			makeDirs(t, l, "staging", "trash")
			_, err := tree.Sync(ctx, l, "old", "live", tree.SyncOptions{Staging: "staging", Trash: "trash"}, nil)
			return err
		},
	}
}

func TestReadingLeavesNoTrace(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "live"), 0o755))
	treetest.Write(t, l, "live/file", "content")
	treetest.Write(t, l, "live/other", "more content")
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "live/fifo"), 0o600))
	before := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	_, err := tree.Copy(ctx, l, "live", "old", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	for what, do := range reading(t, l) {
		t.Run(what, func(t *testing.T) {
			for _, name := range []string{"live/file", "live/other"} {
				require.NoError(t, l.SetAttr(ctx, name, tree.SetAttr{Atime: &before}))
			}
			saw := watched(t, filepath.Join(dir, "live"), func() { require.NoError(t, do()) })
			for name, mask := range saw {
				if name != "" {
					require.Zerof(t, mask&^(unix.IN_OPEN|unix.IN_ACCESS|unix.IN_CLOSE_NOWRITE|unix.IN_ISDIR), "%s: %#x", name, mask)
				}
			}
			require.NotContains(t, saw, "fifo")
			for _, name := range []string{"live/file", "live/other"} {
				a, err := l.Stat(ctx, name)
				require.NoError(t, err)
				require.Equal(t, before.Unix(), a.Atime.Unix(), name)
			}
		})
	}
}

func TestAProgramStartsWhileItsFileIsRead(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "live"), 0o755))
	program, err := os.ReadFile("/bin/true")
	require.NoError(t, err)
	path := filepath.Join(dir, "live/program")
	require.NoError(t, os.WriteFile(path, append(program, make([]byte, 64<<20)...), 0o755))
	_, err = tree.Copy(ctx, l, "live", "old", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	done := make(chan struct{})
	var run sync.WaitGroup
	var failed error
	starts := 0
	run.Go(func() {
		for failed == nil {
			select {
			case <-done:
				return
			default:
				failed = exec.Command(path).Run()
				starts++
			}
		}
	})
	for what, do := range reading(t, l) {
		if what != "read" {
			require.NoError(t, do(), what)
		}
	}
	close(done)
	run.Wait()
	require.NoError(t, failed)
	require.Positive(t, starts)
}

// lease takes a lease on a file, as a program does that never gives it back. It ends
// with the test.
func lease(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	require.NoError(t, err)
}

func TestWhatAProgramHoldsIsPassedOverAndNamed(t *testing.T) {
	signal.Ignore(unix.SIGIO) // the lease is to be given back
	t.Cleanup(func() { signal.Reset(unix.SIGIO) })
	dir := t.TempDir()
	l := open(t, dir)
	makeDirs(t, l, "live")
	for _, name := range []string{"free", "held", "locked"} {
		treetest.Write(t, l, "live/"+name, name)
	}
	require.NoError(t, unix.Mkfifo(filepath.Join(dir, "live/fifo"), 0o600))
	_, err := tree.Copy(ctx, l, "live", "old", tree.CopyOptions{}, nil)
	require.NoError(t, err)
	lease(t, filepath.Join(dir, "live/held"))
	locked, err := os.OpenFile(filepath.Join(dir, "live/locked"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer locked.Close()
	require.NoError(t, unix.Flock(int(locked.Fd()), unix.LOCK_EX))
	require.NoError(t, unix.FcntlFlock(locked.Fd(), unix.F_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}))

	begun := time.Now()
	_, err = l.Open(ctx, "live/held")
	require.ErrorIs(t, err, tree.ErrHeld)
	require.Equal(t, "locked", treetest.Read(t, l, "live/locked"))

	stats, err := tree.Copy(ctx, l, "live", "new", tree.CopyOptions{Live: true}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"live/held: " + tree.ErrHeld.Error()}, stats.Missing.Paths)
	require.Equal(t, []string{"fifo", "free", "locked"}, treetest.Names(t, l, "new"))
	_, err = tree.Copy(ctx, l, "live", "whole", tree.CopyOptions{}, nil)
	require.ErrorContains(t, err, "1 names cannot be copied, the first: live/held: held by a program")

	// Nobody knows whether it is equal, so it counts as changed, and is named.
	require.NoError(t, l.SetAttr(ctx, "old/free", tree.SetAttr{Mtime: &begun}))
	var differ []string
	compared, err := tree.Compare(ctx, l, "live", "old", tree.Equality{}, func(d tree.Difference) error {
		differ = append(differ, d.Kind.String()+" "+d.Path)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, []string{"M free", "M held"}, differ)
	require.Equal(t, []string{"held: " + tree.ErrHeld.Error()}, compared.Missing.Paths)

	// A sync of the old version over it needs nothing of it.
	makeDirs(t, l, "staging", "trash")
	_, err = tree.Sync(ctx, l, "old", "live", tree.SyncOptions{Staging: "staging", Trash: "trash"}, nil)
	require.NoError(t, err)
	require.Equal(t, "held", treetest.Read(t, l, "live/held"))
	require.Less(t, time.Since(begun), 30*time.Second, "the lease would end by itself after 45 s")
}

func TestAnHonestProgramGivesItsLeaseBack(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	treetest.Write(t, l, "file", "text")
	f, err := os.OpenFile(filepath.Join(dir, "file"), os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	asked := make(chan os.Signal, 10)
	signal.Notify(asked, unix.SIGIO)
	defer signal.Stop(asked)
	_, err = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	require.NoError(t, err)
	given := make(chan struct{})
	go func() {
		defer close(given)
		<-asked
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	}()
	require.Equal(t, "text", treetest.Read(t, l, "file"))
	<-given
}

// A program that has to allow each open of a file (fanotify(7)), and never answers, keeps
// nothing but this file from being copied.
func TestAProgramThatNeverAllowsAnOpenHoldsOneFile(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	makeDirs(t, l, "live")
	treetest.Write(t, l, "live/free", "free")
	treetest.Write(t, l, "live/held", "held")
	program, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC, unix.O_RDONLY)
	if err != nil {
		treetest.Skip(t, "this kernel has no fanotify for programs that allow opens: "+err.Error())
	}
	answers := sync.OnceFunc(func() { unix.Close(program) }) // what waits is allowed then
	defer answers()
	if err := unix.FanotifyMark(program, unix.FAN_MARK_ADD, unix.FAN_OPEN_PERM, unix.AT_FDCWD, filepath.Join(dir, "live/held")); err != nil {
		treetest.Skip(t, "this kernel has no fanotify for programs that allow opens: "+err.Error())
	}
	tree.WaitFor(l, 200*time.Millisecond)
	stats, err := tree.Copy(ctx, l, "live", "copy", tree.CopyOptions{Live: true}, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"live/held: " + tree.ErrHeld.Error()}, stats.Missing.Paths)
	require.Equal(t, "free", treetest.Read(t, l, "copy/free"))
	answers()
	require.Eventually(t, func() bool {
		_, err := tree.ReadFile(ctx, l, "live/held", 100)
		return err == nil
	}, time.Minute, 10*time.Millisecond)
}

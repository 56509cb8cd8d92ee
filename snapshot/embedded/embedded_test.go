package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/casit/berth/export"
	"github.com/casit/berth/problem"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// embeddedExport is an export with the volumes blog and shop in dir.
func embeddedExport(t *testing.T, dir string) *Maker {
	t.Helper()
	for name, content := range map[string]string{
		".berth/export.json":       `{"version":1,"id":"9f2c51b07d3e4a68"}`,
		".berth/volumes/blog.json": `{"version":1,"name":"blog","options":{"uid":"33"}}`,
		"blog/index.php":           "<?php // v1",
		"blog/wp-content/a":        "upload",
		"shop/page":                "for sale",
		"no volume":                "",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".berth/staging"), 0o700))
	return openEmbedded(t, dir)
}

func openEmbedded(t *testing.T, dir string) *Maker {
	t.Helper()
	l, err := tree.OpenLocal(context.Background(), dir)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	e, ok := New(l, time.UTC)
	require.True(t, ok)
	return e
}

// eachEmbedded runs a test on a plain directory, on btrfs, and with copies on
// btrfs.
func eachEmbedded(t *testing.T, test func(t *testing.T, e *Maker, dir, how string)) {
	if os.Geteuid() != 0 {
		treetest.Skip(t, "needs root: owners")
	}
	t.Run("directory", func(t *testing.T) {
		dir := t.TempDir()
		e := embeddedExport(t, dir)
		how := ByCopy
		if ok, err := e.fsys.Reflinks(t.Context(), "."); ok && err == nil {
			how = ByReflink
		}
		test(t, e, dir, how)
	})
	t.Run("btrfs", func(t *testing.T) {
		dir := treetest.Btrfs(t)
		test(t, embeddedExport(t, dir), dir, ByBtrfs)
	})
	t.Run("btrfs by reflink", func(t *testing.T) {
		dir := treetest.Btrfs(t)
		e := embeddedExport(t, dir)
		e.native = false
		test(t, e, dir, ByReflink)
	})
}

func embeddedFile(t *testing.T, parts ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return string(data)
}

// embeddedStaging lists what is in staging, but for what the sweepers delete.
func embeddedStaging(t *testing.T, e *Maker) []string {
	t.Helper()
	out := []string{}
	for _, n := range treetest.Names(t, e.fsys, stagingDir) {
		if !strings.HasPrefix(n, purgePrefix) {
			out = append(out, n)
		}
	}
	return out
}

func TestEmbeddedSnapshotsKeepVolumesAsTheyWere(t *testing.T) {
	eachEmbedded(t, func(t *testing.T, e *Maker, dir, how string) {
		ctx := t.Context()
		none, err := e.List(ctx)
		require.NoError(t, err)
		require.Empty(t, none)
		require.NoError(t, os.Lchown(filepath.Join(dir, "blog"), 33, 33))

		begun := time.Now()
		m, err := e.Create(ctx, "before-update", "WordPress 6.9", nil, nil)
		require.NoError(t, err)
		require.Equal(t, how, m.How)
		require.Equal(t, []string{"blog", "shop"}, m.Volumes)
		require.WithinRange(t, m.Begun, begun, m.Ended.Add(time.Nanosecond))
		if how != ByBtrfs {
			require.Equal(t, []int64{3, int64(len("<?php // v1" + "upload" + "for sale"))}, []int64{m.Files, m.Bytes})
		}
		require.NoError(t, os.WriteFile(filepath.Join(dir, "blog/index.php"), []byte("<?php // hacked"), 0o644))
		require.NoError(t, os.RemoveAll(filepath.Join(dir, "shop")))
		require.NoError(t, os.Remove(filepath.Join(dir, ".berth/volumes/blog.json")))

		at := filepath.Join(dir, ".snapshot/before-update")
		require.Equal(t, "<?php // v1", embeddedFile(t, at, "blog/index.php"))
		require.Equal(t, "for sale", embeddedFile(t, at, "shop/page"))
		require.Contains(t, embeddedFile(t, at, ".berth/volumes/blog.json"), `"uid":"33"`, "a deleted volume comes back with its options")
		require.NoFileExists(t, filepath.Join(at, ".berth/volumes/shop.json"))
		var st unix.Stat_t
		require.NoError(t, unix.Stat(filepath.Join(at, "blog"), &st))
		require.Equal(t, uint32(33), st.Uid)
		require.NoError(t, unix.Stat(at, &st))
		require.Equal(t, uint32(0o755), st.Mode&0o7777)
		require.WithinDuration(t, begun, time.Unix(st.Mtim.Unix()), time.Second, "without records, snapshots are ordered by this")
		require.Contains(t, embeddedFile(t, dir, ".snapshot/.berth"), "not a filer's instant")
		require.NoError(t, unix.Stat(filepath.Join(dir, ".snapshot"), &st))
		require.Equal(t, uint32(0o700), st.Mode&0o7777, "no user of the node reads what was cleaned")
		require.NoError(t, os.Chmod(filepath.Join(dir, ".snapshot"), 0o755)) // as an earlier release left it
		require.Empty(t, embeddedStaging(t, e))

		list, err := e.List(ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, "before-update", list[0].Name)
		require.True(t, list[0].Time.Equal(m.Begun))
		require.False(t, list[0].Approximate)
		require.Equal(t, "berth", list[0].Origin)
		require.Contains(t, list[0].Comment, "WordPress 6.9")
		if how == ByBtrfs {
			require.ErrorIs(t, os.WriteFile(filepath.Join(at, "blog/x"), nil, 0o644), syscall.EROFS)
		} else {
			require.Contains(t, list[0].Comment, "not a filer's instant")
		}

		_, err = e.Create(ctx, "before-update", "", nil, nil)
		require.Equal(t, problem.InUse, problem.KindOf(err))
		_, err = e.Create(ctx, "second", "", nil, nil)
		require.NoError(t, err)
		require.NoError(t, unix.Stat(filepath.Join(dir, ".snapshot"), &st))
		require.Equal(t, uint32(0o700), st.Mode&0o7777)
		list, err = e.List(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"before-update", "second"}, []string{list[0].Name, list[1].Name})

		require.NoError(t, e.Remove(ctx, "before-update"))
		require.NoDirExists(t, at)
		list, err = e.List(ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, problem.NotFound, problem.KindOf(e.Remove(ctx, "before-update")))
		for _, n := range treetest.Names(t, e.fsys, stagingDir) {
			require.NoError(t, tree.Delete(ctx, e.fsys, stagingDir+"/"+n, nil), "what the sweepers do")
		}
		_, err = e.Create(ctx, "before-update", "", nil, nil)
		require.NoError(t, err, "the name is free again")
	})
}

func TestAnEmbeddedSnapshotHasTheVolumesThatAreNamed(t *testing.T) {
	eachEmbedded(t, func(t *testing.T, e *Maker, dir, _ string) {
		m, err := e.Create(t.Context(), "one", "", []string{"shop", "shop"}, nil)
		require.NoError(t, err)
		require.NotEqual(t, ByBtrfs, m.How)
		require.Equal(t, []string{"shop"}, m.Volumes)
		require.NoDirExists(t, filepath.Join(dir, ".snapshot/one/blog"))
		require.Equal(t, "for sale", embeddedFile(t, dir, ".snapshot/one/shop/page"))
		_, err = e.Create(t.Context(), "other", "", []string{"missing"}, nil)
		require.Equal(t, problem.NotFound, problem.KindOf(err))
	})
}

func TestManyMakersOfOneName(t *testing.T) {
	eachEmbedded(t, func(t *testing.T, e *Maker, dir, _ string) {
		var wg sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			other := openEmbedded(t, dir)
			other.native = e.native
			wg.Go(func() {
				_, errs[i] = other.Create(t.Context(), "same", string(rune('a'+i)), nil, nil)
			})
		}
		wg.Wait()
		won := ""
		for i, err := range errs {
			if err == nil {
				won += string(rune('a' + i))
				continue
			}
			require.Equal(t, problem.InUse, problem.KindOf(err), "%v", err)
		}
		require.Len(t, won, 1)
		list, err := e.List(t.Context())
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.True(t, strings.HasPrefix(list[0].Comment, won), "%q is not %s's", list[0].Comment, won)
		require.Equal(t, "for sale", embeddedFile(t, dir, ".snapshot/same/shop/page"))
		require.Empty(t, embeddedStaging(t, e))
	})
}

func TestAMakerThatStopsLeavesNothingToSee(t *testing.T) {
	eachEmbedded(t, func(t *testing.T, e *Maker, dir, _ string) {
		e.native = false
		stopping, stop := context.WithCancel(t.Context())
		_, err := e.Create(stopping, "half", "", nil, func(p tree.Progress) {
			if p.Files > 1 {
				stop()
			}
		})
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, []string{".berth"}, treetest.Names(t, e.fsys, snapshotsDir))
		require.Empty(t, embeddedStaging(t, e))
	})
}

// killedEnv makes the test the maker that is killed.
const killedEnv = "BERTH_TEST_KILLED_MAKER"

func TestAMakerThatIsKilledLeavesNothingToSee(t *testing.T) {
	if dir := os.Getenv(killedEnv); dir != "" {
		e := openEmbedded(t, dir)
		e.native = false
		_, _ = e.Create(t.Context(), "half", "", nil, func(p tree.Progress) {
			if p.Files > 1 {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
		})
		return
	}
	eachEmbedded(t, func(t *testing.T, e *Maker, dir, _ string) {
		e.native = false
		maker := exec.Command(os.Args[0], "-test.run=^TestAMakerThatIsKilledLeavesNothingToSee$")
		maker.Env = append(os.Environ(), killedEnv+"="+dir)
		exit := (*exec.ExitError)(nil)
		require.True(t, errors.As(maker.Run(), &exit))
		require.Equal(t, syscall.SIGKILL, exit.Sys().(syscall.WaitStatus).Signal())

		list, err := e.List(t.Context())
		require.NoError(t, err)
		require.Empty(t, list)
		require.Len(t, embeddedStaging(t, e), 1, "what it had made")
		_, err = e.Create(t.Context(), "half", "", nil, func(tree.Progress) {
			require.Len(t, embeddedStaging(t, e), 1, "the dead one's was discarded, the living one's was not")
		})
		require.NoError(t, err)
		require.Empty(t, embeddedStaging(t, e))
	})
}

func TestTheSnapshotsOfOthersAreLeftAlone(t *testing.T) {
	eachEmbedded(t, func(t *testing.T, e *Maker, dir, _ string) {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, ".snapshot/nightly/blog"), 0o755))
		_, err := e.Create(t.Context(), "mine", "", nil, nil)
		require.Equal(t, problem.Failed, problem.KindOf(err))
		require.ErrorContains(t, err, "that berth has not made")
		require.Error(t, e.Remove(t.Context(), "nightly"))
		require.DirExists(t, filepath.Join(dir, ".snapshot/nightly/blog"))
		list, err := e.List(t.Context())
		require.NoError(t, err)
		require.Equal(t, "nightly", list[0].Name)
		require.True(t, list[0].Approximate, "but they can be read")
		require.Equal(t, "manual", list[0].Origin)
	})
}

func TestAFileThatIsWrittenMeanwhileIsCounted(t *testing.T) {
	dir := t.TempDir()
	e := embeddedExport(t, dir)
	e.native = false
	past := time.Now().Add(-time.Hour)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "blog/big"), make([]byte, 8<<20), 0o644))
	require.NoError(t, os.Chtimes(filepath.Join(dir, "blog/big"), past, past))
	ok, err := e.fsys.Reflinks(t.Context(), ".")
	require.NoError(t, err)
	if ok {
		treetest.Skip(t, "needs a temporary directory that does not clone files: nothing is read there")
	}
	f, err := os.OpenFile(filepath.Join(dir, "blog/big"), os.O_WRONLY, 0)
	require.NoError(t, err)
	defer f.Close()
	m, err := e.Create(t.Context(), "torn", "while it runs", []string{"blog"}, func(p tree.Progress) {
		_, _ = f.WriteAt([]byte("more"), 7<<20)
	})
	require.NoError(t, err)
	require.Equal(t, int64(1), m.Changed)
	require.Equal(t, []string{"blog/big"}, m.ChangedPaths)
	list, err := e.List(t.Context())
	require.NoError(t, err)
	require.Contains(t, list[0].Comment, "while it runs")
	require.Contains(t, list[0].Comment, "changed while copied: 1")
}

func TestACopyThatWouldFillTheExportIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		treetest.Skip(t, "needs root: mount")
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"))
	defer func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
	e := embeddedExport(t, dir)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop/big"), make([]byte, 1950<<10), 0o644))
	_, err := e.Create(t.Context(), "n", "", nil, nil)
	require.Equal(t, problem.Failed, problem.KindOf(err))
	require.ErrorContains(t, err, "less than 5 %")
	require.ErrorContains(t, err, "--force makes it all the same")
	_, err = e.Create(t.Context(), "n", "", []string{"blog"}, nil)
	require.NoError(t, err)
	_, err = e.Create(export.Force(t.Context()), "all", "", nil, nil)
	require.NoError(t, err)
}

// What a snapshot of btrfs has gives no room back: the ballast of the reserve is in none.
func TestASnapshotKeepsNoBallast(t *testing.T) {
	eachEmbedded(t, func(t *testing.T, e *Maker, dir, _ string) {
		require.NoError(t, os.Mkdir(filepath.Join(dir, export.ReserveDir), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, export.BallastPath), []byte("ballast"), 0o600))
		_, err := e.Create(t.Context(), "s", "", nil, nil)
		require.NoError(t, err)
		require.NoFileExists(t, filepath.Join(dir, ".snapshot/s", export.BallastPath))
	})
}

func TestSubvolumesInTheExportAreCopied(t *testing.T) {
	dir := treetest.Btrfs(t)
	e := embeddedExport(t, dir)
	for i := range 300 { // more than the kernel names at once
		_, err := e.Create(t.Context(), "s"+strings.Repeat("x", i%200)+string(rune('a'+i/200)), "", nil, nil)
		require.NoError(t, err)
	}
	m, err := e.Create(t.Context(), "by-btrfs", "", nil, nil)
	require.NoError(t, err)
	require.Equal(t, ByBtrfs, m.How)
	require.NoError(t, exec.Command("btrfs", "subvolume", "create", filepath.Join(dir, "shop/sub")).Run())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "shop/sub/f"), []byte("in a subvolume"), 0o644))
	m, err = e.Create(t.Context(), "whole", "", nil, nil)
	require.NoError(t, err)
	require.Equal(t, ByReflink, m.How, "btrfs would leave it out")
	require.Equal(t, "in a subvolume", embeddedFile(t, dir, ".snapshot/whole/shop/sub/f"))
}

func TestAViewThatIsMountedOutlivesItsSnapshotOnBtrfs(t *testing.T) {
	dir := treetest.Btrfs(t)
	e := embeddedExport(t, dir)
	_, err := e.Create(t.Context(), "old", "", nil, nil)
	require.NoError(t, err)
	view := t.TempDir()
	require.NoError(t, unix.Mount(filepath.Join(dir, ".snapshot/old/blog"), view, "", unix.MS_BIND, ""))
	defer func() { require.NoError(t, unix.Unmount(view, 0)) }()
	require.NoError(t, e.Remove(t.Context(), "old"))
	require.Equal(t, "upload", embeddedFile(t, view, "wp-content/a"))
}

func TestNamesOfEmbeddedSnapshots(t *testing.T) {
	for _, name := range []string{"before-update", "v6.9.1", "manual.2026-11-23_0530", "2026-11-23-before", "Ünïcode", "5things", strings.Repeat("x", 255)} {
		require.NoError(t, checkName(name), name)
	}
	for name, instead := range map[string]string{
		"":                       "before-update",
		".hidden":                `name it "hidden"`,
		"-2":                     `name it "2"`,
		"a/b":                    `name it "a-b"`,
		"before the update":      `name it "before-the-update"`,
		"a:b@c":                  `name it "a-b-c"`,
		"new\nline":              `name it "new-line"`,
		"bad\xffutf8":            `name it "bad-utf8"`,
		"latest":                 "made-latest",
		"Yesterday":              "made-Yesterday",
		"tuesday":                "made-tuesday",
		"2h":                     "made-2h",
		"1d12h":                  "made-1d12h",
		"2026-11-23":             "made-2026-11-23",
		"2026-11-23T0530":        "made-2026-11-23T0530",
		"20261123":               "made-20261123",
		strings.Repeat("x", 256): "before-update",
		"..":                     "before-update",
	} {
		err := checkName(name)
		require.Equal(t, problem.Invalid, problem.KindOf(err), "%q", name)
		require.ErrorContains(t, err, instead)
	}
}

func TestOnlyLocalDirectoriesHaveEmbeddedSnapshots(t *testing.T) {
	require.True(t, IsLocal(unix.EXT4_SUPER_MAGIC))
	for _, remote := range []int64{unix.NFS_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.V9FS_MAGIC, unix.FUSE_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC} {
		require.False(t, IsLocal(remote), "%x", remote)
	}
	_, ok := New(nil, nil)
	require.False(t, ok)
}

func TestAnEmbeddedRecordIsStableOnDisk(t *testing.T) {
	at := time.Date(2026, 11, 23, 5, 30, 0, 0, time.UTC)
	data, err := json.Marshal(made{Version: 1, Name: "n", How: ByCopy, Begun: at, Ended: at.Add(time.Second), Comment: "c", Volumes: []string{"blog"}, Files: 1, Bytes: 2, Changed: 3, Missing: 4})
	require.NoError(t, err)
	require.JSONEq(t, `{"version":1,"name":"n","how":"copy","begun":"2026-11-23T05:30:00Z","ended":"2026-11-23T05:30:01Z",
		"comment":"c","volumes":["blog"],"files":1,"bytes":2,"changed":3,"missing":4}`, string(data))
}

func TestAnExportThatIsAwayGetsNoSnapshots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "export")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "blog"), 0o755))
	e := openEmbedded(t, dir)
	_, err := e.Create(t.Context(), "n", "", nil, nil)
	require.ErrorIs(t, err, fs.ErrNotExist, "an export that berth has not prepared is not filled")
	require.NoDirExists(t, filepath.Join(dir, ".snapshot"))
}

func TestOneVolumeThatCannotBeCopiedKeepsNoOtherOutOfASnapshot(t *testing.T) {
	for name, spoil := range map[string]struct {
		does   func(t *testing.T, dir string)
		volume string
		reason string
	}{
		"a symlink meanwhile": {func(t *testing.T, dir string) {
			require.NoError(t, os.RemoveAll(filepath.Join(dir, "shop")))
			require.NoError(t, os.Symlink("blog", filepath.Join(dir, "shop")))
		}, "shop", `volume "shop" is a symlink now`},
		"another directory meanwhile": {func(t *testing.T, dir string) {
			require.NoError(t, os.Rename(filepath.Join(dir, "blog"), filepath.Join(dir, ".berth/gone")))
			require.NoError(t, os.Mkdir(filepath.Join(dir, "blog"), 0o755))
		}, "blog", "removed or restored while it was copied"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			e := embeddedExport(t, dir)
			e.native = false
			once := sync.Once{}
			spoiling := func(tree.Progress) { once.Do(func() { spoil.does(t, dir) }) }
			m, err := e.Create(t.Context(), "s", "", nil, spoiling)
			require.NoError(t, err)
			require.Len(t, m.Failed, 1)
			require.Equal(t, spoil.volume, m.Failed[0].Volume)
			require.Contains(t, m.Failed[0].Reason, spoil.reason)
			require.Len(t, m.Volumes, 1)
			require.NotContains(t, m.Volumes, spoil.volume)
			require.NoDirExists(t, filepath.Join(dir, ".snapshot/s", spoil.volume))
			require.NoFileExists(t, filepath.Join(dir, ".snapshot/s/.berth/volumes", spoil.volume+".json"))
			list, err := e.List(t.Context())
			require.NoError(t, err)
			require.Contains(t, list[0].Comment, "without "+spoil.volume)
			require.Contains(t, embeddedFile(t, dir, ".snapshot/s/.berth/snapshots/s.json"), `"failed":[{"volume":"`+spoil.volume)

			dir = t.TempDir()
			e = embeddedExport(t, dir)
			e.native, once = false, sync.Once{}
			_, err = e.Create(t.Context(), "s", "", []string{"blog", "shop"}, spoiling)
			require.ErrorContains(t, err, spoil.reason, "one that is named has to be in it")
			require.NoDirExists(t, filepath.Join(dir, ".snapshot/s"))
		})
	}
}

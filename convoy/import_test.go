package convoy

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs"
	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
	"github.com/casit/berth/volume"
)

var ctx = context.Background()

var update = flag.Bool("update", false, "rewrite testdata")

// shareOn is a directory as Convoy leaves it.
type shareOn struct {
	*testing.T
	dir string
}

func newShare(t *testing.T) shareOn { return shareOn{t, t.TempDir()} }

// file puts a file on the share.
func (s shareOn) file(name, content string) {
	s.Helper()
	name = filepath.Join(s.dir, name)
	require.NoError(s, os.MkdirAll(filepath.Dir(name), 0o700))
	require.NoError(s, os.WriteFile(name, []byte(content), 0o644))
}

// record puts Convoy's record of a volume there, changed by replacements.
func (s shareOn) record(name string, replace ...string) {
	s.Helper()
	text := `{"Name":"NAME","Size":0,"Path":"/mnt/nfs/NAME","MountPoint":"","PrepareForVM":false,"CreatedTime":"Sun Nov 22 17:46:33 +0000 2026","Snapshots":{}}` + "\n"
	text = strings.NewReplacer(replace...).Replace(text)
	s.file("config/vfs_volume_"+name+".json", strings.ReplaceAll(text, "NAME", name))
}

// volume is a record and its data.
func (s shareOn) volume(name string, files ...string) {
	s.Helper()
	s.record(name)
	require.NoError(s, os.MkdirAll(filepath.Join(s.dir, name), 0o700))
	for _, f := range files {
		s.file(name+"/"+f, f)
	}
}

// store is berth on one node.
func (s shareOn) store(node string) *volume.Store {
	s.Helper()
	st := volume.New(volume.Config{URL: "file://" + s.dir, Node: node, Boot: "boot",
		Open: func(ctx context.Context) (tree.FS, error) { return tree.OpenLocal(ctx, s.dir) }})
	s.Cleanup(func() { st.Close() })
	return st
}

// hash is everything outside .berth: names, modes, times, contents.
func (s shareOn) hash() string {
	s.Helper()
	sum := sha256.New()
	require.NoError(s, filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		require.NoError(s, err)
		if d.Name() == ".berth" {
			return fs.SkipDir
		}
		info, err := d.Info()
		require.NoError(s, err)
		if p != s.dir { // whose own time tells of .berth
			fmt.Fprintln(sum, p, info.Mode(), info.Size(), info.ModTime())
		}
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(p)
			require.NoError(s, err)
			sum.Write(data)
		}
		return nil
	}))
	return fmt.Sprintf("%x", sum.Sum(nil))
}

// lines is a report as "VOLUME STATE REASON" lines.
func lines(r *Report) string {
	var b strings.Builder
	for _, i := range r.Items {
		fmt.Fprintln(&b, strings.TrimSpace(fmt.Sprintf("%s %s %s", i.Volume, i.State, i.Reason)))
		for _, n := range i.Notes {
			fmt.Fprintln(&b, "  "+n)
		}
	}
	return b.String()
}

func TestImportAndUndoLeaveConvoysFilesAlone(t *testing.T) {
	s := newShare(t)
	s.volume("shop_wp", "index.php")
	s.volume("shop_db", "ibdata1")
	s.volume("a")
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "gone"), 0o700))
	st, other := s.store("n1"), s.store("n2")
	before := s.hash()

	dry, err := Import(ctx, st, Options{DryRun: true, Adopt: true})
	require.NoError(t, err)
	require.Equal(t, "a imported\nshop_db imported\nshop_wp imported\ngone adopted\n", lines(dry))
	require.Empty(t, names(t, s.dir+"/.berth/volumes"), "a dry run writes nothing")

	r, err := Import(ctx, st, Options{})
	require.NoError(t, err)
	require.Equal(t, "a imported\nshop_db imported\nshop_wp imported\ngone orphan\n", lines(r))
	require.Equal(t, []int{3, 1, 1, 0}, []int{r.Volumes, r.Databases, r.Orphans, r.Broken})
	seen, err := other.Get(ctx, "shop_wp")
	require.NoError(t, err)
	require.Equal(t, "2026-11-22T17:46:33Z", seen.Created.Format("2006-01-02T15:04:05Z07:00"), "seen on every node")
	require.Equal(t, Origin, seen.Origin)
	require.False(t, seen.Adopted)
	require.Equal(t, before, s.hash())

	r, err = Import(ctx, other, Options{Adopt: true})
	require.NoError(t, err, "it may be repeated, on any node")
	require.Equal(t, "a already\nshop_db already\nshop_wp already\ngone adopted\n", lines(r))
	r, err = Import(ctx, other, Options{})
	require.NoError(t, err)
	require.Equal(t, []int{4, 1, 0, 0}, []int{r.Volumes, r.Databases, r.Orphans, r.Broken}, "adopted, it is a volume like the others")

	require.NoError(t, other.Set(ctx, "shop_db", map[string]string{"access": "single"}))
	r, err = Undo(ctx, st, true)
	require.NoError(t, err)
	require.Equal(t, "a undone\ngone undone\nshop_wp undone\n", strings.Split(lines(r), "shop_db")[0])
	require.Len(t, names(t, s.dir+"/.berth/volumes"), 4)

	r, err = Undo(ctx, st, false)
	require.NoError(t, err)
	require.Contains(t, lines(r), "shop_db kept the options of volume \"shop_db\" were set since: access=single; to take it back too, type 'berth volume set shop_db access=' first")
	require.Equal(t, []string{"shop_db.json"}, names(t, s.dir+"/.berth/volumes"))
	require.Len(t, names(t, s.dir+"/.berth/trash"), 3, "renamed, not deleted")
	require.FileExists(t, filepath.Join(s.dir, r.Items[0].Aside))

	require.NoError(t, st.Set(ctx, "shop_db", map[string]string{"access": ""}))
	r, err = Undo(ctx, st, false)
	require.NoError(t, err)
	require.Equal(t, "shop_db undone\n", lines(r))
	r, err = Undo(ctx, st, false)
	require.NoError(t, err)
	require.Empty(t, r.Items)
	require.Equal(t, before, s.hash())

	r, err = Import(ctx, st, Options{})
	require.NoError(t, err)
	require.Equal(t, 3, r.Volumes, "and again")
	audit, err := st.Audit.Read(ctx, "", seen.Created)
	require.NoError(t, err)
	require.Equal(t, "import", audit[0].Op)
	require.Equal(t, "3 of Convoy's volumes", audit[0].Detail)
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	list, err := os.ReadDir(dir)
	require.NoError(t, err)
	var out []string
	for _, e := range list {
		out = append(out, e.Name())
	}
	return out
}

// Everything that a share may have, once.
func TestImportOfAShareWithHistory(t *testing.T) {
	s := newShare(t)
	s.volume("good", "page")
	s.volume("berths")
	s.volume("meta_torn")
	s.file("config/vfs_volume_good2.json", `{"Name":"renamed-by-hand","Path":"/exports/old/good2","CreatedTime":"2026-11-22","Snapshots":null}`)
	s.file("good2/page", "x")
	s.volume("vm")
	s.record("vm", "false", "true")
	s.file("vm/disk.img", "")
	s.volume("Good")
	s.volume("empty")
	s.file("config/vfs_volume_empty.json", "")
	s.volume("torn")
	s.file("config/vfs_volume_torn.json", `{"Name":"to`)
	s.file("config/vfs_volume_foreign.json", `{"id":7}`)
	s.record("missing")
	s.record("copied", "/mnt/nfs/NAME", "/mnt/nfs/good")
	s.record("a_first", "/mnt/nfs/NAME", "/mnt/nfs/good")
	s.record("linked")
	require.NoError(t, os.Symlink("good", filepath.Join(s.dir, "linked")))
	s.record("config")
	require.NoError(t, os.Mkdir(filepath.Join(s.dir, "config/vfs_volume_adir.json"), 0o700))
	require.NoError(t, os.Symlink("/etc/hostname", filepath.Join(s.dir, "config/vfs_volume_alink.json")))
	s.file("config/vfs_volume_huge.json", strings.Repeat(" ", maxRecord+1))
	s.file("config/vfs_volume_good.json.tmp", "half")
	s.file("config/vfs_volume_lost.json.tmp", "half")
	s.file("config/vfs_volume_good.json.lock", "")
	s.file("config/.nfs0001", "")
	s.file("config/notes.txt", "")
	s.file("good.tmp/page", "x")
	s.file(".snapshot/hourly.0/good/page", "x")
	s.file("lost/page", "x")
	s.file("with space/page", "x")
	s.file("plainfile", "x")
	before := s.hash()
	st := s.store("n1")
	require.NoError(t, st.Create(ctx, "own", nil))
	require.NoError(t, st.Set(ctx, "berths", map[string]string{"on-remove": "retain"}))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, ".berth/volumes/meta_torn.json"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(s.dir, ".berth/volumes/own.json"), []byte("{"), 0o600))

	r, err := Import(ctx, st, Options{})
	require.NoError(t, err)
	got := lines(r)
	if golden := "testdata/history"; *update {
		require.NoError(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile("testdata/history")
	require.NoError(t, err)
	require.Equal(t, string(want), got)
	require.Equal(t, []string{"Good.json", "berths.json", "good.json", "good2.json", "meta_torn.json", "own.json", "vm.json"}, names(t, s.dir+"/.berth/volumes"))
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "own")))
	require.Equal(t, before, s.hash())
}

func TestNothingOfConvoysIsSaidSo(t *testing.T) {
	s := newShare(t)
	s.file("blog/page", "x")
	_, err := Import(ctx, s.store("n1"), Options{})
	require.ErrorContains(t, err, "there is no config/vfs_volume_*.json on the export")
	require.ErrorContains(t, err, "vfs.path")
	s.file("config/app.yml", "")
	_, err = Import(ctx, s.store("n2"), Options{})
	require.ErrorContains(t, err, "there is no config/vfs_volume_*.json on the export")
}

func TestAnImportedVolumeOutlivesItsRecord(t *testing.T) {
	s := newShare(t)
	s.volume("blog")
	st := s.store("n1")
	_, err := Import(ctx, st, Options{})
	require.NoError(t, err)
	require.NoError(t, os.RemoveAll(filepath.Join(s.dir, "config"))) // as 'docker volume rm' under Convoy does
	r, err := Import(ctx, st, Options{})
	require.NoError(t, err)
	require.Equal(t, "blog already\n", lines(r))
}

func TestDatabasesAreFoundWithoutAWalk(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  string
	}{
		"mariadb":         {[]string{"ibdata1", "shop/orders.ibd"}, "ibdata1"},
		"tables only":     {[]string{"shop/orders.ibd"}, "shop/orders.ibd"},
		"below data":      {[]string{"data/ibdata1"}, "data/ibdata1"},
		"postgres":        {[]string{"PG_VERSION", "base/1/PG_VERSION"}, "PG_VERSION"},
		"below pgdata":    {[]string{"pgdata/PG_VERSION"}, "pgdata/PG_VERSION"},
		"postgres 18":     {[]string{"18/docker/PG_VERSION"}, "18/docker/PG_VERSION"},
		"wordpress":       {[]string{"index.php", "wp-content/uploads/2026/11/ibdata1.txt"}, ""},
		"a copy far down": {[]string{"backup/monday/ibdata1"}, ""},
		"hidden":          {[]string{".trash/ibdata1"}, ""},
		"a directory":     {[]string{"ibdata1/x"}, ""},
		"nothing":         {nil, ""},
	} {
		s := shareOn{t, t.TempDir()}
		for _, f := range c.files {
			s.file("v/"+f, "x")
		}
		require.NoError(t, os.MkdirAll(filepath.Join(s.dir, "v"), 0o700))
		local, err := tree.OpenLocal(ctx, s.dir)
		require.NoError(t, err)
		got, err := findDatabase(ctx, local, "v")
		require.NoError(t, err)
		require.Equal(t, c.want, got, name)
		local.Close()
	}
}

func TestTheSameOverNFS(t *testing.T) {
	server := nfstest.New(t)
	target, err := nfs.ParseTarget(server.URL("/"))
	require.NoError(t, err)
	open := func(ctx context.Context) (tree.FS, error) { return tree.OpenWire(ctx, target, nil) }
	fsys, err := open(ctx)
	require.NoError(t, err)
	defer fsys.Close()
	for _, dir := range []string{"config", "shop_wp", "shop_db", "shop_db/pgdata", "gone"} {
		require.NoError(t, fsys.Mkdir(ctx, dir, tree.SetAttr{}))
	}
	treetest.Write(t, fsys, "config/vfs_volume_shop_wp.json", live)
	treetest.Write(t, fsys, "config/vfs_volume_shop_db.json", strings.ReplaceAll(live, "shop_wp", "shop_db"))
	treetest.Write(t, fsys, "config/vfs_volume_torn.json", live[:50])
	treetest.Write(t, fsys, "shop_db/pgdata/PG_VERSION", "17")
	st := volume.New(volume.Config{URL: server.URL("/"), Node: "n1", Boot: "boot", Open: open})
	defer st.Close()
	r, err := Import(ctx, st, Options{})
	require.NoError(t, err)
	require.Equal(t, "shop_db imported\nshop_wp imported\ngone orphan\ntorn broken config/vfs_volume_torn.json is not readable: unexpected end of JSON input\n", lines(r))
	require.Equal(t, "pgdata/PG_VERSION", r.Items[0].Database)
	require.Equal(t, live, treetest.Read(t, fsys, "config/vfs_volume_shop_wp.json"))
	r, err = Undo(ctx, st, false)
	require.NoError(t, err)
	require.Equal(t, "shop_db undone\nshop_wp undone\n", lines(r))
}

func TestTwoNodesImportAtOnce(t *testing.T) {
	s := newShare(t)
	for i := range 100 {
		s.volume(fmt.Sprintf("site%03d", i), "page")
	}
	before := s.hash()
	reports := make([]*Report, 2)
	var both sync.WaitGroup
	for n := range reports {
		st := s.store(fmt.Sprint("n", n))
		both.Go(func() {
			r, err := Import(ctx, st, Options{})
			require.NoError(t, err)
			reports[n] = r
		})
	}
	both.Wait()
	imported := 0
	for _, r := range reports {
		require.Equal(t, []int{100, 0, 0, 0}, []int{r.Volumes, r.Databases, r.Orphans, r.Broken})
		for _, i := range r.Items {
			if i.State == Imported {
				imported++
			}
		}
	}
	require.Equal(t, 100, imported, "each was imported once")
	require.Len(t, names(t, s.dir+"/.berth/volumes"), 100)
	locks, err := s.store("n3").Operations(ctx, "")
	require.NoError(t, err)
	require.Empty(t, locks)
	require.Empty(t, names(t, s.dir+"/.berth/staging"))
	require.Equal(t, before, s.hash())
}

package tamper

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/plugin"
	"github.com/casit/berth/snapshot"
	"github.com/casit/berth/snapshot/compare"
	"github.com/casit/berth/snapshot/reference"
)

func TestMain(m *testing.M) {
	code := m.Run()
	Clean()
	os.Exit(code)
}

// export is one kind of export, and how its snapshots are made.
type export struct {
	dir      string // as the server has it
	url      string // BERTH_EXPORT, "" for the directory
	features Features
	oracle   Oracle
	take     func(b *Berth, name string)
	// edited tells a server that its directories were changed behind its back:
	// nfs-ganesha knows that by their times only, which edits put back.
	edited func()
}

// story is a volume on an export, a version of it, and what is done to it.
type story struct {
	t *testing.T
	*Berth
	export
	live, version, saved string
	base                 Tree // of the version
}

// tellStory makes a site, a version of it and batches of edits. Each batch has
// to be found, brought back, undone and done again.
func tellStory(t *testing.T, x export) {
	x.oracle.Need(t)
	s := &story{t: t, export: x, saved: filepath.Join(t.TempDir(), "saved")}
	s.Berth = Serve(t, x.dir, x.url)
	s.live, s.version = s.Create("site"), filepath.Join(x.dir, ".snapshot/s/site")
	require.NoError(t, Site(s.live, 1, x.features))
	s.take(s.Berth, "s")
	s.same(s.live, s.version)
	var err error
	s.base, err = Walk(s.version)
	require.NoError(t, err)
	s.nothing()
	edits := 0
	for i := range batches {
		seed := uint64(i)
		made, err := Batch(s.live, s.base, seed, perBatch, x.features)
		require.NoError(t, err)
		edits += len(made)
		if s.export.edited != nil {
			s.export.edited()
		}
		edited, err := Walk(s.live)
		require.NoError(t, err)
		want := Compare(s.base, edited)
		if !s.isFound(seed, want, edited) {
			return
		}
		if i < 2 {
			s.betweenVersions(i, want)
		}
		s.comesBack(i, want, edited)
	}
	require.Equal(t, batches*perBatch, edits)
}

// same requires that two trees are the same, by programs that know nothing of
// berth.
func (s *story) same(want, got string) {
	s.t.Helper()
	wrong, err := s.oracle.Unlike(want, got)
	require.NoError(s.t, err)
	s.none(wrong, "%s is not what %s is", got, want)
}

// none requires that a list of what is wrong is empty.
func (s *story) none(wrong []string, format string, args ...any) {
	s.t.Helper()
	if len(wrong) > 0 {
		s.t.Fatalf(format+":\n%s", append(args, first(wrong))...)
	}
}

func first(list []string) string { return strings.Join(list[:min(len(list), 30)], "\n") }

// isFound asks everything that tells what has changed.
func (s *story) isFound(seed uint64, want Difference, edited Tree) bool {
	s.t.Helper()
	changes, total := s.Diff("site@s")
	wrong := want.Check(namesOf(changes))
	if len(wrong) > 0 {
		s.t.Errorf("batch %d: diff is wrong about %d names:\n%s", seed, len(wrong), first(wrong))
		return false
	}
	require.EqualValues(s.t, len(changes), total.Added+total.Removed+total.Modified+total.Updated, "the sum of diff")

	var listings []snapshot.Listing
	require.NoError(s.t, json.Unmarshal([]byte(s.Run("snapshot", "ls", "site", "--changes", "--json")), &listings))
	versions := listings[0].Versions
	i := slices.IndexFunc(versions, func(v snapshot.Version) bool { return v.Name == "s" })
	require.Equal(s.t, total, *versions[i].Live, "ls --changes counts what diff lists")

	for _, name := range want.Paths {
		if was, is := s.base[name], edited[name]; was.Kind == 0 || is.Kind == 0 || is.Kind == 'd' {
			continue
		}
		for _, v := range s.versions(name) {
			if v.Live && slices.ContainsFunc(v.Snapshots, func(v reference.Snapshot) bool { return v.Name == "s" }) {
				s.t.Errorf("batch %d: versions says that %q is the same since s: %s", seed, name, fields(s.base[name], edited[name]))
			}
		}
	}
	return true
}

// betweenVersions makes a version of the edited tree, and compares the two: for
// the second time by what was kept.
func (s *story) betweenVersions(i int, want Difference) {
	s.t.Helper()
	name := fmt.Sprintf("e%d", i)
	s.take(s.Berth, name)
	for range 2 {
		changes, _ := s.Diff("site@s", "site@"+name)
		s.none(want.Check(namesOf(changes)), "a diff of two versions is wrong")
		changes, _ = s.Diff("site@" + name)
		require.Empty(s.t, changes, "nothing has changed since")
	}
	require.Equal(s.t, 6, s.Try("snapshot", "restore", "site@"+name, "--yes").Code)
}

func namesOf(changes []compare.Change) (names []string) {
	for _, c := range changes {
		names = append(names, c.Name())
	}
	return names
}

// versions is what `berth versions --json` says of a path. The command line
// is asked for names that JSON cannot carry, the plugin itself for others,
// which is ten times faster.
func (s *story) versions(name string) (out []snapshot.FileVersion) {
	s.t.Helper()
	if !utf8.ValidString(name) {
		require.NoError(s.t, json.Unmarshal([]byte(s.Run("versions", "site:"+name, "--json")), &out))
		return out
	}
	body, err := json.Marshal(snapshot.FileRequest{Ref: "site:" + name})
	require.NoError(s.t, err)
	var answer struct {
		plugin.FileVersions
		Err string
	}
	require.NoError(s.t, s.Ask("Berth.SnapshotFiles", string(body), &answer))
	require.Empty(s.t, answer.Err, "%q", name)
	require.NotEmpty(s.t, answer.Versions)
	return answer.Versions
}

// comesBack restores the volume, by one engine after the other, and undoes and
// does that again.
func (s *story) comesBack(i int, want Difference, edited Tree) {
	s.t.Helper()
	require.NoError(s.t, os.RemoveAll(s.saved))
	run(s.t, "cp", "-a", s.live, s.saved)
	if i == 2 {
		s.files(want)
	}
	var live []string
	if i%2 == 1 {
		live = []string{"--live"}
	}
	s.Run(append([]string{"snapshot", "restore", "site@s", "--yes", "-q"}, live...)...)
	s.same(s.version, s.live)
	s.nothing()
	if i < 2 || i == 3 || i == 4 {
		s.Run(append([]string{"undo", "site", "--yes", "-q"}, live...)...)
		s.same(s.saved, s.live)
		s.walksAs(edited, "an undo brings everything back")
		s.Run(append([]string{"undo", "site", "--yes", "-q"}, live...)...)
		s.walksAs(s.base, "an undo of the undo is a redo")
	}
	s.proves(i)
}

// walksAs requires that the volume is exactly a tree, by this package's own walk.
func (s *story) walksAs(want Tree, what string) {
	s.t.Helper()
	now, err := Walk(s.live)
	require.NoError(s.t, err)
	s.none(Unlike(want, now, s.oracle.LaxLinkTimes), "%s", what)
}

// files brings some files back one by one.
func (s *story) files(want Difference) {
	s.t.Helper()
	n := 0
	for _, name := range want.Paths {
		was := s.base[name]
		if was.Kind != '-' || was.Links != "" || s.base[path.Dir(name)].Kind != 'd' {
			continue
		}
		if _, err := os.Lstat(filepath.Join(s.live, path.Dir(name))); err != nil {
			continue // its directory was renamed
		}
		s.Run("snapshot", "restore", "site@s:"+name, "--yes", "-q")
		now, err := walkBelow(s.live, name)
		require.NoError(s.t, err)
		s.none(Unlike(Tree{name: was}, now, false), "one file comes back")
		if n++; n == 8 {
			return
		}
	}
}

// nothing requires that nothing is to be done.
func (s *story) nothing() {
	s.t.Helper()
	a := s.Try("snapshot", "restore", "site@s", "--yes")
	require.Equal(s.t, 6, a.Code, "%s%s", a.Stdout, a.Stderr)
	require.Contains(s.t, a.Stderr, "nothing to do")
}

// proves requires that this is known and not assumed: one byte is enough.
func (s *story) proves(i int) {
	s.t.Helper()
	name := fmt.Sprintf("wp-content/plugins/p%d%c/class-%d.php", i%10, 'a'+i%2, i%5)
	e, full := s.base[name], filepath.Join(s.live, name)
	require.NoError(s.t, write(full, e.Size/2, flip, 1))
	require.NoError(s.t, setTime(full, e.Mtime))
	if i%2 == 0 {
		s.Run("snapshot", "restore", "site@s:"+name, "--yes", "-q")
		// A file that is brought back is a change of its directory.
		require.NoError(s.t, setTime(filepath.Dir(full), s.base[path.Dir(name)].Mtime))
	} else {
		s.Run("snapshot", "restore", "site@s", "--live", "--yes", "-q")
	}
	s.walksAs(s.base, "a byte comes back")
	if i%3 == 2 {
		s.emptyTrash()
	}
}

// emptyTrash makes room.
func (s *story) emptyTrash() {
	s.t.Helper()
	if ids := strings.Fields(s.Run("trash", "ls", "-q")); len(ids) > 0 {
		s.Run(append([]string{"trash", "purge", "--yes", "-q"}, ids...)...)
	}
}

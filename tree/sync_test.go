package tree_test

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/nfs/nfstest"
	"github.com/casit/berth/tree"
	"github.com/casit/berth/tree/treetest"
)

// forest is a tree as a literal: what each path is. "dir"; "text hello";
// "sparse 1000000"; "link ../target"; "fifo"; "null"; "same a/b" for one more
// name of a file. " @4755:33:34" behind it is mode, uid and gid. The mtime comes
// of the path and the words, so that what reads the same is the same.
type forest map[string]string

// plantForest makes a tree.
func plantForest(t testing.TB, f tree.FS, root string, what forest) {
	t.Helper()
	if l, ok := f.(*tree.Local); ok {
		f = l.Deferred() // a test needs no stable storage
	}
	what = maps.Clone(what)
	if what["."] == "" {
		what["."] = "dir"
	}
	require.NoError(t, f.Mkdir(ctx, root, tree.SetAttr{Mode: ptr[uint32](0o755)}))
	names := slices.Sorted(maps.Keys(what))
	for pass := range 2 { // first names before further ones
		for _, name := range names {
			if is := strings.HasPrefix(what[name], "same "); name != "." && is == (pass == 1) {
				plantOne(t, f, root, name, what[name])
			}
		}
	}
	for _, name := range slices.Backward(names) { // entries change times
		if strings.HasPrefix(what[name], "dir") {
			require.NoError(t, f.SetAttr(ctx, path.Join(root, name), attrsOf(name, what[name])))
		}
	}
}

// attrsOf is what a name's words say of its attributes.
func attrsOf(name, words string) tree.SetAttr {
	var mode, uid, gid uint32 = 0o644, 0, 0
	if _, at, ok := strings.Cut(words, " @"); ok {
		_, err := fmt.Sscanf(at, "%o:%d:%d", &mode, &uid, &gid)
		if err != nil {
			panic(err)
		}
	} else if strings.HasPrefix(words, "dir") {
		mode = 0o755
	}
	words, _, _ = strings.Cut(words, " @")
	when := time.Unix(1_500_000_000+int64(crc32.ChecksumIEEE([]byte(name+words))%1_000_000), 123_456_789)
	return tree.SetAttr{Mode: &mode, UID: &uid, GID: &gid, Mtime: &when}
}

func plantOne(t testing.TB, f tree.FS, root, name, words string) {
	t.Helper()
	at, set := path.Join(root, name), attrsOf(name, words)
	bare, _, _ := strings.Cut(words, " @")
	kind, rest, _ := strings.Cut(bare, " ")
	switch kind {
	case "dir":
		require.NoError(t, f.Mkdir(ctx, at, tree.SetAttr{Mode: ptr[uint32](0o755)}))
	case "text", "sparse":
		file, err := f.Create(ctx, at, tree.SetAttr{Mode: ptr[uint32](0o600)})
		require.NoError(t, err)
		off := int64(0)
		if kind == "sparse" {
			_, err := fmt.Sscan(rest, &off)
			require.NoError(t, err)
		}
		if rest != "" {
			_, err = file.WriteAt(ctx, []byte(rest), off)
			require.NoError(t, err)
		}
		require.NoError(t, file.SetAttr(ctx, set))
		require.NoError(t, file.Close())
	case "link":
		require.NoError(t, f.Symlink(ctx, rest, at, set))
	case "fifo":
		require.NoError(t, f.Mknod(ctx, at, tree.FIFO, 0, 0, set))
	case "null":
		require.NoError(t, f.Mknod(ctx, at, tree.CharDevice, 1, 3, set))
	case "same":
		require.NoError(t, f.Link(ctx, path.Join(root, rest), at))
	default:
		t.Fatalf("%s: %s", name, words)
	}
}

// seen is what a path was found to be, by listing and reading alone.
type seen struct {
	Kind    tree.Kind
	Content string // of a file, or a symlink's target
	Attrs   string // mode, owner, mtime as far as it counts
	Used    bool   // it has no holes
	First   string // the first name of the same file, by name
}

// look describes a tree.
func look(t testing.TB, f tree.FS, root string) map[string]seen {
	t.Helper()
	all := map[string]seen{}
	ids := map[string][]string{}
	var walk func(name string)
	walk = func(name string) {
		a, err := f.Stat(ctx, path.Join(root, name))
		require.NoError(t, err)
		s := seen{Kind: a.Kind}
		s.Attrs = fmt.Sprintf("%o %d:%d", a.Mode, a.UID, a.GID)
		switch a.Kind {
		case tree.Symlink:
			s.Content, err = f.Readlink(ctx, path.Join(root, name))
			require.NoError(t, err)
			s.Attrs = fmt.Sprintf("%d:%d", a.UID, a.GID)
		case tree.Regular:
			s.Content = treetest.Read(t, f, path.Join(root, name))
			s.Used = a.Used >= a.Size
			s.Attrs += " " + a.Mtime.String()
		case tree.Directory:
			s.Attrs += " " + a.Mtime.String()
			for _, base := range treetest.Names(t, f, path.Join(root, name)) {
				if base != busyName {
					walk(path.Join(name, base))
				}
			}
		default:
			s.Content = fmt.Sprint(a.Major, a.Minor)
		}
		all[name] = s
		if a.Kind != tree.Directory {
			id := fmt.Sprint(a.Device, a.FileID)
			ids[id] = append(ids[id], name)
		}
	}
	walk(".")
	for _, names := range ids {
		for _, name := range names {
			s := all[name]
			s.First = slices.Min(names)
			all[name] = s
		}
	}
	return all
}

const busyName = ".nfs00000000004c11e20000002a"

// onEach runs a test on a local directory and on the wire.
func onEach(t *testing.T, test func(t *testing.T, f tree.FS)) {
	needRoot(t)
	t.Run("local", func(t *testing.T) { test(t, open(t, t.TempDir())) })
	t.Run("wire", func(t *testing.T) { test(t, openWire(t, nfstest.New(t))) })
}

var workplace = tree.SyncOptions{Staging: "staging", Trash: "trash"}

// prepare makes the two trees, and where Sync works.
func prepare(t testing.TB, f tree.FS, live, snap forest) {
	t.Helper()
	for _, dir := range []string{workplace.Staging, workplace.Trash} {
		require.NoError(t, f.Mkdir(ctx, dir, tree.SetAttr{Mode: ptr[uint32](0o700)}))
	}
	plantForest(t, f, "live", live)
	plantForest(t, f, "snap", snap)
}

// requireUndoable checks that the trash has all that is not any more what it
// was, but for attributes set in place.
func requireUndoable(t testing.TB, f tree.FS, was, is map[string]seen) {
	t.Helper()
	trash := look(t, f, "trash")
	for name, old := range was {
		now, there := is[name]
		if there && now.Kind == old.Kind && (old.Kind == tree.Directory || now.Content == old.Content) {
			continue
		}
		kept, ok := trash[name]
		require.True(t, ok, "%q is not in the trash", name)
		require.Equal(t, []string{old.Kind.String(), old.Content, old.Attrs}, []string{kept.Kind.String(), kept.Content, kept.Attrs}, "%q in the trash", name)
	}
}

// hardCases are trees as they are and as they shall be.
var hardCases = map[string]struct{ live, snap forest }{
	"content": {
		forest{"a": "text old", "b": "text same", "c": "text old and longer @640:1:2", "d": "dir", "d/e": "text old", "empty": "text"},
		forest{"a": "text new", "b": "text same", "c": "text new @6755:33:34", "d": "dir", "d/e": "text " + strings.Repeat("large", 70_000), "empty": "text", "none": "text", "x": "text x"},
	},
	"attributes": {
		forest{".": "dir @700:5:6", "a": "text same @600:1:1", "d": "dir @755:0:0", "d/e": "text same @4755:0:0", "l": "link to @777:1:1", "p": "fifo @600:0:0", "s": "same a"},
		forest{".": "dir @2775:0:7", "a": "text same @4711:2:2", "d": "dir @1777:9:9", "d/e": "text same", "l": "link to @777:2:2", "p": "fifo @666:1:1", "s": "same a"},
	},
	"directories": {
		forest{"gone": "dir @700:3:3", "gone/a": "text a", "gone/deep": "dir", "gone/deep/b": "text b", "d": "dir", "d/gone": "text x", "e": "dir"},
		forest{"new": "dir @2750:3:3", "new/a": "text a", "new/deep": "dir @1755:1:1", "new/deep/b": "text b", "new/deep/l": "link b", "new/none": "dir", "d": "dir", "d/e": "dir", "d/e/f": "text f", "e": "dir"},
	},
	"kinds": {
		forest{"fd": "text file", "df": "dir", "df/a": "text a", "fl": "text file", "lf": "link to", "dl": "dir", "dl/x": "dir", "dl/x/y": "text y", "ld": "link to", "pf": "fifo", "fp": "text f", "lp": "link to", "pd": "fifo"},
		forest{"fd": "dir", "fd/a": "text a", "df": "text file", "fl": "link to", "lf": "text file", "dl": "link to", "ld": "dir @700:1:1", "ld/y": "text y", "pf": "text f", "fp": "fifo", "lp": "null @666:1:1", "pd": "dir"},
	},
	"symlinks": {
		forest{"same": "link to", "other": "link to/a", "size": "link to", "abs": "link /etc/passwd"},
		forest{"same": "link to", "other": "link to/b", "size": "link to/other", "abs": "link /etc/passwd", "up": "link ../../.."},
	},
	"links merged": {
		forest{"a": "text same", "b": "text same", "c": "text old", "d": "dir"},
		forest{"a": "text same", "b": "same a", "c": "same a", "d": "dir", "d/e": "same a", "new": "dir", "new/f": "same a", "new/g": "text g", "new/h": "same new/g", "p": "fifo", "q": "same p"},
	},
	"links split": {
		forest{"a": "text same", "b": "same a", "c": "same a", "d": "dir", "d/x": "text x", "d/y": "same d/x", "e": "text e", "f": "same e"},
		forest{"a": "text same", "b": "text same", "c": "text new", "d": "dir", "d/x": "text x", "e": "text e"},
	},
	"links regrouped": {
		forest{"a": "text 1", "b": "same a", "c": "text 2", "d": "same c", "k": "text k", "l": "same k"},
		forest{"a": "text 1", "c": "same a", "b": "text 2", "d": "same b", "k": "text k", "l": "same k"},
	},
	"odd names": {
		forest{"new\nline": "text old", "bad\xff\xfe": "dir", "bad\xff\xfe/\x01": "text old", strings.Repeat("x", 255): "text old", " ": "text gone", "-rf": "dir", "..a": "text a", strings.Repeat("y", 255): "dir"},
		forest{"new\nline": "text new", "bad\xff\xfe": "dir", "bad\xff\xfe/\x01": "text new", "bad\xff\xfe/\xfd": "text", strings.Repeat("x", 255): "text new", "-rf": "dir", "-rf/~": "text", "..a": "text b", strings.Repeat("y", 255): "text y", ".snapshots": "dir"},
	},
	"holes": {
		forest{"a": "sparse 500000", "b": "text small"},
		forest{"a": "sparse 800000", "b": "sparse 300000", "c": "dir", "c/d": "sparse 900000"},
	},
	"nothing": {forest{"a": "text a", "d": "dir", "d/b": "text b"}, forest{}},
	"all new": {forest{}, forest{"a": "text a", "d": "dir", "d/b": "text b", "d/c": "same a"}},
}

// withOthers adds what is no part of a tree, where there is such a thing: an NFS
// client's.
func withOthers(f tree.FS, what forest, content string) forest {
	what = maps.Clone(what)
	if _, local := f.(*tree.Local); !local {
		what[busyName] = "text " + content
	}
	return what
}

func TestSyncMakesTreesEqual(t *testing.T) {
	for name, c := range hardCases {
		for _, checksum := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, checksum %t", name, checksum), func(t *testing.T) {
				onEach(t, func(t *testing.T, f tree.FS) {
					prepare(t, f, withOthers(f, c.live, "live"), withOthers(f, c.snap, "snap"))
					opts := workplace
					opts.Equality.Checksum = checksum
					was, want := look(t, f, "live"), look(t, f, "snap")
					var last tree.Progress
					stats, err := tree.Sync(ctx, f, "snap", "live", opts, func(p tree.Progress) { last = p })
					require.NoError(t, err)
					require.Equal(t, want, look(t, f, "live"))
					require.Equal(t, want, look(t, f, "snap"), "the source is not touched")
					require.GreaterOrEqual(t, last.Bytes, stats.Bytes, "what was compared counts too")
					last.Bytes = stats.Bytes
					require.Equal(t, stats.Progress, last)
					require.Zero(t, stats.Missing.Total+stats.Vanished.Total+stats.Changed.Total)
					require.Empty(t, treetest.Names(t, f, "staging"))
					if _, local := f.(*tree.Local); !local {
						require.Equal(t, int64(2), stats.Busy)
						require.Equal(t, "live", treetest.Read(t, f, "live/"+busyName))
					}
					requireUndoable(t, f, was, want)

					trash := look(t, f, "trash")
					again, err := tree.Sync(ctx, f, "snap", "live", opts, nil)
					require.NoError(t, err)
					require.Equal(t, stats.Progress.Files, again.Unchanged, "nothing is left to do")
					require.Zero(t, again.Written+again.Made+again.Attributes+again.Trashed+again.Bytes)
					require.Equal(t, want, look(t, f, "live"))
					require.Equal(t, trash, look(t, f, "trash"))
				})
			})
		}
	}
}

func TestSyncCountsWhatItDid(t *testing.T) {
	onEach(t, func(t *testing.T, f tree.FS) {
		prepare(t, f,
			forest{"same": "text same", "changed": "text old", "mode": "text same", "gone": "dir", "gone/a": "text a", "d": "dir @700:0:0", "f": "text f"},
			forest{"same": "text same", "changed": "text newer", "mode": "text same @600:1:1", "new": "dir", "new/a": "text abc", "new/b": "same new/a", "d": "dir", "f": "dir"})
		stats, err := tree.Sync(ctx, f, "snap", "live", workplace, nil)
		require.NoError(t, err)
		require.Equal(t, tree.SyncStats{
			Stats:   tree.Stats{Progress: tree.Progress{Files: 5, Dirs: 4, Bytes: 5 + 3}, Links: 1},
			Written: 3, Made: 2, Attributes: 2, Trashed: 3, Unchanged: 1,
		}, stats)
	})
}

// A live tree is changed by nothing but what differs: calls are few.
func TestSyncCallsPerFile(t *testing.T) {
	s := nfstest.New(t)
	w := openWire(t, s)
	live, snap := forest{}, forest{}
	for d := range 10 {
		dir := fmt.Sprintf("d%d", d)
		live[dir], snap[dir] = "dir", "dir"
		for i := range 20 {
			live[fmt.Sprintf("%s/same%d", dir, i)], snap[fmt.Sprintf("%s/same%d", dir, i)] = "text same", "text same"
		}
	}
	for i := range 100 {
		name := fmt.Sprintf("d%d/f%d", i%10, i)
		live[name], snap[name] = "text old", "text new"
		live[name+".gone"] = "text gone"
		snap[fmt.Sprintf("new%d", i%10)] = "dir"
		snap[fmt.Sprintf("new%d/%d", i%10, i)] = "text new"
	}
	prepare(t, w, live, snap)
	// Which files are equal was found out before.
	opts := workplace
	opts.Equality = tree.Equality{Now: time.Now().Add(time.Hour), Sums: &tree.Sums{}}
	_, err := tree.Compare(ctx, w, "live", "snap", opts.Equality, func(tree.Difference) error { return nil })
	require.NoError(t, err)
	before := s.Calls(nfstest.Any)
	_, err = tree.Sync(ctx, w, "snap", "live", opts, nil)
	require.NoError(t, err)
	// Seven for each file that is replaced, four for each new one, two for each
	// that goes; five for each directory that is there on both sides.
	require.LessOrEqual(t, s.Calls(nfstest.Any)-before, 7*100+4*100+2*100+5*11+5*10+20)
	_, err = tree.Compare(ctx, w, "live", "snap", opts.Equality, func(d tree.Difference) error { return errors.New(d.Path) })
	require.NoError(t, err)
	before = s.Calls(nfstest.Any)
	_, err = tree.Sync(ctx, w, "snap", "live", opts, nil)
	require.NoError(t, err)
	require.LessOrEqual(t, s.Calls(nfstest.Any)-before, 2*21+20, "listings alone")
}

func TestSyncOfOneFile(t *testing.T) {
	for name, c := range map[string]struct{ live, snap string }{
		"changed":             {"text old", "text new @4755:33:34"},
		"the same":            {"text same", "text same"},
		"attributes":          {"text same", "text same @600:1:1"},
		"gone":                {"", "text new"},
		"a symlink now":       {"link to", "text new"},
		"a symlink then":      {"text old", "link to"},
		"a directory now":     {"dir", "text new"},
		"a directory then":    {"text old", "dir"},
		"a FIFO, gone":        {"", "fifo @600:1:1"},
		"a directory, gone":   {"", "dir @2750:1:1"},
		"a link to elsewhere": {"same other", "text new"},
	} {
		t.Run(name, func(t *testing.T) {
			onEach(t, func(t *testing.T, f tree.FS) {
				live := forest{"d": "dir", "d/f": c.live, "d/other": "text other", "other": "text other"}
				if c.live == "" {
					delete(live, "d/f")
				}
				prepare(t, f, live, forest{"d": "dir", "d/f": c.snap, "d/other": "text not asked for"})
				_, err := tree.Sync(ctx, f, "snap/d/f", "live/d/f", workplace, nil)
				require.NoError(t, err)
				got, want := look(t, f, "live"), look(t, f, "snap")
				require.Equal(t, want["d/f"], got["d/f"])
				require.Equal(t, "other", got["d/other"].Content)
				if c.live != "" && c.live != "text same" {
					require.Equal(t, []string{"f"}, treetest.Names(t, f, "trash"))
				} else {
					require.Empty(t, treetest.Names(t, f, "trash"))
				}
				require.Empty(t, treetest.Names(t, f, "staging"))
			})
		})
	}
}

func TestSyncRefusesWhatCannotWork(t *testing.T) {
	onEach(t, func(t *testing.T, f tree.FS) {
		prepare(t, f, forest{"a": "text old", "d": "dir"}, forest{"a": "text new"})
		makeDirs(t, f, "live/.snapshot", "live/.snapshot/x")
		for name, c := range map[string]struct {
			src, dst, staging, trash string
			err                      error
		}{
			"trash in the tree":           {"snap", "live", "staging", "live/d", fs.ErrInvalid},
			"staging is the tree":         {"snap", "live", "live", "trash", fs.ErrInvalid},
			"trash in the source":         {"snap", "live", "staging", "snap/d", fs.ErrInvalid},
			"the export":                  {"snap", ".", "staging", "trash", fs.ErrInvalid},
			"the source in the tree":      {"live/d", "live", "staging", "trash", fs.ErrInvalid},
			"the tree in the source":      {"live", "live/d", "staging", "trash", fs.ErrInvalid},
			"a name that leaves the root": {"../snap", "live", "staging", "trash", fs.ErrInvalid},
			"no trash":                    {"snap", "live", "staging", "none", fs.ErrNotExist},
			"no staging":                  {"snap", "live", "none", "trash", fs.ErrNotExist},
			"no source":                   {"none", "live", "staging", "trash", fs.ErrNotExist},
			"no directory":                {"snap", "none/live", "staging", "trash", fs.ErrNotExist},
		} {
			_, err := tree.Sync(ctx, f, c.src, c.dst, tree.SyncOptions{Staging: c.staging, Trash: c.trash}, nil)
			require.ErrorIs(t, err, c.err, name)
		}
		require.Equal(t, []string{".snapshot", "a", "d"}, treetest.Names(t, f, "live"))
		over, cancel := context.WithCancel(ctx)
		cancel()
		_, err := tree.Sync(over, f, "snap", "live", workplace, nil)
		require.ErrorIs(t, err, context.Canceled)
		_, err = tree.Sync(ctx, f, "live/.snapshot/x", "live", workplace, nil)
		require.ErrorIs(t, err, fs.ErrInvalid, "it would be moved to the trash while it is read")
	})
}

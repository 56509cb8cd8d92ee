package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// typed is a command line, and what it must say: parts of stdout and of stderr,
// "" for nothing at all.
type typed struct {
	line     string // words are separated by blanks
	code     int
	out, err string
}

// requires types each line in turn.
func (s *server) requires(lines []typed) {
	s.t.Helper()
	for _, l := range lines {
		got := s.types(strings.Fields(l.line)...)
		require.Equal(s.t, l.code, got.code, "berth %s: %.500s%.500s", l.line, got.out, got.err)
		for part, said := range map[string]string{l.out: got.out, l.err: got.err} {
			if part == "" {
				continue
			}
			require.Contains(s.t, said, part, "berth %s", l.line)
		}
		if l.out == "" {
			require.Empty(s.t, got.out, "berth %s", l.line)
		}
		if l.err == "" {
			require.Empty(s.t, got.err, "berth %s", l.line)
		}
	}
}

// shop is a server with two volumes of a stack, one beside, and two versions.
func shop(t *testing.T) *server {
	s := serve(t)
	for _, body := range []string{`{"Name":"shop_db","Opts":{"access":"single"}}`, `{"Name":"shop_web","Opts":{"mode":"0750"}}`, `{"Name":"blog"}`} {
		s.docker("Create", body)
	}
	s.write("blog/index.php", "one\n")
	s.write("blog/themes/a/style.css", "body {}\n")
	s.must("snapshot", "create", "--name", "first", "-q")
	s.write("blog/index.php", "two\n")
	s.write("blog/new", "new\n")
	require.NoError(t, os.RemoveAll(filepath.Join(s.export, "blog/themes")))
	s.must("snapshot", "create", "--name", "second", "-q")
	s.write("blog/index.php", "three\n")
	return s
}

func TestAnEmptyExport(t *testing.T) {
	s := serve(t)
	s.requires([]typed{
		{"ls", 0, "VOLUME  CREATED  ACCESS  USED ON  HEALTH\n", ""},
		{"ls -q", 0, "", ""},
		{"ls --json", 0, "[]\n", ""},
		{"ps", 0, "VOLUME  NODE  SERVICE  TASK  SINCE  HEARTBEAT  STATE\n", ""},
		{"ps -q", 0, "", ""},
		{"trash ls", 0, "ID  VOLUME  KIND  REMOVED  BY  EXPIRES\n", ""},
		{"trash ls --json", 0, "[]\n", ""},
		{"trash purge --yes", exitNothing, "", "berth: nothing to purge\nberth: hint: "},
		{"audit", 0, "TIME  NODE  BY  DID  VOLUME  DETAIL\n", ""},
		{"audit --json", 0, "[]\n", ""},
		{"snapshot ls --stack shop", exitNotFound, "", "shop"},
		{"snapshot create", exitNothing, "", "berth: "},
		{"check --max-age 1h", 2, "CRITICAL - the export has no snapshot\n", ""},
		{"df -q --json", 0, `"live_bytes": 0`, ""},
		{"undo blog --yes", exitNothing, "", "nothing to undo for volume blog"},
		{"snapshot restore --resume blog", exitNothing, "", "'berth volume ps' lists what is under way"},
	})
}

func TestVolumesAreListedChangedAndRepaired(t *testing.T) {
	s := shop(t)
	s.requires([]typed{
		{"volume ls -q", 0, "blog\nshop_db\nshop_web\n", ""},
		{"ls --stack shop -q", 0, "shop_db\nshop_web\n", ""},
		{"ls --stack none", 0, "VOLUME  CREATED  ACCESS", ""},
		{"ls --size", 0, "SIZE  DISK", ""},
		{"ls --size --json", 0, `"size_bytes": 10`, ""},
		{"ls more", exitUsage, "", "berth: unknown command \"more\""},
		{"ls --sise", exitUsage, "", "berth: unknown flag: --sise\nberth: hint: 'berth ls --help' shows the flags\n"},
		{"volume inspect blog shop_db", 0, `"access": "single"`, ""},
		{"volume inspect nope", exitNotFound, "", `berth: no volume "nope" on the export`},
		{"volume ps nope", exitNotFound, "", `no volume "nope"`},
		{"volume ps a b", exitUsage, "", "accepts at most 1 arg(s), received 2\nberth: hint: 'berth volume ps --help' shows how"},
		{"volume set blog on-remove=retain", 0, "blog: set\n", ""},
		{"volume set blog on-remove= -q", 0, "blog\n", ""},
		{"volume set blog access=single --json", 0, "{\n  \"done\": \"set\",\n  \"name\": \"blog\"\n}\n", ""},
		{"volume set blog access", exitUsage, "", `"access" is not KEY=VALUE`},
		{"volume set blog access=none", exitUsage, "", "did you mean single?"},
		{"volume set nope access=single", exitNotFound, "", `"nope"`},
		{"volume repair blog --yes", exitNothing, "", "nothing to repair"},
		{"volume takeover blog", exitUsage, "", "--from NODE is missing"},
		{"volume takeover shop_db --from node1 --yes", exitNotFound, "", `"shop_db" is not held by node1, but by nobody`},
		{"volume release blog --yes", exitFailed, "", "whether a container has blog is not known"},
		{"volume release blog --older soon", exitUsage, "", `"soon" is not an age`},
		{"volume", exitUsage, "", "berth: 'berth volume' needs a verb\nberth: hint: 'berth volume --help' lists the verbs\n"},
		{"volume sett blog", exitUsage, "", "did you mean 'berth volume set'?"},
		{"rm blog", exitUsage, "", "berth does not remove volumes"},
	})
	s.write(".berth/volumes/blog.json", "{")
	s.requires([]typed{
		{"ls", 0, "! ", ""},
		{"volume repair blog", exitUsage, "", "Move what is damaged of blog to the trash, and replace broken metadata by default options? Nobody is here to answer"},
		{"volume repair blog --dry-run", 0, "blog: would be repaired; the old metadata would go to ", ""},
		{"volume repair blog --yes", 0, "blog: repaired; the old metadata is in ", ""},
		{"volume inspect blog", 0, `"health": "ok"`, ""},
	})
}

func TestSnapshotsAreMadeListedAndRemoved(t *testing.T) {
	s := shop(t)
	s.requires([]typed{
		{"snapshot ls blog -q", 0, "blog@second\nblog@first\n", ""},
		{"snapshot ls --stack shop -q", 0, "shop_db@second\nshop_db@first\nshop_web@second\nshop_web@first\n", ""},
		{"snapshot ls --stack shop", 0, "VOLUME    SNAPSHOT", "these are copies that berth made on this disk"},
		{"snapshot ls blog --changes", 0, "AGAINST NOW", "copies that berth made"},
		{"snapshot ls blog --json", 0, `"name": "second"`, ""},
		{"snapshot ls", exitUsage, "", "name a volume, or a stack with --stack"},
		{"snapshot ls blog --stack shop", exitUsage, "", "name a volume, or a stack with --stack"},
		{"snapshot ls nope", exitNotFound, "", `no volume "nope", neither on the export nor in a snapshot`},
		{"snapshot create blog --stack shop", exitUsage, "", "--stack and volumes exclude each other"},
		{"snapshot create --name latest", exitUsage, "", "berth: hint: "},
		{"snapshot create --name first", exitInUse, "", "first"},
		{"snapshot create nope", exitNotFound, "", `no volume "nope"`},
		{"snapshot create --stack shop --name third --json", 0, `"name": "third"`, ""},
		{"snapshot create blog --name fourth", 0, "of 1 volume (2 files, 10 B): a plain directory, so no filer's instant\n", ""},
		{"snapshot rm", exitUsage, "", "requires at least 1 arg(s)"},
		{"snapshot rm third", exitUsage, "", "third of "},
		{"snapshot rm third --dry-run", 0, "third: would be removed, the version of 2 volumes\n", ""},
		{"snapshot rm third --yes -q", 0, "third\n", ""},
		{"snapshot rm third --yes", exitNotFound, "", "third"},
		{"snapshot rm blog@first --yes", exitUsage, "", "it cannot be removed from blog alone\nberth: hint: name the snapshot: first\n"},
		{"snapshot rm fourth --yes --json", 0, `"volumes": [`, ""},
		{"snapshot", exitUsage, "", "'berth snapshot' needs a verb"},
		{"check --max-age 1h", 0, "OK - the newest snapshot, second, is ", ""},
		{"check --max-age 1h --warn-age 1ns", 1, "WARNING - the newest snapshot, second", ""},
		{"check --max-age 1ns", 2, "CRITICAL - the newest snapshot, second", ""},
		{"check", 3, "UNKNOWN - --max-age is missing\n", ""},
		{"check --max-age tomorrow", 3, "UNKNOWN - \"tomorrow\" is not an age", ""},
	})
}

func TestVersionsAreComparedAndRead(t *testing.T) {
	s := shop(t)
	s.requires([]typed{
		{"snapshot diff blog@first blog@second -q", 0, "index.php\nnew\nthemes/\n", ""},
		{"snapshot diff blog@first blog@second --name-only --all", 0, "themes/a/style.css\n", ""},
		{"snapshot diff blog@first blog@second", 0, "-  themes/                                   2 names below, 8 B\n", "blog@first (20"},
		{"snapshot diff blog@second --stat", 0, "Added 0 (0 B)  Modified 1  Attributes 0  Removed 0 (0 B)  Unchanged ", "against blog as it is now"},
		{"snapshot diff blog@second --json", 0, `{"kind":"M","path":"index.php"`, ""},
		{"snapshot diff blog@first --content index.php", 0, "--- blog@first:index.php\n+++ blog:index.php\n@@ -1 +1 @@\n-one\n+three\n", ""},
		{"snapshot diff blog@first blog@second --content themes/a/style.css", 0, "@@ -1 +0,0 @@\n-body {}\n", ""},
		{"snapshot diff blog@second --content new", exitNothing, "", "new has the same lines in both versions"},
		{"snapshot diff blog", exitUsage, "", "compare it with what"},
		{"snapshot diff blog@nope", exitNotFound, "", "nope"},
		{"snapshot diff", exitUsage, "", "accepts between 1 and 2 arg(s), received 0"},
		{"versions blog:index.php", 0, "VERSION  MODIFIED", "look at one: berth snapshot cat blog@first:index.php"},
		{"versions blog:index.php -q", 0, "blog@second:index.php\nblog@first:index.php\n", ""},
		{"versions blog:index.php --json", 0, `"live": true`, ""},
		{"versions --deleted blog", 0, "themes", "look at one: berth snapshot cat blog@first:themes"},
		{"versions blog:nothing", exitNotFound, "", "neither the volume nor a snapshot has blog:nothing"},
		{"versions", exitUsage, "", "accepts 1 arg(s), received 0"},
		{"snapshot cat blog@first:index.php", 0, "one\n", ""},
		{"snapshot cat blog:index.php", 0, "three\n", ""},
		{"snapshot cat blog@first:themes", 0, "body {}", ""},
		{"snapshot cat blog@first:nothing", exitNotFound, "", `"nothing"`},
		{"snapshot cat nope@first:index.php", exitNotFound, "", "nope"},
	})
	s.write("blog/binary", "a\x00b")
	s.write("blog/large", strings.Repeat("x", maxContent+1))
	s.write("blog/open", "no end")
	s.requires([]typed{
		{"snapshot diff blog@first --content binary", exitFailed, "", "blog:binary is no text\nberth: hint: save both"},
		{"snapshot diff blog@first --content large", exitFailed, "", "it is larger than 8.0 MiB"},
		{"snapshot diff blog@first --content open", 0, "+no end\n\\ No newline at end of file\n", ""},
	})
}

func TestRestoresAreRefusedPlannedAndUndone(t *testing.T) {
	s := shop(t)
	s.requires([]typed{
		{"snapshot restore blog@first --dry-run", 0, "PLAN  blog <- blog@first (20", ""},
		{"snapshot restore blog@first --dry-run -q", 0, "", ""},
		{"snapshot restore blog@first --dry-run --json", 0, `"engine": "copy"`, ""},
		{"snapshot restore blog@first", exitUsage, "PLAN", "berth: Restore? Nobody is here to answer\nberth: hint: add --yes, or --dry-run to see what would happen\n"},
		{"snapshot restore", exitUsage, "", "berth: "},
		{"snapshot restore nope@first --yes", exitNotFound, "", "nope"},
		{"snapshot restore blog@nope --yes", exitNotFound, "", "nope"},
		{"snapshot restore blog@first --stop --live --yes", exitUsage, "", "--stop and --live exclude each other"},
		{"snapshot restore --resume --abort blog", exitUsage, "", "--resume and --abort exclude each other"},
		{"snapshot restore --resume", exitUsage, "", "berth: name the volume\nberth: hint: 'berth volume ps' lists what is unfinished\n"},
		{"snapshot restore --abort a b", exitUsage, "", "name the volume"},
		{"snapshot restore --abort blog", exitNothing, "", `no restore of volume "blog" is unfinished`},
		{"snapshot restore blog@first blog@second --as x", exitUsage, "", "--as is for one version at a time"},
		{"snapshot restore blog@first --keep-undo long --yes", exitUsage, "", `"long" is not an age`},
		{"snapshot restore blog@first --as old --dry-run", 0, "old: would be made of blog@first\n", ""},
		{"snapshot restore blog@first --as old", 0, "old: made of blog@first\n", ""},
		{"snapshot restore blog@first --as old", exitInUse, "", "volume \"old\" exists, and --as overwrites nothing"},
		{"snapshot restore blog@first --as old --dry-run", exitInUse, "", "--as overwrites nothing"},
		{"snapshot restore blog@first --yes", 0, "blog: restored, blog@first (", "to take it back: berth undo blog\n"},
		{"snapshot restore blog@first --yes", exitNothing, "", "nothing to do: blog@first is what is there now"},
		{"undo blog --dry-run", 0, "PLAN  blog <- as before the restore to blog@first", ""},
		{"undo blog", exitUsage, "PLAN", "berth: Undo? Nobody is here to answer"},
		{"undo blog --yes --json", 0, `"done": "undone"`, ""},
		{"undo shop_web --yes", exitNothing, "", "shop_web"},
		{"snapshot restore blog@first:index.php --to was/index.php --yes", exitNotFound, "", "has no directory \"was\""},
		{"snapshot restore blog@first:index.php --to was.php --yes -q", 0, "blog\n", ""},
		{"snapshot restore blog@first:themes --yes", 0, "blog: restored, blog@first:themes (", "berth undo blog\n"},
		{"snapshot restore --stack shop@first --yes", exitNothing, "", "nothing to do"},
	})
	require.Equal(t, "three\n", s.read("blog/index.php"))
	require.Equal(t, "one\n", s.read("blog/was.php"))
	require.Equal(t, "one\n", s.read("old/index.php"))
	s.docker("Mount", `{"Name":"blog","ID":"1"}`)
	s.requires([]typed{
		{"snapshot restore blog@second --yes", exitInUse, "", "blog is in use by node node1 (heartbeat "},
		{"snapshot restore blog@second --dry-run", 0, "in use by node node1", "blog is in use by node node1"},
		{"snapshot restore blog@second --live --yes", 0, "engine sync: replace what differs, file by file", "to take it back: berth undo blog --live\n"},
	})
	require.Equal(t, "two\n", s.read("blog/index.php"))
	s.docker("Unmount", `{"Name":"blog","ID":"1"}`)
}

func TestTheTrashIsListedRestoredAndPurged(t *testing.T) {
	s := shop(t)
	s.docker("Remove", `{"Name":"blog"}`)
	id := strings.TrimSpace(s.must("trash", "ls", "-q"))
	s.requires([]typed{
		{"trash ls", 0, id + "  blog    removed  ", ""},
		{"trash ls --json", 0, `"kind": "removed"`, ""},
		{"trash restore nope", exitNotFound, "", `nothing in the trash is called "nope"`},
		{"trash restore", exitUsage, "", "accepts 1 arg(s), received 0"},
		{"trash restore blog --as shop_web", exitInUse, "", "shop_web"},
		{"trash restore " + id + " --as blog2", 0, "blog2: restored from the trash as it was removed 20", ""},
		{"trash restore blog", exitNotFound, "", `nothing in the trash is called "blog"`},
	})
	s.docker("Remove", `{"Name":"blog2"}`)
	id = strings.TrimSpace(s.must("trash", "ls", "-q"))
	s.requires([]typed{
		{"trash purge", exitNothing, "", "nothing to purge"},
		{"trash purge x --older 1h", exitUsage, "", "ids and --older exclude each other"},
		{"trash purge --older never", exitUsage, "", `"never" is not an age`},
		{"trash purge " + id + " --dry-run", 0, id, ""},
		{"trash purge " + id, exitUsage, id, "Delete 1 from the trash for good? Nobody is here to answer"},
		{"trash purge --older 0s --dry-run -q", 0, id + "\n", ""},
		{"df", 0, "removed    ", "'berth trash purge --older 0s' frees "},
		{"trash purge " + id + " --yes", 0, "1 purged; the space comes free in the background\n", ""},
		{"trash", exitUsage, "", "'berth trash' needs a verb"},
		{"audit blog2 --json", 0, `"op": "undelete"`, ""},
		{"audit -q --since 1h", 0, "blog2\n", ""},
		{"audit --since x", exitUsage, "", `"x" is not an age`},
	})
	require.Empty(t, s.must("trash", "ls", "-q"))
}

func TestTheRestOfTheCommands(t *testing.T) {
	s := shop(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "shop.yml")
	require.NoError(t, os.WriteFile(file, []byte("services: { web: { image: nginx, volumes: ['web:/x'] } }\nvolumes: { web: { driver: berth, driver_opts: { mode: '2775' } } }\n"), 0o600))
	s.requires([]typed{
		{"version", 0, "command  " + version + "\nplugin   test\nnode     node1\n", ""},
		{"version -q", 0, "command  " + version + "\n", ""},
		{"version --json", 0, `"command": "` + version + `"`, ""},
		{"df", 0, "WHAT          SIZE", ""},
		{"df --json", 0, `"snapshots": 2`, ""},
		{"df x", exitUsage, "", `unknown command "x"`},
		{"stack check " + file + " --stack shop", 1, "shop_web  mode    2775  0750\n", ""},
		{"stack check " + file + " --stack shop -q", 1, "shop_web\n", ""},
		{"stack check " + file + " --stack shop --json", 1, `"mend": "berth volume set shop_web mode=2775"`, ""},
		{"stack check " + file + " --stack other", 0, "nothing differs\n", ""},
		{"stack check " + dir + "/none.yml", exitUsage, "", "none.yml"},
		{"stack", exitUsage, "", "'berth stack' needs a verb"},
		{"import convoy --dry-run", exitFailed, "", "there is no config/vfs_volume_*.json on the export"},
		{"import convoy --undo --adopt-orphans", exitUsage, "", "--undo and --adopt-orphans exclude each other"},
		{"ontap status", exitFailed, "", "BERTH_ONTAP is not set"},
		{"proxy render", exitUsage, "", "berth: --out DIR is missing\nberth: hint: name a directory"},
		{"proxy render --out " + dir + " --nodes node1", exitUsage, "", `--nodes: "node1" is no address`},
		{"proxy render --out " + dir, exitFailed, "", "no Docker engine answers here"},
		{"dashboard --listen nowhere", exitUsage, "", "berth: "},
		{"dashboard --listen 0.0.0.0:0", exitUsage, "", "berth: "},
		{"doctor --max-age x", 3, "UNKNOWN - \"x\" is not an age\n", ""},
		{"doctor -q", 1, "engine\n", ""},
		{"doctor", 1, " checks: ", ""},
		{"doctor --json", 1, `"summary": {`, ""},
		{"man " + dir + "/man", 0, "", ""},
	})
	require.FileExists(t, filepath.Join(dir, "man/berth-snapshot-restore.1"))
}

// readers are the commands that print data.
var readers = []string{"ls", "ps", "volume inspect blog", "snapshot ls blog", "snapshot ls blog --changes", "snapshot diff blog@first", "versions blog:index.php",
	"snapshot restore blog@first --dry-run", "undo blog --dry-run", "trash ls", "audit", "df", "version", "doctor"}

// TestJSONIsJSON for every command that prints data, and nothing else is said.
func TestJSONIsJSON(t *testing.T) {
	s := shop(t)
	s.must("snapshot", "restore", "blog@first", "--yes", "-q")
	s.write("blog/later", "x")
	for _, line := range readers {
		got := s.types(append(strings.Fields(line), "--json")...)
		require.Contains(t, []int{0, 1}, got.code, "%s: %s", line, got.err)
		dec := json.NewDecoder(strings.NewReader(got.out))
		n := 0
		for dec.More() {
			var v any
			require.NoError(t, dec.Decode(&v), "%s: %s", line, got.out)
			n++
		}
		require.Positive(t, n, line)
		require.Empty(t, got.err, line)
	}
}

// TestQuietPrintsOneNameALine and says nothing.
func TestQuietPrintsOneNameALine(t *testing.T) {
	s := shop(t)
	s.docker("Remove", `{"Name":"shop_web"}`)
	for _, line := range []string{"ls", "ps", "snapshot ls blog", "snapshot diff blog@first", "versions blog:index.php", "trash ls", "audit", "doctor", "snapshot create --name q", "volume set blog access=single", "trash restore shop_web", "snapshot rm q --yes"} {
		got := s.types(append(strings.Fields(line), "-q")...)
		require.Contains(t, []int{0, 1}, got.code, line)
		require.Empty(t, got.err, line)
		for name := range strings.Lines(got.out) {
			require.NotContains(t, strings.TrimSuffix(name, "\n"), " ", line)
		}
	}
}

// TestEveryCommandSaysThatNoPluginAnswers, with the exit code for it.
func TestEveryCommandSaysThatNoPluginAnswers(t *testing.T) {
	s := newServer(t)
	for _, line := range []string{"ls", "ps", "ps blog", "volume inspect a", "volume set a access=single", "volume repair a --yes", "volume takeover a --from b --yes", "snapshot ls a", "snapshot create", "snapshot rm a --yes",
		"snapshot diff a@b", "snapshot diff a@b --content c", "versions a:b", "snapshot cat a:b", "snapshot restore a@b --yes", "snapshot restore a@b --as c", "snapshot restore --resume a", "snapshot restore --abort a", "undo a --yes",
		"trash ls", "trash restore a", "trash purge --yes", "audit", "df", "import convoy", "ontap status"} {
		s.requires([]typed{{line, exitUnreachable, "", "berth: no berth answers on " + s.socket + ": no such file or directory\nberth: hint: 'docker plugin ls' shows whether it is enabled"}})
	}
	s.requires([]typed{
		{"version", exitUnreachable, "command  " + version + "\n", "no berth answers on"},
		{"version --json", exitUnreachable, "", "no berth answers on"},
		{"check --max-age 1h", 3, "UNKNOWN - no berth answers on", ""},
	})
}

// TestWrongFlags: every command says what is wrong and where the help is.
func TestWrongFlags(t *testing.T) {
	s := newServer(t)
	for _, path := range commandPaths(commands(&app{}), nil) {
		got := s.types(append(path, "--frobnicate")...)
		require.Equal(t, exitUsage, got.code, path)
		require.Equal(t, "berth: unknown flag: --frobnicate\nberth: hint: '"+strings.Join(append([]string{"berth"}, path...), " ")+" --help' shows the flags\n", got.err)
		require.Empty(t, got.out)
	}
	for _, args := range [][]string{{"ps", ""}, {"snapshot", "restore", "a@b", "--as", " "}, {"undo", "--stack", ""}, {"dashboard", "--host", ""}} {
		got := s.types(args...)
		require.Equal(t, exitUsage, got.code, args)
		require.Contains(t, got.err, " is empty\nberth: hint: a variable may be unset")
	}
	got := s.types("volume", "inspect", "caf\xe9")
	require.Equal(t, exitUsage, got.code)
	require.Contains(t, got.err, `argument 1 is not UTF-8: $'caf\xe9'`)
}

func TestNamesAreCompleted(t *testing.T) {
	s := shop(t)
	for _, line := range []string{"volume inspect", "volume ps", "ps", "snapshot ls", "snapshot restore", "undo", "audit", "volume set", "volume release", "volume takeover"} {
		args := append(append([]string{"--socket", s.socket, "__complete"}, strings.Fields(line)...), "")
		var out, talk bytes.Buffer
		require.Equal(t, exitDone, run(t.Context(), args, nil, &out, &talk))
		_ = out
	}
	var out, talk bytes.Buffer
	t.Setenv("BERTH_SOCKET", s.socket)
	t.Setenv("BERTH_EXPORT", "file://"+s.export)
	t.Setenv("BERTH_SETTINGS", filepath.Join(s.dir, "none"))
	require.Equal(t, exitDone, run(t.Context(), []string{"__complete", "volume", "inspect", ""}, nil, &out, &talk))
	require.Equal(t, "blog\nshop_db\nshop_web\n:4\n", out.String())
	out.Reset()
	require.Equal(t, exitDone, run(t.Context(), []string{"__complete", "volume", "set", "blog", "ac"}, nil, &out, &talk))
	require.Contains(t, out.String(), "access=single\n")
}

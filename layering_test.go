// Package berth holds the tests of the project as a whole: its layers and its
// documents.
package berth

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/doctor"
	"github.com/casit/berth/plugin"
	"github.com/casit/berth/volume"
)

// bottom are the packages that import nothing of ours and that all may import:
// names of any bytes, and the rows of docs/troubleshooting.md.
var bottom = []string{"text", "guard", "problem/catalogue"}

const module = "github.com/casit/berth/"

// below says what each package may import of ours, and why the arrow points
// down only: what is below can be understood, tested and replaced alone.
// Packages that are not listed may import anything but cmd.
// What is in bottom may be imported by all.
var below = map[string][]string{
	"tree":                {"nfs"},
	"nfs":                 {},
	"ontap":               {},
	"ontap/simulator":     {"ontap"},
	"text":                {},
	"problem/catalogue":   {},
	"problem/problemtest": {},
	"problem":             {"tree"},
	"export":              {"problem", "tree"},
	"volume":              {"export", "problem", "tree"},
	"snapshot":            {"volume", "export", "problem", "tree", "ontap"},
	"proxy":               {},
	"stack":               {"export", "problem", "tree", "volume"},
	"docker":              {"problem", "proxy", "snapshot", "stack", "volume"},
	"docker/dockertest":   {},
	"show":                {"plugin", "problem", "snapshot"},
	"examine":             {"docker", "doctor", "plugin", "stack", "volume"},
	"doctor":              {"export", "volume", "problem", "tree", "nfs", "ontap"},
	"convoy":              {"export", "volume", "problem", "tree"},
	"plugin":              {"export", "doctor", "volume", "problem", "tree", "snapshot", "nfs", "ontap", "convoy"},
	"dashboard":           {"plugin", "problem", "volume", "snapshot"},
	"cmd/berth":           {"plugin", "problem", "doctor", "volume", "snapshot", "proxy", "convoy", "dashboard", "docker", "examine", "show", "stack"},
}

// goFiles calls fn for every Go file of the project.
func goFiles(t *testing.T, fn func(pkg, file string)) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != "." || d.Name() == "build" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if strings.HasSuffix(p, ".go") {
			fn(filepath.ToSlash(filepath.Dir(p)), p)
		}
		return nil
	}))
}

func TestImportsPointDownAndPackagesAreDocumented(t *testing.T) {
	documented := map[string]bool{}
	goFiles(t, func(pkg, file string) {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		require.NoError(t, err)
		documented[pkg] = documented[pkg] || f.Doc.Text() != ""
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		for _, i := range f.Imports {
			ours, ok := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), module)
			if !ok {
				continue
			}
			require.False(t, strings.HasPrefix(ours, "cmd/"), "%s imports %s: commands are at the top", file, ours)
			if allowed, listed := below[pkg]; listed {
				require.Contains(t, slices.Concat(allowed, bottom), ours, "%s imports %s: arrows point down only (docs/design.md)", file, ours)
			}
		}
	})
	for pkg, ok := range documented {
		require.True(t, ok, "package %s has no doc comment", pkg)
	}
}

func TestTheSocketPackagesDoNotLog(t *testing.T) {
	goFiles(t, func(pkg, file string) {
		if strings.HasSuffix(file, "_test.go") || pkg == "plugin" || strings.HasPrefix(pkg, "cmd/") {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, i := range f.Imports {
			require.NotContains(t, i.Path.Value, "logrus", "%s logs: libraries return errors and report through callbacks", file)
		}
	})
}

// table returns the first cells of a document's Markdown tables that are code.
func table(t *testing.T, file string) []string {
	t.Helper()
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	var cells []string
	for line := range strings.Lines(string(data)) {
		if first, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(first, "`")
			cells = append(cells, name)
		}
	}
	return cells
}

func TestSettingsDocumentIsTheCode(t *testing.T) {
	data, err := os.ReadFile("docs/settings.md")
	require.NoError(t, err)
	require.ElementsMatch(t, plugin.SettingNames(), table(t, "docs/settings.md"))
	for _, s := range plugin.SettingTable {
		if s.Default != "" {
			require.Contains(t, string(data), "| `"+s.Name+"` | `"+s.Default+"` |", "the default of %s", s.Name)
		}
	}
}

func TestOptionsDocumentIsTheCode(t *testing.T) {
	data, err := os.ReadFile("docs/options.md")
	require.NoError(t, err)
	var keys []string
	for _, o := range volume.OptionTable {
		keys = append(keys, o.Key)
		require.Contains(t, string(data), o.Values)
		if o.Default != "" {
			require.Contains(t, string(data), "| `"+o.Key+"` | `"+o.Values+"` | `"+o.Default+"` |", "the row of %s", o.Key)
		}
	}
	require.ElementsMatch(t, keys, table(t, "docs/options.md"))
}

func TestDoctorDocumentIsTheCode(t *testing.T) {
	data, err := os.ReadFile("docs/doctor.md")
	require.NoError(t, err)
	var names []string
	for _, d := range doctor.Table {
		names = append(names, d.Name)
		require.Contains(t, string(data), "| `"+d.Name+"` | "+d.Looks+" |")
	}
	require.Equal(t, names, table(t, "docs/doctor.md"))
}

func TestTheManagedPluginTakesEverySetting(t *testing.T) {
	data, err := os.ReadFile("config.json")
	require.NoError(t, err)
	for _, name := range plugin.SettingNames() {
		if slices.Contains([]string{"BERTH_SOCKET"}, name) {
			continue // dockerd says where a managed plugin's socket is
		}
		require.Contains(t, string(data), `"`+name+`"`)
	}
}

// TestEveryPackageThatSpeaksHasItsMessages: a package whose errors people read
// has a table of its messages, one test that holds the table to the code, and
// its place in the document of all.
func TestEveryPackageThatSpeaksHasItsMessages(t *testing.T) {
	const tables = "cmd/berth/troubleshooting_test.go"
	document, err := os.ReadFile(tables)
	require.NoError(t, err)
	speaks, held := map[string]bool{}, map[string]bool{}
	goFiles(t, func(pkg, file string) {
		if pkg == "." || slices.Contains(mute, strings.Split(pkg, "/")[0]) || slices.Contains(mute, pkg) {
			return
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		speaks[pkg] = speaks[pkg] || !strings.HasSuffix(file, "_test.go") && makesError.Match(text)
		held[pkg] = held[pkg] || strings.HasSuffix(file, "_test.go") && strings.Contains(string(text), "problemtest.Check(")
	})
	for pkg := range speaks {
		if speaks[pkg] {
			require.FileExists(t, pkg+"/messages.go")
			require.True(t, held[pkg], "no test of %s calls problemtest.Check", pkg)
			require.True(t, pkg == "cmd/berth" || strings.Contains(string(document), `"`+module+pkg+`"`), "%s has no messages of %s", tables, pkg)
		}
	}
}

// mute are packages whose errors nobody reads but who tests berth.
var mute = []string{"integration", "demo", "nfs/nfstest", "tree/treetest", "ontap/simulator", "problem/catalogue", "problem/problemtest"}

var makesError = regexp.MustCompile(`\b(problem\.New|fmt\.Errorf|errors\.New)\(`)

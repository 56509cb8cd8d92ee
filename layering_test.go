// Package berth holds the test of the project as a whole: its layers.
package berth

import (
	"go/ast"
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
)

// bottom are the packages that all may import: names of any bytes, goroutines
// that may panic, what a server takes at most, errors of many steps, rounds over
// many names, and the rows of docs/troubleshooting.md.
var bottom = []string{"text", "guard", "bound", "several", "rota", "problem/catalogue"}

const module = "github.com/casit/berth/"

// below says what each package may import of ours, and why the arrow points
// down only: what is below can be understood, tested and replaced alone.
// Packages that are not listed may import anything but cmd.
var below = map[string][]string{
	"tree":                          {"nfs"},
	"nfs":                           {},
	"kernel":                        {"nfs"},
	"ontap":                         {},
	"ontap/simulator":               {"ontap", "ontap/simulator/flexvol"},
	"ontap/simulator/flexvol":       {},
	"ontap/simulator/simulatortest": {"ontap/simulator"},
	"text":                          {},
	"guard":                         {},
	"rota":                          {},
	"sole":                          {},
	"problem/catalogue":             {},
	"problem/problemtest":           {},
	"problem":                       {"tree"},
	"export":                        {"problem", "tree"},
	"audit":                         {"export", "tree"},
	"cache":                         {"export", "tree"},
	"cluster":                       {"export", "problem", "tree"},
	"sweep":                         {"audit", "cache", "cluster", "export", "problem", "tree"},
	"volume/index":                  {},
	"volume":                        {"volume/index", "audit", "cache", "cluster", "export", "problem", "tree", "job", "sweep"},
	"snapshot":                      {"audit", "cluster", "snapshot/reference", "snapshot/embedded", "snapshot/netapp", "volume", "export", "problem", "tree", "snapshot/df", "job", "snapshot/compare", "snapshot/archive"},
	"snapshot/archive":              {"snapshot/reference", "tree"},
	"repair":                        {"audit", "cluster", "export", "job", "problem", "tree", "volume"},
	"job":                           {"cluster", "export", "problem", "tree"},
	"snapshot/reference":            {"cluster", "volume", "problem"},
	"snapshot/embedded":             {"cluster", "export", "snapshot/reference", "volume", "problem", "tree"},
	"snapshot/netapp":               {"snapshot/reference", "problem", "ontap"},
	"proxy":                         {},
	"stack":                         {"cluster", "problem", "tree", "volume"},
	"docker":                        {"cluster", "job", "problem", "proxy", "snapshot", "snapshot/reference", "stack", "tree", "volume"},
	"docker/dockertest":             {},
	"show":                          {"cluster", "job", "plugin", "problem", "snapshot", "snapshot/compare", "snapshot/df", "snapshot/reference", "sweep", "volume"},
	"examine":                       {"cluster", "job", "docker", "doctor", "plugin", "stack", "volume"},
	"doctor":                        {"cluster", "job", "export", "sweep", "volume", "problem", "tree", "nfs", "ontap", "snapshot/reference"},
	"convoy":                        {"audit", "cluster", "export", "volume", "problem", "tree"},
	"plugin":                        {"sole", "audit", "cluster", "export", "doctor", "volume", "problem", "tree", "snapshot", "snapshot/netapp", "snapshot/reference", "snapshot/embedded", "nfs", "ontap", "convoy", "snapshot/df", "job", "repair", "plugin/mounts", "sweep", "kernel"},
	"dashboard":                     {"docker", "cluster", "plugin", "problem", "volume", "snapshot", "snapshot/netapp", "snapshot/reference", "snapshot/df", "job", "snapshot/compare"},
	"cmd/berth":                     {"cluster", "repair", "plugin", "problem", "doctor", "volume", "snapshot", "snapshot/reference", "snapshot/embedded", "proxy", "convoy", "dashboard", "docker", "examine", "show", "stack", "snapshot/df", "job", "snapshot/compare", "snapshot/archive", "plugin/mounts", "sweep"},
	"plugin/mounts":                 {"problem", "nfs"},
	"snapshot/compare":              {"snapshot/reference", "volume", "problem", "tree"},
	"snapshot/df":                   {"export", "snapshot/netapp", "snapshot/reference", "snapshot/embedded", "volume", "problem", "tree"},
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
var mute = []string{"integration", "demo", "nfs/nfstest", "tree/treetest", "ontap/simulator", "ontap/simulator/flexvol", "ontap/simulator/simulatortest", "problem/catalogue", "problem/problemtest"}

var makesError = regexp.MustCompile(`\b(problem\.New|fmt\.Errorf|errors\.New)\(`)

// What a type and a package may grow to. nfs, tree and ontap are each one
// subject that a standard or a vendor has made large.
const (
	mostMethods = 60
	mostLines   = 4000
)

func TestNoTypeAndNoPackageIsTooLarge(t *testing.T) {
	methods, lines := map[string]int{}, map[string]int{}
	goFiles(t, func(pkg, file string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if !slices.Contains([]string{"nfs", "tree", "ontap", "ontap/simulator"}, pkg) && !strings.HasPrefix(pkg, "integration") {
			lines[pkg] += strings.Count(string(text), "\n")
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, text, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil {
				methods[pkg+"."+receiver(fn.Recv.List[0].Type)]++
			}
		}
	})
	for name, n := range methods {
		require.LessOrEqual(t, n, mostMethods, "methods of %s: what of it is a subject of its own?", name)
	}
	for name, n := range lines {
		require.LessOrEqual(t, n, mostLines, "lines of package %s without tests: what of it is a subject of its own?", name)
	}
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

package berth

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// heard are the packages whose errors people read; some may not be there.
var heard = []string{"cmd/berth", "plugin", "problem", "volume", "snapshot", "convoy", "proxy", "doctor", "dashboard", "docker", "stack", "tree", "nfs", "ontap"}

// makers are the calls that make an error, a helper's with its package: which
// argument says what is wrong, and what is printed before it.
var makers = map[string]struct {
	at     int
	before string
}{
	"fmt.Errorf":       {0, ""},
	"errors.New":       {0, ""},
	"problem.New":      {2, ""},
	"problem New":      {2, ""},
	"noPlugin":         {0, ""},
	"nfs fail":         {0, "BERTH_EXPORT: …: "},
	"ontap broken":     {2, "ontap: …: "},
	"ontap unknown":    {2, "ontap: …: "},
	"http.Error":       {1, ""},
	"proxy r.refuse":   {2, "service …: label …=…: "},
	"dashboard s.fail": {3, ""},
}

// within says where the errors of Errorf and New in a file are only the end of
// a sentence, and how it begins.
var within = map[string]string{
	"volume/meta.go":   "the metadata of volume … (…) ",
	"volume/option.go": "option …=…: ",
	"nfs/url.go":       "BERTH_EXPORT: …: ",
	"ontap/do.go":      "ontap: …: ",
	"convoy/record.go": "broken: … ",
	"convoy/share.go":  "broken: … ",
}

// silent are errors that carry something beside words: an exit code, after the
// command has said what there is to say; the cause of another error.
var silent = []string{"examined", "differs", "SilentHolder"}

// messages collects what berth says when something is wrong, from the code:
// the text of every error that is made in a package that people hear from, to
// where it stands. What differs from case to case is "…".
func messages(t *testing.T) map[string]string {
	t.Helper()
	var files []*ast.File
	set := token.NewFileSet()
	goFiles(t, func(pkg, file string) {
		if !slices.Contains(heard, pkg) || strings.HasSuffix(file, "_test.go") {
			return
		}
		f, err := parser.ParseFile(set, file, nil, 0)
		require.NoError(t, err)
		files = append(files, f)
	})
	signals := signals(set, files)
	parts := slices.Collect(maps.Values(within)) // said with each of their ends
	for _, m := range makers {
		parts = append(parts, m.before)
	}
	found := map[string]string{}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			if signals[n] {
				return true
			}
			for _, text := range message(set, n) {
				if strings.ContainsFunc(text, unicode.IsLetter) && !slices.Contains(parts, strings.TrimSuffix(text, "…")) {
					found[text] = fmt.Sprint(set.Position(n.Pos()))
				}
			}
			return true
		})
	}
	return found
}

// message returns what is wrong in words, if a node makes an error.
func message(set *token.FileSet, n ast.Node) []string {
	switch n := n.(type) {
	case *ast.CallExpr:
		return call(path.Clean(set.Position(n.Pos()).Filename), n)
	case *ast.CompositeLit:
		return literal(n)
	case *ast.AssignStmt:
		if s, ok := n.Lhs[0].(*ast.SelectorExpr); ok && s.Sel.Name == "Reason" && n.Tok == token.ASSIGN {
			return []string{words(n.Rhs[0])}
		}
	case *ast.FuncDecl:
		if n.Name.Name == "Error" && n.Recv != nil && !slices.Contains(silent, nameOf(n.Recv.List[0].Type)) {
			return returned(n)
		}
	}
	return nil
}

// call reads a call in a file that may make an error.
func call(file string, n *ast.CallExpr) []string {
	name := nameOf(n.Fun)
	m, ok := makers[name]
	if ok && m.before == "" && name != "problem.New" {
		m.before = within[file]
	}
	if !ok {
		m, ok = makers[path.Dir(file)+" "+name]
	}
	if !ok || len(n.Args) <= m.at {
		return nil
	}
	text := words(n.Args[m.at])
	if !strings.ContainsFunc(text, unicode.IsLetter) || strings.HasPrefix(text, m.before) {
		return []string{text}
	}
	return []string{m.before + text}
}

// literal reads an error that is written down as a struct.
func literal(n *ast.CompositeLit) []string {
	at, ok := map[string]int{"usageError": 0, "UsageError": 0, "verdict": 1, "Failure": -1, "Error": -1}[path.Ext("." + nameOf(n.Type))[1:]]
	if !ok {
		return nil
	}
	for i, e := range n.Elts {
		kv, named := e.(*ast.KeyValueExpr)
		switch {
		case named && slices.Contains([]string{"Reason", "reason"}, nameOf(kv.Key)):
			return []string{words(kv.Value)}
		case !named && i == at:
			return []string{words(e)}
		}
	}
	return nil
}

// returned are the words of a method Error.
func returned(f *ast.FuncDecl) (texts []string) {
	ast.Inspect(f.Body, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok && len(r.Results) == 1 {
			texts = append(texts, words(r.Results[0]))
		}
		return true
	})
	return texts
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return nameOf(e.X) + "." + e.Sel.Name
	case *ast.StarExpr:
		return nameOf(e.X)
	}
	return ""
}

var verb = regexp.MustCompile(`%(\[\d+\])?[-+# 0]*(\d+|\*)?(\.\d+)?[a-zA-Z]…?|%%`)

// words is a text as far as the code knows it.
func words(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		if err != nil {
			return "…"
		}
		return verb.ReplaceAllStringFunc(text, func(v string) string {
			if v == "%%" {
				return "%"
			}
			return "…"
		})
	case *ast.BinaryExpr:
		return strings.ReplaceAll(words(e.X)+words(e.Y), "……", "…")
	case *ast.CallExpr:
		if strings.HasSuffix(nameOf(e.Fun), "Sprintf") {
			return words(e.Args[0])
		}
	}
	return "…"
}

// signals are the errors that nobody reads: variables that one function gives
// to another, and that are only compared with. They are found by their use: as
// an argument of errors.Is, beside == or !=, as what Is looks up in a map, or
// returned by a callback.
func signals(set *token.FileSet, files []*ast.File) map[ast.Node]bool {
	made := map[string]*ast.CallExpr{} // by where it is known, and its name
	read := map[string]bool{}
	for _, f := range files {
		pkg := path.Dir(set.Position(f.Pos()).Filename)
		for _, d := range f.Decls {
			function := pkg
			if fn, ok := d.(*ast.FuncDecl); ok {
				function = fmt.Sprint(set.Position(fn.Pos()))
			}
			walk(d, func(n ast.Node, above []ast.Node) {
				switch n := n.(type) {
				case *ast.ValueSpec:
					note(made, function, n.Names[0], n.Values)
				case *ast.AssignStmt:
					if n.Tok == token.DEFINE {
						note(made, function, n.Lhs[0], n.Rhs)
					}
				case *ast.SelectorExpr:
					read[nameOf(n)] = read[nameOf(n)] || !compared(above)
				case *ast.Ident:
					for _, scope := range []string{function, pkg} {
						read[scope+"."+n.Name] = read[scope+"."+n.Name] || !compared(above)
					}
				}
			})
		}
	}
	out := map[ast.Node]bool{}
	for name, call := range made {
		out[call] = !read[name] && !read[path.Base(name)] // as another package writes it
	}
	return out
}

// walk visits the nodes of a declaration, each with those above it.
func walk(d ast.Decl, visit func(n ast.Node, above []ast.Node)) {
	var above []ast.Node
	ast.Inspect(d, func(n ast.Node) bool {
		if n == nil {
			above = above[:len(above)-1]
			return true
		}
		visit(n, above)
		above = append(above, n)
		return true
	})
}

// note remembers a variable that is made by errors.New.
func note(made map[string]*ast.CallExpr, scope string, name ast.Expr, values []ast.Expr) {
	if len(values) != 1 {
		return
	}
	if call, ok := values[0].(*ast.CallExpr); ok && nameOf(call.Fun) == "errors.New" {
		made[scope+"."+nameOf(name)] = call
	}
}

// compared tells whether an identifier with these nodes above it is declared
// there, or compared with something.
func compared(above []ast.Node) bool {
	if len(above) == 0 {
		return false
	}
	switch up := above[len(above)-1].(type) {
	case *ast.SelectorExpr: // judged as a whole
		return true
	case *ast.ValueSpec:
		return true
	case *ast.AssignStmt:
		return up.Tok == token.DEFINE
	case *ast.CallExpr:
		return nameOf(up.Fun) == "errors.Is"
	case *ast.BinaryExpr:
		return up.Op == token.EQL || up.Op == token.NEQ
	case *ast.KeyValueExpr:
		if lit, ok := above[len(above)-2].(*ast.CompositeLit); ok {
			_, ok = lit.Type.(*ast.MapType)
			return ok
		}
	case *ast.ReturnStmt:
		for _, n := range slices.Backward(above) {
			switch n.(type) {
			case *ast.FuncLit:
				return true
			case *ast.FuncDecl:
				return false
			}
		}
	}
	return false
}

// Package problemtest holds the messages that the code of a package makes to
// its table of messages (problem/catalogue), in one test of that package:
//
//	func TestEveryMessageHasARow(t *testing.T) {
//		problemtest.Check(t, Messages, problemtest.Code{})
//	}
//
// The messages are found by reading the source: what is given to errors.New,
// fmt.Errorf and problem.New, and errors that are written down as a struct.
// Text that is put together in another way is not found.
package problemtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"github.com/casit/berth/problem/catalogue"
)

// Code is what has to be known about a package to find its messages.
type Code struct {
	Makers map[string]Maker  // its helpers that make errors, as they are called: "fail", "s.refuse"
	Ends   map[string]string // by file: how a sentence begins that errors.New and fmt.Errorf only end there
	Silent []string          // error types that carry something beside words
}

// Maker is a call that makes an error.
type Maker struct {
	At     int    // the argument that says what is wrong
	Before string // what is printed before it
}

// makers are the calls that make an error in every package.
var makers = map[string]Maker{
	"fmt.Errorf":  {},
	"errors.New":  {},
	"problem.New": {At: 2},
	"http.Error":  {At: 1},
}

// Check requires that each message which the package in the current directory
// makes has a row, with a cause and a cure, and that each row is such a message.
func Check(t *testing.T, messages catalogue.Messages, code Code) {
	t.Helper()
	listed := map[string]bool{}
	for _, rows := range messages {
		for _, row := range rows {
			require.False(t, listed[row[0]], "messages.go has this twice: %s", row[0])
			listed[row[0]] = true
			for _, cell := range row {
				require.NotEmpty(t, strings.TrimSpace(cell), "cause and cure of %s", row[0])
				require.NotContains(t, cell, "|", "%s: write ¦, a bar ends a cell", row[0])
			}
		}
	}
	var missing []string
	found := code.messages(t, ".")
	for _, m := range slices.Sorted(maps.Keys(found)) {
		if cell := catalogue.Cell(m); !listed[cell] {
			missing = append(missing, found[m]+": "+cell)
		} else {
			delete(listed, cell)
		}
	}
	require.Empty(t, missing, "messages.go does not have these messages; after adding them: go generate ./cmd/berth")
	require.Empty(t, slices.Sorted(maps.Keys(listed)), "messages.go has messages that the code of this package does not make")
}

// messages collects what the package in dir says when something is wrong: the
// text of every error that it makes, to where it stands. What differs from case
// to case is "…".
func (c Code) messages(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := parse(t, dir)
	signals := signals(files)
	found := map[string]string{}
	for name, f := range files {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if signals[n] {
				return true
			}
			for _, text := range c.message(name, n) {
				if strings.ContainsFunc(text, unicode.IsLetter) && !c.part(text) {
					found[text] = fmt.Sprint(f.set.Position(n.Pos()))
				}
			}
			return true
		})
	}
	return found
}

// file is a parsed file.
type file struct {
	set    *token.FileSet
	syntax *ast.File
}

// parse reads the Go files of dir but for its tests, by name.
func parse(t *testing.T, dir string) map[string]file {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	files := map[string]file{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") {
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, path.Join(dir, e.Name()), nil, 0)
			require.NoError(t, err)
			files[e.Name()] = file{set, f}
		}
	}
	return files
}

// part tells a text that is only the beginning of a sentence: it is said with
// each of its ends.
func (c Code) part(text string) bool {
	text = strings.TrimSuffix(text, "…")
	for _, before := range c.Ends {
		if text == before {
			return true
		}
	}
	for _, m := range c.Makers {
		if text == m.Before {
			return true
		}
	}
	return false
}

// message returns what is wrong in words, if a node of the file called name
// makes an error.
func (c Code) message(name string, n ast.Node) []string {
	switch n := n.(type) {
	case *ast.CallExpr:
		return c.call(name, n)
	case *ast.CompositeLit:
		return literal(n)
	case *ast.AssignStmt:
		if s, ok := n.Lhs[0].(*ast.SelectorExpr); ok && s.Sel.Name == "Reason" && n.Tok == token.ASSIGN {
			return []string{words(n.Rhs[0])}
		}
	case *ast.FuncDecl:
		if n.Name.Name == "Error" && n.Recv != nil && !slices.Contains(c.Silent, nameOf(n.Recv.List[0].Type)) {
			return returned(n)
		}
	}
	return nil
}

// call reads a call, in the file called name, that may make an error.
func (c Code) call(name string, n *ast.CallExpr) []string {
	called := nameOf(n.Fun)
	m, ok := c.Makers[called]
	if !ok {
		m, ok = makers[called]
		if called == "fmt.Errorf" || called == "errors.New" {
			m.Before = c.Ends[name]
		}
	}
	if !ok || len(n.Args) <= m.At {
		return nil
	}
	text := words(n.Args[m.At])
	if !strings.ContainsFunc(text, unicode.IsLetter) || strings.HasPrefix(text, m.Before) {
		return []string{text}
	}
	return []string{m.Before + text}
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

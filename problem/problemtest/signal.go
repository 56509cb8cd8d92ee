package problemtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
)

// signals are the errors that nobody reads: variables that one function gives
// to another, and that are only compared with. They are found by their use: as
// an argument of errors.Is, beside == or !=, as what Is looks up in a map, or
// returned by a callback. What other packages do with an exported one is not
// looked at.
func signals(files map[string]file) map[ast.Node]bool {
	made := map[string]*ast.CallExpr{} // by function, "" for the package, and name
	read, used := map[string]bool{}, map[string]bool{}
	for _, f := range files {
		for _, d := range f.syntax.Decls {
			function := ""
			if fn, ok := d.(*ast.FuncDecl); ok {
				function = fmt.Sprint(f.set.Position(fn.Pos()))
			}
			walk(d, func(n ast.Node, above []ast.Node) {
				switch n := n.(type) {
				case *ast.ValueSpec:
					note(made, function, n.Names[0], n.Values)
				case *ast.AssignStmt:
					if n.Tok == token.DEFINE {
						note(made, function, n.Lhs[0], n.Rhs)
					}
				case *ast.Ident:
					for _, scope := range []string{function, ""} {
						name := scope + "." + n.Name
						read[name] = read[name] || !compared(above)
						used[name] = used[name] || !declared(above)
					}
				}
			})
		}
	}
	out := map[ast.Node]bool{}
	for name, call := range made {
		out[call] = used[name] && !read[name] // what is not used is for other packages
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

// declared tells whether an identifier with these nodes above it is declared
// there.
func declared(above []ast.Node) bool {
	if len(above) == 0 {
		return false
	}
	switch up := above[len(above)-1].(type) {
	case *ast.ValueSpec:
		return true
	case *ast.AssignStmt:
		return up.Tok == token.DEFINE
	}
	return false
}

// compared tells whether an identifier with these nodes above it is declared
// there, or compared with something.
func compared(above []ast.Node) bool {
	if declared(above) {
		return true
	}
	if len(above) == 0 {
		return false
	}
	switch up := above[len(above)-1].(type) {
	case *ast.SelectorExpr: // judged as a whole
		return true
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

package router

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Each line that warns has a row in the guide.
func TestEveryLineThatWarnsIsInTheOperationsGuide(t *testing.T) {
	guide, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	_, log, _ := strings.Cut(string(guide), "\n## The log\n")
	log, _, _ = strings.Cut(log, "\n## ")
	for _, match := range regexp.MustCompile("(?m)^\\| `(.+?)` \\|").FindAllStringSubmatch(log, -1) {
		listed = append(listed, match[1])
	}
	logged := warnings(t)
	if len(logged) < 40 {
		t.Fatalf("found only %d lines: %q", len(logged), logged)
	}
	for _, message := range logged {
		if !slices.Contains(listed, message) {
			t.Errorf("docs/operations.md does not have %q", message)
		}
	}
	levels := []string{"error", "warn", "info", "debug"}
	for _, message := range listed {
		if !slices.Contains(logged, message) && !slices.Contains(levels, message) {
			t.Errorf("docs/operations.md has %q, which is logged nowhere", message)
		}
	}
}

// warnings finds the messages of all lines of level warn and error, as far as they are constant.
func warnings(t *testing.T) (all []string) {
	t.Helper()
	add := func(literal ast.Expr) {
		if text, ok := literal.(*ast.BasicLit); ok && text.Kind == token.STRING {
			message, err := strconv.Unquote(text.Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, message)
		}
	}
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if entry != nil && entry.IsDir() && entry.Name() == "enginetest" {
			return filepath.SkipDir // tests in a package of their own
		}
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if called, ok := n.Fun.(*ast.SelectorExpr); ok && len(n.Args) > 0 && slices.Contains([]string{"Warn", "Error"}, called.Sel.Name) {
					add(n.Args[0])
				}
			case *ast.AssignStmt: // one that is chosen
				if name, ok := n.Lhs[0].(*ast.Ident); ok && name.Name == "message" && strings.HasPrefix(path, "delivery") {
					add(n.Rhs[0])
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

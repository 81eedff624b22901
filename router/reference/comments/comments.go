// Package comments reads the doc comments of Go's sources, so that a struct of the config is described in one place only.
package comments

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Comments are the doc comments of some types. Of each, the first paragraph is what an operator is to know; those after it are
// for programmers, and left out.
type Comments struct {
	// Docs are the comments of types and of struct fields, each on one line, by "import/path.Type" and
	// "import/path.Type.Field".
	Docs map[string]string `json:"docs"`
	// Words are the constants of the string types, in their order, by "import/path.Type".
	Words map[string][]Word `json:"words"`
}

// Word is one value of a string type.
type Word struct {
	// Value is what stands in the config, Name the constant's, Doc its comment on one line.
	Value string `json:"value"`
	Name  string `json:"name"`
	Doc   string `json:"doc"`
}

// Read reads what is said of some types, each an "import/path.Type" of the module whose folder and path are given.
func Read(root, module string, types []string) (*Comments, error) {
	all := &Comments{map[string]string{}, map[string][]Word{}}
	packages := map[string]bool{}
	for _, name := range types {
		path := name[:strings.LastIndexByte(name, '.')]
		if packages[path] {
			continue
		}
		packages[path] = true
		folder := filepath.Join(root, filepath.FromSlash(strings.TrimPrefix(path, module)))
		if err := all.readPackage(path, folder); err != nil {
			return nil, fmt.Errorf("read the comments of %s: %w", path, err)
		}
	}
	return all.only(types), nil
}

func (c *Comments) only(types []string) *Comments {
	maps.DeleteFunc(c.Words, func(name string, _ []Word) bool { return !slices.Contains(types, name) })
	maps.DeleteFunc(c.Docs, func(name, _ string) bool {
		owner := name[:strings.LastIndexByte(name, '.')]
		return !slices.Contains(types, name) && !slices.Contains(types, owner)
	})
	return c
}

func (c *Comments) readPackage(path, folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if !isSource(entry) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(folder, entry.Name()), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, declaration := range file.Decls {
			if group, ok := declaration.(*ast.GenDecl); ok {
				c.readGroup(path, group)
			}
		}
	}
	return nil
}

func isSource(entry fs.DirEntry) bool {
	name := entry.Name()
	return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go")
}

func (c *Comments) readGroup(path string, group *ast.GenDecl) {
	for _, spec := range group.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			c.readType(path+"."+spec.Name.Name, spec, group.Doc)
		case *ast.ValueSpec:
			c.readConstant(path, spec)
		}
	}
}

// readType takes exported types; a lone one has its comment on the group.
func (c *Comments) readType(name string, spec *ast.TypeSpec, groups *ast.CommentGroup) {
	if !spec.Name.IsExported() {
		return
	}
	doc := spec.Doc
	if doc == nil {
		doc = groups
	}
	fields, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	c.note(name, doc)
	for _, field := range fields.Fields.List {
		for _, each := range field.Names {
			c.note(name+"."+each.Name, field.Doc)
		}
	}
}

func (c *Comments) note(name string, doc *ast.CommentGroup) {
	if text := oneLine(doc); text != "" {
		c.Docs[name] = text
	}
}

// readConstant takes the string constants that name their type.
func (c *Comments) readConstant(path string, spec *ast.ValueSpec) {
	kind, ok := spec.Type.(*ast.Ident)
	if !ok || len(spec.Values) != 1 {
		return
	}
	literal, ok := spec.Values[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		return
	}
	doc := spec.Doc
	if doc == nil {
		doc = spec.Comment
	}
	of := path + "." + kind.Name
	c.Words[of] = append(c.Words[of], Word{value, spec.Names[0].Name, oneLine(doc)})
}

func oneLine(doc *ast.CommentGroup) string {
	first, _, _ := strings.Cut(doc.Text(), "\n\n")
	return strings.Join(strings.Fields(first), " ")
}

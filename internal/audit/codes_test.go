package audit

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// finder is a place in the source that finds something: its guarantee, one of its codes, and how it words the detail.
type finder struct {
	at, guarantee, code string
	detail              *regexp.Regexp
}

// verb is one of a format.
var verb = regexp.MustCompile(`%[a-z]`)

// finders reads the package's source.
func finders(t *testing.T) []finder {
	t.Helper()
	var all []finder
	files := token.NewFileSet()
	literals := 0
	names, err := fs.Glob(os.DirFS("."), "*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			ast.Inspect(d, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.CompositeLit:
					if kind, named := n.Type.(*ast.Ident); named && kind.Name == "Finding" {
						literals++
					}
				case *ast.CallExpr:
					if method, is := n.Fun.(*ast.SelectorExpr); is && method.Sel.Name == "find" {
						all = append(all, read(t, files.Position(n.Pos()).String(), d, n.Args)...)
					}
				}
				return true
			})
		}
	}
	if literals != 1 {
		t.Errorf("the source makes findings in %d places; this test knows of find alone", literals)
	}
	return all
}

// read reads a call of find, one for each code that it may have within the function around it.
func read(t *testing.T, at string, around ast.Node, args []ast.Expr) []finder {
	t.Helper()
	codes := texts(args[1])
	if name, is := args[1].(*ast.Ident); is {
		codes = assigned(around, name.Name)
	}
	guarantee, is := args[0].(*ast.BasicLit)
	format := texts(args[3])
	if !is || len(codes) == 0 || len(format) != 1 {
		t.Fatalf("%s: the guarantee, codes or words of a finding can't be read", at)
	}
	pieces := verb.Split(format[0], -1)
	for i := range pieces {
		pieces[i] = regexp.QuoteMeta(pieces[i])
	}
	detail := regexp.MustCompile(`^` + strings.Join(pieces, `(?s:.*)`) + `$`)
	var all []finder
	for _, code := range codes {
		all = append(all, finder{at, guarantee.Value, code, detail})
	}
	return all
}

// texts is a string as it stands in the source, nothing for any other expression.
func texts(e ast.Expr) []string {
	if lit, is := e.(*ast.BasicLit); is && lit.Kind == token.STRING {
		if text, err := strconv.Unquote(lit.Value); err == nil {
			return []string{text}
		}
	}
	return nil
}

// assigned are the strings that a variable is given.
func assigned(around ast.Node, name string) []string {
	var all []string
	ast.Inspect(around, func(n ast.Node) bool {
		if a, is := n.(*ast.AssignStmt); is && len(a.Lhs) == len(a.Rhs) {
			for i, to := range a.Lhs {
				if v, is := to.(*ast.Ident); is && v.Name == name {
					all = append(all, texts(a.Rhs[i])...)
				}
			}
		}
		return true
	})
	return all
}

// Each place in the source that finds something is reached by a spoiled sale, with each of its codes.
func TestAudit_EveryFindingIsTested(t *testing.T) {
	t.Parallel()
	var found []Finding
	for _, s := range spoilings() {
		w := clean()
		s.spoil(w)
		found = append(found, w.audit(t).Findings...)
	}
	codes := map[string]bool{}
	for _, f := range finders(t) {
		codes[f.code] = true
		if !slices.ContainsFunc(found, func(x Finding) bool {
			return fmt.Sprint(x.Guarantee) == f.guarantee && x.Code == f.code && f.detail.MatchString(x.Detail)
		}) {
			t.Errorf("%s: no spoiled sale leads to guarantee %s, %s, %q", f.at, f.guarantee, f.code, f.detail)
		}
	}
	for _, x := range found {
		if !codes[x.Code] {
			t.Errorf("%s is found, and not read from the source", x.Code)
		}
	}
}

// The operator's table says of each code what to do.
func TestAudit_EveryCodeIsDocumented(t *testing.T) {
	t.Parallel()
	docs, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range finders(t) {
		if row := fmt.Sprintf("\n| `%s` | %s | ", f.code, f.guarantee); !strings.Contains(string(docs), row) {
			t.Errorf("%s: docs/operations.md has no row %q", f.at, row)
		}
	}
}

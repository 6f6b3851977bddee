package architecture

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

func TestTheRepositoryKeepsItsRules(t *testing.T) {
	t.Parallel()
	packages, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range Services(packages) {
		if !slices.ContainsFunc(packages, func(p Package) bool { return p.Path == service }) {
			t.Errorf("there is no package %s: is the service called otherwise than its contract?", service)
		}
	}
	standard, err := StandardNames()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range Check(packages, standard) {
		t.Error(v)
	}
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	t.Parallel()
	packages, err := Load(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages {
		generated := !slices.ContainsFunc(p.Files, func(f File) bool { return !ast.IsGenerated(f.Syntax) })
		if !generated && !documented(p) {
			t.Errorf("%s has no package comment", p.Path)
		}
	}
}

func documented(p Package) bool {
	return slices.ContainsFunc(p.Files, func(f File) bool { return f.Syntax.Doc != nil })
}

// A rule that cannot fail is not a rule: each is broken here on purpose.
func TestCheckFinds(t *testing.T) {
	t.Parallel()
	const (
		catalog     = "internal/catalog"
		marketplace = "internal/marketplace"
		recommender = "internal/recommender"
	)
	contracts := []Package{pkg("gen/recommendations"), pkg("gen/octavo/recommendations/v1"), pkg("gen/octavo/catalog/v1"), pkg("gen/octavo/readers/v1")}
	for _, test := range []struct {
		name     string
		packages []Package
		want     []string // rule number, place
	}{
		{"nothing in a repository that keeps the rules", []Package{
			pkg(catalog, file("server.go", "./gen/octavo/catalog/v1", "google.golang.org/grpc/status"), file("catalog_test.go", "./internal/catalog/sqlite", "./chassis/chassistest", "testing")),
			pkg(catalog+"/sqlite", file("store.go", "./internal/catalog", "./internal/sqlitedb", "database/sql")),
			pkg("internal/sqlitedb", file("db.go", "modernc.org/sqlite")),
			pkg(catalog+"/storetest", file("suite.go", "./internal/catalog", "testing")),
			pkg(marketplace, file("home.go", "./gen/octavo/catalog/v1", "net/http")),
			pkg(recommender, file("train.go", "math")),
			pkg("cmd/octavo", source("main.go", `package main; import ("os"; "github.com/octavo-books/octavo/chassis"); var _ = os.Getenv`)),
			pkg("test/bench", file("main.go", "flag", "google.golang.org/grpc/codes")),
			pkg("gen/octavo/challenges/v1", file("challenges_grpc.pb.go", "google.golang.org/grpc/codes")),
			pkg("internal/challenges", file("server.go", "./gen/octavo/challenges/v1"), file("follow.go", "./gen/octavo/readers/v1")),
		}, nil},

		{"a service that imports another", []Package{pkg(marketplace, file("home.go", "./internal/catalog"))},
			[]string{"1 internal/marketplace"}},
		{"a service that imports another through a library", []Package{
			pkg(marketplace, file("home.go", "./internal/shelf")), pkg("internal/shelf", file("shelf.go", "./internal/readers"))},
			[]string{"1 internal/marketplace"}},
		{"a service that imports another in a test", []Package{pkg(marketplace, file("home_test.go", "./internal/catalog/sqlite"))},
			[]string{"1 internal/marketplace"}},

		{"a new service that imports another", []Package{pkg("gen/octavo/challenges/v1"), pkg("internal/challenges", file("challenges.go", "./internal/readers"))},
			[]string{"1 internal/challenges"}},

		{"a service that imports the chassis", []Package{pkg(catalog, file("catalog.go", "./chassis"))},
			[]string{"2 internal/catalog"}},
		{"a library that imports cmd", []Package{pkg("internal/feed", file("feed.go", "./cmd/internal/services"))},
			[]string{"2 internal/feed"}},
		{"a test of a service that imports more of the chassis than chassistest", []Package{pkg(catalog, file("catalog_test.go", "./chassis"))},
			[]string{"2 internal/catalog"}},
		{"a chassis that imports a service", []Package{pkg("chassis", file("app.go", "./internal/catalog"))},
			[]string{"2 chassis"}},

		{"a domain that imports a driver", []Package{pkg(catalog, file("catalog.go", "database/sql"))},
			[]string{"3 internal/catalog"}},
		{"a domain that imports its own driver's package", []Package{pkg(catalog, file("catalog.go", "./internal/catalog/sqlite"))},
			[]string{"3 internal/catalog"}},
		{"a driver's package that does not know its domain", []Package{pkg(catalog+"/sqlite", file("store.go", "modernc.org/sqlite"))},
			[]string{"3 internal/catalog/sqlite"}},

		{"a status outside of server.go", []Package{pkg(catalog, file("catalog.go", "google.golang.org/grpc/status"))},
			[]string{"4 internal/catalog/catalog.go"}},
		{"a code in cmd", []Package{pkg("cmd/octavo", file("main.go", "google.golang.org/grpc/codes"))},
			[]string{"4 cmd/octavo/main.go"}},

		{"a storefront that reaches a database through a library", []Package{
			pkg(marketplace, file("home.go", "./internal/sqlitedb")), pkg("internal/sqlitedb", file("db.go", "database/sql"))},
			[]string{"3 internal/marketplace", "5 internal/marketplace", "5 internal/marketplace"}},
		{"a recommender that opens connections", []Package{pkg(recommender, file("train.go", "net/http"))},
			[]string{"5 internal/recommender"}},
		{"a recommender that knows a contract", []Package{pkg(recommender, file("train.go", "./gen/octavo/readers/v1"))},
			[]string{"5 internal/recommender", "6 internal/recommender/train.go"}},

		{"a service whose own contract's types go further than its server", []Package{pkg(catalog, file("catalog.go", "./gen/octavo/catalog/v1"))},
			[]string{"6 internal/catalog/catalog.go"}},
		{"a client whose own contract's types go further than its server", []Package{pkg("internal/recommendations", file("ranking.go", "./gen/recommendations"))},
			[]string{"6 internal/recommendations/ranking.go"}},
		{"a store that stores messages", []Package{pkg(catalog+"/sqlite", file("store.go", "./internal/catalog", "./gen/octavo/catalog/v1"))},
			[]string{"6 internal/catalog/sqlite/store.go"}},

		{"production code that imports a test package", []Package{pkg(catalog, file("catalog.go", "./internal/catalog/storetest"))},
			[]string{"7 internal/catalog"}},
		{"production code that imports testing", []Package{pkg(catalog, file("catalog.go", "testing"))},
			[]string{"7 internal/catalog"}},
		{"a package called util", []Package{pkg("internal/catalog/util", file("util.go"))},
			[]string{"7 internal/catalog/util"}},
		{"packages below one called common", []Package{pkg("internal/common/text", file("text.go"))},
			[]string{"7 internal/common/text"}},
		{"a package called like one of the standard library", []Package{pkg("internal/http", file("http.go"))},
			[]string{"7 internal/http"}},

		{"an environment read in a service", []Package{pkg(catalog, source("catalog.go", `package catalog; import "os"; var dir = os.Getenv("DIR")`))},
			[]string{"8 internal/catalog/catalog.go"}},
		{"an environment read under another name", []Package{pkg(catalog, source("catalog.go", `package catalog; import sys "os"; var args = sys.Args`))},
			[]string{"8 internal/catalog/catalog.go"}},
		{"flags in the chassis", []Package{pkg("chassis", file("app.go", "flag"))},
			[]string{"8 chassis/app.go"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, v := range Check(append(slices.Clone(contracts), test.packages...), []string{"http", "os"}) {
				got = append(got, string(rune('0'+v.Rule))+" "+v.Where)
				if text := v.String(); !strings.Contains(text, v.Where) || !strings.Contains(text, "because") {
					t.Errorf("the message gives no place or no reason: %s", text)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("found %q, want %q", got, test.want)
			}
		})
	}
}

func TestAPackageWithoutACommentIsFound(t *testing.T) {
	t.Parallel()
	if documented(pkg("a", source("a.go", "package a"), source("b.go", "package a"))) {
		t.Error("a package without a comment counts as documented")
	}
	if !documented(pkg("a", source("a.go", "package a"), source("b.go", "// Package a is for tests.\npackage a"))) {
		t.Error("a package with a comment does not count as documented")
	}
}

// pkg is a package of the files, called like its folder.
func pkg(path string, files ...File) Package {
	p := Package{Path: path, Name: path[strings.LastIndexByte(path, '/')+1:], Files: files}
	for _, f := range files {
		if f.Test {
			p.TestImports = append(p.TestImports, f.Imports...)
		} else {
			p.Imports = append(p.Imports, f.Imports...)
		}
	}
	return p
}

func file(name string, imports ...string) File {
	return File{Name: name, Test: strings.HasSuffix(name, "_test.go"), Imports: imports}
}

func source(name, text string) File {
	syntax, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments)
	if err != nil {
		panic(err)
	}
	f := file(name)
	f.Syntax = syntax
	for _, spec := range syntax.Imports {
		f.Imports = append(f.Imports, localImport("github.com/octavo-books/octavo", strings.Trim(spec.Path.Value, `"`)))
	}
	return f
}

// Package architecture knows the rules by which the packages of Octavo depend
// on one another, and finds where they are broken. Its test holds the
// repository to them.
//
// It reads source and never changes it. It judges imports, not behaviour.
package architecture

import (
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strings"
)

// Package is what the rules need to know of one package of the module.
type Package struct {
	Path        string   // below the module: "internal/catalog"; "" is the root
	Name        string   // of the package clause
	Imports     []string // of production files; packages of the module by Path with a leading "./"
	TestImports []string // of its tests, inside and outside the package
	Files       []File
}

// File is one source file of a package.
type File struct {
	Name    string // "server.go"
	Test    bool   // ends in _test.go
	Imports []string
	Syntax  *ast.File
}

// Violation is a broken rule.
type Violation struct {
	Rule  int    // from 1, as in Rules
	Where string // package or file
	What  string // what it does that it must not
}

// String names the place and gives the rule with its reason.
func (v Violation) String() string {
	rule := Rules[v.Rule-1]
	return fmt.Sprintf("%s %s\n\trule %d: %s\n\tbecause %s", v.Where, v.What, v.Rule, rule.Text, rule.Reason)
}

// Rule is one of the rules, in words.
type Rule struct{ Text, Reason string }

// Rules are the rules in the order of their numbers.
var Rules = []Rule{
	{"no service imports another service; only generated clients cross",
		"a change in one service must not be able to break, or be deployed with, another"},
	{"services import neither chassis nor cmd, chassis imports no service; their tests may use chassistest",
		"a service that does not know what runs it can be run by anything: one process, many, a test"},
	{"domain packages import no database driver, and a driver's package imports its domain",
		"the domain says what it needs of a store; a second database is then a new package and no change"},
	{"gRPC codes and status appear only in fault, chassis and files named server.go; tests are free to look at them",
		"there is one table of what an error means to the outside, and it is in fault"},
	{"marketplace imports no database; recommender imports no network, no database and no generated code",
		"a storefront that cannot reach the data cannot leak it, and pure algorithms can be tested, fuzzed and reused anywhere"},
	{"types from gen stop at server.go and convert.go; clients of a contract use its types",
		"a contract can grow without the domain and its storage following"},
	{"production code imports no package made for tests; no package is called util, common, helpers or pkg, or like one of the standard library",
		"test code has no place in a server, and a name that says nothing gathers everything"},
	{"environment, flags and arguments are read only in cmd",
		"what a package does is seen from what it is given; tests need no environment, and --help is complete"},
}

var (
	// faceless are the services that have no contract. The others are called
	// like theirs.
	faceless = []string{"internal/marketplace", "internal/trainer"}

	// drivers are external packages that speak to a database.
	drivers = []string{"database/sql", "modernc.org/sqlite", "github.com/jackc/pgx", "github.com/pressly/goose"}

	// tools are libraries that call services, as services may.
	tools = []string{"internal/importer", "internal/library"}

	network = []string{"net", "google.golang.org/grpc", "github.com/prometheus/client_golang"}

	// testOnly are packages made for tests whose names do not end in "test".
	testOnly = []string{"testing", "go.uber.org/goleak", "pgregory.net/rapid", "github.com/rogpeppe/go-internal/testscript"}

	emptyNames = []string{"util", "utils", "common", "helper", "helpers", "pkg", "misc"}
)

// Check returns every violation in the packages of the module. standard are the
// names of the standard library's packages ("http", not "net/http").
func Check(packages []Package, standard []string) []Violation {
	c := checker{services: Services(packages), byPath: map[string]Package{}}
	for _, p := range packages {
		c.byPath[p.Path] = p
	}
	for _, p := range packages {
		if within(p.Path, "gen") {
			continue
		}
		c.names(p, standard)
		if within(p.Path, "test") || within(p.Path, "tools") {
			continue
		}
		c.serviceImports(p)
		c.chassisImports(p)
		c.driverImports(p)
		c.purity(p)
		c.testCode(p)
		for _, f := range p.Files {
			if !f.Test {
				c.statusCodes(p, f)
				c.generatedTypes(p, f)
				c.environment(p, f)
			}
		}
	}
	return c.found
}

// Services are the packages of the services: for each contract the one that
// answers it, and those without a contract.
func Services(packages []Package) []string {
	all := slices.Clone(faceless)
	for _, p := range packages {
		if s := answering(p.Path); s != "" {
			all = append(all, s)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// answering is the package of the service that answers a contract, given by the
// package of its generated code: gen/octavo/catalog/v1, or gen/recommendations.
// It is empty for other packages.
func answering(generated string) string {
	contract, ok := strings.CutPrefix(generated, "gen/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(contract, "octavo/"), "/")
	return "internal/" + name
}

type checker struct {
	services []string
	byPath   map[string]Package
	found    []Violation
}

func (c *checker) report(rule int, where, format string, args ...any) {
	c.found = append(c.found, Violation{Rule: rule, Where: where, What: fmt.Sprintf(format, args...)})
}

// within says whether a package is another one or below it.
func within(p, root string) bool { return p == root || strings.HasPrefix(p, root+"/") }

func withinAny(p string, roots []string) bool {
	return slices.ContainsFunc(roots, func(root string) bool { return within(p, root) })
}

func (c *checker) serviceOf(p string) string {
	for _, s := range c.services {
		if within(p, s) {
			return s
		}
	}
	return ""
}

// local is the path of an import of this module, and false for others.
func local(imported string) (string, bool) { return strings.CutPrefix(imported, "./") }

// isDriver says whether an import, of this module or not, speaks to a database.
func isDriver(imported string) bool {
	if p, ok := local(imported); ok {
		return isDriverPackage(p)
	}
	return withinAny(imported, drivers)
}

// isDriverPackage says whether a package of this module is one that may import
// drivers.
func isDriverPackage(p string) bool {
	parts := strings.Split(p, "/")
	return withinAny(p, []string{"internal/migration", "internal/sqlitedb", "internal/postgresdb", "internal/postgrestest"}) || slices.Contains(parts, "sqlite") || slices.Contains(parts, "postgres")
}

// isTestPackage says whether a package is made for tests.
func isTestPackage(p string) bool {
	return strings.HasSuffix(path.Base(p), "test") || within(p, "test")
}

// reach visits everything that p imports in production, directly or through
// packages of this module, with the chain of packages that leads to it.
func (c *checker) reach(p Package, visit func(imported string, chain []string)) {
	seen := map[string]bool{p.Path: true}
	var walk func(p Package, chain []string)
	walk = func(p Package, chain []string) {
		for _, imported := range p.Imports {
			if seen[imported] {
				continue
			}
			seen[imported] = true
			visit(imported, chain)
			if below, ok := local(imported); ok {
				walk(c.byPath[below], append(slices.Clip(chain), below))
			}
		}
	}
	walk(p, nil)
}

func through(chain []string) string {
	if len(chain) == 0 {
		return ""
	}
	return " through " + strings.Join(chain, ", ")
}

// serviceImports is rule 1.
func (c *checker) serviceImports(p Package) {
	own := c.serviceOf(p.Path)
	if own == "" {
		return
	}
	c.reach(p, func(imported string, chain []string) {
		if to, ok := local(imported); ok && c.serviceOf(to) != "" && c.serviceOf(to) != own {
			c.report(1, p.Path, "imports %s%s", to, through(chain))
		}
	})
	for _, imported := range p.TestImports {
		if to, ok := local(imported); ok && c.serviceOf(to) != "" && c.serviceOf(to) != own {
			c.report(1, p.Path, "imports %s in a test", to)
		}
	}
}

// chassisImports is rule 2. It holds for all of internal: a library that
// services share would otherwise carry the chassis into them.
func (c *checker) chassisImports(p Package) {
	switch {
	case within(p.Path, "internal"):
		for _, imported := range p.Imports {
			if to, ok := local(imported); ok && (within(to, "chassis") || within(to, "cmd")) {
				c.report(2, p.Path, "imports %s", to)
			}
		}
		for _, imported := range p.TestImports {
			if to, ok := local(imported); ok && (within(to, "chassis") && to != "chassis/chassistest" || within(to, "cmd")) {
				c.report(2, p.Path, "imports %s in a test", to)
			}
		}
	case within(p.Path, "chassis"):
		c.reach(p, func(imported string, chain []string) {
			if to, ok := local(imported); ok && (c.serviceOf(to) != "" || within(to, "cmd")) {
				c.report(2, p.Path, "imports %s%s", to, through(chain))
			}
		})
	}
}

// driverImports is rule 3.
func (c *checker) driverImports(p Package) {
	if isDriverPackage(p.Path) {
		domain, base := path.Split(p.Path)
		domain = strings.TrimSuffix(domain, "/")
		if (base == "sqlite" || base == "postgres") && !slices.Contains(p.Imports, "./"+domain) {
			c.report(3, p.Path, "does not import its domain, %s", domain)
		}
		return
	}
	if !within(p.Path, "internal") && !within(p.Path, "chassis") {
		return
	}
	for _, imported := range p.Imports {
		if isDriver(imported) {
			c.report(3, p.Path, "imports %s", strings.TrimPrefix(imported, "./"))
		}
	}
}

// statusCodes is rule 4.
func (c *checker) statusCodes(p Package, f File) {
	if p.Path == "fault" || within(p.Path, "chassis") || f.Name == "server.go" {
		return
	}
	for _, imported := range f.Imports {
		if imported == "google.golang.org/grpc/codes" || imported == "google.golang.org/grpc/status" {
			c.report(4, path.Join(p.Path, f.Name), "imports %s", imported)
		}
	}
}

// purity is rule 5.
func (c *checker) purity(p Package) {
	marketplace, recommender := within(p.Path, "internal/marketplace"), within(p.Path, "internal/recommender")
	if !marketplace && !recommender {
		return
	}
	c.reach(p, func(imported string, chain []string) {
		to, isLocal := local(imported)
		switch {
		case isDriver(imported):
			c.report(5, p.Path, "imports the database package %s%s", to, through(chain))
		case recommender && isLocal && within(to, "gen"), recommender && within(imported, "google.golang.org/protobuf"):
			c.report(5, p.Path, "imports generated code, %s%s", to, through(chain))
		case recommender && withinAny(imported, network):
			c.report(5, p.Path, "imports the network package %s%s", to, through(chain))
		}
	})
}

// generatedTypes is rule 6.
func (c *checker) generatedTypes(p Package, f File) {
	if isTestPackage(p.Path) || !within(p.Path, "internal") && !within(p.Path, "chassis") {
		return
	}
	for _, imported := range f.Imports {
		to, ok := local(imported)
		if !ok || !within(to, "gen") {
			continue
		}
		own := answering(to)
		if (c.serviceOf(p.Path) != "" || withinAny(p.Path, tools)) && !within(p.Path, own) {
			continue
		}
		// A part of a service may have a server of its own.
		if within(p.Path, own) && (f.Name == "server.go" || f.Name == "convert.go") {
			continue
		}
		c.report(6, path.Join(p.Path, f.Name), "imports %s", to)
	}
}

// names is the part of rule 7 on names.
func (c *checker) names(p Package, standard []string) {
	for _, part := range append(strings.Split(p.Path, "/"), p.Name) {
		if slices.Contains(emptyNames, part) {
			c.report(7, p.Path, "is called %q", part)
			break
		}
	}
	if p.Name != "main" && slices.Contains(standard, p.Name) {
		c.report(7, p.Path, "is called %q, like a package of the standard library", p.Name)
	}
}

// testCode is the part of rule 7 on imports.
func (c *checker) testCode(p Package) {
	if isTestPackage(p.Path) {
		return
	}
	for _, imported := range p.Imports {
		to, _ := local(imported)
		if isTestPackage(to) || withinAny(imported, testOnly) {
			c.report(7, p.Path, "imports %s", to)
		}
	}
}

// environment is rule 8.
func (c *checker) environment(p Package, f File) {
	if within(p.Path, "cmd") {
		return
	}
	where := path.Join(p.Path, f.Name)
	for _, imported := range f.Imports {
		if imported == "flag" || within(imported, "github.com/alecthomas/kong") {
			c.report(8, where, "imports %s", imported)
		}
	}
	if f.Syntax == nil {
		return
	}
	names := importNames(f.Syntax)
	ast.Inspect(f.Syntax, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		from, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		imported := names[from.Name]
		if (imported == "os" || imported == "syscall") && slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv", "Args"}, selector.Sel.Name) {
			c.report(8, where, "reads %s.%s", imported, selector.Sel.Name)
		}
		return true
	})
}

// importNames are the imports of a file by the name they have in it.
func importNames(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range f.Imports {
		imported := strings.Trim(spec.Path.Value, `"`)
		name := path.Base(imported)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = imported
	}
	return names
}
